// The examples of Supplement 246 (PS3.18, B.36 to B.40) as requests to a gateway, their misprints
// mended: the trailing slash is kept (J3), both update forms are sent (J1), UIDs have no empty
// component and the step's ID fits its VR (J9), the elisions are filled. Behind it: wlmscpfs, dcmjs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startWlmscpfs } from './support/dcmtk.js';
import { House } from './support/house.js';
import { dicomJson, request } from './support/http.js';
import { expectNoPatientData, startChain } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { nGet, send } from './support/scu.js';

const house = new House();
let ris;
let chain;

const study = '1.2.250.1.59.40211.30000008090412501082300000004';
const mpps = '1.2.250.1.59.40211.12345678.987654';
const series = '1.2.250.1.59.40211.197132.30000020040718322840300000007';
const image = (last) => `1.2.250.1.59.40211.197132.3000002004071832284030000052${last}`;
const host = { host: 'www.hospital-stmarco' };

// Two steps for Sally Doe at CTSCANNER, and one that the query must not find.
const scheduled = [
  ['CT', 'Specials^04a_HeadCTA', 'PS-ID-23', 'P-ID-22'],
  ['CT', 'Specials^04a_SpineCTA', 'PS-ID-24', 'P-ID-22'],
  ['MR', 'Head', 'PS-ID-25', 'P-ID-25'],
].map(([modality, description, id, procedure]) => `(0008,0050) SH [1]
(0010,0010) PN [Doe^Sally]
(0010,0020) LO [SALLY-1]
(0010,0030) DA [19800101]
(0010,0040) CS [F]
(0020,000d) UI [${study}]
(0032,1060) LO [Angiography]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [${modality}]
(0040,0001) AE [CTSCANNER]
(0040,0002) DA [20250101]
(0040,0003) TM [1200]
(0040,0007) LO [${description}]
(0040,0009) SH [${id}]
(0040,0010) SH [CTSCANNER]
(fffe,e00d) -
(fffe,e0dd) -
(0040,1001) SH [${procedure}]
`);

before(async () => {
  const worklist = await startWlmscpfs(house, { RIS: scheduled });
  ris = await startMppsScp(house);
  chain = await startChain(
    house,
    { worklist: { ...worklist, aeTitle: 'RIS' }, mpps: { host: ris.host, port: ris.port, aeTitle: 'RIS' } },
    { b: { base_path: '/radiology' } },
  );
});
after(() => house.close());

const target = (rest = '') => `/radiology/modality-performed-procedure-steps/${mpps}${rest}`;
const post = (path, body) =>
  request(chain.b, 'POST', path, { headers: { ...host, 'content-type': dicomJson }, body: JSON.stringify(body) });
const get = (path) => request(chain.b, 'GET', path, { headers: { ...host, accept: dicomJson } });

const created = {
  '00080060': { vr: 'CS', Value: ['CT'] },
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Doe^Sally' }] },
  '00400242': { vr: 'SH', Value: ['CTSCANNER'] },
  '00400252': { vr: 'CS', Value: ['IN PROGRESS'] },
  '00400253': { vr: 'SH', Value: ['PPS-987654'] },
  '00400270': {
    vr: 'SQ',
    Value: [{
      '00080050': { vr: 'SH', Value: ['1'] },
      '0020000D': { vr: 'UI', Value: [study] },
      '00400007': { vr: 'LO', Value: ['Specials^04a_HeadCTA'] },
      '00400009': { vr: 'SH', Value: ['PS-ID-23'] },
      '00401001': { vr: 'SH', Value: ['P-ID-22'] },
    }],
  },
};
const withImages = {
  '00400340': {
    vr: 'SQ',
    Value: [{
      '0008103E': { vr: 'LO', Value: ['Head 1.50 Hr64 ax'] },
      '00081050': { vr: 'PN', Value: [{ Alphabetic: 'House^Gregory' }] },
      '00081140': {
        vr: 'SQ',
        Value: [0, 1].map((last) => ({
          '00081150': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.2'] },
          '00081155': { vr: 'UI', Value: [image(last)] },
        })),
      },
      '00181030': { vr: 'LO', Value: ['Special^99a_HeadCTA'] },
      '0020000E': { vr: 'UI', Value: [series] },
    }],
  },
};
const completed = {
  '00400250': { vr: 'DA', Value: ['20250101'] },
  '00400251': { vr: 'TM', Value: ['1300'] },
  '00400252': { vr: 'CS', Value: ['COMPLETED'] },
};

