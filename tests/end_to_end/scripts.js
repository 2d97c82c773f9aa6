// Runs a short piece of a script, by the commands that the documents have for it:
//
//   node scripts.js NAME      those of CTest's "scripts: NAME"
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { commandsFor, documents, textOf } from './support/documents.js';

const [name] = process.argv.slice(2);
const root = new URL('../../', import.meta.url).pathname;

/// How a documented command becomes a short one, and what the end of it must look like. A measurement may miss its
/// targets beside other work: then it says so, and ends with 1.
const measured = { ends: [0, 1], says: /\| *wanted *\|/ };
const pieces = {
  test: { short: (command) => `${command} -N`, says: /^Total Tests: [1-9]/m },
  sanitizers: { short: (command) => `${command} -R "dimse: association_pool"`, says: /^100% tests passed, 0 tests failed out of [1-9]/m },
  'crash-test': { short: (command) => command.replace(/( \d+)?$/, ' 15'), says: /kills=15 / },
  fuzz: { short: (command) => command.replace(/ \d+/, ' 1'), says: /number_of_executed_units: [1-9]/ },
  soak: { short: (command) => command.replace(/ \d+$/, ' 20'), says: /All tests passed/ },
  generate_docs: { says: /document_tables/ },
  bench: {
    short: (command) => ({
      mapping: command.replace(/( --benchmark_filter=\S+)?$/, ' --benchmark_filter=xml_out --benchmark_min_time=0.01'),
      web: `SECONDS_EACH=1 ${command} create`, dimse: `${command} mpps`, queue: `${command} latency`,
    })[command.split(' ')[1]],
    ...measured,
  },
  bench_mapping: { short: (command) => `${command} --benchmark_filter=xml_out --benchmark_min_time=0.01`, ...measured },
};

const { short = (command) => command, ends = [0], says } = pieces[name];
const before = new Map(documents.map((document) => [document, textOf(document)]));
const commands = new Set(commandsFor(`scripts: ${name}`).take().map(short));
for (const command of commands) {
  console.log(`$ ${command}`);
  const { status, stdout, stderr } = spawnSync('bash', ['-c', command], { cwd: root, encoding: 'utf8', maxBuffer: 1e9 });
  console.log(stdout + stderr);
  if (!ends.includes(status) || !says.test(stdout)) {
    console.error(`"${command}" ended with ${status}; expected ${ends.join(' or ')} and ${says} in what it writes`);
    process.exitCode = 1;
  }
}
for (const [document, text] of before) {
  if (fs.existsSync(new URL(document, `file://${root}`)) && textOf(document) === text) continue;
  console.error(`${document} has changed`);
  process.exitCode = 1;
}
