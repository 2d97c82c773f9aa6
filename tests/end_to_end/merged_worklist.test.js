// Several worklists asked as one, over real wires: DCMTK's wlmscpfs and the embedded store behind one
// modgate, for modalities and web clients; then one of them dies. worklist = a, b; worklist_partial.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dump2dcm, exampleDumps, findscu, startWlmscpfs } from './support/dcmtk.js';
import { freePort, House } from './support/house.js';
import { get } from './support/http.js';
import { expectNoPatientData, startModgate } from './support/modgate.js';

const house = new House();
const steps = '/modality-scheduled-procedure-steps';
const example = exampleDumps('wlistdb/OFFIS').map(({ text }) => text);
const uidOf = (text) => text.match(/^\(0020,000d\) UI +(\S+)/m)[1];
const inRis = example.slice(0, 6); // the store has the last six of the ten: two are in both
const inStore = example.slice(4);

let directory;
before(() => {
  directory = house.newPath();
  fs.mkdirSync(directory);
  inStore.forEach((text, index) => fs.writeFileSync(path.join(directory, `${index}.dump`), text, 'latin1'));
});
after(() => house.close());

/// One modgate with both worklists: of order, and for a modality RISFIRST in the other order.
async function startMerged(name, risPort, partial) {
  const front = { worklist: 'local, ris', worklist_partial: partial };
  return startModgate(house, name, {
    dimse: front,
    web: front,
    'modality other': { ae_title: 'RISFIRST', worklist: 'ris,local' },
    'backend ris': { kind: 'scp', ae_title: 'OFFIS', host: '127.0.0.1', port: risPort },
    'backend local': { kind: 'store', worklist_dir: directory },
  });
}

const all = '(0010,0010) PN []\n(0020,000d) UI []\n(0040,0100) SQ\n(fffe,e000) -\n(0040,0009) SH []\n(fffe,e00d) -\n(fffe,e0dd) -\n';
const uids = (answer) => answer.responses.map((response) => response['0020000D'].value);
const onlyInRis = inRis.map(uidOf).filter((uid) => !inStore.map(uidOf).includes(uid));

describe('two worklists', () => {
  let ris;
  let merged;
  before(async () => {
    ris = await startWlmscpfs(house, { OFFIS: inRis }, ['-s']); // one process, to be killed as a whole
    merged = await startMerged('merged', ris.port, 'no');
  });

  test('are answered as one: those of the first, then those of the second that it does not have', async () => {
    const answer = await findscu(house, merged.dimse, await dump2dcm(house, all));
    assert.equal(answer.status, 0, answer.errorComment);
    assert.equal(answer.responses.length, 10);
    assert.deepEqual(uids(answer).slice(0, 6), inStore.map(uidOf));
    assert.deepEqual(uids(answer).slice(6).sort(), onlyInRis.sort());
    assert.deepEqual(new Set(answer.statuses), new Set([0xff00, 0]));
  });

  test('in the order that a modality has', async () => {
    const answer = await findscu(house, { ...merged.dimse, callingAeTitle: 'RISFIRST' }, await dump2dcm(house, all));
    assert.equal(answer.responses.length, 10);
    assert.deepEqual(uids(answer).slice(0, 6).sort(), inRis.map(uidOf).sort());
  });

  test('also where the modality asks for nothing that tells steps apart, and gets no more than it asked for', async () => {
    const answer = await findscu(house, merged.dimse, await dump2dcm(house, '(0010,0010) PN []\n'));
    assert.equal(answer.responses.length, 10);
    for (const response of answer.responses) assert.deepEqual(Object.keys(response), ['00100010']);
  });

  test('on the web, page by page as whole', async () => {
    const whole = (await get(merged, steps)).json().map((item) => item['0020000D'].Value[0]);
    assert.equal(new Set(whole).size, 10);
    const pages = [];
    for (let offset = 0; offset < 10; offset += 3) {
      const page = await get(merged, `${steps}?limit=3&offset=${offset}`);
      assert.equal(page.status, 200, page.body);
      pages.push(...page.json().map((item) => item['0020000D'].Value[0]));
    }
    assert.deepEqual(pages, whole);
  });

  test('of which one dies in the middle of the day: the search fails, with nothing half on the web', async () => {
    ris.child.signal('SIGKILL');
    await ris.child.exited;
    const answer = await findscu(house, merged.dimse, await dump2dcm(house, all));
    assert.equal(answer.status, 0xa700);
    const onWeb = await get(merged, steps);
    assert.equal(onWeb.status, 503);
    assert.match(onWeb.headers['content-type'], /^application\/problem\+json/);
    assert.match(merged.log(), /worklist ris failed with status A700: the search fails/);
  });
});

describe('worklist_partial = yes, and one of them is not there', () => {
  let partial;
  before(async () => {
    partial = await startMerged('partial', await freePort(), 'yes');
  });

  test('a modality gets what the other has, and FF01 with the last of it at least', async () => {
    for (const callingAeTitle of ['ANY', 'RISFIRST']) {
      const answer = await findscu(house, { ...partial.dimse, callingAeTitle }, await dump2dcm(house, all));
      assert.equal(answer.status, 0, answer.errorComment);
      assert.deepEqual(uids(answer), inStore.map(uidOf));
      assert.equal(answer.statuses.at(-2), 0xff01);
    }
    assert.match(partial.log(), /worklist ris failed with status A700: the search is answered without it/);
  });

  test('a web client gets it with a Warning', async () => {
    const answer = await get(partial, steps);
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.json().length, 6);
    assert.match(answer.headers.warning, /299 .*One or more worklists did not answer and are missing/);
  });

  test('nothing found in the other is a failure, not an empty worklist', async () => {
    const nobody = all.replace('PN []', 'PN [NOSUCHNAME]');
    assert.equal((await findscu(house, partial.dimse, await dump2dcm(house, nobody))).status, 0xa700);
    assert.equal((await get(partial, `${steps}?PatientName=NOSUCHNAME`)).status, 503);
  });
});

test('the logs name no patient', () => {
  expectNoPatientData(assert, house, ['VIVALDI', 'AV35674', 'MOZART', 'NOSUCHNAME']);
});
