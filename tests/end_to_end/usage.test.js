// Each form of modgate's command line that the documents and the manual page show, with its placeholders filled in and
// what is optional both left out and given, does what stands beside it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { commandsFor } from './support/documents.js';
import { freePort, House, until } from './support/house.js';
import { post } from './support/http.js';
import { modgateBinary, startModgate } from './support/modgate.js';
import { begunInJson } from './support/performed_step.js';

const house = new House();
after(() => house.close());

const documented = commandsFor('end_to_end: usage');

/// The command lines that a form stands for: "A… | B" is either, "[A B]" is with and without; words in capitals are
/// what they stand for. Words are never empty and hold no blanks.
function linesOf(form, placeholders) {
  const optional = form.match(/^(.*?) \[([^\]]*)\](.*)$/);
  if (optional) {
    const [, before, inside, behind] = optional;
    return [`${before}${behind}`, `${before} ${inside}${behind}`].flatMap((line) => linesOf(line, placeholders));
  }
  const either = form.match(/^(.*) (\S+) \| (\S+)$/);
  if (either) return [2, 3].flatMap((which) => linesOf(`${either[1]} ${either[which]}`, placeholders));
  const words = form.split(/\s+/).slice(1).map((word) => word.replace(/(…|\.\.\.)$/, ''));
  return [words.flatMap((word) => placeholders[word] ?? [word])];
}

const begun = (gateway, uid) => post(gateway, `/modality-performed-procedure-steps/${uid}`, begunInJson());

/// A gateway with an admin port, whose receiver is away and for which two messages wait; their numbers.
async function startWaiting(name) {
  const gateway = await startModgate(house, name, {
    web: { mpps: 'pacs', mpps_delivery: 'queued' }, 'backend pacs': { kind: 'scp', ae_title: 'PACS', host: '127.0.0.1', port: await freePort() },
  });
  for (const step of ['1.2.3.1', '1.2.3.2']) assert.equal((await begun(gateway, step)).status, 201);
  return gateway;
}

const run = (words, options) => house.run(modgateBinary, words, options);

test('modgate --config FILE serves until SIGTERM, and SIGHUP has it read FILE again; a trace is named in the log', async () => {
  const { configuration, child } = await startModgate(house, 'to be copied', { web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
  await child.stop();
  const forms = documented.take(undefined, /^modgate --config/);
  assert.equal(forms.length, 2);
  for (const words of forms.flatMap((form) => linesOf(form, { FILE: configuration, NAME: 'CT1', TIME: '10m' }))) {
    const served = house.spawn(`modgate ${words.join(' ')}`, modgateBinary, words);
    await served.waitFor(/^ready web=/m);
    if (words.includes('--trace')) await served.waitFor(/trace of "CT1" until /);
    served.signal('SIGHUP');
    await served.waitFor(/reloaded /);
    assert.deepEqual(await served.stop(), { code: 0, signal: null });
  }
});

test('modgate check --config FILE names every fault, or prints the whole', async () => {
  const { configuration } = await startModgate(house, 'checked', { web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
  const faulty = house.newPath('.ini');
  fs.writeFileSync(faulty, '[web]\nmpps = nobody\nprot = 1\n');
  for (const form of documented.take(undefined, /^modgate check/)) {
    const [good] = linesOf(form, { FILE: configuration });
    const whole = await run(good);
    assert.equal(whole.code, 0, whole.stderr);
    assert.match(whole.stdout, /^\[backend local\]$/m);
    const [bad] = linesOf(form, { FILE: faulty });
    const faults = await run(bad);
    assert.equal(faults.code, 2);
    const text = faults.stdout + faults.stderr;
    for (const [line, key] of [[2, 'mpps'], [3, 'prot']]) assert.ok(text.includes(`${faulty}:${line}: [web] ${key}: `), text);
  }
});

test('modgate probe --config FILE asks every backend, and says what came back', async () => {
  const { configuration } = await startModgate(house, 'probed', { web: { mpps: 'local' }, 'backend local': { kind: 'store' } });
  const away = await startWaiting('probed in vain');
  for (const form of documented.take(undefined, /^modgate probe/)) {
    const there = await run(linesOf(form, { FILE: configuration })[0]);
    assert.equal(there.code, 0, there.stdout + there.stderr);
    const gone = await run(linesOf(form, { FILE: away.configuration })[0]);
    assert.equal(gone.code, 1);
    assert.match(gone.stdout, /^ {2}connection +FAILED .*refused/m);
  }
});

test('modgate queue: every verb, of one message and of all', async () => {
  const verbs = ['list', 'show', 'retry', 'discard', 'export'];
  const filters = '--receiver pacs --state waiting --older-than 0s --limit 5'.split(' ');
  const forms = documented.take(undefined, /^modgate queue (?!VERB --help)/)
    .flatMap((form) => (form.includes('VERB') ? verbs.map((verb) => form.replace('VERB', verb)) : [form]));
  for (const form of forms) {
    const [, , verb] = form.split(/\s+/);
    const option = verb === 'list' ? filters : ['--all', ...filters];
    const lines = linesOf(form, { FILE: 'FILE', NAME: 'pacs', NUMBER: '1', MESSAGE: '1', OPTION: option })
      // list takes no messages, the others take some or all
      .filter((words) => (verb === 'list' ? !words.includes('1') : words.includes('1') !== words.includes('--all')));
    assert.ok(lines.length > 0, form);
    for (const words of lines) {
      const { configuration } = await startWaiting('with a queue');
      const line = words.map((word) => (word === 'FILE' ? configuration : word));
      const { code, stdout, stderr } = await run(line, { input: 'yes\n' });
      assert.equal(code, 0, `${line.join(' ')}\n${stdout}${stderr}`);
      const { stdout: left } = await run(['queue', 'list', '--config', configuration]);
      const numbers = [...left.matchAll(/^ *(\d+) /gm)].map(([, number]) => number);
      const all = words.includes('--all');
      assert.deepEqual(numbers, verb === 'discard' ? (all ? [] : ['2']) : ['1', '2'], `${line.join(' ')}\n${left}`);
      const told = stdout.trim().split('\n');
      if (verb === 'export') {
        assert.deepEqual(told.map((one) => typeof JSON.parse(one)), Array(all ? 2 : 1).fill('object'));
      } else {
        assert.notEqual(told[0], '', line.join(' '));
      }
    }
  }
});

test('modgate queue VERB --help names the filters', async () => {
  for (const form of documented.take(undefined, /^modgate queue VERB --help/)) {
    for (const verb of ['list', 'show', 'retry', 'discard', 'export']) {
      const { code, stdout } = await run(linesOf(form, { VERB: verb })[0]);
      assert.equal(code, 0);
      for (const filter of ['--receiver', '--state', '--older-than', '--limit']) assert.ok(stdout.includes(filter), `${verb}\n${stdout}`);
    }
  }
});

test('modgate queue list --limit wants a number above nothing', async () => {
  for (const limit of ['-5', '0', 'x']) {
    const { code, stderr } = await run(['queue', 'list', '--limit', limit, '--config', '/nowhere/modgate.ini']);
    assert.equal(code, 2, limit);
    assert.match(stderr, /--limit: /);
  }
});
