// The admin port beside real peers: metrics that Prometheus' own checker takes, readiness that follows
// backends as they go and come back, and requests that mean no good. status_page.test.js has the page.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
import { TlsCollector } from './support/collector.js';
import { dump2dcm, exampleDumps, findscu, startWlmscpfs } from './support/dcmtk.js';
import { encode } from './support/data_set.js';
import { freePort, House, until, within } from './support/house.js';
import { dicomJson, get, post, request, startOriginServer } from './support/http.js';
import { expectNoPatientData, ini, modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson } from './support/performed_step.js';
import { RawAssociation, sopClass, withAssociation } from './support/raw_scu.js';
import { nCreate, send } from './support/scu.js';

const house = new House();
after(() => house.close());

const target = (uid) => `/modality-performed-procedure-steps/${uid}`;
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.70.${process.pid}.${++uids}`;
const admin = ({ admin: web }, path, options = {}) => getFrom(web, path, options);

/// A GET (or another method) at { host, port }: { status, headers, body }.
function getFrom({ host, port }, path, { method = 'GET', headers = {}, body } = {}) {
  return within(10000, path, new Promise((resolve, reject) => {
    const call = http.request({ host, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    });
    call.on('error', reject);
    call.end(body);
  }));
}

/// { "name{labels}": number } of a scrape.
async function metrics(gateway) {
  const { status, body } = await admin(gateway, '/metrics');
  assert.equal(status, 200);
  return Object.fromEntries(body.split('\n').filter((line) => line && !line.startsWith('#'))
    .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

const ready = async (gateway) => admin(gateway, '/readyz');
const adminPort = { bind: '127.0.0.1', port: 0 };
const count = (front, backend, service, operation, status = 'success', outcome = 'answered') =>
  `modgate_transactions_total{front="${front}",backend="${backend}",service="${service}",operation="${operation}",` +
  `status="${status}",outcome="${outcome}"}`;

const worklist = () => exampleDumps('wlistdb/OFFIS').slice(0, 3).map(({ text }) => text);
const anyStep = async () => {
  const file = await dump2dcm(house, '(0010,0010) PN []\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS []\n(fffe,e00d) -\n(fffe,e0dd) -\n');
  return file;
};

const scp = (aeTitle, port, more = {}) =>
  ({ kind: 'scp', ae_title: aeTitle, host: '127.0.0.1', port, acse_timeout_seconds: 2, ...more });

async function startAll() {
  const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
  const mpps = await startMppsScp(house);
  const gateway = await startModgate(house, 'admin', {
    dimse: { worklist: 'ris', mpps: 'pacs' },
    web: { worklist: 'ris', mpps: 'pacs' },
    admin: adminPort,
    'backend ris': scp('OFFIS', wlm.port),
    'backend pacs': scp('PACS', mpps.port),
  });
  return { wlm, mpps, gateway };
}

describe('metrics', () => {
  test('are taken by promtool and move with real transactions of both fronts', async () => {
    const { gateway } = await startAll();
    const before = await metrics(gateway);
    const identifier = await anyStep();
    const found = await findscu(house, gateway.dimse, identifier);
    assert.equal(found.status, 0);
    assert.equal(found.responses.length, 3);
    assert.equal((await get(gateway, '/modality-scheduled-procedure-steps?PatientName=*')).status, 200);
    const uid = newUid();
    assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
    assert.equal((await post(gateway, target(uid), begunInJson())).status, 409); // it is there already
    const now = await metrics(gateway);
    const grown = (name) => now[name] - before[name];
    assert.equal(grown(count('dimse', 'ris', 'worklist', 'search')), 1);
    assert.equal(grown(count('web', 'ris', 'worklist', 'search')), 1);
    assert.equal(grown(count('dimse', 'pacs', 'mpps', 'create')), 1);
    assert.equal(grown(count('web', 'pacs', 'mpps', 'create')), 0);
    assert.equal(grown(count('web', 'pacs', 'mpps', 'create', 'failure')), 1);
    assert.equal(grown('modgate_matches_total{front="dimse",backend="ris"}'), 3);
    assert.equal(grown('modgate_transaction_duration_seconds_count{front="dimse",backend="ris",service="worklist",operation="search",status="success"}'), 1);
    assert.ok(now['process_resident_memory_bytes'] > 1e6);

    const { body } = await admin(gateway, '/metrics');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    assert.equal(stdout + stderr, '');
    expectNoPatientData(assert, house, ['Schröder', 'PID-4711']);
    for (const word of ['Schröder', 'PID-4711', uid]) assert.ok(!body.includes(word));
  });

  test('count refused associations, and no AE title of a caller makes a series', async () => {
    const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
    const gateway = await startModgate(house, 'limited', {
      dimse: { worklist: 'ris', max_associations: 1 }, admin: adminPort, 'backend ris': scp('OFFIS', wlm.port),
    });
    const series = Object.keys(await metrics(gateway)).length;
    const held = await RawAssociation.open(gateway.dimse, [sopClass.verification]);
    await until(5000, 'one association in use', async () =>
      (await metrics(gateway))['modgate_front_connections{front="dimse"}'] === 1);
    for (const name of ['A"B{}', 'X\\Y', 'EVIL']) {
      await findscu(house, { ...gateway.dimse, callingAeTitle: name }, await anyStep());
    }
    const now = await metrics(gateway);
    assert.equal(now['modgate_front_refused_total{front="dimse"}'], 3);
    assert.equal(Object.keys(now).length, series);
    held.socket.destroy();
  });

  test('have no series of what callers send: AE titles, paths, methods, user names, UIDs', async () => {
    const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
    const mpps = await startMppsScp(house);
    const gateway = await startModgate(house, 'with many callers', {
      dimse: { worklist: 'ris', mpps: 'pacs' }, web: { worklist: 'ris', mpps: 'pacs' }, admin: adminPort,
      'backend ris': scp('OFFIS', wlm.port), 'backend pacs': scp('PACS', mpps.port),
    });
    const identifier = encode([[0x00100010, 'PN', ''], [0x00400100, 'SQ', [[[0x00080060, 'CS', '']]]]]);
    const rounds = async (from, to) => {
      for (let i = from; i < to; i++) {
        const callingAeTitle = `"{}\\=,${i}`.slice(0, 16);
        await withAssociation({ ...gateway.dimse, callingAeTitle }, [sopClass.worklist], async (association) =>
          assert.equal((await association.find(identifier)).status, 0));
        assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
        assert.equal((await post(gateway, target(`1.2.${i}`), '{')).status, 400);
        assert.equal((await get(gateway, `/${'a'.repeat(1000)}${i}`, { authorization: `Bearer ${i}` })).status, 404);
        assert.ok((await request(gateway, `X${i}`, '/')).status >= 400);
        assert.equal((await admin(gateway, `/metrics/${i}`)).status, 404);
      }
    };
    await rounds(0, 1); // what happens for the first time may be told for the first time
    const names = Object.keys(await metrics(gateway));
    await rounds(1, 40);
    assert.deepEqual(Object.keys(await metrics(gateway)), names);
    assert.equal((await metrics(gateway))[count('dimse', 'ris', 'worklist', 'search')], 40);
  });

  test('write names of the configuration so that promtool takes them, whatever these are', async () => {
    const name = `${'long '.repeat(20)}"{}\\ü`;
    const gateway = await startModgate(house, 'with odd names', {
      web: { worklist: name }, admin: adminPort, [`backend ${name}`]: scp('OFFIS', await freePort()),
    });
    const { body } = await admin(gateway, '/metrics');
    assert.ok(body.includes(`backend="${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`));
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });

  test('tell what is open to each backend, who waits for it, and how many characters were replaced', async () => {
    const answers = [];
    const item = JSON.stringify([{ '00100010': { vr: 'PN', Value: [{ Alphabetic: '王^李' }] }, '00400100': { vr: 'SQ', Value: [{}] } }]);
    const ris = await startOriginServer(house, (incoming, response) => {
      const answer = () => response.writeHead(200, { 'content-type': dicomJson }).end(item);
      if (incoming.method === 'OPTIONS') response.writeHead(200).end();
      else answers.push(answer);
    });
    const mpps = await startMppsScp(house);
    const latin = { character_set: 'ISO_IR 100', unencodable_text: 'replace' };
    const gateway = await startModgate(house, 'busy', {
      dimse: { worklist: 'ris' }, web: { worklist: 'ris', mpps: 'pacs' }, admin: adminPort,
      'backend ris': { kind: 'origin-server', base_uri: ris.url, max_connections: 1 },
      'backend pacs': scp('PACS', mpps.port, latin),
      'modality old': { ae_title: 'OLD', ...latin },
    });
    const numbers = async (expected, what) => {
      let now;
      await until(10000, what, async () => {
        now = await metrics(gateway);
        return Object.entries(expected).every(([name, value]) => now[name] === value);
      }).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(Object.keys(expected).map((name) => [name, now[name]]))}`));
    };
    const connections = (idle, inUse, waiting) => ({
      'modgate_backend_connections{backend="ris",state="idle"}': idle,
      'modgate_backend_connections{backend="ris",state="in_use"}': inUse,
      'modgate_backend_connections_waiting{backend="ris"}': waiting,
    });
    const searches = [1, 2].map(() => get(gateway, '/modality-scheduled-procedure-steps'));
    await until(5000, 'the question', () => answers.length === 1);
    // Whoever looks whether the server is there waits for the one connection, too.
    await until(5000, 'one to wait', async () =>
      (await metrics(gateway))['modgate_backend_connections_waiting{backend="ris"}'] >= 1);
    assert.equal((await metrics(gateway))['modgate_backend_connections{backend="ris",state="in_use"}'], 1);
    answers[0]();
    await until(5000, 'the other question', () => answers.length === 2);
    answers[1]();
    for (const { status } of await Promise.all(searches)) assert.equal(status, 200);
    await numbers({ ...connections(1, 0, 0), 'modgate_backend_connections_limit{backend="ris"}': 1 }, 'an idle connection');

    const old = findscu(house, { ...gateway.dimse, callingAeTitle: 'OLD' }, await anyStep());
    await until(5000, 'the question of the modality', () => answers.length === 3);
    answers[2]();
    assert.equal((await old).responses.length, 1);
    const [step] = begunInJson();
    step['00100010'] = { vr: 'PN', Value: [{ Alphabetic: '王' }] };
    assert.equal((await post(gateway, target(newUid()), [step])).status, 201);
    await numbers({
      'modgate_front_replaced_characters_total{front="dimse"}': 2,
      'modgate_backend_replaced_characters_total{backend="pacs"}': 1,
      'modgate_backend_associations{backend="pacs",state="idle"}': 1,
      'modgate_backend_associations{backend="pacs",state="in_use"}': 0,
      'modgate_backend_associations_waiting{backend="pacs"}': 0,
      'modgate_backend_associations_limit{backend="pacs"}': 8,
    }, 'the replaced characters');
    const { body } = await admin(gateway, '/metrics');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
    assert.equal(stdout + stderr, '');
  });

  test('tell how deep the queue is and how old its oldest message', async () => {
    const port = await freePort();
    const gateway = await startModgate(house, 'queued', {
      web: { mpps: 'pacs', mpps_delivery: 'queued' }, admin: adminPort, 'backend pacs': scp('PACS', port),
    });
    const created = await post(gateway, target(newUid()), begunInJson());
    assert.equal(created.status, 201, created.body);
    const depth = await until(8000, 'the queue to show', async () => {
      const now = await metrics(gateway);
      return now['modgate_queue_messages{receiver="pacs"}'] === 1 && now;
    });
    assert.equal(depth['modgate_queue_held{receiver="pacs"}'], 0);
    const age = depth['modgate_queue_oldest_age_seconds{receiver="pacs"}'];
    assert.ok(age > 0 && age < 60, String(age));
  });
});

describe('readiness', () => {
  for (const kind of ['SCP', 'origin server']) {
    test(`an ${kind} that is pulled away shows within five seconds, named with its cause, and recovers`, async () => {
      const start = async (port) => {
        if (kind === 'SCP') return startMppsScp(house, port);
        const server = http.createServer((_, response) => response.writeHead(200).end());
        await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
        house.defer(() => server.close());
        return { port: server.address().port, close: async () => { server.closeAllConnections(); server.close(); } };
      };
      const port = await freePort();
      const peer = await start(port);
      const section = kind === 'SCP' ? scp('PACS', port) : { kind: 'origin-server', base_uri: `http://127.0.0.1:${port}/` };
      const gateway = await startModgate(house, `ready ${kind}`, {
        web: { mpps: 'pacs' }, admin: adminPort, 'backend pacs': section,
      });
      await until(5000, 'ready', async () => (await ready(gateway)).status === 200);

      await peer.close();
      const gone = await until(5000, 'not ready', async () => {
        const answer = await ready(gateway);
        return answer.status === 503 && answer;
      });
      assert.match(gone.body, /^web mpps: not ready: pacs does not answer: cannot connect: Connection refused$/m);
      assert.equal((await metrics(gateway))['modgate_backend_up{backend="pacs"}'], 0);
      assert.equal((await admin(gateway, '/healthz')).body, 'ok\n');
      const says = () => gateway.log().split('\n').filter((line) => / pacs .*answer/.test(line));
      assert.equal(says().length, 1, says().join('\n'));
      assert.match(says()[0], /warn.* backend pacs does not answer: cannot connect: Connection refused/);

      await start(port);
      await until(8000, 'ready again', async () => (await ready(gateway)).status === 200);
      assert.equal((await metrics(gateway))['modgate_backend_up{backend="pacs"}'], 1);
      assert.equal(says().length, 2, says().join('\n'));
      assert.match(says()[1], /backend pacs answers again/);
    });
  }

  test('asking keeps no association open at a backend that nobody uses', async () => {
    const { gateway } = await startAll();
    await until(5000, 'ready', async () => (await ready(gateway)).status === 200);
    await until(5000, 'no association', async () =>
      (await metrics(gateway))['modgate_backend_associations{backend="ris",state="idle"}'] === 0);
  });
});

