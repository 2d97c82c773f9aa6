// scripts/run.sh shows what it says: the real answers of the real peers, in both directions.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { commandsFor } from './support/documents.js';
import { House, until } from './support/house.js';
import { modgateBinary } from './support/modgate.js';

const house = new House();
after(() => house.close());

const root = new URL('../../', import.meta.url).pathname;
const documented = commandsFor('end_to_end: run_script');
const [script] = documented.take('README.md', /^scripts\/run\.sh$/);
/// What README.md shows of its output, up to where it is cut.
const shown = documented.take('README.md', /^(curl|findscu) /).map((command) => `$ ${command.split('…')[0].trim()}`);
const env = { MODGATE_BINARY: modgateBinary, TMPDIR: house.directory };
const leftovers = () => fs.readdirSync(house.directory);

/// The processes that this one has started and that have not ended: [{ pid, name }].
function childrenOf(parent) {
  return fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
    try {
      const [, name, rest] = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').match(/^\d+ \((.*)\) (.*)/s);
      const [state, owner] = rest.split(' ');
      return owner === String(parent) && state !== 'Z' ? [{ pid, name }] : [];
    } catch {
      return []; // it has ended meanwhile
    }
  });
}

test('run.sh --once prints a Search, a C-FIND and a step with their real answers, and cleans up', async () => {
  const { code, stdout, stderr } = await house.run('bash', ['-c', `${script} --once`], { cwd: root, env, limit: 60000 });
  assert.equal(code, 0, stdout + stderr);

  assert.match(stdout, /^ready dimse=127\.0\.0\.1:\d+ web=127\.0\.0\.1:\d+$/m);

  // HTTP → DIMSE: the one item of DCMTK's worklist with this accession number
  const search = stdout.match(/^\$ curl .*AccessionNumber=00000'?\n(\[.*\])$/m);
  assert.ok(search, stdout);
  const [item, ...more] = JSON.parse(search[1]);
  assert.equal(more.length, 0);
  assert.deepEqual(item['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'VIVALDI^ANTONIO' }] });
  assert.deepEqual(item['00400100'].Value[0]['00400001'], { vr: 'AE', Value: ['AA32', 'AA33'] });

  // DIMSE → HTTP → DIMSE: the three items for VIVALDI*
  const find = stdout.slice(stdout.indexOf('$ findscu'), stdout.indexOf('== a performed procedure step'));
  assert.equal([...find.matchAll(/\(0010,0010\) PN \[VIVALDI\^ANTONIO *\]/g)].length, 3, find);
  assert.deepEqual([...find.matchAll(/\(0008,0060\) CS \[(\w\w) *\]/g)].map((match) => match[1]).sort(), ['CR', 'CT', 'MR']);

  const anyPort = (text) => text.replaceAll(/(127\.0\.0\.1[: ])\d+/g, '$1PORT');
  for (const line of shown) assert.ok(anyPort(stdout).includes(anyPort(line)), `README.md shows ${line}`);

  // the performed step: created, updated, retrieved
  assert.match(stdout, /^201 \S*\/modality-performed-procedure-steps\/2\.25\.\d+$/m);
  assert.match(stdout, /^200 *$/m);
  const step = JSON.parse(stdout.match(/^\$ curl .*performed-procedure-steps\/2\.25\.\d+\n(\[.*\])$/m)[1])[0];
  assert.deepEqual(step['00400252'], { vr: 'CS', Value: ['COMPLETED'] });
  assert.deepEqual(step['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'VIVALDI^ANTONIO' }] });
  assert.equal(step['00400340'].Value.length, 1);

  assert.deepEqual(leftovers(), []);
});

test('run.sh stays up until Ctrl-C, and takes its programs with it', async () => {
  const child = house.spawn('run.sh', 'bash', ['-c', `exec ${script}`], { cwd: root, env });
  await child.waitFor(/To try:/, { stream: 'stdout', limit: 60000 });
  const programs = await until(5000, 'its three programs', () => {
    const found = childrenOf(child.pid);
    return found.map(({ name }) => name).sort().join() === 'modgate,node,wlmscpfs' && found;
  });
  // what it suggests works as it stands there
  await child.waitFor(/^  cat /m, { stream: 'stdout' });
  const suggested = child.stdout.split('To try:\n')[1].split('\n').filter((line) => line.startsWith('  '));
  assert.equal(suggested.length, 6);
  for (const line of suggested) {
    const { code, stdout, stderr } = await house.run('bash', ['-c', line.replace('curl ', 'curl -sS --fail-with-body ')]);
    assert.equal(code, 0, `${line}\n${stdout}${stderr}`);
    assert.notEqual(stdout + stderr, '', line);
  }
  child.signal('SIGINT');
  assert.deepEqual(await child.stop(), { code: 0, signal: null }, child.stdout + child.stderr);
  await until(5000, 'its programs to be gone', () => programs.every(({ pid }) => !fs.existsSync(`/proc/${pid}`)));
  assert.deepEqual(leftovers(), []);
});

test('run.sh with a modgate that does not start says why, and leaves nothing behind', async () => {
  const { code, stderr } = await house.run('bash', ['-c', `${script} --once`], {
    cwd: root, env: { ...env, MODGATE_BINARY: 'false' }, limit: 60000,
  });
  assert.equal(code, 1);
  assert.match(stderr, /modgate did not start/);
  assert.deepEqual(leftovers(), []);
});
