// The embedded store over real wires: modgate alone as the RIS, for modalities (DIMSE front) and for web
// clients (web front; findscu asks it through a second modgate). Its worklist is DCMTK's example, as dumps
// and as files, and wlmscpfs over the same example says what the answers should be.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dump2dcm, exampleDumps, findscu, readFiles, startWlmscpfs, withoutCharacterSet } from './support/dcmtk.js';
import { House, until } from './support/house.js';
import { get, post } from './support/http.js';
import { expectNoPatientData, ini, modgateBinary, startModgate } from './support/modgate.js';
import { begun, done } from './support/performed_step.js';
import { nCreate, nGet, nSet, send } from './support/scu.js';
import {
  expectCharacterSetOnlyIfNeeded, expectOnlyWhatWasAsked, foundByExampleQueries, matchingKeys,
} from './support/worklist_answers.js';

const house = new House();
const steps = '/modality-scheduled-procedure-steps';
const target = (uid, rest = '') => `/modality-performed-procedure-steps/${uid}${rest}`;
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.3.${process.pid}.${++uids}`;

/// A directory with DCMTK's example items, every second one as the file that dump2dcm makes of it.
async function exampleWorklist() {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  for (const [index, { name, text }] of exampleDumps('wlistdb/OFFIS').entries()) {
    const file = path.join(directory, `${String(index).padStart(2, '0')}-${name}`);
    if (index % 2) await dump2dcm(house, text, `${file}.wl`);
    else fs.writeFileSync(`${file}.dump`, text, 'latin1');
  }
  return directory;
}

const sections = (worklistDirectory, more = {}) => ({
  dimse: { worklist: 'local', mpps: 'local' },
  web: { worklist: 'local', mpps: 'local' },
  'backend local': { kind: 'store', ...(worklistDirectory && { worklist_dir: worklistDirectory }), ...more },
});

/// A store over a directory with one step for each id; state: a state_dir to go on with; under: a command
/// that runs modgate.
async function startStore(name, ids, { state, more, under } = {}) {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'steps.json'), JSON.stringify(ids.map(scheduled)));
  const stateDirectory = state ?? house.newPath();
  fs.mkdirSync(stateDirectory, { recursive: true });
  const gateway = { log_level: 'debug', state_dir: stateDirectory };
  const store = await startModgate(house, name, { gateway, ...sections(directory, more) }, { under });
  return { ...store, directory, stateDirectory };
}

const scheduled = (id) => ({
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Schröder^Zoë' }] },
  '00100020': { vr: 'LO', Value: ['PID-4711'] },
  '0020000D': { vr: 'UI', Value: [`1.2.3.4.6.${id}`] },
  '00400100': { vr: 'SQ', Value: [{ '00080060': { vr: 'CS', Value: ['CT'] }, '00400009': { vr: 'SH', Value: [`SPS${id}`] } }] },
});

/// { id: status } of the scheduled steps, as the web front answers them.
async function statuses(store, query = '') {
  const answer = await get(store, `${steps}?includefield=00400100.00400020${query}`);
  if (answer.status === 204) return {};
  assert.equal(answer.status, 200, answer.body);
  return Object.fromEntries(answer.json().map((step) => {
    const [item] = step['00400100'].Value;
    return [item['00400009'].Value[0], item['00400020'].Value?.[0]];
  }));
}

let ris;
let store;
let throughWeb; // findscu's way to the store's web front

before(async () => {
  ris = await startWlmscpfs(house, { OFFIS: exampleDumps('wlistdb/OFFIS').map(({ text }) => text) });
  store = await startModgate(house, 'store', sections(await exampleWorklist()));
  throughWeb = await startModgate(house, 'A', {
    dimse: { worklist: 'ris', mpps: 'ris' },
    'backend ris': { kind: 'origin-server', base_uri: store.web.url },
  });
});
after(() => house.close());

describe('each query gets from the store, through both fronts, what it gets from wlmscpfs', () => {
  // Of a sequence that is asked for as a whole wlmscpfs adds to an item's attributes these, without a value.
  const added = ['00400004', '00400005', '00400020'];
  const withoutAdded = (response) => ({
    ...response,
    '00400100': { vr: 'SQ', value: response['00400100'].value.map((item) =>
      Object.fromEntries(Object.entries(item).filter(([tag, { value }]) => !added.includes(tag) || value))) },
  });

  /// Where the answers differ, and the rule that makes ours right. alike: what wlmscpfs' answers must be
  /// turned into to be ours; count: how many ours are, where wlmscpfs found another number.
  const differences = {
    wlistqry1: { rule: 'C.2.2.2.6: an empty item asks for the sequence as it is kept', alike: withoutAdded },
    wlistqry3: { rule: 'C.2.2.2.6, as above', alike: withoutAdded },
    'a sequence without items': { rule: 'C.2.2.2.6, as above', alike: withoutAdded },
    'a name in other letters': { rule: 'F1: names match whatever the case, which PS3.4 leaves to the SCP', count: 3 },
    'a question mark': { rule: 'F2: ? is a wildcard in LO; wlmscpfs takes it by the letter', count: 3 },
    'a list of UIDs (A7)': { rule: 'F6: one of the list must match; wlmscpfs answers its whole worklist', count: 2 },
  };

  const sorted = (responses) => responses.map(withoutCharacterSet).map((response) => JSON.stringify(response)).sort();
  const questions = [
    ...exampleDumps('wlistqry').map(({ name, text }, index) => [name, text, foundByExampleQueries[index]]),
    ...matchingKeys,
  ];
  test('DCMTK has thirteen, and every difference is of a question', () => {
    assert.equal(questions.length, 13 + matchingKeys.length);
    for (const name of Object.keys(differences)) assert.ok(questions.some(([known]) => known === name), name);
  });

  for (const [name, text, count] of questions) {
    const { rule, alike, count: ourCount } = differences[name] ?? {};
    test(`${name}${rule ? ` (differs: ${rule})` : ''}`, async () => {
      const identifier = await dump2dcm(house, text);
      const direct = await findscu(house, { ...ris, aeTitle: 'OFFIS' }, identifier);
      assert.equal(direct.status, 0, direct.output);
      if (count !== undefined) assert.equal(direct.responses.length, count);
      const [asked] = await readFiles(house, [identifier]);
      for (const front of [store.dimse, throughWeb.dimse]) {
        const answer = await findscu(house, front, identifier);
        assert.equal(answer.status, 0, answer.errorComment);
        if (rule) assert.notDeepEqual(sorted(answer.responses), sorted(direct.responses), 'they differ no more');
        if (ourCount !== undefined) assert.equal(answer.responses.length, ourCount);
        else assert.deepEqual(sorted(answer.responses), sorted(direct.responses.map(alike ?? ((same) => same))));
        for (const response of answer.responses) {
          expectOnlyWhatWasAsked(asked, response);
          expectCharacterSetOnlyIfNeeded(response);
        }
      }
    });
  }

  test('in the order of the files, the same each time (A19)', async () => {
    const ids = async () => (await get(store, steps)).json().map((item) => item['0020000D'].Value[0]);
    const first = await ids();
    const kept = exampleDumps('wlistdb/OFFIS').map(({ text }) => text.match(/^\(0020,000d\) UI +(\S+)/m)[1]);
    assert.equal(kept.length, 10);
    assert.deepEqual(first, kept);
    assert.deepEqual(await ids(), first);
  });
});

describe('a performed procedure step', () => {
  test('from a modality: scheduled, STARTED, COMPLETED; kept whole, for N-GET and for the web', async () => {
    const local = await startStore('mpps', [1, 2, 3]);
    const uid = newUid();
    assert.deepEqual(await statuses(local), { SPS1: undefined, SPS2: undefined, SPS3: undefined });
    const created = await send(local.dimse, nCreate(uid, begun())); // it performs SPS1 and SPS2
    assert.equal(created.status, 0, created.errorComment);
    assert.deepEqual(await statuses(local), { SPS1: 'STARTED', SPS2: 'STARTED', SPS3: undefined });
    assert.deepEqual(await statuses(local, '&00400100.00400020=STARTED'), { SPS1: 'STARTED', SPS2: 'STARTED' });
    const updated = await send(local.dimse, nSet(uid, done()));
    assert.equal(updated.status, 0, updated.errorComment);
    assert.deepEqual(await statuses(local), { SPS1: 'COMPLETED', SPS2: 'COMPLETED', SPS3: undefined });

    const found = await send(local.dimse, nGet(uid));
    assert.equal(found.status, 0, found.errorComment);
    const { SpecificCharacterSet: _, ...rest } = { ...begun(), ...done() };
    assert.equal(found.elements.PatientName[0].Alphabetic, 'Schröder^Zoë');
    assert.deepEqual(Object.keys(found.elements).sort(), Object.keys(rest).sort());
    assert.equal(found.elements.PerformedSeriesSequence.length, 2);
    const onWeb = await get(local, target(uid));
    assert.equal(onWeb.status, 200, onWeb.body);
    const [step] = onWeb.json();
    assert.equal(step['00400252'].Value[0], 'COMPLETED');
    assert.deepEqual(step['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'Schröder^Zoë' }] });
    assert.equal(step['00400270'].Value.length, 2);
  });

  test('N-GET of a list: what there is, 0001 where a known attribute is missing, 0107 for an unknown one (F28)', async () => {
    const uid = newUid();
    assert.equal((await send(store.dimse, nCreate(uid, begun()))).status, 0);
    const exact = await send(store.dimse, nGet(uid, ['Modality', 'PerformedProcedureStepStatus']));
    assert.equal(exact.status, 0);
    assert.deepEqual(exact.elements, { Modality: 'CT', PerformedProcedureStepStatus: 'IN PROGRESS' });
    const partly = await send(store.dimse, nGet(uid, ['Modality', 'CommentsOnThePerformedProcedureStep']));
    assert.equal(partly.status, 0x0001);
    assert.deepEqual(partly.elements, { Modality: 'CT' });
    const unknown = await send(store.dimse, nGet(uid, ['Modality', 'PixelData']));
    assert.equal(unknown.status, 0x0107);
    assert.deepEqual(unknown.elements, { Modality: 'CT' });
    const onWeb = await get(store, target(uid, '?includefield=Modality,CommentsOnThePerformedProcedureStep'));
    assert.equal(onWeb.status, 200);
    assert.deepEqual(onWeb.json(), [{ '00080060': { vr: 'CS', Value: ['CT'] } }]);
    assert.match(onWeb.headers.warning, /Requested optional Attributes are not supported/);
  });

  test('Create, Update and Retrieve on the web; a step begun by a modality is ended on the web', async () => {
    const uid = newUid();
    assert.equal((await send(store.dimse, nCreate(uid, begun()))).status, 0);
    const model = (await get(store, target(uid))).json()[0];
    const other = newUid();
    const created = await post(store, target(other), model);
    assert.equal(created.status, 201, created.body);
    assert.deepEqual((await get(store, target(other))).json(), [model]);
    const end = {
      '00400250': { vr: 'DA', Value: ['20261120'] }, '00400251': { vr: 'TM', Value: ['082000'] },
      '00400252': { vr: 'CS', Value: ['DISCONTINUED'] },
      '00400340': { vr: 'SQ', Value: [{
        '00080054': { vr: 'AE' }, '0008103E': { vr: 'LO' }, '00081050': { vr: 'PN' }, '00081070': { vr: 'PN' }, '00081140': { vr: 'SQ' },
        '00181030': { vr: 'LO', Value: ['Thorax'] }, '0020000E': { vr: 'UI', Value: ['1.2.3.4.8.2'] }, '00400220': { vr: 'SQ' },
      }] },
    };
    for (const [one, form] of [[uid, '?update'], [other, '/update']]) {
      const updated = await post(store, target(one, form), end);
      assert.equal(updated.status, 200, updated.body);
      assert.deepEqual((await get(store, target(one))).json(), [{ ...model, ...end }]);
    }
    const late = await send(throughWeb.dimse, nSet(uid, done()));
    assert.equal(late.status, 0x0110);
    assert.equal(late.errorId, 0xa710);
  });

  test('every refusal of F.7.2 and F.8, on DIMSE, on the web, and on DIMSE through the web', async () => {
    const uid = newUid();
    assert.equal((await send(store.dimse, nCreate(uid, begun()))).status, 0);
    const final = newUid();
    assert.equal((await send(store.dimse, nCreate(final, begun()))).status, 0);
    assert.equal((await send(store.dimse, nSet(final, done()))).status, 0);
    const { Modality: _, ...withoutModality } = begun();
    const table = [
      ['N-CREATE of a step that exists', () => nCreate(uid, begun()), 0x0111, 409],
      ['N-CREATE of a step that is COMPLETED (F17)', () => nCreate(newUid(), { ...begun(), PerformedProcedureStepStatus: 'COMPLETED' }), 0x0106, 400],
      ['N-CREATE without a Modality (F18)', () => nCreate(newUid(), withoutModality), 0x0120, 400],
      ['N-CREATE with a Modality without a value (F18)', () => nCreate(newUid(), { ...begun(), Modality: '' }), 0x0121, 400],
      ['N-SET of a step that nobody knows', () => nSet(newUid(), done()), 0x0112, 404],
      ['N-SET of a Patient ID (F20)', () => nSet(uid, { PatientID: 'OTHER-4712' }), 0x0105, 409],
      ['N-SET of an attribute that was not created (F19)', () => nSet(uid, { CommentsOnThePerformedProcedureStep: 'x' }), 0x0105, 409],
      ['N-SET of another status', () => nSet(uid, { PerformedProcedureStepStatus: 'PAUSED' }), 0x0106, 400],
      ['N-SET to COMPLETED without a series (F23)', () => nSet(uid, { PerformedProcedureStepStatus: 'COMPLETED' }), 0x0121, 400],
      ['N-SET of a final step (F22)', () => nSet(final, done()), 0x0110, 409],
      ['N-GET of a step that nobody knows (F27)', () => nGet(newUid()), 0x0112, 404],
    ];
    const hex = (status) => status?.toString(16).padStart(4, '0');
    for (const [what, request, status, onWeb] of table) {
      const answer = await send(store.dimse, request());
      assert.equal(hex(answer.status), hex(status), `${what}: ${answer.errorComment}`);
      const lines = store.log().split('\n').filter((line) => line.includes('web: ')).length;
      const through = await send(throughWeb.dimse, request());
      assert.equal(hex(through.status), hex(status), `${what}, through the web: ${through.errorComment}`);
      await until(5000, `${what}: ${onWeb} in the log of the web front`, () =>
        store.log().split('\n').filter((line) => line.includes('web: ')).slice(lines).some((line) => line.includes(`: ${onWeb} in `)));
    }
    assert.equal((await send(store.dimse, nGet(uid))).elements.PerformedProcedureStepStatus, 'IN PROGRESS');
  });

  test('is there after a restart, also after a SIGKILL, and its scheduled step is still marked', async () => {
    const first = await startStore('before', [1, 2, 3]);
    const [one, two] = [newUid(), newUid()];
    assert.equal((await send(first.dimse, nCreate(one, begun()))).status, 0);
    assert.equal((await send(first.dimse, nSet(one, done()))).status, 0);
    first.child.signal('SIGKILL');
    await first.child.exited;
    const second = await startStore('between', [1, 2, 3], { state: first.stateDirectory });
    assert.deepEqual(await statuses(second), { SPS1: 'COMPLETED', SPS2: 'COMPLETED', SPS3: undefined });
    assert.equal((await send(second.dimse, nCreate(one, begun()))).status, 0x0111);
    assert.equal((await send(second.dimse, nCreate(two, begun()))).status, 0);
    assert.deepEqual(await second.child.stop(), { code: 0, signal: null });
    const third = await startStore('after', [1, 2, 3], { state: first.stateDirectory });
    assert.deepEqual(await statuses(third), { SPS1: 'STARTED', SPS2: 'STARTED', SPS3: undefined });
    assert.equal((await send(third.dimse, nGet(two))).elements.PerformedProcedureStepStatus, 'IN PROGRESS');
    assert.equal((await send(third.dimse, nSet(two, done()))).status, 0);
  });

  test('killed again and again while modalities create: what was told success is there, whole', async () => {
    const promised = new Set();
    let state;
    for (let round = 0; round < 6; round++) {
      const local = await startStore(`killed ${round}`, [1], { state });
      state = local.stateDirectory;
      let killed = false;
      const modalities = Array.from({ length: 4 }, async () => {
        while (!killed) {
          const uid = newUid();
          const created = await send(local.dimse, nCreate(uid, begun())).catch(() => undefined);
          if (created?.status !== 0) continue;
          promised.add(uid);
        }
      });
      await until(20000, 'a few steps to be promised', () => promised.size >= (round + 1) * 10);
      local.child.signal('SIGKILL');
      await local.child.exited;
      killed = true;
      await Promise.all(modalities);
    }
    const last = await startStore('after the kills', [1], { state });
    const [model] = (await get(last, target([...promised][0]))).json();
    for (const uid of promised) assert.deepEqual((await get(last, target(uid))).json(), [model]);
  });

  test('with the disk full: 0213 and 503, the log says why; with space again it goes on', async () => {
    const limited = ['bash', '-c', 'trap "" XFSZ; ulimit -S -f 400; exec "$@"', 'modgate'];
    const local = await startStore('full', [1], { under: limited });
    const kept = [];
    let refused;
    while (!refused && kept.length < 400) {
      const uid = newUid();
      const { status } = await send(local.dimse, nCreate(uid, begun()));
      if (status === 0) kept.push(uid);
      else refused = status;
    }
    assert.equal(refused, 0x0213);
    assert.ok(kept.length > 10, String(kept.length));
    const [model] = (await get(local, target(kept[0]))).json();
    assert.equal((await post(local, target(newUid()), model)).status, 503);
    assert.match(local.log(), /the store refuses: performed_steps\.sqlite: (disk I\/O error|database or disk is full)/);
    const freed = await house.run('prlimit', [`--pid=${local.child.pid}`, '--fsize=unlimited']);
    assert.equal(freed.code, 0, freed.stderr);
    assert.equal((await post(local, target(newUid()), model)).status, 201);
    for (const uid of kept) assert.equal((await get(local, target(uid))).status, 200);
  });

  test('hide_started = yes leaves its scheduled steps out', async () => {
    const local = await startStore('hiding', [1, 2, 3], { more: { hide_started: 'yes' } });
    assert.deepEqual(Object.keys(await statuses(local)), ['SPS1', 'SPS2', 'SPS3']);
    assert.equal((await send(local.dimse, nCreate(newUid(), begun()))).status, 0);
    assert.deepEqual(Object.keys(await statuses(local)), ['SPS3']);
  });
});

describe('files', () => {
  test('that come, change and go are answered within seconds; bad ones are reported once and left out', async () => {
    const local = await startStore('files', [1]);
    const file = (name) => path.join(local.directory, name);
    const answered = async () => Object.keys(await statuses(local)).join();
    assert.equal(await answered(), 'SPS1');
    fs.writeFileSync(file('two.json'), JSON.stringify(scheduled(2)));
    await until(10000, 'a new file to be seen', async () => (await answered()) === 'SPS1,SPS2');
    fs.writeFileSync(file('two.json'), JSON.stringify(scheduled(3)));
    await until(10000, 'a changed file to be seen', async () => (await answered()) === 'SPS1,SPS3');
    fs.writeFileSync(file('bad.json'), JSON.stringify(scheduled(4)).slice(0, 200));
    fs.writeFileSync(file('bad.dump'), '(0010,0010) PN [Schröder^Zoë]\n');
    await until(20000, 'bad files to be reported', () => /bad\.json is left out/.test(local.log()) && /bad\.dump is left out/.test(local.log()));
    assert.match(local.log(), /worklist file bad\.dump is left out: line 1: expected text in the default repertoire/);
    assert.equal(await answered(), 'SPS1,SPS3');
    fs.writeFileSync(file('bad.json'), JSON.stringify(scheduled(4)));
    await until(10000, 'a mended file to be seen', async () => (await answered()) === 'SPS4,SPS1,SPS3');
    fs.rmSync(file('steps.json'));
    await until(10000, 'a missing file to be missed', async () => (await answered()) === 'SPS4,SPS3');
    assert.equal(local.log().match(/is left out/g).length, 2);
  });

  test('gone with their directory: the search fails, on DIMSE and on the web, it is not empty', async () => {
    const local = await startStore('gone', [1]);
    fs.rmSync(local.directory, { recursive: true });
    await until(10000, 'the search to fail', async () => (await get(local, steps)).status === 503);
    const answer = await findscu(house, local.dimse, await dump2dcm(house, '(0010,0010) PN []\n'));
    assert.equal(answer.status, 0xa700);
    assert.equal(answer.responses.length, 0);
  });
});

describe('a state_dir that cannot be used: modgate does not start, and says what to do', () => {
  async function startsNot(stateDirectory) {
    const configuration = house.newPath('.ini');
    fs.writeFileSync(configuration, ini({
      gateway: { state_dir: stateDirectory }, web: { bind: '127.0.0.1', port: 0, mpps: 'local' }, 'backend local': { kind: 'store' },
    }));
    const { code, stderr } = await house.run(modgateBinary, ['--config', configuration]);
    assert.equal(code, 1, stderr);
    assert.doesNotMatch(stderr, /^ready/m);
    return stderr;
  }

  test('because the database is damaged', async () => {
    const local = await startStore('damaged', [1]);
    assert.equal((await send(local.dimse, nCreate(newUid(), begun()))).status, 0);
    await local.child.stop();
    const database = path.join(local.stateDirectory, 'performed_steps.sqlite');
    fs.writeFileSync(database, Buffer.alloc(fs.statSync(database).size, 'x'));
    assert.match(await startsNot(local.stateDirectory),
      /\[backend local\] \S+performed_steps\.sqlite: is damaged .* restore it from a backup, or move it away with its -wal and -shm/);
    assert.equal(fs.readFileSync(database, 'latin1').slice(0, 3), 'xxx', 'it is left as it is');
  });

  test('because it cannot be written', async () => {
    assert.match(await startsNot('/proc/self'), /cannot be written .* expected state_dir to be a directory that this user may write/);
  });

  test('because another modgate uses it', async () => {
    const local = await startStore('first', [1]);
    assert.match(await startsNot(local.stateDirectory), /is in use by another modgate: expected a state_dir of its own for each/);
  });
});

test('the logs name no patient', () => {
  expectNoPatientData(assert, house, ['VIVALDI', 'AV35674', 'MOZART', 'Schröder', 'PID-4711', 'Miller^Ann', 'ACC1']);
});