describe('requests that mean no good', () => {
  test('a hostile Host, unknown paths, other methods, huge and broken requests are refused or harmless', async () => {
    const { gateway } = await startAll();
    for (const path of ['/', '/status', '/readyz', '/metrics', '/healthz', '/queue/retry']) {
      for (const host of ['evil.example"><script>', 'evil.example:8082', '127.0.0.1.evil.example']) {
        const hostile = await admin(gateway, path, { headers: { host, origin: 'https://evil.example' } });
        assert.equal(hostile.status, 421, `${path} as ${host}`);
        assert.doesNotMatch(JSON.stringify(hostile), /evil|token/);
        assert.equal(hostile.headers['access-control-allow-origin'], undefined);
      }
    }
    assert.equal((await admin(gateway, '/stats')).status, 404);
    assert.equal((await admin(gateway, '/metrics/../../etc/passwd')).status, 404);
    assert.equal((await admin(gateway, '/%2e%2e/etc/passwd')).status, 404);
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const { status, headers } = await admin(gateway, '/metrics', { method });
      assert.equal(status, 405, method);
      assert.match(headers.allow, /GET/);
    }
    const huge = await admin(gateway, '/metrics', { headers: { 'x-long': 'x'.repeat(15_000), 'y-long': 'y'.repeat(15_000) } })
      .catch(() => ({ status: 431 }));
    assert.equal(huge.status, 431);
    const big = await admin(gateway, '/metrics', { method: 'POST', body: 'x'.repeat(1 << 20) }).catch(() => ({ status: 413 }));
    assert.equal(big.status, 413);
    assert.equal((await admin(gateway, `/${'a'.repeat(3000)}`)).status, 414);
    for (const bytes of ['GET /metrics HTTP/1.1\r\n\r\n', '\x16\x03\x01garbage\r\n\r\n', 'GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n']) {
      const answer = await within(5000, 'an end', new Promise((resolve) => {
        let text = '';
        const socket = net.connect(gateway.admin.port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
        socket.on('data', (data) => (text += data));
        socket.on('error', () => resolve(text));
        socket.on('close', () => resolve(text));
      }));
      assert.match(answer, /^HTTP\/1\.1 400 /);
    }
    assert.equal((await admin(gateway, '/healthz')).status, 200);
  });

  test('silent connections keep no scrape from being answered', async () => {
    const { gateway } = await startAll();
    const sockets = Array.from({ length: 20 }, () => net.connect(gateway.admin.port, '127.0.0.1'));
    sockets.forEach((socket) => socket.on('error', () => {}));
    assert.equal((await admin(gateway, '/metrics')).status, 200);
    sockets.forEach((socket) => socket.destroy());
  });

  test('scrapes during load of both fronts are all answered, agree with themselves and never count back; so is the load', async () => {
    const { gateway } = await startAll();
    const each = 40;
    const web = Array.from({ length: 4 }, async () => {
      for (let i = 0; i < each; i++) {
        assert.equal((await get(gateway, '/modality-scheduled-procedure-steps?PatientName=*')).status, 200);
      }
    });
    const identifier = encode([[0x00100010, 'PN', ''], [0x00400100, 'SQ', [[[0x00080060, 'CS', '']]]]]);
    const dimse = Array.from({ length: 4 }, () => withAssociation(gateway.dimse, [sopClass.worklist], async (association) => {
      for (let i = 0; i < each; i++) assert.equal((await association.find(identifier)).status, 0);
    }));
    let loaded = false;
    const load = Promise.all([...web, ...dimse]).finally(() => (loaded = true));
    const histogram = (now, suffix, more = '') =>
      now[`modgate_transaction_duration_seconds_${suffix}{front="web",backend="ris",service="worklist",operation="search",status="success"${more}}`];
    const scrapes = Array.from({ length: 2 }, async () => {
      let before = {};
      do {
        const now = await metrics(gateway);
        assert.equal(histogram(now, 'bucket', ',le="+Inf"'), histogram(now, 'count'));
        for (const [name, value] of Object.entries(before)) {
          if (/_total|_count|_sum|_bucket/.test(name)) assert.ok(now[name] >= value, `${name}: ${now[name]} after ${value}`);
        }
        before = now;
      } while (!loaded);
    });
    await Promise.all([load, ...scrapes]);
    const now = await metrics(gateway);
    for (const front of ['web', 'dimse']) assert.equal(now[count(front, 'ris', 'worklist', 'search')], 4 * each);
  });

  test('with users, credentials are asked for, and the password opens it', async () => {
    const users = house.newPath('.htpasswd');
    // "secret", by htpasswd -nbB
    const hash = spawnSync('python3', ['-c', 'import crypt; print(crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))'], { encoding: 'utf8' }).stdout.trim();
    fs.writeFileSync(users, `nurse:${hash}\n`);
    const gateway = await startModgate(house, 'users', {
      web: { mpps: 'pacs' }, admin: { ...adminPort, users }, 'backend pacs': scp('PACS', 1),
    });
    const refused = await admin(gateway, '/metrics');
    assert.equal(refused.status, 401);
    assert.match(refused.headers['www-authenticate'], /^Basic /);
    const basic = (words) => ({ headers: { authorization: `Basic ${Buffer.from(words).toString('base64')}` } });
    assert.equal((await admin(gateway, '/healthz', basic('nurse:wrong'))).status, 401);
    assert.equal((await admin(gateway, '/healthz', basic('nurse:secret'))).status, 200);
  });
});

