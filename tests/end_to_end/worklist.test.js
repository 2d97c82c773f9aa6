// The worklist over real wires: every question is put to DCMTK's wlmscpfs directly, and to the same
// wlmscpfs through two gateways (findscu → A: DIMSE front → HTTP → B: web front → C-FIND → wlmscpfs).
// Both must give the same items. Rules A13, A20, A29, F8, G10.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decode, encode } from './support/data_set.js';
import { dump2dcm, exampleDumps, findscu, readFiles, startWlmscpfs, withoutCharacterSet } from './support/dcmtk.js';
import { House } from './support/house.js';
import { get } from './support/http.js';
import { expectNoPatientData, startChain } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { sopClass, withAssociation } from './support/raw_scu.js';
import {
  expectCharacterSetOnlyIfNeeded, expectOnlyWhatWasAsked, foundByExampleQueries, matchingKeys,
} from './support/worklist_answers.js';

const house = new House();
let ris; // wlmscpfs
let chain; // in front of the worklist OFFIS
let umlauts; // in front of the worklist UMLAUTS

// DCMTK's own items with German names in Latin-1.
const names = ['MÜLLER^JÖRG', 'MÜLLER^ÄNNE', 'GROß^RENÉE', 'SMITH^JOHN'];
const itemsWithUmlauts = () =>
  exampleDumps('wlistdb/OFFIS')
    .slice(0, names.length)
    .map(({ text }, index) => text.replace(/\(0010,0010\) PN .*/, `(0010,0010) PN [${names[index]}]`));

