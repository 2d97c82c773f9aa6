// What docs/operations.md tells is so: its keys exist, its log lines are in the sources, its certificate
// serves TLS.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { dump2dcm, exampleDumps, findscu, startWlmscpfs } from './support/dcmtk.js';
import { blocksOf, commandsFor } from './support/documents.js';
import { accepts, freePort, House, until } from './support/house.js';
import { startModgate } from './support/modgate.js';

const house = new House();
after(() => house.close());

const root = new URL('../../', import.meta.url).pathname;
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const operations = read('docs/operations.md');
const documented = commandsFor('end_to_end: operations');
const blockOf = (wanted) => blocksOf(operations).find(({ language }) => language === wanted).text;

test('its keys are keys of the configuration', () => {
  const known = new Set([...read('docs/configuration.md').matchAll(/^\| `(\w+)`/gm)].map(([, key]) => key));
  assert.ok(known.size > 50);
  const named = [...operations.matchAll(/`(?:\[[^\]]*\] )?([a-z]+(?:_[a-z]+)+)(?: = [^`]*)?`/g)].map(([, key]) => key);
  assert.ok(named.length > 20);
  assert.deepEqual(named.filter((key) => !known.has(key) && !key.startsWith('modgate_')), []);
});

test('its log lines are written by the program', () => {
  // One text, with literals that go over several lines joined.
  const sources = ['dimse', 'web', 'gateway', 'mapping']
    .flatMap((room) => fs.readdirSync(path.join(root, room)).filter((name) => name.endsWith('.cpp')).map((name) => read(`${room}/${name}`)))
    .join('\n').replace(/"\s*\n\s*"/g, '');
  const [, table] = operations.split('## What log lines mean');
  const lines = [...table.matchAll(/^\| `([^`]*)`/gm)].map(([, line]) => line);
  assert.ok(lines.length > 15);
  for (const line of lines) {
    // What stands between the parts that differ from line to line.
    for (const part of line.split(/…|\b[A-Z]{4,}\b|:|\(|\)/).map((piece) => piece.trim()).filter((piece) => piece.length > 3)) {
      assert.ok(sources.includes(part), `no source has "${part}" of "${line}"`);
    }
  }
});