describe('modgate probe', () => {
  async function probe(sections) {
    const file = house.newPath('.ini');
    const names = Object.keys(sections).join(', ');
    fs.writeFileSync(file, ini({
      web: { worklist: names },
      ...Object.fromEntries(Object.entries(sections).map(([name, section]) => [`backend ${name}`, section])),
    }));
    const { code, stdout, stderr } = await house.run(modgateBinary, ['probe', '--config', file], { limit: 60000 });
    return { code, output: stdout + stderr };
  }

  test('a worklist SCP that is as it should be: every step ok, exit 0', async () => {
    const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
    const { code, output } = await probe({ ris: scp('OFFIS', wlm.port) });
    assert.equal(code, 0, output);
    for (const step of ['name', 'connection', 'association', 'C-ECHO', 'worklist']) {
      assert.match(output, new RegExp(`^ +${step} +ok `, 'm'));
    }
    assert.match(output, /all 1 backends are as they should be/);
  });

  test('a SCP of dcmjs-dimse without a worklist: says so, exit 1', async () => {
    const mpps = await startMppsScp(house);
    const { code, output } = await probe({ pacs: scp('PACS', mpps.port) });
    assert.equal(code, 1, output);
    assert.match(output, /association +ok/);
    assert.match(output, /worklist +FAILED +refused by the SCP\n +-> there: switch this service on/);
    assert.match(output, /MPPS +ok/);
  });

  test('a stopped port, an unknown host and a wrong AE title each with its own cause and advice', async () => {
    const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
    const gateway = await startModgate(house, 'strict', {
      dimse: { worklist: 'ris', ae_title: 'FRONT' }, 'backend ris': scp('OFFIS', wlm.port),
    });
    const stopped = await freePort();
    const { code, output } = await probe({
      stopped: scp('RIS', stopped),
      unknown: { ...scp('RIS', 104), host: 'no-such-host.invalid' },
      wrong: scp('WRONG', gateway.dimse.port),
    });
    assert.equal(code, 1);
    assert.match(output, /connection +FAILED +127\.0\.0\.1:\d+: cannot connect: Connection refused\n +-> there: start the program/);
    assert.match(output, /name +FAILED +no-such-host\.invalid: /);
    assert.match(output, /connection +ok[^]*association +FAILED +.*called AE title.*\n +-> here: ae_title must be the SCP's own \(WRONG now\)/i);
    assert.match(output, /3 of 3 backends failed/);
  });

  test('an origin server, an HTTP server that is none, and one that wants credentials', async () => {
    const good = await startOriginServer(house, (_, response) => response.writeHead(204).end());
    const html = await startOriginServer(house, (_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>It works</html>'));
    const missing = await startOriginServer(house, (_, response) => response.writeHead(404).end());
    const closed = await startOriginServer(house, (_, response) => response.writeHead(401).end());
    const section = ({ url }) => ({ kind: 'origin-server', base_uri: url });
    const fine = await probe({ good: section(good) });
    assert.equal(fine.code, 0, fine.output);
    assert.match(fine.output, /worklist +ok/);
    for (const [server, says] of [[html, /base_uri must be/], [missing, /base_uri must be/], [closed, /correct username/]]) {
      const { code, output } = await probe({ ris: section(server) });
      assert.equal(code, 1, output);
      assert.match(output, /OPTIONS +ok/);
      assert.match(output, /worklist +FAILED/);
      assert.match(output, says);
    }
  });

  test('a server that says that it cannot serve now is not taken for a wrong port', async () => {
    const ris = await startOriginServer(house, (_, response) => response.writeHead(503).end());
    const { code, output } = await probe({ ris: { kind: 'origin-server', base_uri: ris.url } });
    assert.equal(code, 1, output);
    assert.match(output, /OPTIONS +FAILED +HTTP status 503\n +-> there: look at its log, and at a proxy in front of it/);
  });

  test('TLS where there is none, on both wires', async () => {
    const wlm = await startWlmscpfs(house, { OFFIS: worklist() });
    const plain = await startOriginServer(house, (_, response) => response.writeHead(204).end());
    const { trusted } = await makeCertificates(house);
    const { code, output } = await probe({
      ris: scp('OFFIS', wlm.port, { tls_trusted: trusted }),
      web: { kind: 'origin-server', base_uri: `https://127.0.0.1:${plain.port}/` },
    });
    assert.equal(code, 1);
    assert.equal([...output.matchAll(/^ +TLS +FAILED/gm)].length, 2, output);
  });

  test('the collector of audit messages: a handshake, and no message', async () => {
    const [ours, theirs] = [await makeCertificates(house), await makeCertificates(house)];
    const collector = await TlsCollector.start(house, ours);
    const ask = async (audit) => {
      const file = house.newPath('.ini');
      fs.writeFileSync(file, ini({ web: { mpps: 'local' }, 'backend local': { kind: 'store' }, audit }));
      const { code, stdout } = await house.run(modgateBinary, ['probe', '--config', file], { limit: 60000 });
      return { code, output: stdout };
    };
    const identity = { tls_certificate: ours.certificate, tls_private_key: ours.key };
    const fine = await ask({ syslog: collector.uri, tls_trusted: ours.trusted, ...identity });
    assert.equal(fine.code, 0, fine.output);
    assert.ok(fine.output.includes(`collector of audit messages ${collector.uri}\n`), fine.output);
    assert.match(fine.output, /^ +TLS +ok +agreed, certificate checked$/m);

    const advice = / +-> here: tls_trusted must hold the CA .*; there: .*trust our tls_certificate/;
    const impostor = await ask({ syslog: collector.uri, tls_trusted: theirs.trusted, ...identity });
    const stranger = await ask({
      syslog: collector.uri, tls_trusted: ours.trusted, tls_certificate: theirs.certificate, tls_private_key: theirs.key,
    });
    for (const { code, output } of [impostor, stranger]) {
      assert.equal(code, 1, output);
      assert.match(output, /^ +TLS +FAILED +TLS: /m);
      assert.match(output, advice);
      assert.match(output, /all 1 backends are as they should be\nthe collector of audit messages failed\n$/);
    }
    await collector.close();
    assert.deepEqual(collector.received, []);

    const gone = await ask({ syslog: collector.uri, tls_trusted: ours.trusted });
    assert.equal(gone.code, 1);
    assert.match(gone.output, /^ +connection +FAILED +cannot connect: Connection refused\n +-> there: start the collector/m);
    const unknown = await ask({ syslog: 'udp://no-such-host.invalid' });
    assert.equal(unknown.code, 1);
    assert.match(unknown.output, /^ +name +FAILED +no-such-host\.invalid: /m);
    const udp = await ask({ syslog: 'udp://127.0.0.1' });
    assert.equal(udp.code, 0, udp.output);
    assert.match(udp.output, /^ +UDP +- +is not answered/m);
  });
});
