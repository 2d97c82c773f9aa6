// What README.md and docs/operations.md say to type, typed by an ordinary user on a fresh machine: scripts/fresh_machine_test.sh
// boots it and runs this. MACHINE: its first process; MACHINE_USER: who types. The machine has a package in
// build/ of the user's home.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, test } from 'node:test';
import { blocksOf, commandsFor, textOf } from './support/documents.js';
import { until } from './support/house.js';

const { MACHINE: machine, MACHINE_USER: user } = process.env;
assert.ok(machine && user, 'scripts/fresh_machine_test.sh runs this');
const documented = commandsFor('fresh_machine');
const readme = (pattern) => documented.take('README.md', pattern);
const operations = (pattern) => documented.take('docs/operations.md', pattern);
const seconds = 60_000;
readme(/^scripts\/fresh_machine_test\.sh$/); // which runs this

/// A terminal of the machine with the user's login shell, which takes what is typed.
class Terminal {
  constructor() {
    this.output = '';
    this.commands = 0;
    this.process = spawn('nsenter', ['-t', machine, '-a', '--', 'systemd-run', '--quiet', '--pty', '--collect', '-p', 'PAMName=login',
      '-p', `User=${user}`, '-p', 'WorkingDirectory=~', '-p', 'Environment=TERM=dumb', '/bin/bash', '--login', '--noediting'], { stdio: 'pipe' });
    for (const stream of ['stdout', 'stderr']) this.process[stream].on('data', (data) => (this.output += data));
    this.process.on('exit', () => (this.broken = 'it ended'));
    this.ready = this.prepared();
  }

  /// Waits for the prompt, since what is typed before it is lost; then: no echo, no prompt, nothing that waits for a key.
  async prepared() {
    await until(seconds, () => `a prompt: ${this.output}`, () => /\$ $/.test(this.output) || this.broken);
    this.keys("stty -echo cols 500; PS1= PS2=; export PAGER=cat SYSTEMD_PAGER=cat SUDO_EDITOR=~/editor\n");
  }

  keys(text) {
    this.process.stdin.write(text);
  }

  /// Types a command and waits for its end: { code, output }, standard output and error as they came.
  async type(command, limit = seconds) {
    await this.ready;
    if (this.broken) throw new Error(this.broken);
    const begin = new RegExp(`begin of ${++this.commands}\r?\n`);
    const end = new RegExp(`\r?\nend of ${this.commands}: (\\d+)\r?\n`);
    // All of it is read before it begins, so that the command finds no further keys.
    this.keys(`{ printf 'begin of %d\\n' ${this.commands}\n${command}\n}; printf '\\nend of %d: %d\\n' ${this.commands} $?\n`);
    try {
      await until(limit, () => `${command}\n${this.output}`, () => end.test(this.output) || this.broken);
    } catch (error) {
      this.broken = 'a command before this one did not end';
      throw error;
    }
    const [all, code] = this.output.match(end) ?? assert.fail(`${this.broken}: ${command}\n${this.output}`);
    const output = this.output.slice(this.output.search(begin), this.output.indexOf(all)).replace(begin, '').replaceAll('\r', '');
    this.output = this.output.slice(this.output.indexOf(all) + all.length);
    return { code: Number(code), output };
  }

  /// As above, for a command that must end with 0; its output.
  async done(command, limit) {
    const { code, output } = await this.type(command, limit);
    assert.equal(code, 0, `${command}\n${output}`);
    return output;
  }

  /// What still runs in it ends with the machine.
  close() {
    this.process.kill();
    for (const stream of this.process.stdio) stream.destroy();
  }
}

const terminal = new Terminal();
const others = [];
after(() => [terminal, ...others].forEach((one) => one.close()));
const anotherTerminal = () => {
  others.push(new Terminal());
  return others.at(-1);
};

/// What the user does to the file that sudoedit opens: a script of sed, and lines at the end.
const edit = (change, more = '') => terminal.done(
  `cat >~/editor <<'END'\n#!/bin/sh\nsed -i '${change}' "$1" && cat >>"$1" <<'MORE'\n${more}\nMORE\nEND\nchmod +x ~/editor`);
const property = async (name) => (await terminal.done(`systemctl show -P ${name} modgate`)).trim();
const journal = () => terminal.done('sudo journalctl -u modgate -o cat');

