// The commands that the documents show, and which test runs each of them: a test takes its commands from
// here, as they stand in the documents, and documents.test.js fails for a command that no test takes.
//
//   node documents.js TEST PATTERN      prints the commands of a test, for those that are written in bash
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';

const root = new URL('../../../', import.meta.url);
const manual = 'packaging/modgate.8';

/// README.md, everything in docs/, the manual page: paths from the root.
export const documents = [
  'README.md',
  ...fs.readdirSync(new URL('docs/', root), { recursive: true }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`).sort(),
  manual,
];

export const textOf = (document) => fs.readFileSync(new URL(document, root), 'utf8');

const fence = /^( *)```([^\n]*)\n(.*?)^\1```$/gms;
const lineAt = (text, index) => text.slice(0, index).split('\n').length;

/// The fenced blocks of a document: [{ language, text, line }], line is that of the text's first line.
export function blocksOf(markdown) {
  return [...markdown.matchAll(fence)].map(({ 1: indent, 2: language, 3: text, index }) =>
    ({ language, text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''), line: lineAt(markdown, index) + 1 }));
}

/// What a command begins with, outside of blocks of sh, where every line is one.
const programs = 'apt|apt-get|bash|chmod|chown|cmake|cpack|ctest|curl|dcm2xml|dpkg|dump2dcm|echoscu|findscu|git|haproxy|install|journalctl|'
  + 'man|mkdir|modgate|ninja|node|npm|openssl|promtool|python3|sqlite3|ssh|sudo|sudoedit|systemctl|systemd-run|wlmscpfs|wrk';
const begins = new RegExp(`^(?:(?:${programs})(?= )|scripts/[\\w-]+\\.sh\\b)`);
/// "modgate check" and "modgate queue" alone are names.
const isName = /^modgate(?: [a-z]+){1,2}$/;

/// The lines of a script, those that bash takes as one command together: [[line, text]].
function commandsOfScript(text, first) {
  const commands = [];
  let begun;
  text.split('\n').forEach((line, index) => {
    if (begun === undefined && /^\s*(#|$)/.test(line)) return;
    begun = begun === undefined ? [first + index, line] : [begun[0], `${begun[1]}\n${line}`];
    if (/\\$/.test(line) || spawnSync('bash', ['-n', '-c', begun[1]]).status !== 0) return;
    commands.push(begun);
    begun = undefined;
  });
  return begun ? [...commands, begun] : commands;
}

/// The commands in a document of Markdown: every line of its blocks of sh; in other blocks a line that begins with
/// a program or a prompt, without the explanation after two blanks; in running text a program with its words between
/// backquotes. [{ line, text }]
export function commandsIn(markdown) {
  const commands = [];
  for (const { language, text, line } of blocksOf(markdown)) {
    if (language === 'sh') {
      commands.push(...commandsOfScript(text, line));
      continue;
    }
    text.split('\n').forEach((shown, index) => {
      const command = shown.replace(/^\$ /, '').replace(/(?<=FILE(?: \S+)*) {2,}.*/, '');
      if (shown.startsWith('$ ') || begins.test(command)) commands.push([line + index, command]);
    });
  }
  const running = markdown.replaceAll(fence, (block) => block.replaceAll(/[^\n]/g, ''));
  for (const { 1: span, index } of running.matchAll(/`([^`]+)`/g)) {
    const text = span.replaceAll(/\s+/g, ' ');
    if (begins.test(text) && !isName.test(text)) commands.push([lineAt(running, index), text]);
  }
  return commands.map(([line, text]) => ({ line, text }));
}

/// The commands of a manual page are its synopsis.
function commandsInManual(page) {
  const [before, rest] = page.split('.SH SYNOPSIS\n');
  const [synopsis] = rest.split('.SH ');
  const first = before.split('\n').length + 1;
  return synopsis.split('.br\n').map((part, index, all) => ({
    line: first + all.slice(0, index).join('.br\n').split('\n').length,
    text: part.trim().replaceAll('\\-', '-').split('\n').map((line) => {
      const [macro, ...words] = line.match(/"[^"]*"|\S+/g);
      const plain = words.map((word) => word.replace(/^"(.*)"$/, '$1'));
      return macro.length > 2 ? plain.join('') : plain.join(' ');
    }).join(' '),
  }));
}

export const commandsOf = (document) =>
  (document === manual ? commandsInManual : commandsIn)(textOf(document)).map((command) => ({ document, ...command }));

/// Who runs what: the test as CTest names it, the file that takes the commands, the document if one alone is
/// meant, the commands. The first that matches.
export const claims = [
  ['end_to_end: run_script', 'run_script.test.js', 'README.md', /^scripts\/run\.sh$|^curl -sS --fail|^findscu -W \+sr/],
  ['end_to_end: readme', 'readme.test.js', 'README.md', /^(worklist|step)=|^curl .*"\$(worklist|step)|^curl -X OPTIONS/],
  ['end_to_end: usage', 'usage.test.js', undefined, /^modgate /],
  ['end_to_end: operations', 'operations.test.js', 'docs/operations.md', /^openssl |^curl /],
  ['end_to_end: queue', 'queue.test.js', 'docs/mpps-queue.md', /mpps-queue\.sqlite/],
  ['oracle: xml_against_dcmtk', '../oracle/xml_against_dcmtk.py', 'docs/agreement.md', /^dcm2xml /],
  ['architecture', '../CMakeLists.txt', 'README.md', /^scripts\/check_architecture\.sh$/],
  ['scripts: sanitizers', 'scripts.js', 'README.md', /^scripts\/test\.sh --[at]san/],
  ...['test', 'crash-test', 'fuzz', 'soak', 'generate_docs', 'bench', 'bench_mapping'].map((script) =>
    [`scripts: ${script}`, 'scripts.js', undefined, new RegExp(`^scripts/${script}\\.sh\\b`)]),
  ['fresh_machine', 'fresh_machine.test.js', 'README.md',
    /^scripts\/fresh_machine_test\.sh$|^\(cd build && cpack|^sudo (apt install|modgate probe|systemctl restart) |^sudoedit |^mkdir -p worklists|^for step |^wlmscpfs |^curl |^findscu /],
  ['fresh_machine', 'fresh_machine.test.js', 'docs/operations.md',
    /^sudo (modgate check|systemctl (restart|reload|stop|start)|journalctl|install|apt (remove|purge)|systemd-run) |^sudoedit |^man |^ssh /],
  ['fresh_machine', 'fresh_machine.test.js', 'docs/configuration.md', /^sudo systemctl reload/],
].map(([name, file, document, pattern]) => ({ name, file, document, pattern }));

export const claimOf = (command) =>
  claims.find(({ document, pattern }) => (document ?? command.document) === command.document && pattern.test(command.text));

/// The commands of a test. take() gives out those of a document that match; in the end the test's file fails if one was
/// never taken.
export function commandsFor(name) {
  const left = documents.flatMap(commandsOf).filter((command) => claimOf(command)?.name === name);
  process.on('exit', () => {
    for (const { document, line, text } of left) console.error(`${document}:${line}: ${name} did not run: ${text}`);
    if (left.length) process.exitCode = 1;
  });
  return {
    take(document, pattern = /^/) {
      const taken = left.filter((command) => [command.document, undefined].includes(document) && pattern.test(command.text));
      assert.ok(taken.length > 0, `${document ?? 'no document'} has a command ${pattern} for ${name}`);
      for (const command of taken) left.splice(left.indexOf(command), 1);
      return taken.map(({ text }) => text);
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [name, pattern] = process.argv.slice(2);
  const found = documents.flatMap(commandsOf).filter((command) => claimOf(command)?.name === name && new RegExp(pattern).test(command.text));
  if (found.length === 0) {
    console.error(`documents.js: no command ${pattern} for ${name}`);
    process.exit(1);
  }
  console.log(found.map(({ text }) => text).join('\n'));
}
