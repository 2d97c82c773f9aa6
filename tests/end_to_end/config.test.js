// The command line and the configuration file: every fault is named with
// file and line, what runs is what was written, and a stop finishes what has begun.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { after, describe, test } from 'node:test';
import { encode } from './support/data_set.js';
import { accepts, House, until, within } from './support/house.js';
import { dicomJson, get, startOriginServer } from './support/http.js';
import { expectNoPatientData, ini, modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { RawAssociation, sopClass, withAssociation } from './support/raw_scu.js';

const house = new House();
after(() => house.close());

const repository = new URL('../..', import.meta.url).pathname;

function write(text) {
  const file = house.newPath('.ini');
  fs.writeFileSync(file, text);
  return file;
}

const modgate = (args, options) => house.run(modgateBinary, args, options);
const check = (file, options) => modgate(['check', '--config', file], options);

const good = {
  dimse: { ae_title: 'FRONT', bind: '127.0.0.1', port: 0, worklist: 'ris', mpps: 'ris' },
  web: { bind: '127.0.0.1', port: 0, worklist: 'legacy' },
  'backend ris': { kind: 'origin-server', base_uri: 'http://127.0.0.1:1/dicomweb' },
  'backend legacy': { kind: 'scp', ae_title: 'LEGACY', host: '127.0.0.1', port: 104 },
};

describe('modgate check', () => {
  const faulty = `[gateway]
log_level = loud
[dimse]
port = 70000
worklist = nowhere
colour = blue

[backend ris]
kind = origin-server
[kitchen]
sink = yes
`;
  // line, section, key; in the order of the file
  const faults = [
    [2, 'gateway', 'log_level', /error.*warn.*info.*debug/],
    [4, 'dimse', 'port', /65535/],
    [5, 'dimse', 'worklist', /nowhere/],
    [6, 'dimse', 'colour', /unknown/i],
    [undefined, 'backend ris', 'base_uri', /missing|required/i],
    [undefined, 'kitchen', undefined, /unknown/i],
  ];

  test('names each of six different faults with file, line, section and key, all at once, and exits 2', async () => {
    const file = write(faulty);
    const { code, stdout, stderr } = await check(file);
    const output = stdout + stderr;
    for (const [line, section, key, says] of faults) {
      const found = output.split('\n').find((text) =>
        text.includes(`[${section}]`) && (!key || new RegExp(`\\] ${key}: `).test(text)));
      assert.ok(found, `nothing about [${section}] ${key ?? ''} in:\n${output}`);
      assert.match(found, new RegExp(`^${file.replaceAll('.', '\\.')}:${line ?? '\\d+'}: `));
      assert.match(found, says);
    }
    assert.equal(code, 2);
  });

  test('serving with this file says the same and serves nothing', async () => {
    const file = write(faulty);
    const { code, stdout, stderr } = await modgate(['--config', file]);
    assert.equal(code, 2);
    assert.match(stdout + stderr, new RegExp(`${file.replaceAll('.', '\\.')}:4: \\[dimse\\] port: `));
    assert.doesNotMatch(stdout + stderr, /^ready/m);
  });

  test('a good file is printed with its defaults, and it exits 0', async () => {
    const { code, stdout, stderr } = await check(write(ini(good)));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\[dimse\]$/m);
    assert.match(stdout, /^ae_title = FRONT$/m);
    assert.match(stdout, /^max_associations = 200$/m);
    assert.match(stdout, /^\[backend legacy\]$/m);
    assert.match(stdout, /^base_uri = http:\/\/127\.0\.0\.1:1\/dicomweb$/m);
  });

  test('what it prints is a good file that prints the same', async () => {
    const first = await check(write(ini(good)));
    const second = await check(write(first.stdout));
    assert.equal(second.code, 0, second.stdout + second.stderr);
    assert.equal(second.stdout, first.stdout);
  });

  test('${NAME} is replaced from the environment, and one that is not there is a fault', async () => {
    const file = write(ini({ ...good, dimse: { ...good.dimse, ae_title: '${E2E_AE_TITLE}' } }));
    const found = await check(file, { env: { E2E_AE_TITLE: 'FROMENV' } });
    assert.equal(found.code, 0, found.stderr);
    assert.match(found.stdout, /^ae_title = FROMENV$/m);
    const missing = await check(file);
    assert.equal(missing.code, 2);
    assert.match(missing.stdout + missing.stderr, /:2: \[dimse\] ae_title: .*E2E_AE_TITLE/);
  });

  test('a file that is not there: exits 2 and names it', async () => {
    const { code, stdout, stderr } = await check('/nowhere/modgate.ini');
    assert.equal(code, 2);
    assert.match(stdout + stderr, /\/nowhere\/modgate\.ini/);
  });

  test('a directory in place of the file: exits 2 and names it', async () => {
    const { code, stderr } = await check('/etc');
    assert.equal(code, 2);
    assert.equal(stderr, '/etc: cannot be read: expected an INI file\n');
  });

  test('a device that never ends in place of the file: exits 2 and names it', async () => {
    const { code, stderr } = await check('/dev/zero');
    assert.equal(code, 2);
    assert.equal(stderr, '/dev/zero: is longer than 1 MiB: expected an INI file\n');
  });

  test('a pipe in place of a file that a key names is a fault of its own, and nothing waits for it', async () => {
    const pipe = house.newPath('-pipe');
    execFileSync('mkfifo', [pipe]);
    const file = write(`[dimse]
mpps = ris
users = ${pipe}
tokens = ${pipe}
tls_certificate = ${pipe}
tls_private_key = ${pipe}
tls_trusted = ${pipe}
[web]
mpps = legacy
users = ${pipe}
tls_trusted = ${pipe}
[admin]
users = ${pipe}
[audit]
syslog = tls://127.0.0.1
tls_trusted = ${pipe}
[backend ris]
kind = origin-server
base_uri = https://127.0.0.1
password_file = ${pipe}
bearer_token_file = ${pipe}
oauth_client_secret_file = ${pipe}
oauth_tls_trusted = ${pipe}
tls_trusted = ${pipe}
[backend legacy]
kind = scp
ae_title = RIS
host = 127.0.0.1
password_file = ${pipe}
bearer_token_file = ${pipe}
tls_trusted = ${pipe}
`);
    const { code, stderr } = await check(file);
    assert.equal(code, 2);
    let section;
    const expected = fs.readFileSync(file, 'utf8').split('\n').flatMap((text, index) => {
      section = text.match(/^\[.*\]$/)?.[0] ?? section;
      const key = text.match(/^(\w+) = .*-pipe$/)?.[1];
      return key ? [`${file}:${index + 1}: ${section} ${key}: cannot use ${pipe}: expected a regular file`] : [];
    });
    assert.deepEqual(stderr.trim().split('\n'), expected);
  });

  test('a line that is neither section, key nor comment is a fault with its line', async () => {
    const file = write(`${ini(good)}\nthis is no key\n`);
    const { code, stdout, stderr } = await check(file);
    assert.equal(code, 2);
    const line = fs.readFileSync(file, 'utf8').split('\n').indexOf('this is no key') + 1;
    assert.match(stdout + stderr, new RegExp(`:${line}: `));
  });

  test('what will hurt later is warned of, once by check and once at the start, and stops nothing', async () => {
    const inMemory = fs.mkdtempSync('/dev/shm/modgate-e2e-');
    house.defer(() => fs.rmSync(inMemory, { recursive: true }));
    const sections = {
      gateway: { state_dir: inMemory },
      dimse: { bind: '0.0.0.0', port: 0, worklist: 'legacy', mpps: 'ris', mpps_delivery: 'queued' },
      'backend legacy': good['backend legacy'],
      'backend ris': { kind: 'origin-server', base_uri: 'http://ris.invalid/' },
    };
    const warnings = [
      /\[gateway\] state_dir: .* is in memory \(tmpfs\), .*: name a directory on a local disk$/,
      /\[dimse\] tls_certificate: .*plain text: set it/,
      /\[dimse\] known_modalities_only: .*: set yes/,
      /\[backend ris\] base_uri: .* ris\.invalid in plain text: use https$/,
    ];
    const file = write(ini(sections));
    const { code, stdout, stderr } = await check(file);
    assert.equal(code, 0);
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, warnings.length, stderr);
    lines.forEach((line, i) => {
      assert.ok(line.startsWith(`warning: ${file}:`), line);
      assert.match(line, warnings[i]);
    });
    assert.equal((await check(write(stdout))).code, 0, 'stdout is the configuration alone');

    const gateway = await startModgate(house, 'that is warned of', sections);
    for (const warning of warnings) {
      const said = gateway.log().split('\n').filter((line) => warning.test(line));
      assert.equal(said.length, 1, `${warning}: ${said.length} times`);
      assert.match(said[0], /^\S+ warning /);
    }
  });

  test('the configuration that comes with modgate is a good file', async () => {
    const { code, stdout, stderr } = await check(`${repository}conf/modgate.ini`);
    assert.equal(code, 0, stdout + stderr);
  });
});

