// modgate --help, the manual page and the bash completion know the same commands and options.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { House } from './support/house.js';
import { modgateBinary } from './support/modgate.js';

const house = new House();
after(() => house.close());

const shipped = (name) => fs.readFileSync(new URL(`../../packaging/${name}`, import.meta.url), 'utf8');
const sorted = (words) => [...new Set(words)].sort();

/// Every command with its options, as --help says: [['', [...]], ['queue list', [...]], …].
async function helpOf(command = []) {
  const { code, stdout } = await house.run(modgateBinary, [...command, '--help']);
  assert.equal(code, 0);
  const options = [...stdout.matchAll(/^ {2}(?:-\w,)?(--[\w-]+)/gm)].map(([, word]) => word);
  const [, list = ''] = stdout.match(/^Subcommands:\n((?: {2}.*\n?)*)/m) ?? [];
  const below = [...list.matchAll(/^ {2}(\w[\w-]*) /gm)].map(([, word]) => word);
  const all = [[command.join(' '), [...options, ...below]]];
  for (const word of below) all.push(...await helpOf([...command, word]));
  return all;
}

test('the manual page has the words of --help, and no others', async () => {
  const words = sorted((await helpOf()).flatMap(([, known]) => known));
  const manual = shipped('modgate.8').replaceAll('\\-', '-');
  assert.deepEqual(sorted(manual.match(/--[a-z][a-z-]*/g)), words.filter((word) => word.startsWith('--')));
  const commands = [...manual.matchAll(/^\.TP\n\.B ([a-z]+)$/gm)].map(([, word]) => word);
  assert.deepEqual(sorted(commands), words.filter((word) => !word.startsWith('--')));
});

test('bash completes each command with the words of its --help', async () => {
  const file = new URL('../../packaging/modgate.bash-completion', import.meta.url).pathname;
  for (const [command, known] of await helpOf()) {
    const words = ['modgate', ...command.split(' ').filter(Boolean), ''];
    const script = `source ${file}; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}
      _modgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { code, stdout, stderr } = await house.run('bash', ['-c', script]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(sorted(stdout.trim().split('\n')), sorted(known), `modgate ${command}`);
  }
});

test('the manual page has no faults of form', async () => {
  const file = new URL('../../packaging/modgate.8', import.meta.url).pathname;
  const { code, stdout, stderr } = await house.run('man', ['--warnings', '-l', '-Tutf8', file], { env: { LC_ALL: 'C.UTF-8', MANWIDTH: '100' } });
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.match(stdout.replace(/.\x08/g, ''), /EXIT STATUS/);
});
