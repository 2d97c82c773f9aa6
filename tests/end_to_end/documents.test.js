// Every command of the documents is run by a test: the one that support/documents.js names for it, which takes the
// command from the document.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { blocksOf, claimOf, claims, commandsIn, commandsOf, documents, textOf } from './support/documents.js';
import { House } from './support/house.js';
import { modgateBinary } from './support/modgate.js';

const house = new House();
after(() => house.close());

const commands = documents.flatMap(commandsOf);
const where = ({ document, line, text }) => `${document}:${line}: ${text}`;

test('commands are found in blocks, in running text and beside their explanations', () => {
  const shown = commandsIn([
    '# A `title`', '`modgate check` is a name, `modgate check --config FILE` a command, `kind = store` neither; so is', '`sudo systemctl',
    'reload modgate`, and `scripts/run.sh`.', '```sh', '# why', 'one && two', 'for a in b; do', '  three "$a"', 'done', 'four \\', '  five', '```',
    '```text', 'modgate queue show  --config FILE NUMBER…   why it is held', 'curl is no command', '$ findscu -W …', '```', '* a', '', '  ```sh', '  six', '  ```',
  ].join('\n'));
  assert.deepEqual(shown.map(({ line, text }) => [line, text]), [
    [7, 'one && two'], [8, 'for a in b; do\n  three "$a"\ndone'], [11, 'four \\\n  five'],
    [15, 'modgate queue show  --config FILE NUMBER…'], [16, 'curl is no command'], [17, 'findscu -W …'], [22, 'six'],
    [2, 'modgate check --config FILE'], [3, 'sudo systemctl reload modgate'], [4, 'scripts/run.sh'],
  ]);
});

test('every block of the documents says what it is: sh is run, the others are not', () => {
  const languages = ['sh', 'text', 'ini', 'yaml', 'xml', 'haproxy'];
  const unknown = documents.flatMap((document) => blocksOf(textOf(document))
    .filter(({ language }) => !languages.includes(language)).map(({ line, language }) => `${document}:${line}: "${language}"`));
  assert.deepEqual(unknown, []);
});

test('every command of the documents is run by a test', () => {
  assert.ok(commands.length > 70);
  assert.deepEqual(commands.filter((command) => !claimOf(command)).map(where), []);
});

test('whoever runs commands takes them from the documents, and CTest runs it', async () => {
  const { code, stdout, stderr } = await house.run('ctest', ['--test-dir', path.dirname(modgateBinary), '-N', '-C', 'long']);
  assert.equal(code, 0, stderr);
  const tests = [...stdout.matchAll(/^ *Test +#\d+: (.*?)$/gm)].map(([, name]) => name.trim());
  for (const claim of claims) {
    assert.ok(tests.includes(claim.name), `CTest has no "${claim.name}"`);
    const mine = commands.filter((command) => claimOf(command) === claim);
    assert.ok(mine.length > 0, `no command is ${claim.pattern}, which ${claim.name} is to run`);
    const source = fs.readFileSync(new URL(claim.file, import.meta.url), 'utf8');
    const takes = source.includes(`commandsFor('${claim.name}')`) || source.includes('commandsFor(`scripts: ${name}`)')
      || mine.every(({ document, text }) => source.includes(path.basename(document)) || source.includes(text));
    assert.ok(takes, `${claim.file} does not take the commands of ${claim.name}`);
  }
});