// The names of PS3.5, Annexes H to K, as a RIS of the country keeps them: set, bytes, text.
const eastern = [
  ['\\ISO 2022 IR 87', 'Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B',
    { Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
  ['\\ISO 2022 IR 149', 'Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf',
    { Alphabetic: 'Hong^Gildong', Ideographic: '洪^吉洞', Phonetic: '홍^길동' }],
  ['GB18030', 'Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab', { Alphabetic: 'Wang^XiaoDong', Ideographic: '王^小东' }],
];
const easternItems = () =>
  exampleDumps('wlistdb/OFFIS')
    .slice(0, eastern.length)
    .map(({ text }, index) => text
      .replace(/\(0008,0005\) CS .*/, () => `(0008,0005) CS [${eastern[index][0]}]`)
      .replace(/\(0010,0010\) PN .*/, () => `(0010,0010) PN [${eastern[index][1]}]`));

before(async () => {
  const worklists = { OFFIS: exampleDumps('wlistdb/OFFIS').map(({ text }) => text), UMLAUTS: itemsWithUmlauts(), EAST: easternItems() };
  ris = await startWlmscpfs(house, worklists);
  chain = await startChain(house, { worklist: { ...ris, aeTitle: 'OFFIS' } });
  umlauts = await startChain(house, { worklist: { ...ris, aeTitle: 'UMLAUTS' } });
});
after(() => house.close());

/// Puts one question both ways: { direct, through } as findscu gives them.
async function askBoth(identifier, { worklist = 'OFFIS', options } = {}) {
  const through = worklist === 'OFFIS' ? chain : umlauts;
  return {
    direct: await findscu(house, { ...ris, aeTitle: worklist }, identifier, { options }),
    through: await findscu(house, through.a.dimse, identifier, { options }),
  };
}

function expectSame({ direct, through }) {
  assert.equal(through.status, direct.status, `final status; Error Comment: ${through.errorComment}`);
  assert.deepEqual(through.responses.map(withoutCharacterSet), direct.responses.map(withoutCharacterSet));
}

describe('each of the example queries of DCMTK gets from two gateways what it gets from wlmscpfs', () => {
  test('there are thirteen', () => assert.equal(exampleDumps('wlistqry').length, foundByExampleQueries.length));

  for (const [index, { name, text }] of exampleDumps('wlistqry').entries()) {
    test(`${name}: same items, same order, same values, nothing that was not asked for`, async () => {
      const identifier = await dump2dcm(house, text);
      const answers = await askBoth(identifier);
      assert.equal(answers.direct.status, 0, answers.direct.output);
      assert.equal(answers.direct.responses.length, foundByExampleQueries[index], 'items in the example worklist');
      expectSame(answers);
      const [asked] = await readFiles(house, [identifier]);
      for (const response of answers.through.responses) {
        expectOnlyWhatWasAsked(asked, response);
        expectCharacterSetOnlyIfNeeded(response);
      }
    });
  }
});

describe('matching keys narrow the worklist as they do without gateways', () => {
  for (const [name, text, count] of matchingKeys) {
    test(`${name}`, async () => {
      const identifier = await dump2dcm(house, text);
      const answers = await askBoth(identifier);
      if (count !== undefined) assert.equal(answers.direct.responses.length, count, answers.direct.output);
      expectSame(answers);
      const [asked] = await readFiles(house, [identifier]);
      for (const response of answers.through.responses) expectOnlyWhatWasAsked(asked, response);
    });
  }
});

describe('transfer syntaxes', () => {
  for (const [name, option, accepted] of [
    ['implicit little endian', '-xi', /Accepted Transfer Syntax: +=LittleEndianImplicit/],
    ['explicit little endian', '-xe', /Accepted Transfer Syntax: +=LittleEndianExplicit/],
  ]) {
    test(`a modality that proposes ${name} gets its items in it (H4)`, async () => {
      const query = exampleDumps('wlistqry').find((dump) => dump.name === 'wlistqry11');
      const answers = await askBoth(await dump2dcm(house, query.text), { options: [option] });
      assert.match(answers.through.output, accepted);
      assert.equal(answers.through.responses.length, 10);
      expectSame(answers);
    });
  }
});

describe('names that are not ASCII', () => {
  const all = '(0010,0010) PN []\n(0010,0020) LO []\n';

  test('arrive whole from a RIS that writes Latin-1, in a character set that says so (G2, G10)', async () => {
    const answers = await askBoth(await dump2dcm(house, all), { worklist: 'UMLAUTS' });
    expectSame(answers);
    assert.deepEqual(answers.through.responses.map((item) => item['00100010'].value).sort(), [...names].sort());
    answers.through.responses.forEach((item) => expectCharacterSetOnlyIfNeeded(item));
  });

  test('can be asked for in Latin-1 (A30, G10)', async () => {
    const text = '(0008,0005) CS [ISO_IR 100]\n(0010,0010) PN [MÜLLER*]\n(0010,0020) LO []\n';
    const answers = await askBoth(await dump2dcm(house, text), { worklist: 'UMLAUTS' });
    assert.equal(answers.direct.responses.length, 2, answers.direct.output);
    expectSame(answers);
  });

  test('can be asked for in UTF-8, and find what the RIS keeps in Latin-1', async () => {
    const name = Buffer.from('MÜLLER^JÖRG', 'utf8').toString('latin1');
    const text = `(0008,0005) CS [ISO_IR 192]\n(0010,0010) PN [${name}]\n(0010,0020) LO []\n`;
    const { status, responses, errorComment } = await findscu(house, umlauts.a.dimse, await dump2dcm(house, text));
    assert.equal(status, 0, errorComment);
    assert.deepEqual(responses.map((item) => item['00100010'].value), ['MÜLLER^JÖRG']);
  });

  test('arrive from Japanese, Korean and Chinese sets on the web and at a modality that reads UTF-8 (G2 to G7)', async () => {
    const east = await startChain(house, { worklist: { ...ris, aeTitle: 'EAST' } });
    const answer = await get(east.b, '/modality-scheduled-procedure-steps?includefield=PatientName');
    assert.equal(answer.status, 200, answer.body);
    const found = answer.json().map((item) => item['00100010'].Value[0]);
    const inOrder = (list) => list.map((one) => JSON.stringify(one)).sort();
    assert.deepEqual(inOrder(found), inOrder(eastern.map(([, , name]) => name)));
    const asked = '(0008,0005) CS [ISO_IR 192]\n(0010,0010) PN []\n';
    const { status, responses } = await findscu(house, east.a.dimse, await dump2dcm(house, asked));
    assert.equal(status, 0);
    const names = eastern.map(([, , { Alphabetic, Ideographic, Phonetic }]) =>
      [Alphabetic, Ideographic, Phonetic].filter((group) => group).join('='));
    assert.deepEqual(responses.map((item) => item['00100010'].value).sort(), names.sort());
  });

  test('can be asked for on the web', async () => {
    const path = `/modality-scheduled-procedure-steps?PatientName=${encodeURIComponent('MÜLLER^JÖRG')}`;
    const answer = await get(umlauts.b, path);
    assert.equal(answer.status, 200, answer.body);
    const found = answer.json();
    assert.deepEqual(found.map((item) => item['00100010'].Value), [[{ Alphabetic: 'MÜLLER^JÖRG' }]]);
  });
});

describe('the worklist on the web front', () => {
  const steps = '/modality-scheduled-procedure-steps';

  test('Search by a step attribute gives the steps as an array in application/dicom+json (B10)', async () => {
    const answer = await get(chain.b, `${steps}?00400100.00080060=CT`);
    assert.equal(answer.status, 200, answer.body);
    assert.match(answer.headers['content-type'], /^application\/dicom\+json/);
    assert.equal(answer.json().length, 4);
    for (const item of answer.json()) {
      assert.equal(item['00400100'].Value.length, 1);
      assert.deepEqual(item['00400100'].Value[0]['00080060'], { vr: 'CS', Value: ['CT'] });
      assert.deepEqual(Object.keys(item), Object.keys(item).sort(), 'members ascending (D2)');
    }
  });

  test('tags and keywords, one path or mixed, ask the same (A3, A4)', async () => {
    const answers = await Promise.all(
      ['00400100.00080060', 'ScheduledProcedureStepSequence.Modality', '00400100.Modality'].map((path) =>
        get(chain.b, `${steps}?${path}=MR`)),
    );
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200]);
    assert.equal(answers[1].body, answers[0].body);
    assert.equal(answers[2].body, answers[0].body);
  });

  test('Search without a match is 204 without a body (J4)', async () => {
    const answer = await get(chain.b, `${steps}?00400100.00080060=ZZ`);
    assert.equal(answer.status, 204);
    assert.equal(answer.body, '');
    assert.equal(answer.headers['content-type'], undefined);
  });

  test('pages join to the whole list, in the same order, and say what remains (A18, A19)', async () => {
    const whole = (await get(chain.b, steps)).json();
    assert.equal(whole.length, 10);
    const pages = [];
    for (let offset = 0; offset < 10; offset += 4) {
      const page = await get(chain.b, `${steps}?limit=4&offset=${offset}`);
      assert.equal(page.status, 200, page.body);
      const remaining = 10 - offset - page.json().length;
      if (remaining) assert.match(page.headers.warning, new RegExp(`There are ${remaining} additional results`));
      else assert.equal(page.headers.warning, undefined);
      pages.push(...page.json());
    }
    assert.deepEqual(pages.map((item) => item['0020000D']), whole.map((item) => item['0020000D']));
    assert.equal((await get(chain.b, `${steps}?limit=4&offset=10`)).status, 204);
  });
});

