// The configuration read again by SIGHUP, while modalities and web clients are connected and messages wait:
// what begins afterwards meets the new one, what has begun ends with the old one, and nothing is lost.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
import { auditNumbers, expectValid, TlsCollector, UdpCollector } from './support/collector.js';
import { decodeText, encode } from './support/data_set.js';
import { dump2dcm, findscu } from './support/dcmtk.js';
import { freePort, House, until, within } from './support/house.js';
import { get, post, startOriginServer } from './support/http.js';
import { expectNoPatientData, ini, modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson, done, doneInJson } from './support/performed_step.js';
import { RawAssociation, sopClass } from './support/raw_scu.js';
import { cFind, nCreate, nSet, send } from './support/scu.js';

const house = new House();
after(() => house.close());

const limit = 20_000;
const target = (uid, rest = '') => `/modality-performed-procedure-steps/${uid}${rest}`;
const search = '/modality-scheduled-procedure-steps';
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.20.${process.pid}.${++uids}`;
const scp = ({ port }, more = {}) => ({ kind: 'scp', ae_title: 'RIS', host: '127.0.0.1', port, ...more });

/// A worklist SCP that answers with one step of this accession number.
async function startWorklist(accession) {
  const peer = await startMppsScp(house);
  peer.register.find = () => [
    { status: 0xff00, elements: { AccessionNumber: accession, ScheduledProcedureStepSequence: [{ Modality: 'CT' }] } },
    { status: 0x0000 },
  ];
  return peer;
}

/// A gateway whose file can be written anew. sections: as startModgate; ports stay those it got.
async function start(name, sections, how) {
  const state = house.newPath();
  fs.mkdirSync(state);
  const gateway = await startModgate(house, name, { gateway: { log_level: 'info', state_dir: state }, ...sections }, how);
  gateway.state = state;
  gateway.reloads = 0;
  return gateway;
}
function write(gateway, sections) {
  const all = { gateway: { log_level: 'info', state_dir: gateway.state }, ...sections };
  for (const front of ['dimse', 'web', 'admin']) {
    if (all[front]) all[front] = { ...(front === 'dimse' && { ae_title: 'MODGATE' }), bind: '127.0.0.1', port: 0, ...all[front] };
  }
  fs.writeFileSync(gateway.configuration, ini(all));
}
const count = (gateway, pattern) => [...gateway.log().matchAll(pattern)].length;
async function hup(gateway, pattern) {
  const before = count(gateway, pattern);
  gateway.child.signal('SIGHUP');
  await until(limit, () => `${pattern} in: ${gateway.log().slice(-2000)}`, () => count(gateway, pattern) > before);
}
async function reload(gateway, sections) {
  if (sections) write(gateway, sections);
  await hup(gateway, /info reloaded /g);
}
const refused = (gateway) => hup(gateway, /error not reloaded: /g);

const find = async (gateway, callingAeTitle = 'CT1') => {
  const { status, pending } = await send({ ...gateway.dimse, callingAeTitle }, cFind({ AccessionNumber: '' }));
  assert.equal(status, 0);
  return pending.map(({ AccessionNumber }) => AccessionNumber);
};

const identifier = encode([[0x00080050, 'SH', '']]);
const accessionOf = (bytes) => decodeText(bytes)['00080050'].value;

/// DCMTK's findscu: the accession numbers it got, or nothing where it was not let in.
async function byFindscu(gateway, callingAeTitle) {
  const file = await dump2dcm(house, '(0008,0050) SH\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS\n(fffe,e00d) -\n(fffe,e0dd) -\n');
  const { status, responses } = await findscu(house, { ...gateway.dimse, callingAeTitle }, file);
  return status === 0 ? responses.map((response) => response['00080050'].value) : undefined;
}

describe('modalities and backends', () => {
  test('a modality comes, another goes, and a backend moves, with associations and connections open', async () => {
    const old = await startWorklist('OLD');
    const moved = await startWorklist('NEW');
    const front = (names) => Object.fromEntries(names.map((name) => [`modality ${name}`, { ae_title: name }]));
    const sections = (peer, names) => ({
      dimse: { worklist: 'ris', known_modalities_only: 'yes' }, web: { worklist: 'ris' },
      'backend ris': scp(peer), ...front(names),
    });
    const gateway = await start('moves', sections(old, ['CT1', 'CT2']));
    const open = await RawAssociation.open({ ...gateway.dimse, callingAeTitle: 'CT1' }, [sopClass.worklist]);
    const overAssociation = async () => (await open.find(identifier)).responses.map(accessionOf);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    house.defer(() => agent.destroy());
    const overAgent = () => within(limit, 'an answer', new Promise((resolve, reject) => {
      http.get({ host: gateway.web.host, port: gateway.web.port, path: search, agent, headers: { accept: 'application/dicom+json' } }, (response) => {
        const { localPort } = response.socket;
        let text = '';
        response.on('data', (part) => { text += part; });
        response.on('end', () => resolve([JSON.parse(text)[0]['00080050'].Value[0], localPort]));
      }).on('error', reject);
    }));
    assert.deepEqual(await byFindscu(gateway, 'CT1'), ['OLD']);
    assert.deepEqual(await overAssociation(), ['OLD']);
    const [first, port] = await overAgent();
    assert.equal(first, 'OLD');
    assert.equal(await byFindscu(gateway, 'CT3'), undefined);

    await reload(gateway, sections(moved, ['CT2', 'CT3']));
    assert.deepEqual(await overAssociation(), ['NEW']); // the same association
    assert.deepEqual(await overAgent(), ['NEW', port]); // the same connection
    assert.equal(await byFindscu(gateway, 'CT1'), undefined);
    assert.deepEqual(await byFindscu(gateway, 'CT2'), ['NEW']);
    assert.deepEqual(await byFindscu(gateway, 'CT3'), ['NEW']);
    await open.release();
  });

  test('a search that runs ends at the backend where it began', async () => {
    const slow = await startWorklist('OLD');
    const fast = await startWorklist('NEW');
    let arrived, goOn;
    const asked = new Promise((resolve) => { arrived = resolve; });
    const answers = slow.register.find;
    slow.register.find = async () => {
      arrived();
      await new Promise((resolve) => { goOn = resolve; });
      return answers();
    };
    const sections = (peer) => ({ dimse: { worklist: 'ris' }, 'backend ris': scp(peer) });
    const gateway = await start('ends where it began', sections(slow));
    const running = find(gateway);
    await within(limit, 'the question', asked);
    await reload(gateway, sections(fast));
    assert.deepEqual(await find(gateway), ['NEW']);
    goOn();
    assert.deepEqual(await running, ['OLD']);
  });
});

describe('users, tokens and certificates', () => {
  test('tokens change with the content of their file, on a connection that stays', async () => {
    const hash = (token) => `${crypto.createHash('sha256').update(token).digest('hex')} somebody\n`;
    const tokens = house.newPath('-tokens');
    fs.writeFileSync(tokens, hash('first'));
    const gateway = await start('tokens', { web: { mpps: 'local', tokens }, 'backend local': { kind: 'store' } });
    const status = async (token) => (await get(gateway, target(newUid()), { authorization: `Bearer ${token}` })).status;
    assert.equal(await status('first'), 404);
    assert.equal(await status('second'), 401);
    fs.writeFileSync(tokens, hash('second'));
    await reload(gateway);
    assert.equal(await status('first'), 401);
    assert.equal(await status('second'), 404);
  });

  test('passwords of user identities change with their file', async () => {
    const users = house.newPath('-users');
    const hashes = { // by crypt(3)
      first: '$2b$04$abcdefghijklmnopqrstuuvybHXQqehXl2NdtAhT6BAmwe6EZ8HOi',
      second: '$2b$04$abcdefghijklmnopqrstuu0m4FNu/b0Ul0dVXpD5yXn5kdSneXCgS',
    };
    const give = (password) => fs.writeFileSync(users, `ct:${hashes[password]}\n`);
    give('first');
    const gateway = await start('users', { dimse: { mpps: 'local', users }, 'backend local': { kind: 'store' } });
    const enters = async (password) => {
      const user = { type: 2, primaryField: 'ct', secondaryField: password };
      try {
        return (await send({ ...gateway.dimse, user }, nCreate(newUid(), begun()))).status === 0;
      } catch (error) {
        assert.ok(error.rejection, error);
        return false;
      }
    };
    assert.ok(await enters('first'));
    give('second');
    await reload(gateway);
    assert.ok(await enters('second'));
    assert.ok(!(await enters('first')));
  });

  test('new connections get the certificate that the same files hold now; one that is open goes on', async () => {
    const [before, now] = [await makeCertificates(house), await makeCertificates(house)];
    const files = { certificate: house.newPath('.pem'), key: house.newPath('.key') };
    const install = (made) => {
      fs.copyFileSync(made.certificate, files.certificate);
      fs.copyFileSync(made.key, files.key);
    };
    install(before);
    const tls = { tls_certificate: files.certificate, tls_private_key: files.key };
    const gateway = await start('certificates', {
      dimse: { mpps: 'local', ...tls }, web: { mpps: 'local', ...tls }, 'backend local': { kind: 'store' },
    });
    const ask = (made, agent = false) => within(limit, 'an answer', new Promise((resolve) => {
      https.get({ host: '127.0.0.1', port: gateway.web.port, path: target(newUid()), ca: made.options.ca, agent }, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode));
      }).on('error', (error) => resolve(error.code));
    }));
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: before.options.ca });
    house.defer(() => agent.destroy());
    const store = (made) => send({ ...gateway.dimse, tls: made }, nCreate(newUid(), begun())).then(({ status }) => status, () => 'refused');
    assert.equal(await ask(before, agent), 404);
    assert.equal(await store(before), 0);
    fs.copyFileSync(now.certificate, files.certificate); // its key is not there yet
    await refused(gateway);
    fs.rmSync(files.key);
    await refused(gateway);
    assert.equal(await ask(before), 404);
    install(now);
    await reload(gateway);
    assert.equal(await ask(before, agent), 404); // the connection that it has
    assert.equal(await ask(now), 404);
    assert.notEqual(await ask(before), 404);
    assert.equal(await store(now), 0);
    assert.equal(await store(before), 'refused');
  });

  test('backends are asked with the certificates and CAs that the same files hold now', async () => {
    const [before, now] = [await makeCertificates(house), await makeCertificates(house)];
    const newFiles = () => ({ certificate: house.newPath('.pem'), key: house.newPath('.key'), trusted: house.newPath('.pem') });
    const [here, there] = [newFiles(), newFiles()];
    const install = (files, made) => Object.entries(files).forEach(([kind, file]) => fs.copyFileSync(made[kind], file));
    install(here, before);
    install(there, before);
    const tls = ({ certificate, key, trusted }) => ({ tls_certificate: certificate, tls_private_key: key, tls_trusted: trusted });
    const legacy = await start('certificates behind', { dimse: { mpps: 'local', ...tls(there) }, 'backend local': { kind: 'store' } });
    const ris = https.createServer({ ...before.options, requestCert: true, rejectUnauthorized: true }, (_, response) => response.writeHead(204).end());
    await new Promise((resolve) => ris.listen(0, '127.0.0.1', resolve));
    house.defer(() => { ris.closeAllConnections(); ris.close(); });
    const gateway = await start('certificates of backends', {
      web: { worklist: 'ris', mpps: 'legacy' },
      'backend ris': { kind: 'origin-server', base_uri: `https://127.0.0.1:${ris.address().port}/`, ...tls(here) },
      'backend legacy': { kind: 'scp', ae_title: 'MODGATE', host: '127.0.0.1', port: legacy.dimse.port, ...tls(here) },
    });
    const ask = async () => [
      (await get(gateway, `${search}?AccessionNumber=1`)).status, (await post(gateway, target(newUid()), begunInJson())).status];
    assert.deepEqual(await ask(), [204, 201]);

    install(there, now);
    await reload(legacy);
    ris.setSecureContext(now.options);
    ris.closeAllConnections();
    install(here, now);
    await reload(gateway);
    assert.deepEqual(await ask(), [204, 201]);

    install(here, before);
    await reload(gateway);
    for (const status of await ask()) assert.ok(status >= 500, String(status));
  });
});

