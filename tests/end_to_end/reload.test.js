// The configuration read again by SIGHUP, while modalities and web clients are connected and messages wait:
// what begins afterwards meets the new one, what has begun ends with the old one, and nothing is lost.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { after, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
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
async function start(name, sections) {
  const state = house.newPath();
  fs.mkdirSync(state);
  const gateway = await startModgate(house, name, { gateway: { log_level: 'info', state_dir: state }, ...sections });
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
    assert.deepEqual(await find(gateway), ['OTHER']);
    assert.equal((await get(gateway, search)).json()[0]['00080050'].Value[0], 'OTHER');
  });
});

describe('a signal at an unfortunate time', () => {
  test('SIGTERM while a file of the configuration does not answer: stops within its grace', async () => {
    const web = { mpps: 'local' };
    const backends = { 'backend local': { kind: 'store' } };
    const gateway = await start('silent file', { web, ...backends });
    const pipe = house.newPath();
    execFileSync('mkfifo', [pipe]);
    write(gateway, { web: { ...web, users: pipe }, ...backends });
    gateway.child.signal('SIGHUP');
    // It can be opened for writing as soon as somebody reads: the reload has come to it, and gets nothing.
    let silent;
    await until(limit, () => `the users file is read\n${gateway.log()}`, () => {
      try {
        silent = fs.openSync(pipe, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
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