describe('the examples, in their order', () => {
  test('B.36 Search: the two steps of a station, a day and a modality, with all attributes', async () => {
    for (const slash of ['/', '']) {
      const answer = await get(
        `/radiology/modality-scheduled-procedure-steps${slash}?00400100.00400010=CTSCANNER` +
          '&00400100.00400002=20250101&00400100.00080060=CT&limit=20&offset=0&includefield=all',
      );
      assert.equal(answer.status, 200, answer.body);
      assert.match(answer.headers['content-type'], /^application\/dicom\+json/);
      const items = answer.json();
      assert.equal(items.length, 2);
      for (const item of items) {
        assert.deepEqual(item['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'Doe^Sally' }] });
        assert.deepEqual(item['0020000D'], { vr: 'UI', Value: [study] });
        assert.deepEqual(item['00401001'], { vr: 'SH', Value: ['P-ID-22'] });
        assert.equal(item['00400100'].Value.length, 1, 'one step in each result (J7)');
        assert.deepEqual(item['00400100'].Value[0]['00400010'], { vr: 'SH', Value: ['CTSCANNER'] });
      }
      const ids = items.map((item) => item['00400100'].Value[0]['00400009'].Value[0]);
      assert.deepEqual(ids.sort(), ['PS-ID-23', 'PS-ID-24']);
    }
  });

  test('B.37 Create: a body that is an object, without Accept (J6, J10)', async () => {
    const answer = await post(target(), created);
    assert.equal(answer.status, 201, answer.body);
    assert.equal(answer.headers.location && new URL(answer.headers.location, 'http://x').pathname, target());
    assert.deepEqual([...ris.register.steps.keys()], [mpps]);
    assert.equal(ris.register.received.at(-1).elements.ScheduledStepAttributesSequence[0].StudyInstanceUID, study);
  });

  for (const form of ['/update', '?update']) {
    test(`B.38 Update with images, as ${form}`, async () => {
      const answer = await post(target(form), withImages);
      assert.equal(answer.status, 200, answer.body);
      const [only, ...more] = ris.register.received.at(-1).elements.PerformedSeriesSequence;
      assert.equal(more.length, 0);
      assert.deepEqual(only.ReferencedImageSequence.map((item) => item.ReferencedSOPInstanceUID), [image(0), image(1)]);
    });
  }

  test('B.39 Update to COMPLETED', async () => {
    assert.equal((await post(target('?update'), completed)).status, 200);
    assert.equal(ris.register.steps.get(mpps).PerformedProcedureStepStatus, 'COMPLETED');
  });

  test('B.40.1 Retrieve of all attributes gives everything that the examples have set', async () => {
    for (const query of ['?includefield=all', '']) {
      const answer = await get(target(query));
      assert.equal(answer.status, 200, answer.body);
      assert.deepEqual(answer.json(), [{ ...created, ...withImages, ...completed }]);
    }
  });

  test('B.40.2 Retrieve of three attributes gives these, in ascending order', async () => {
    const answer = await get(target('?includefield=00100010,00400252,00400242'));
    assert.equal(answer.status, 200, answer.body);
    const [step, ...more] = answer.json();
    assert.equal(more.length, 0);
    assert.deepEqual(Object.entries(step), [
      ['00100010', created['00100010']], ['00400242', created['00400242']], ['00400252', completed['00400252']],
    ]);
  });

  test('and a modality retrieves the same by N-GET, through both gateways', async () => {
    const found = await send(chain.a.dimse, nGet(mpps, ['PatientName', 'PerformedProcedureStepStatus', 'PerformedStationName']));
    assert.equal(found.status, 0, found.errorComment);
    assert.deepEqual(found.elements, {
      PatientName: [{ Alphabetic: 'Doe^Sally' }], PerformedStationName: 'CTSCANNER', PerformedProcedureStepStatus: 'COMPLETED',
    });
  });
});

test('the logs of the gateways name no patient', () => expectNoPatientData(assert, house, ['Doe^Sally', 'Sally', 'SALLY-1', 'Gregory']));