describe('the audit trail', () => {
  const security = { alert: '110113', started: '110134', stopped: '110133', configuration: '110131' };
  const admin = { bind: '127.0.0.1', port: 0 };
  const store = (audit) => ({ web: { mpps: 'local' }, dimse: { mpps: 'local' }, admin, 'backend local': { kind: 'store' }, ...(audit && { audit }) });
  const create = async (gateway) => {
    const uid = newUid();
    assert.equal((await post(gateway, target(uid), begunInJson())).status, 201);
    return uid;
  };
  /// What a collector has got: alerts and activities by their type, steps by their UID.
  const told = (collector) => collector.messages().map(({ type, objects }) => type ?? objects[0].mpps);
  const untilTold = (collector, ...all) =>
    until(limit, () => `${all} in ${told(collector)} ${collector.faults}`, () => all.every((one) => told(collector).includes(one)));

  test('off, then to a collector, then to another one, then off: each gets what happened in its time, and no more', async () => {
    const [one, other] = [await UdpCollector.start(house), await UdpCollector.start(house)];
    const gateway = await start('collectors', store());
    const open = await RawAssociation.open({ ...gateway.dimse, callingAeTitle: 'CT1' }, [sopClass.mpps]);
    await create(gateway);
    assert.equal(await auditNumbers(gateway), undefined);

    await reload(gateway, store({ syslog: one.uri, source_id: 'first' }));
    const first = await create(gateway);
    await untilTold(one, first);
    assert.deepEqual(told(one), [security.started, security.configuration, first]);
    await reload(gateway, store({ syslog: other.uri, source_id: 'second' }));
    const second = await create(gateway);
    await untilTold(other, second);
    assert.deepEqual(told(other), [security.configuration, second]);

    await reload(gateway, store());
    const third = await create(gateway);
    assert.equal(await auditNumbers(gateway), undefined);
    await reload(gateway, store({ syslog: other.uri }));
    const fourth = await create(gateway);
    await untilTold(other, fourth);
    assert.deepEqual(told(other), [security.configuration, second, security.stopped, security.started, security.configuration, fourth]);
    assert.ok(!told(other).includes(third));
    assert.equal(one.received.length, 3);
    for (const collector of [one, other]) {
      expectValid(collector);
      for (const { event, action, outcome, participants } of collector.messages()) {
        if (event === security.alert) assert.deepEqual([action, outcome, participants[0].id], ['E', '0', String(gateway.child.pid)]);
      }
    }
    assert.deepEqual(one.messages().map(({ source }) => source.AuditSourceID), ['first', 'first', 'first']);
    assert.deepEqual(other.messages().slice(0, 2).map(({ source }) => source.AuditSourceID), ['second', 'second']);
    await open.release(); // it was there all the time
    await gateway.child.stop();
  });

  test('backends that stay as they are are audited from then on, too', async () => {
    const collector = await UdpCollector.start(house);
    const peer = await startWorklist('A1');
    const sections = (audit) => ({ dimse: { worklist: 'ris' }, 'backend ris': scp(peer), ...(audit && { audit }) });
    const gateway = await start('backends', sections());
    assert.deepEqual(await find(gateway), ['A1']);
    await reload(gateway, sections({ syslog: collector.uri }));
    assert.deepEqual(await find(gateway), ['A1']);
    const queries = await collector.wait(2, ({ event }) => event === '110112');
    assert.deepEqual(queries.map(({ participants }) => participants[1].id), ['RIS', String(gateway.child.pid)]);
    expectValid(collector);
  });

  for (const away of ['nobody listens', 'it takes the connection and says nothing']) {
    test(`what waits for a collector goes to the one that takes its place: ${away}`, async () => {
      const certificates = await makeCertificates(house);
      let port = await freePort();
      if (away !== 'nobody listens') {
        const silent = net.createServer((socket) => socket.on('error', () => {}));
        await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
        house.defer(() => silent.close());
        ({ port } = silent.address());
      }
      const gateway = await start('away', store({ syslog: `tls://127.0.0.1:${port}`, tls_trusted: certificates.trusted }));
      const steps = [];
      for (let i = 0; i < 20; i++) steps.push(await create(gateway));
      await until(limit, 'all on disk', async () => (await auditNumbers(gateway)).waiting === 21);
      const collector = await TlsCollector.start(house, certificates, { requireClient: false });
      await reload(gateway, store({ syslog: collector.uri, tls_trusted: certificates.trusted }));
      steps.push(await create(gateway));
      await untilTold(collector, steps.at(-1));
      assert.deepEqual(told(collector).filter((one) => steps.includes(one)), steps); // in order, each once
      await until(limit, 'none waits', async () => (await auditNumbers(gateway)).waiting === 0);
      assert.deepEqual(await auditNumbers(gateway), { sent: 23, waiting: 0, lost: 0, up: 1 });
      expectValid(collector);
    });
  }

  test('a collector is met with the certificates and CAs that the same files hold now, but not by half of one', async () => {
    const [before, now] = [await makeCertificates(house), await makeCertificates(house)];
    const files = { certificate: house.newPath('.pem'), key: house.newPath('.key'), trusted: house.newPath('.pem') };
    const install = (made) => Object.entries(files).forEach(([kind, file]) => fs.copyFileSync(made[kind], file));
    install(before);
    const collector = await TlsCollector.start(house, before);
    const sections = store({
      syslog: collector.uri, tls_trusted: files.trusted, tls_certificate: files.certificate, tls_private_key: files.key,
    });
    const gateway = await start('certificates of the collector', sections);
    const first = await create(gateway);
    await untilTold(collector, first);

    collector.renew(now);
    const second = await create(gateway);
    await until(limit, 'the new one to be refused', async () => (await auditNumbers(gateway)).up === 0);
    const half = fs.readFileSync(now.certificate).subarray(0, 300);
    fs.copyFileSync(now.trusted, files.trusted);
    fs.writeFileSync(files.certificate, half);
    await refused(gateway);
    fs.rmSync(files.certificate);
    await refused(gateway);
    assert.match(gateway.log(), /error .*: \[audit\] tls_certificate: /);
    assert.equal((await auditNumbers(gateway)).up, 0);

    install(now);
    await reload(gateway);
    const third = await create(gateway);
    await untilTold(collector, first, second, third);
    const { connections } = collector;
    await reload(gateway); // nothing is new: the connection stays
    await untilTold(collector, await create(gateway));
    assert.equal(collector.connections, connections);
    expectValid(collector);
  });

  test('turned off toward a collector that says nothing, and stopped at once: within its grace, and nothing is lost', async () => {
    const certificates = await makeCertificates(house);
    const silent = net.createServer((socket) => socket.on('error', () => {}));
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    house.defer(() => silent.close());
    const gateway = await start('silent collector', store({ syslog: `tls://127.0.0.1:${silent.address().port}`, tls_trusted: certificates.trusted }));
    const step = await create(gateway);
    await until(limit, 'both on disk', async () => (await auditNumbers(gateway)).waiting === 2);
    write(gateway, store());
    gateway.child.signal('SIGHUP');
    await until(limit, 'off', async () => (await auditNumbers(gateway)) === undefined);
    assert.deepEqual(await gateway.child.stop(), { code: 0, signal: null });

    const collector = await TlsCollector.start(house, certificates, { requireClient: false });
    const again = { gateway: { state_dir: gateway.state }, ...store({ syslog: collector.uri, tls_trusted: certificates.trusted }) };
    await startModgate(house, 'again', again);
    await untilTold(collector, step, security.stopped);
    expectValid(collector);
  });

  test('a fault changes nothing: the trail goes on as it was', async () => {
    const collector = await UdpCollector.start(house);
    const gateway = await start('faults of audit', store({ syslog: collector.uri }));
    write(gateway, store({ syslog: 'tcp://127.0.0.1:6514' }));
    await refused(gateway);
    await untilTold(collector, await create(gateway));
    assert.ok(!told(collector).includes(security.configuration));

    const off = await start('no room for audit', store());
    fs.mkdirSync(`${off.state}/audit.sqlite`);
    write(off, { ...store({ syslog: collector.uri }), web: {} });
    await refused(off);
    assert.match(off.log(), /error not reloaded: .*audit.sqlite.*, nothing has changed/);
    await create(off); // [web] mpps is still there
    fs.rmdirSync(`${off.state}/audit.sqlite`);
    await reload(off, store({ syslog: collector.uri }));
    await untilTold(collector, await create(off));
  });

  test('under load, with reloads from one collector to the other: every step is told of', async () => {
    const collectors = [await UdpCollector.start(house), await UdpCollector.start(house)];
    const sections = (round) => store({ syslog: collectors[round % 2].uri, source_id: `round ${round}` });
    const gateway = await start('exchanged', sections(0));
    let going = true;
    const steps = [];
    const load = Promise.all([0, 1, 2].map(async () => {
      while (going) steps.push(await create(gateway));
    }));
    try {
      for (let round = 1; round <= 10; round++) await Promise.race([reload(gateway, sections(round)), load]);
    } finally {
      going = false;
    }
    await load;
    await until(limit, 'none waits', async () => (await auditNumbers(gateway)).waiting === 0);
    const all = new Set(collectors.flatMap(told));
    await until(limit, () => `every one of ${steps.length} steps`, () => {
      collectors.flatMap(told).forEach((one) => all.add(one));
      return steps.every((step) => all.has(step));
    });
    assert.equal((await auditNumbers(gateway)).lost, 0);
    collectors.forEach(expectValid);
  });
});