describe('the command line', () => {
  test('--version names the program and its version', async () => {
    const { code, stdout } = await modgate(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^modgate \d+\.\d+\.\d+/);
  });

  test('--help names the commands', async () => {
    const { code, stdout } = await modgate(['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /--config/);
    assert.match(stdout, /check/);
  });

  for (const args of [[], ['--confg', 'x'], ['chekc', '--config', 'x']]) {
    test(`"modgate ${args.join(' ')}" is a mistake, and says so`, async () => {
      const { code, stdout, stderr } = await modgate(args);
      assert.ok(code > 0 && code < 126, `exit code ${code}`); // 126 and above: it did not even start
      assert.match(stdout + stderr, /--config|--help|Usage/i);
    });
  }
});

describe('starting', () => {
  test('port 0 means any free port, and the ready line names the real ones', async () => {
    const gateway = await startModgate(house, 'on any port', good);
    assert.ok(gateway.dimse.port > 0 && gateway.web.port > 0);
    await withAssociation(gateway.dimse, [sopClass.verification], async (association) =>
      assert.equal((await association.echo()).status, 0));
    assert.equal((await get(gateway, '/nothing')).status, 404);
    const { code } = await gateway.child.stop();
    assert.equal(code, 0);
  });

  test('a service manager hears when the ports are open, and when it stops', async () => {
    const name = house.newPath('.notify');
    const manager = house.spawn('service manager', 'python3', ['-uc', `
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('${name}')
print('bound')
while True: print(s.recv(100).decode())`]);
    await until(5000, 'a service manager', () => manager.stdout.includes('bound'));
    const gateway = await startModgate(house, 'under a service manager', good, { env: { NOTIFY_SOCKET: name } });
    await until(5000, 'READY=1', () => manager.stdout.endsWith('bound\nREADY=1\n'));
    assert.equal((await gateway.child.stop()).code, 0);
    await until(5000, 'STOPPING=1', () => manager.stdout.endsWith('READY=1\nSTOPPING=1\n'));
    await manager.stop();
  });

  test('a front that is not configured is not started', async () => {
    const gateway = await startModgate(house, 'web only', { web: good.web, 'backend legacy': good['backend legacy'] });
    assert.equal(gateway.dimse, undefined);
  });

  for (const [front, keys] of [['web', { worklist: 'legacy' }], ['dimse', { ae_title: 'X', worklist: 'legacy' }]]) {
    test(`a ${front} port that somebody else has is an error that names it`, async () => {
      const other = net.createServer();
      other.listen(0, '127.0.0.1');
      await once(other, 'listening');
      const { port } = other.address();
      const file = write(ini({ [front]: { bind: '127.0.0.1', port, ...keys }, 'backend legacy': good['backend legacy'] }));
      const { code, stdout, stderr } = await modgate(['--config', file]);
      other.close();
      assert.ok(code > 0 && code < 126, `exit code ${code}`);
      assert.match(stdout + stderr, new RegExp(`\\b${port}\\b`));
      assert.doesNotMatch(stdout + stderr, /^ready/m);
    });
  }
});

describe('stopping', () => {
  const identifier = encode([[0x00100010, 'PN', ''], [0x00100020, 'LO', '']]);
  const items = JSON.stringify([{ '00100020': { vr: 'LO', Value: ['PID-4712'] }, '00400100': { vr: 'SQ', Value: [{}] } }]);

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} lets a running C-FIND finish, takes no new association, and exits 0`, async () => {
      let release;
      const ris = await startOriginServer(house, (_, response) => {
        release = () => response.writeHead(200, { 'content-type': dicomJson }).end(items);
      });
      const gateway = await startModgate(house, `stopped by ${signal}`, {
        dimse: { worklist: 'ris' }, 'backend ris': { kind: 'origin-server', base_uri: ris.url },
      });
      const association = await RawAssociation.open(gateway.dimse, [sopClass.worklist]);
      const search = association.find(identifier);
      await until(5000, 'the question to reach the RIS', () => release);
      gateway.child.signal(signal);
      await until(5000, 'the front to close', async () => !(await accepts(gateway.dimse.port)));
      assert.equal(gateway.child.ended, undefined, 'it waits for the running search');
      release();
      const { status, responses } = await search;
      assert.equal(status, 0x0000);
      assert.equal(responses.length, 1);
      association.abort();
      assert.deepEqual(await within(8000, 'the end', gateway.child.exited), { code: 0, signal: null });
    });
  }

  test('SIGTERM lets a running Search finish, and exits 0', async () => {
    let release;
    const scp = await startMppsScp(house);
    scp.register.find = () =>
      new Promise((resolve) => (release = () => resolve([{ status: 0xff00, elements: { PatientID: 'PID-4712' } }, { status: 0 }])));
    const gateway = await startModgate(house, 'stopped in a Search', {
      web: { worklist: 'scp' }, 'backend scp': { kind: 'scp', ae_title: 'SCP', host: '127.0.0.1', port: scp.port },
    });
    const search = get(gateway, '/modality-scheduled-procedure-steps');
    await until(5000, 'the question to reach the SCP', () => release);
    gateway.child.signal('SIGTERM');
    await until(5000, 'the front to close', async () => !(await accepts(gateway.web.port)));
    assert.equal(gateway.child.ended, undefined, 'it waits for the running search');
    release();
    const answer = await search;
    assert.equal(answer.status, 200);
    assert.equal(answer.json().length, 1);
    assert.deepEqual(await within(8000, 'the end', gateway.child.exited), { code: 0, signal: null });
  });

  test('an N-CREATE that gets no answer holds it for ten seconds and no longer', async () => {
    let asked = false;
    const ris = await startOriginServer(house, () => (asked = true));
    const gateway = await startModgate(house, 'stopped in an N-CREATE', {
      dimse: { mpps: 'ris' }, 'backend ris': { kind: 'origin-server', base_uri: ris.url },
    });
    const association = await RawAssociation.open(gateway.dimse, [sopClass.mpps]);
    association.nCreate('1.2.3.4', encode([[0x00100020, 'LO', 'PID-4712']])).catch(() => {});
    await until(5000, 'the step to reach the RIS', () => asked);
    gateway.child.signal('SIGTERM');
    assert.deepEqual(await within(14000, 'the end', gateway.child.exited), { code: 0, signal: null });
    association.abort();
  });

  test('idle associations and connections do not hold it', async () => {
    const gateway = await startModgate(house, 'with idle peers', good);
    const association = await RawAssociation.open(gateway.dimse, [sopClass.verification]);
    const socket = net.connect(gateway.web.port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    gateway.child.signal('SIGTERM');
    assert.deepEqual(await within(8000, 'the end', gateway.child.exited), { code: 0, signal: null });
    association.abort();
    socket.destroy();
  });
});

test('the logs of the gateways name no patient', () => expectNoPatientData(assert, house, ['PID-4712']));