test('its alerts are good ones, and of metrics that there are', async () => {
  const rules = blockOf('yaml');
  const file = house.newPath('.yaml');
  fs.writeFileSync(file, rules);
  const { code, stdout, stderr } = await house.run('promtool', ['check', 'rules', file]);
  assert.equal(code, 0, stdout + stderr);
  const alerts = [...rules.matchAll(/alert: (\w+)/g)].map(([, alert]) => alert);
  assert.deepEqual([...operations.matchAll(/^\| (Modgate\w+) \|/gm)].map(([, alert]) => alert), alerts);

  const gateway = await startModgate(house, 'measured', {
    dimse: { worklist: 'a, b', mpps: 'local', mpps_delivery: 'queued', worklist_partial: 'yes' },
    admin: { bind: '127.0.0.1', port: 0 }, audit: { syslog: 'udp://127.0.0.1:1' },
    'backend a': { kind: 'origin-server', base_uri: 'http://127.0.0.1:1/' },
    'backend b': { kind: 'origin-server', base_uri: 'http://127.0.0.1:1/' },
    'backend local': { kind: 'store' },
  });
  const metrics = await (await fetch(`http://${gateway.admin.host}:${gateway.admin.port}/metrics`)).text();
  const named = [...operations.matchAll(/`(modgate_\w+)`/g), ...rules.matchAll(/(modgate_\w+)/g)];
  for (const [, name] of named) assert.match(metrics, new RegExp(`^# TYPE ${name} `, 'm'));
  assert.match(metrics, /^modgate_transactions_total\{.*status="failure"/m);
});

test('its questions to the admin port are answered', async () => {
  const commands = documented.take('docs/operations.md', /^curl /).join('\n');
  const gateway = await startModgate(house, 'asked', {
    web: { mpps: 'local' }, admin: { bind: '127.0.0.1', port: 0 }, 'backend local': { kind: 'store' },
  });
  const home = house.newPath();
  fs.mkdirSync(home);
  fs.writeFileSync(path.join(home, '.curlrc'), 'silent\nshow-error\nfail\nmax-time = 10\nwrite-out = "\\n%{http_code}\\n"\n');
  const { admin: { host, port } } = gateway;
  const { code, stdout, stderr } = await house.run('bash', ['-euc', commands.replaceAll('127.0.0.1:8082', `${host}:${port}`)],
    { env: { CURL_HOME: home } });
  assert.equal(code, 0, stderr);
  const [alive, ready, metrics] = stdout.split(/^200$/m);
  assert.match(alive, /^ok$/m);
  assert.match(ready, /^ready$/m);
  assert.match(metrics, /^# TYPE modgate_transactions_total counter$/m);
});

test('its load balancer: two nodes are asked through it, and one alone when the other stops', async () => {
  const written = blockOf('haproxy');
  const scp = await startWlmscpfs(house, { RIS: exampleDumps('wlistdb/OFFIS').map(({ text }) => text) });
  const node = (name) => startModgate(house, name, {
    dimse: { worklist: 'ris' }, web: { worklist: 'ris', max_connections_per_address: 0 },
    'backend ris': { kind: 'scp', ae_title: 'RIS', host: scp.host, port: scp.port },
  });
  const nodes = { 1: await node('node a'), 2: await node('node b') };
  const ports = { 11112: await freePort(), 8081: await freePort() };
  // Its addresses become ours; what it says of them stays.
  const configuration = written
    .replace(/bind :(\d+)/g, (_, port) => `bind 127.0.0.1:${ports[port]}`)
    .replace(/10\.0\.0\.(\d):(\d+)/g, (_, which, port) => {
      const { host, port: own } = nodes[which][port === '8081' ? 'web' : 'dimse'];
      return `${host}:${own}`;
    });
  const file = house.newPath('.cfg');
  fs.writeFileSync(file, configuration);
  const balancer = house.spawn('haproxy', '/usr/sbin/haproxy', ['-db', '-f', file]);
  const query = await dump2dcm(house, exampleDumps('wlistqry')[0].text);
  const asked = async () => {
    const modality = await findscu(house, { host: '127.0.0.1', port: ports[11112], aeTitle: 'MODGATE' }, query);
    const web = await fetch(`http://127.0.0.1:${ports[8081]}/modality-scheduled-procedure-steps`, { headers: { connection: 'close' } });
    return [modality.status, modality.responses.length, web.status, web.ok ? (await web.json()).length : await web.text()];
  };
  await until(10_000, () => `haproxy to accept: ${balancer.stderr}`, () => accepts(ports[8081]));
  const both = () => Object.values(nodes).every((one) => /dimse->ris/.test(one.log()));
  for (let i = 0; i < 8 && !both(); ++i) assert.deepEqual(await asked(), [0, 10, 200, 10]);
  assert.ok(both(), 'each node is asked');
  await nodes[1].child.stop();
  // "check" asks every two seconds, three times, before a server is down for it.
  await until(20_000, () => balancer.stderr, () => /dimse\/a is DOWN/.test(balancer.stderr) && /web\/a is DOWN/.test(balancer.stderr));
  for (let i = 0; i < 4; ++i) assert.deepEqual(await asked(), [0, 10, 200, 10]);
  await balancer.stop();
});

test('its certificate serves TLS', async () => {
  const [command] = documented.take('docs/operations.md', /^openssl req/);
  const directory = house.newPath();
  fs.mkdirSync(directory);
  const made = await house.run('bash', ['-euc', command], { cwd: directory });
  assert.equal(made.code, 0, made.stderr);
  const file = (name) => path.join(directory, name);
  const gateway = await startModgate(house, 'with TLS', {
    web: { mpps: 'local', tls_certificate: file('gateway.pem'), tls_private_key: file('gateway.key') },
    'backend local': { kind: 'store' },
  });
  const { host, port } = gateway.web;
  const { code, stdout, stderr } = await house.run('curl', ['-sS', '--max-time', '10', '--cacert', file('gateway.pem'),
    '--resolve', `gateway.example:${port}:${host}`, '-X', 'OPTIONS', '-o', '/dev/null', '-w', '%{http_code}', `https://gateway.example:${port}/`]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '200');
});