test('the package is installed from README.md alone, and the service runs', async () => {
  readme(/^\(cd build && cpack/); // scripts/fresh_machine_test.sh has made it by this
  const [install] = readme(/^sudo apt install \.\/build/);
  await terminal.done(install, 2 * seconds);
  assert.equal(await property('ActiveState'), 'active');
  assert.equal(await property('UnitFileState'), 'enabled');
  assert.match(await journal(), /^ready dimse=127\.0\.0\.1:11112 web=127\.0\.0\.1:8081 admin=127\.0\.0\.1:8082$/m);
  assert.match(await terminal.done('sudo stat -c "%U %a" /var/lib/modgate/worklist'), /^modgate 750$/m);
  assert.match(await terminal.done('ps -o user= -C modgate'), /^modgate *$/m);
});

test("from there to a worklist query against DCMTK's wlmscpfs, by README.md alone", async () => {
  for (const command of readme(/^sudo apt install dcmtk|^mkdir|^for step|^wlmscpfs/)) await terminal.done(command, 2 * seconds);
  const { text: ris } = blocksOf(textOf('README.md')).find(({ language, text }) => language === 'ini' && text.startsWith('[backend ris]\nkind = scp'));
  await edit('s/^worklist = local/worklist = ris/', ris);
  const [sudoedit, probe, restart, curl, findscu, ...more] = readme(/^sudoedit|^sudo modgate|^sudo systemctl|^curl|^findscu/);
  assert.deepEqual(more, []);
  await terminal.done(sudoedit);
  const probed = await terminal.done(probe);
  assert.match(probed, /^backend ris: .*\n(?: .*\n)*? {2}worklist +ok/m);
  const log = await terminal.done(restart);
  assert.match(log.slice(log.lastIndexOf('Stopped')), /ready dimse=/);
  const found = JSON.parse(await terminal.done(`${curl} --silent --show-error --fail`));
  assert.deepEqual(found.map((step) => step['00100010'].Value[0].Alphabetic), ['VIVALDI^ANTONIO', 'VIVALDI^ANTONIO']);
  const answers = await terminal.done(findscu);
  assert.equal([...answers.matchAll(/\(0010,0010\) PN \[VIVALDI\^ANTONIO *\]/g)].length, 3, answers);
  assert.match(await journal(), /search web->ris .*matches=3 .*answered/);
});

test('the configuration is changed, checked, taken by a restart and by a reload; a fault is named', async () => {
  const [sudoedit, check, restart, log] = operations(/^sudoedit|^sudo modgate check|^sudo systemctl restart modgate$|^sudo journalctl/);
  const reload = [...operations(/^sudo systemctl reload/), ...documented.take('docs/configuration.md', /^sudo systemctl reload/)];
  await edit('s/^ae_title = MODGATE/ae_title = OTHER/');
  await terminal.done(sudoedit);
  assert.match(await terminal.done(check), /^ae_title = OTHER$/m);
  await terminal.done(restart);
  await terminal.done('echoscu -aec OTHER localhost 11112');

  // by a reload, of the same process
  const before = await property('MainPID');
  for (const [index, command] of reload.entries()) {
    await edit(`s/^ae_title = [A-Z0-9]*$/ae_title = NAME${index}/;1,/^ae_title/!s/^ae_title = NAME${index}/ae_title = RIS/`);
    await terminal.done(sudoedit);
    await terminal.done(command);
    await until(seconds, `NAME${index} to be known`, async () => (await terminal.type(`echoscu -aec NAME${index} localhost 11112`)).code === 0);
  }
  assert.match(await terminal.done(log), /reloaded \/etc\/modgate\/modgate\.ini/);
  assert.equal(await property('MainPID'), before);

  // with a fault it names the line, nothing is started again, and the way back is the same
  await edit('s/^port = 8081/prot = 8081/');
  await terminal.done(sudoedit);
  const faulty = await terminal.type(check);
  assert.equal(faulty.code, 2, faulty.output);
  assert.match(faulty.output, /modgate\.ini:\d+: \[web\] prot: /);
  assert.notEqual((await terminal.type(restart)).code, 0);
  assert.equal(await property('ExecMainStatus'), '2');
  assert.equal(await property('NRestarts'), '0');
  await edit('s/^prot = 8081/port = 8081/');
  await terminal.done(sudoedit);
  await terminal.done(restart);
  assert.equal(await property('ActiveState'), 'active');
});

test('a key is read by the service and by nobody else', async () => {
  const [install] = operations(/^sudo install/);
  const made = blocksOf(textOf('docs/operations.md')).find(({ text }) => text.startsWith('openssl req'));
  await terminal.done(made.text);
  await terminal.done(install);
  await terminal.done('sudo -u modgate cat /etc/modgate/gateway.key');
  assert.notEqual((await terminal.type('cat /etc/modgate/gateway.key')).code, 0);
});

test('the manual page is found', async () => {
  const [man] = operations(/^man /);
  assert.match((await terminal.done(man)).replaceAll(/.\x08/g, ''), /^SYNOPSIS$/m);
});

test('from another machine ssh brings the status page', async () => {
  const [ssh] = operations(/^ssh -L/);
  // The other machine is another network namespace, with a wire to this one.
  await terminal.done(`sudo ip netns add desk && sudo ip link add wire type veth peer name wire netns desk &&
    sudo ip addr add 192.0.2.1/24 dev wire && sudo ip link set wire up &&
    sudo ip -n desk addr add 192.0.2.2/24 dev wire && sudo ip -n desk link set wire up && sudo ip -n desk link set lo up &&
    sudo mkdir -p /etc/netns/desk && echo 192.0.2.1 gateway | sudo tee /etc/netns/desk/hosts &&
    ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 && cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys &&
    echo "StrictHostKeyChecking accept-new" >~/.ssh/config`);
  const desk = anotherTerminal();
  const there = `sudo ip netns exec desk runuser -u ${user} --`;
  assert.notEqual((await terminal.type(`${there} curl -s http://127.0.0.1:8082/`)).code, 0);
  const connected = desk.type(`${there} ${ssh}`);
  await until(seconds, () => desk.output,
    async () => (await terminal.type(`${there} curl -sSf http://127.0.0.1:8082/healthz`)).output.startsWith('ok'));
  assert.match(await terminal.done(`${there} curl -sSf http://127.0.0.1:8082/`), /<title>modgate/);
  desk.keys('exit\n');
  await connected;
});

test('a caller is traced', async () => {
  const [stop, trace, start] = operations(/^sudo systemctl st|--trace/);
  // as the service, at a port below 1024
  await edit('s/^port = 11112/port = 104/');
  await terminal.done('sudoedit /etc/modgate/modgate.ini && sudo systemctl restart modgate && echoscu -aec NAME2 localhost 104');
  await terminal.done(stop);
  assert.equal(await property('ActiveState'), 'inactive');
  const other = anotherTerminal();
  const traced = other.type(trace);
  await until(seconds, () => other.output, () => /^ready /m.test(other.output));
  await terminal.done('findscu -W -aet CTSCANNER -aec NAME2 localhost 104 -k "PatientName=VIVALDI*"');
  other.keys('\x03');
  assert.equal((await traced).code, 0, other.output);
  const lines = await terminal.done("sudo sh -c 'cat /var/lib/modgate/trace-CTSCANNER-*.jsonl; stat -c \"%U %a\" /var/lib/modgate/trace-*'");
  assert.match(lines, /"what":"request".*\n(?:.*\n)*.*VIVALDI\^ANTONIO/);
  assert.match(lines, /^modgate 600$/m);
  await terminal.done(start);
  assert.equal(await property('ActiveState'), 'active');
});

test('a port in use keeps the service from starting until it is free, however long', async () => {
  await edit('s/^port = 104$/port = 1104/');
  assert.notEqual((await terminal.type('sudoedit /etc/modgate/modgate.ini && sudo systemctl restart modgate')).code, 0);
  assert.match(await journal(), /cannot start: .*1104.*Address already in use/);
  await until(seconds, 'more attempts than systemd makes by itself', async () => Number(await property('NRestarts')) > 5);
  await terminal.done('kill %wlmscpfs');
  await until(seconds, 'it to run', async () => await property('ActiveState') === 'active');
  await terminal.done('echoscu -aec NAME2 localhost 1104');
});

test('a newer package keeps the configuration and restarts the service', async () => {
  const [install] = blocksOf(textOf('README.md')).flatMap(({ text }) => text.match(/^sudo apt install \.\/build.*$/m) ?? []);
  const before = await property('MainPID');
  await terminal.done(install.replace('install', 'install --reinstall'), 2 * seconds);
  assert.equal(await property('ActiveState'), 'active');
  assert.notEqual(await property('MainPID'), before);
  assert.match(await terminal.done('cat /etc/modgate/modgate.ini'), /^ae_title = NAME2$/m);
});

test('it is removed, installed again and purged; what no receiver has stays', async () => {
  const [remove, purge] = operations(/^sudo apt (remove|purge)/);
  const [install] = blocksOf(textOf('README.md')).flatMap(({ text }) => text.match(/^sudo apt install \.\/build.*$/m) ?? []);
  await terminal.done(remove);
  assert.equal((await terminal.type('pgrep -x modgate')).code, 1);
  assert.equal((await terminal.type('command -v modgate')).code, 1);
  await terminal.done('test -f /etc/modgate/modgate.ini && sudo test -d /var/lib/modgate/worklist');

  await terminal.done(install, 2 * seconds);
  assert.equal(await property('ActiveState'), 'active');
  assert.equal(await property('UnitFileState'), 'enabled');
  assert.match(await terminal.done('cat /etc/modgate/modgate.ini'), /^ae_title = NAME2$/m);

  await terminal.done(purge);
  assert.equal((await terminal.type('pgrep -x modgate')).code, 1);
  assert.equal((await terminal.type('test -e /etc/modgate/modgate.ini')).code, 1);
  await terminal.done("sudo sh -c 'ls /var/lib/modgate/trace-CTSCANNER-*.jsonl' && getent passwd modgate");
  assert.match(await terminal.done('systemctl list-unit-files "modgate*"; systemctl --failed'), /^0 unit files listed\.(?:.*\n)*?0 loaded units listed\./m);
});