describe('many at once, and much at once', () => {
  let scp;
  let through;
  const patient = (number) => ({
    PatientName: [{ Alphabetic: `BERNOULLI^NO${number}` }], PatientID: `ID-${number}`, StudyInstanceUID: `1.2.3.${number}`,
    ScheduledProcedureStepSequence: [{ Modality: 'CT', ScheduledProcedureStepID: `STEP${number}` }],
  });

  before(async () => {
    scp = await startMppsScp(house);
    through = await startChain(house, { worklist: { host: scp.host, port: scp.port, aeTitle: 'SCP' } }, { backend: { page_size: 100 } });
  });

  const identifier = (id) => encode([
    [0x00100010, 'PN', ''], [0x00100020, 'LO', id ?? ''], [0x00400100, 'SQ', [[[0x00400009, 'SH', '']]]],
  ]);

  test('thirty modalities at once, ten questions each: everybody gets their own patient and no other', async () => {
    scp.register.find = ({ PatientID }) => [
      { status: 0xff00, elements: patient(PatientID.slice(3)) }, { status: 0x0000 },
    ];
    await Promise.all(Array.from({ length: 30 }, (_, modality) =>
      withAssociation(through.a.dimse, [sopClass.worklist], async (association) => {
        for (let question = 0; question < 10; question++) {
          const id = `ID-${100 + modality * 10 + question}`;
          const { status, responses, final } = await association.find(identifier(id));
          assert.equal(status, 0, final.errorComment);
          assert.deepEqual(responses.map((bytes) => decode(bytes)['00100020'].value), [id]);
        }
      })));
  });

  test('a worklist of 250 items arrives whole, in order, none twice, over three pages (mapping 1b)', async () => {
    const items = Array.from({ length: 250 }, (_, number) => ({ status: 0xff00, elements: patient(number) }));
    let questions = 0;
    scp.register.find = () => {
      questions++;
      return [...items, { status: 0x0000 }];
    };
    await withAssociation(through.a.dimse, [sopClass.worklist], async (association) => {
      const { status, responses, final } = await association.find(identifier());
      assert.equal(status, 0, final.errorComment);
      assert.deepEqual(responses.map((bytes) => decode(bytes)['00100020'].value), items.map(({ elements }) => elements.PatientID));
      assert.equal(questions, 3, 'pages');
    });
  });
});

test('the logs of the gateways name no patient', () => {
  const examples = exampleDumps('wlistdb/OFFIS').flatMap(({ text }) =>
    [...text.matchAll(/\(0010,00[12]0\) .. +(\S+)/g)].map((match) => match[1]));
  assert.ok(examples.includes('VIVALDI^ANTONIO') && examples.includes('AV35674'));
  const words = [...examples.filter((word) => word.length > 3), 'VIVALDI', 'MÜLLER', 'MOZART', 'RENÉE', 'BERNOULLI^NO', 'ID-1'];
  expectNoPatientData(assert, house, words);
});