test('the log changes its level and form, for what the gateway and its rooms write', async () => {
  const sections = (log) => ({ gateway: { ...log, state_dir: gateway?.state }, web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
  let gateway;
  gateway = await start('the log', { web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
  const write_ = (log) => write(gateway, sections(log));
  /// The lines that a step makes, the last of which is like this.
  const linesOf = async (last) => {
    const before = gateway.log().length;
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
    await until(limit, () => `${last} in ${gateway.log().slice(before)}`, () => last.test(gateway.log().slice(before)));
    return gateway.log().slice(before).trim().split('\n');
  };
  assert.equal((await linesOf(/info tx=/)).length, 1);

  write_({ log_level: 'debug' });
  await hup(gateway, /info reloaded /g);
  assert.ok((await linesOf(/debug web: /)).length > 1);

  write_({ log_level: 'info', log_format: 'json' });
  await hup(gateway, /"level":"info","message":"reloaded /g);
  for (const line of await linesOf(/"message":"tx=.*\n/)) assert.equal(JSON.parse(line).level, 'info', line);

  // A word that is none changes nothing; what is said of it has the form that holds.
  write_({ log_level: 'loud' });
  await hup(gateway, /"level":"error","message":"not reloaded: /g);

  write_({ log_level: 'error' });
  gateway.child.signal('SIGHUP');
  await until(limit, 'silence', async () => {
    const before = gateway.log().length;
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
    return gateway.log().length === before;
  });
  write_({ log_level: 'info' });
  await hup(gateway, /info reloaded /g);
  assert.equal((await linesOf(/info tx=/)).length, 1);
});

test('users and names of the admin port change', async () => {
  const users = house.newPath('-users');
  fs.writeFileSync(users, 'anna:$2b$04$abcdefghijklmnopqrstuuvybHXQqehXl2NdtAhT6BAmwe6EZ8HOi\n'); // "first"
  const sections = (admin) => ({ web: { mpps: 'local' }, admin: { bind: '127.0.0.1', port: 0, ...admin }, 'backend local': { kind: 'store' } });
  const gateway = await start('admin', sections({}));
  const status = (headers = {}) => new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: gateway.admin.port, path: '/healthz', agent: false, headers }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    }).on('error', reject);
  });
  const authorization = `Basic ${Buffer.from('anna:first').toString('base64')}`;
  const host = 'status.example';
  assert.deepEqual([await status(), await status({ host })], [200, 421]);
  await reload(gateway, sections({ users, host_names: host }));
  assert.deepEqual([await status(), await status({ authorization }), await status({ authorization, host })], [401, 200, 200]);
  await reload(gateway, sections({}));
  assert.deepEqual([await status(), await status({ host })], [200, 421]);
});

describe('the tables of docs/configuration.md', () => {
  const tables = fs.readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const keys = [...tables.matchAll(/<!-- table: keys (.*?) -->\n(.*?)<!-- end of table -->/gs)].flatMap(([, section, table]) =>
    table.trim().split('\n').slice(2).map((row) => {
      const [, key, value, allowed, changedBy] = row.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|').replaceAll('`', ''));
      return { section, key, value, allowed, changedBy };
    }));

  test('say of each key whether a reload takes it, and that is what a reload does', async () => {
    const file = (text) => {
      const path = house.newPath();
      fs.writeFileSync(path, text);
      return path;
    };
    const [made, directory] = [await makeCertificates(house), house.newPath()];
    fs.mkdirSync(directory);
    const users = file('anna:$2b$04$abcdefghijklmnopqrstuuvybHXQqehXl2NdtAhT6BAmwe6EZ8HOi\n');
    const tokens = file(`${crypto.createHash('sha256').update('t').digest('hex')} bob\n`);
    const [secret, pair] = [file('secret\n'), { tls_certificate: made.certificate, tls_private_key: made.key }];
    const oauth = {
      base_uri: 'https://127.0.0.1:1/', oauth_token_uri: 'https://127.0.0.1:1/token', oauth_client_id: 'gate', oauth_client_secret_file: secret,
    };
    /// Values where any other word or number that the table allows would not do, and what has to stand beside some of them.
    const other = {
      bind: '127.0.0.2', retrieve_from: 'backend', ae_title: 'OTHER', calling_ae_title: 'OTHER', host: '127.0.0.3', state_dir: directory,
      worklist: 'other', mpps: 'other', users, tokens, read_only_users: 'anna', host_names: 'a.example', base_path: '/a/',
      cors_allowed_origins: 'https://a.example', redirect_origins: 'https://a.example', syslog: 'udp://127.0.0.1:2', source_id: 'a',
      enterprise_site_id: 'a', mirror_states: 'COMPLETED', mirror_modalities: 'CT', character_set: 'ISO_IR 100', assume_character_set: 'ISO_IR 100',
      username: 'anna', password_file: secret, bearer_token_file: secret, worklist_dir: directory, return_keys_only: 'PatientID',
      tls_trusted: made.trusted, ...pair, ...oauth, base_uri: 'http://127.0.0.1:1/other/', oauth_scope: 'a', oauth_tls_trusted: made.trusted,
    };
    const tls = { ...pair, tls_trusted: made.trusted };
    const beside = {
      'web read_only_users': { users }, 'backend kind=origin-server username': { password_file: secret },
      ...Object.fromEntries(['scp', 'origin-server'].map((kind) => [`backend kind=${kind} password_file`, { username: 'anna' }])),
      ...Object.fromEntries(Object.keys(tls).flatMap((key) => [
        [`dimse ${key}`, tls], [`web ${key}`, tls], [`audit ${key}`, { ...tls, syslog: 'tls://127.0.0.1:1' }], [`backend kind=scp ${key}`, tls],
        [`backend kind=origin-server ${key}`, { ...tls, base_uri: oauth.base_uri }]])),
      ...Object.fromEntries([...Object.keys(oauth), 'oauth_scope', 'oauth_tls_trusted'].map((key) => [`backend kind=origin-server ${key}`, oauth])),
    };
    const named = {
      'backend kind=scp': 'backend ris', 'backend kind=origin-server': 'backend web', 'backend kind=store': 'backend local', modality: 'modality ct1',
    };
    const base = (more) => {
      const all = {
        gateway: {}, queue: {}, dimse: { worklist: 'ris', mpps: 'ris' }, web: { worklist: 'web', mpps: 'local' }, admin: { bind: '127.0.0.1', port: 0 },
        audit: { syslog: 'udp://127.0.0.1:1' },
        'backend ris': { kind: 'scp', ae_title: 'RIS', host: '127.0.0.1' }, 'backend web': { kind: 'origin-server', base_uri: 'http://127.0.0.1:1/' },
        'backend local': { kind: 'store' }, 'backend other': { kind: 'scp', ae_title: 'OTHER', host: '127.0.0.1' }, 'modality ct1': { ae_title: 'CT1' },
      };
      for (const [section, words] of Object.entries(more)) Object.assign(all[section], words);
      all.gateway = { log_level: 'info', state_dir: gateway?.state, ...all.gateway };
      return all;
    };
    let gateway;
    const { gateway: _, ...sections } = base({});
    gateway = await start('tables', sections);
    const alternative = ({ section, key, value, allowed }) => {
      if (key in other) return other[key];
      const range = allowed.match(/^a whole number from (\d+) to (\d+)/);
      if (range) return Number(value) < Number(range[2]) ? Number(value) + 1 : Number(value) - 1;
      const words = allowed.split(' | ');
      if (words.length > 1) return words.findLast((word) => word !== value);
      return assert.fail(`no other value for ${section} ${key}`);
    };
    /// The line that the reload ends with, in either form of the log.
    const lastLine = async (sections) => {
      write(gateway, sections);
      await hup(gateway, /[" ](not )?reloaded[: ].*\n/g);
      const line = gateway.log().split('\n').filter((one) => /[" ](not )?reloaded[: ]/.test(one)).at(-1);
      assert.doesNotMatch(line, /not reloaded/, gateway.log().slice(-1000));
      return line.replace(/"}$/, '');
    };
    const restarts = [];
    const tried = keys.filter(({ key }) => key !== 'kind'); // another kind is another backend
    for (const row of tried) {
      const section = named[row.section] ?? row.section;
      const line = await lastLine(base({ [section]: { ...beside[`${row.section} ${row.key}`], [row.key]: alternative(row) } }));
      const restart = line.includes('a restart is needed');
      if (restart) {
        assert.ok(line.endsWith(`; a restart is needed for [${section}] ${row.key}`), line);
        restarts.push(`[${section}] ${row.key}`);
      }
      assert.equal(row.changedBy, restart ? 'restart' : 'reload', `${row.section} ${row.key}`);
    }
    assert.ok(restarts.length > 5 && restarts.length < 20, restarts.join());
    assert.ok(tried.length > 100, String(tried.length));
  });
});

describe('a file that is not good', () => {
  test('changes nothing, and is reported as modgate check reports it', async () => {
    const peer = await startWorklist('A1');
    const sections = { dimse: { worklist: 'ris' }, 'backend ris': scp(peer) };
    const gateway = await start('faults', sections);
    write(gateway, { dimse: { worklist: 'elsewhere', port: 99999 }, 'backend ris': scp(peer, { max_associations: 'many' }) });
    await refused(gateway);
    const { code, stderr } = await house.run(modgateBinary, ['check', '--config', gateway.configuration]);
    assert.equal(code, 2);
    const faults = stderr.trim().split('\n').filter((line) => !line.startsWith('warning: '));
    assert.equal(faults.length, 3);
    for (const fault of faults) assert.equal(count(gateway, new RegExp(`error ${fault.replace(/[[\]().|?*+]/g, '\\$&')}$`, 'gm')), 1, fault);
    assert.deepEqual(await find(gateway), ['A1']);
    fs.rmSync(gateway.configuration);
    await refused(gateway);
    assert.match(gateway.log(), /cannot be read: expected an INI file/);
    assert.deepEqual(await find(gateway), ['A1']);
    await reload(gateway, sections);
  });

  test('what needs a restart is named and stays; the rest changes', async () => {
    const [one, other] = [await startWorklist('ONE'), await startWorklist('OTHER')];
    const gateway = await start('restart', { dimse: { worklist: 'ris' }, web: { worklist: 'ris' }, 'backend ris': scp(one) });
    write(gateway, {
      gateway: { log_level: 'info', state_dir: house.newPath() },
      dimse: { worklist: 'ris', port: await freePort(), max_associations: 5 },
      admin: {}, 'backend ris': scp(other),
    });
    await hup(gateway, /info reloaded /g);
    for (const kept of [/warning .*: \[gateway\] state_dir: needs a restart: stays \//, /warning .*: \[dimse\] port: needs a restart: stays 0$/m,
      /warning .*: \[dimse\] max_associations: needs a restart: stays 200$/m, /warning .*: \[admin\] needs a restart to come/,
      /warning .*: \[web\] needs a restart to go: stays as it was/]) {
      assert.match(gateway.log(), kept);
    }
    assert.match(gateway.log(), /info reloaded \S+; a restart is needed for \[gateway\] state_dir, \[dimse\] port, \[dimse\] max_associations, \[web\], \[admin\]$/m);
    assert.deepEqual(await find(gateway), ['OTHER']);
    assert.equal((await get(gateway, search)).json()[0]['00080050'].Value[0], 'OTHER');
  });
});

describe('a signal at an unfortunate time', () => {
  test('many at once, while the file changes and modalities ask: what it says at the last one holds', async () => {
    const peers = await Promise.all(['A', 'B', 'C'].map(startWorklist));
    const gateway = await start('burst', { dimse: { worklist: 'ris' }, 'backend ris': scp(peers[0]) });
    let going = true;
    const load = (async () => {
      while (going) assert.match((await find(gateway))[0], /^[ABC]$/);
    })();
    for (let round = 0; round < 200; round++) {
      const next = house.newPath();
      fs.copyFileSync(gateway.configuration, next);
      write({ ...gateway, configuration: next }, { dimse: { worklist: 'ris' }, 'backend ris': scp(peers[round % 3]) });
      fs.renameSync(next, gateway.configuration);
      gateway.child.signal('SIGHUP');
      if (round % 20 === 0) await Promise.race([find(gateway), load]);
    }
    await until(limit, () => `B, the last one\n${gateway.log().slice(-1000)}`, async () => (await find(gateway))[0] === 'B'); // 199 % 3
    going = false;
    await load;
    assert.equal(count(gateway, /not reloaded/g), 0);
    for (let i = 0; i < 5; i++) assert.deepEqual(await find(gateway), ['B']);
  });

  test('a pipe where a file should be: the reload says so and changes nothing, and the next one goes on', async () => {
    const web = { mpps: 'local' };
    const backends = { 'backend local': { kind: 'store' } };
    const gateway = await start('pipe', { web, ...backends });
    const pipe = house.newPath();
    execFileSync('mkfifo', [pipe]);
    write(gateway, { web: { ...web, users: pipe }, ...backends });
    await refused(gateway);
    assert.ok(gateway.log().includes(` [web] users: cannot use ${pipe}: expected a regular file\n`), gateway.log());
    assert.equal((await get(gateway, target(newUid()))).status, 404);
    await reload(gateway, { web, ...backends });
  });

  test('SIGTERM while the configuration file does not answer: stops within its grace', async () => {
    const gateway = await start('silent file', { web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
    fs.rmSync(gateway.configuration);
    execFileSync('mkfifo', [gateway.configuration]);
    gateway.child.signal('SIGHUP');
    // It can be opened for writing as soon as somebody reads: the reload has come to it, and gets nothing.
    let silent;
    await until(limit, () => `the configuration is read\n${gateway.log()}`, () => {
      try {
        silent = fs.openSync(gateway.configuration, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
        return true;
      } catch (error) {
        assert.equal(error.code, 'ENXIO');
        return false;
      }
    });
    assert.equal((await get(gateway, target(newUid()))).status, 404);
    gateway.child.signal('SIGTERM');
    const { code } = await within(limit, () => `the end of modgate\n${gateway.log()}`, gateway.child.exited);
    fs.closeSync(silent);
    assert.equal(code, 0);
    assert.match(gateway.log(), /stopping after SIGTERM/);
  });
});

test('a reload that gets no more threads changes nothing, whichever of them it was', async () => {
  const [old, now, ris, pacs] = [await startWorklist('OLD'), await startWorklist('NEW'), await startMppsScp(house), await startMppsScp(house)];
  const collector = await UdpCollector.start(house);
  const directory = house.newPath();
  fs.mkdirSync(directory);
  const fronts = { dimse: { worklist: 'worklist', mpps: 'ris' }, web: {}, admin: { bind: '127.0.0.1', port: 0 } };
  // A thread takes a stack of 1 GiB of the address space, so that what is too little for one is enough for the rest.
  const gateway = await start('no threads', { ...fronts, 'backend worklist': scp(old), 'backend ris': scp(ris) },
    { under: ['prlimit', '--stack=1073741824'], env: { MALLOC_ARENA_MAX: 2 } });
  write(gateway, {
    ...fronts, dimse: { worklist: 'worklist', mpps: 'ris, pacs', mpps_delivery: 'queued' }, web: { worklist: 'own', mpps: 'own' },
    audit: { syslog: collector.uri },
    'backend worklist': scp(now), 'backend ris': scp(ris), 'backend pacs': scp(pacs), 'backend own': { kind: 'store', worklist_dir: directory },
  });
  const { pid } = gateway.child;
  const ofProcess = (what) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${what}:\\s+(\\d+)`, 'm'))[1]);
  const limitMemory = (bytes) => execFileSync('prlimit', ['--pid', pid, `--as=${bytes}:`]);
  const threads = () => ofProcess('Threads');
  const metrics = async () => (await fetch(`http://127.0.0.1:${gateway.admin.port}/metrics`)).text();
  const before = threads();
  let refusals = 0;
  for (let more = 0; count(gateway, /info reloaded /g) === 0; more++) {
    limitMemory(ofProcess('VmSize') * 1024 + (more + 0.5) * 2 ** 30);
    await hup(gateway, /(error not|info) reloaded/g);
    limitMemory('unlimited');
    if (count(gateway, /info reloaded /g) > 0) break;
    assert.equal(count(gateway, /error not reloaded: .*, nothing has changed$/gm), ++refusals, gateway.log());
    await until(limit, () => `${before} threads, not ${threads()}`, () => threads() === before);
    assert.deepEqual(await find(gateway), ['OLD']);
    assert.doesNotMatch(await metrics(), /modgate_queue|modgate_audit|backend="pacs"/);
  }
  assert.ok(refusals > 20, `only ${refusals} refusals`);
  assert.deepEqual(await find(gateway), ['NEW']);
  const uid = newUid();
  assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
  await until(limit, 'the delivery to both', () => [ris, pacs].every((peer) => peer.register.steps.has(uid)));
  assert.match(await metrics(), /^modgate_queue_readable 1$/m);
});

describe('messages that wait', () => {
  const queue = { retry_first_milliseconds: 20, retry_max_seconds: 1, probe_max_seconds: 1 };
  const list = async (gateway) => (await house.run(modgateBinary, ['queue', 'list', '--config', gateway.configuration]))
    .stdout.trim().split('\n').slice(1);

  test('go to the new address of their receiver; those of one that is removed wait until it is back', async () => {
    const [ris, pacs] = [await startMppsScp(house), await startMppsScp(house)];
    const away = { port: await freePort() };
    const sections = (names, receivers) => ({
      queue, dimse: { mpps: names, mpps_delivery: 'queued' },
      ...Object.fromEntries(Object.entries(receivers).map(([name, peer]) => [`backend ${name}`, scp(peer)])),
    });
    const gateway = await start('queue', sections('ris, pacs', { ris: away, pacs: away }));
    const steps = Array.from({ length: 5 }, newUid);
    for (const uid of steps) assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
    assert.equal((await list(gateway)).length, 10);

    await reload(gateway, sections('ris', { ris }));
    await until(limit, 'the RIS to have all', () => steps.every((uid) => ris.register.steps.has(uid)));
    for (const uid of steps) assert.equal((await send(gateway.dimse, nSet(uid, done()))).status, 0);
    await until(limit, 'only those for the PACS', async () => (await list(gateway)).every((line) => / pacs /.test(line)));
    assert.equal((await list(gateway)).length, 5);

    await reload(gateway, sections('ris, pacs', { ris, pacs }));
    await until(limit, 'an empty queue', async () => (await list(gateway)).length === 0);
    assert.deepEqual([...pacs.register.steps.keys()].sort(), [...steps].sort());
    for (const peer of [ris, pacs]) {
      assert.equal(peer.register.received.filter(({ operation }) => operation === 'N-CREATE').length, steps.length);
    }
  });

  test('the first queue comes with a reload', async () => {
    const ris = await startMppsScp(house);
    const gateway = await start('first queue', { dimse: { mpps: 'ris' }, admin: { bind: '127.0.0.1', port: 0 }, 'backend ris': scp(ris) });
    await reload(gateway, { queue, dimse: { mpps: 'ris', mpps_delivery: 'queued' }, admin: {}, 'backend ris': scp(ris) });
    const uid = newUid();
    assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
    await until(limit, 'the delivery', () => ris.register.steps.has(uid));
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.admin.port}/metrics`)).text();
    assert.match(metrics, /^modgate_queue_readable 1$/m);
  });
});

test('readiness and metrics follow the backends', async () => {
  const [one, other] = [await startMppsScp(house), await startMppsScp(house)];
  const gateway = await start('watched', { dimse: { mpps: 'one' }, admin: { bind: '127.0.0.1', port: 0 }, 'backend one': scp(one) });
  const page = async (path) => (await fetch(`http://127.0.0.1:${gateway.admin.port}${path}`)).text();
  await until(limit, 'one to answer', async () => (await page('/readyz')).includes('dimse mpps: ready: one answers'));
  await reload(gateway, { dimse: { mpps: 'other' }, admin: {}, 'backend other': scp(other) });
  await until(limit, 'the other to answer', async () => (await page('/readyz')).includes('dimse mpps: ready: other answers'));
  const metrics = await page('/metrics');
  assert.match(metrics, /modgate_backend_up\{backend="other"\} 1/);
  assert.doesNotMatch(metrics, /modgate_backend_up\{backend="one"\}/);
});

test('many reloads under load: no request fails, and nothing grows', async () => {
  const rounds = Number(process.env.MODGATE_RELOADS ?? 40);
  const peers = [await startWorklist('A'), await startWorklist('B')];
  const ris = await startOriginServer(house, (request, response) => response.writeHead(200, { 'content-type': 'application/dicom+json' }).end('[]'));
  const sections = (round) => ({
    dimse: { worklist: 'peer', mpps: 'local, peer', mpps_delivery: 'queued' }, web: { worklist: 'web', mpps: 'local' },
    admin: { bind: '127.0.0.1', port: 0 },
    'backend peer': scp(peers[round % 2]), 'backend web': { kind: 'origin-server', base_uri: ris.url, page_size: 100 + (round % 3) },
    'backend local': { kind: 'store' },
    ...Object.fromEntries(Array.from({ length: 1 + (round % 5) }, (_, n) => [`modality m${n}`, { ae_title: `M${n}` }])),
  });
  const gateway = await start('many', sections(0));
  const process_ = () => {
    const status = fs.readFileSync(`/proc/${gateway.child.pid}/status`, 'utf8');
    return {
      threads: Number(status.match(/^Threads:\s+(\d+)/m)[1]), kilobytes: Number(status.match(/^VmRSS:\s+(\d+)/m)[1]),
      descriptors: fs.readdirSync(`/proc/${gateway.child.pid}/fd`).length,
    };
  };
  let going = true;
  const answered = { find: 0, search: 0, steps: 0 };
  const load = [
    async () => { assert.match((await find(gateway, 'M0'))[0], /^[AB]$/); answered.find++; },
    async () => { assert.equal((await get(gateway, search)).status, 204); answered.search++; },
    async () => {
      const uid = newUid();
      assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
      const other = newUid();
      assert.equal((await post(gateway, target(other), begunInJson())).status, 201);
      assert.equal((await post(gateway, target(other, '?update'), doneInJson())).status, 200);
      answered.steps++;
    },
  ].map(async (work) => { while (going) await work(); });
  const failed = Promise.all(load);
  const samples = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      await Promise.race([reload(gateway, sections(round)), failed.then(() => undefined)]);
      if (round >= rounds / 4) samples.push(process_());
    }
  } finally {
    going = false;
  }
  await failed;
  for (const [what, times] of Object.entries(answered)) assert.ok(times > 0, what);
  const least = (list, key) => Math.min(...list.map((sample) => sample[key]));
  const half = samples.length >> 1;
  const [early, late] = [samples.slice(0, half), samples.slice(half)];
  console.log(`${rounds} reloads, ${JSON.stringify(answered)}; least early and late: ${['threads', 'descriptors', 'kilobytes']
    .map((key) => `${key} ${least(early, key)} ${least(late, key)}`).join(', ')}`);
  assert.ok(least(late, 'threads') <= least(early, 'threads') + 10);
  assert.ok(least(late, 'descriptors') <= least(early, 'descriptors') + 10);
  assert.ok(least(late, 'kilobytes') <= least(early, 'kilobytes') + 8192);
  const emptied = async () => (await house.run(modgateBinary, ['queue', 'list', '--config', gateway.configuration])).stdout.trim().split('\n').length === 1;
  await until(limit, 'every message to arrive', emptied);
});

test('the logs hold no patient data', () => {
  expectNoPatientData(assert, house, ['Schröder', 'PID-4711', '19700102']);
});
