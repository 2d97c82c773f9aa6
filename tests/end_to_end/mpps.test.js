// The performed procedure step over real wires: dcmjs-dimse as the modality in front and as the RIS
// behind, two gateways between them (DIMSE → A → HTTP → B → DIMSE). What arrives behind must be what
// was sent in front; a second dcmjs RIS, asked directly, says what that is. Rules F13 to F28.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { House } from './support/house.js';
import { get, post } from './support/http.js';
import { expectNoPatientData, startChain, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, done } from './support/performed_step.js';
import { encode, explicitLittleEndian, implicitLittleEndian } from './support/data_set.js';
import { sopClass, withAssociation } from './support/raw_scu.js';
import { nCreate, nGet, nSet, plain, send, sendAll } from './support/scu.js';

const house = new House();
let ris; // behind the gateways
let other; // the same program, asked directly
let direct; // peer: the other one
let through; // peer: gateway A
let web; // gateway B

before(async () => {
  ris = await startMppsScp(house);
  other = await startMppsScp(house);
  direct = { host: other.host, port: other.port, aeTitle: 'RIS' };
  // no time to come again after Retry-After: 5
  const backend = { response_timeout_seconds: 5 };
  const chain = await startChain(house, { mpps: { host: ris.host, port: ris.port, aeTitle: 'RIS' } }, { backend });
  through = chain.a.dimse;
  web = chain.b;
});
beforeEach(() => {
  for (const { register } of [ris, other]) {
    register.steps.clear();
    register.received.length = 0;
    register.answer = () => undefined;
  }
});
after(() => house.close());

let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.2.${process.pid}.${++uids}`;
const target = (uid, rest = '') => `/modality-performed-procedure-steps/${uid}${rest}`;

const withoutCharacterSet = ({ '00080005': _, ...rest }) => rest;

// What both RIS received, as dcmjs reads it and byte for byte, must be equal; returns the last message.
function expectReceivedAlike() {
  assert.equal(ris.register.received.length, other.register.received.length, 'number of requests');
  ris.register.received.forEach((request, index) => {
    const wanted = other.register.received[index];
    assert.equal(request.operation, wanted.operation);
    assert.equal(request.uid, wanted.uid);
    assert.deepEqual(request.attributes, wanted.attributes);
    assert.deepEqual(plain(request.elements ?? {}), plain(wanted.elements ?? {}));
    if (request.dataSet && wanted.dataSet) {
      assert.deepEqual(withoutCharacterSet(request.dataSet), withoutCharacterSet(wanted.dataSet));
    }
  });
  return ris.register.received.at(-1);
}

describe('a step, created, updated and retrieved through two gateways, is the step the modality sent', () => {
  test('N-CREATE, N-SET and N-GET: equal data sets at both ends, sequences whole (F14, F21)', async () => {
    const uid = newUid();
    for (const peer of [direct, through]) {
      for (const request of [nCreate(uid, begun()), nSet(uid, done())]) {
        const { status, errorComment } = await send(peer, request);
        assert.equal(status, 0x0000, errorComment);
      }
    }
    expectReceivedAlike();
    assert.equal(ris.register.received[0].elements.ScheduledStepAttributesSequence.length, 2);
    assert.equal(ris.register.received[1].elements.PerformedSeriesSequence.length, 2);
    assert.equal(ris.register.received[1].elements.PerformedSeriesSequence[0].ReferencedImageSequence.length, 2);

    const wanted = await send(direct, nGet(uid));
    const found = await send(through, nGet(uid));
    assert.equal(found.status, 0x0000, found.errorComment);
    assert.equal(found.elements.PatientName[0].Alphabetic, 'Schröder^Zoë');
    assert.deepEqual(found.elements, wanted.elements);
  });

  test('N-GET with an attribute list gives these attributes, whole sequences, and no others (F26)', async () => {
    const uid = newUid();
    const list = ['PatientID', 'PerformedProcedureStepStatus', 'ScheduledStepAttributesSequence'];
    for (const peer of [direct, through]) assert.equal((await send(peer, nCreate(uid, begun()))).status, 0);
    const wanted = await send(direct, nGet(uid, list));
    const found = await send(through, nGet(uid, list));
    assert.equal(found.status, 0x0000, found.errorComment);
    assert.deepEqual(Object.keys(found.elements).sort(), [...list].sort());
    assert.deepEqual(found.elements, wanted.elements);
    // only what is needed was asked from the RIS, too
    const asked = ris.register.received.at(-1).attributes.filter((name) => name !== 'SpecificCharacterSet');
    assert.deepEqual(asked.sort(), [...list].sort());
  });

  test('an N-GET without a list after one with a list, on one association, gets everything', async () => {
    const uid = newUid();
    assert.equal((await send(through, nCreate(uid, begun()))).status, 0);
    await withAssociation(through, [sopClass.mppsRetrieve], async (association) => {
      const few = await association.nGet(uid, [0x00100020]);
      assert.equal(few.status, 0, few.errorComment);
      assert.deepEqual(Object.keys(few.dataSet), ['00100020']);
      const all = await association.nGet(uid);
      assert.equal(all.status, 0, all.errorComment);
      assert.equal(all.dataSet['00400270'].value.length, 2);
      assert.equal(all.dataSet['00400254'].value, 'Thorax nativ – Überprüfung');
    });
  });

  test('several requests on one association (H14: N-CREATE and N-SET need not share one)', async () => {
    const [first, second] = [newUid(), newUid()];
    const answers = await sendAll(through, [
      nCreate(first, begun()), nCreate(second, begun()), nSet(first, done()), nSet(second, done()),
    ]);
    assert.deepEqual(answers.map(({ status }) => status), [0, 0, 0, 0]);
    assert.deepEqual([...ris.register.steps.keys()], [first, second]);
  });

  test('a RIS that knows only implicit little endian receives the same (H4)', async () => {
    // a gateway may keep an association with the old choice: so it is another RIS and another chain
    const old = await startMppsScp(house);
    old.register.transferSyntaxes = [implicitLittleEndian];
    const { a } = await startChain(house, { mpps: { host: old.host, port: old.port, aeTitle: 'OLD' } });
    const uid = newUid();
    for (const peer of [direct, a.dimse]) {
      assert.equal((await send(peer, nCreate(uid, begun()))).status, 0);
      assert.equal((await send(peer, nSet(uid, done()))).status, 0);
    }
    old.register.received.forEach(({ elements }, index) =>
      assert.deepEqual(plain(elements), plain(other.register.received[index].elements)));
    assert.deepEqual((await send(a.dimse, nGet(uid))).elements, (await send(direct, nGet(uid))).elements);
  });
});

describe('associations with the RIS', () => {
  const scp = (keys) => ({ kind: 'scp', ae_title: 'RIS', host: ris.host, port: ris.port, ...keys });
  const createFive = async (gateway) => {
    for (let count = 0; count < 5; count++) {
      assert.equal((await post(gateway, target(newUid()), { '00400252': { vr: 'CS', Value: ['IN PROGRESS'] } })).status, 201);
    }
  };

  test('are kept for the next request', async () => {
    const gateway = await startModgate(house, 'reusing', { web: { mpps: 'ris' }, 'backend ris': scp() });
    const before = ris.register.associations;
    await createFive(gateway);
    assert.equal(ris.register.associations - before, 1);
  });

  test('are one a request where reuse_associations = no', async () => {
    const gateway = await startModgate(house, 'not reusing', { web: { mpps: 'ris' }, 'backend ris': scp({ reuse_associations: 'no' }) });
    const before = ris.register.associations;
    await createFive(gateway);
    assert.equal(ris.register.associations - before, 5);
  });
});

describe('bytes that only a modality on a bare socket can send', () => {
  // [tag, VR, value]: values whose text must not change (D8), empty ones, a private one (D18).
  const odd = [
    [0x00080060, 'CS', 'MR'],
    [0x00081120, 'SQ', []],
    [0x00100010, 'PN', 'Doe^^Jane==x'], // empty parts at the end are dropped on the way (G7, D11)
    [0x00100020, 'LO', ''],
    [0x00181170, 'IS', '007'],
    [0x00290010, 'LO', 'MODGATE TEST'],
    [0x00291001, 'LO', 'private'],
    [0x00400252, 'CS', 'IN PROGRESS'],
    [0x00400260, 'SQ', [[[0x00080100, 'SH', 'A']], [[0x00080100, 'SH', 'B'], [0x00080104, 'LO', '']]]],
    [0x00400270, 'SQ', [[[0x0020000d, 'UI', '1.2.3'], [0x00321060, 'LO', ' leading and trailing ']]]],
    [0x00400280, 'ST', 'first line\r\nsecond line with a \\ in it'],
    [0x00400300, 'US', 4711],
    [0x00180060, 'DS', '1.50\\+2e1'],
  ].sort(([a], [b]) => a - b);

  for (const syntax of [explicitLittleEndian, implicitLittleEndian]) {
    const name = syntax === explicitLittleEndian ? 'explicit' : 'implicit';
    test(`${name} little endian: text as it stood, empty values, empty sequences`, async () => {
      const uid = newUid();
      // the VR of a private attribute is not known from implicit little endian
      const elements = odd.filter(([tag]) => syntax === explicitLittleEndian || tag >>> 16 !== 0x0029);
      const options = { transferSyntaxes: [syntax] };
      const answer = await withAssociation(through, [sopClass.mpps],
        (association) => association.nCreate(uid, encode(elements, syntax)), options);
      assert.equal(answer.status, 0, answer.errorComment);
      await withAssociation(direct, [sopClass.mpps], (association) => association.nCreate(uid, encode(elements)));
      expectReceivedAlike();
    });
  }

  test('N-CREATE without an Affected SOP Instance UID gets one assigned and returned (F15)', async () => {
    for (let time = 0; time < 2; time++) {
      const answer = await withAssociation(through, [sopClass.mpps],
        (association) => association.nCreate(undefined, encode([[0x00400252, 'CS', 'IN PROGRESS']])));
      assert.equal(answer.status, 0, answer.errorComment);
      assert.match(answer.affectedSopInstanceUid, /^2\.25\.[1-9]\d{20,38}$/);
    }
    const created = [...ris.register.steps.keys()];
    assert.equal(created.length, 2);
    assert.notEqual(created[0], created[1]);
    assert.equal(ris.register.received.at(-1).uid, created[1]);
  });

  test('the same by dcmjs-dimse: the UID it is told is the UID the RIS has', async () => {
    const answer = await send(through, nCreate(undefined, begun()));
    assert.equal(answer.status, 0, answer.errorComment);
    assert.match(answer.sopInstanceUid, /^2\.25\./);
    assert.deepEqual([...ris.register.steps.keys()], [answer.sopInstanceUid]);
  });
});

describe('character sets of performed steps', () => {
  const elements = (characterSet, name) => [
    [0x00080005, 'CS', characterSet],
    [0x00100010, 'PN', name],
    [0x00400252, 'CS', 'IN PROGRESS'],
    [0x00400340, 'SQ', [[[0x00081050, 'PN', name]]]],
  ];
  for (const [characterSet, encoding, name] of [
    ['ISO_IR 100', 'latin1', 'MÜLLER-LÜDENSCHEIDT^JOSÉ'],
    ['ISO_IR 192', 'utf8', 'Wałęsa^Lech=王^小東'],
  ]) {
    test(`a name in ${characterSet} arrives as the same name, in sequences as well`, async () => {
      const uid = newUid();
      const { status, errorComment } = await send(through, nCreate(uid, elements(characterSet, name), encoding));
      assert.equal(status, 0, errorComment);
      const { dataSet } = ris.register.received.at(-1);
      assert.equal(dataSet['00100010'].value, name);
      assert.equal(dataSet['00400340'].value[0]['00081050'].value, name);
      assert.ok(['ISO_IR 100', 'ISO_IR 192'].includes(dataSet['00080005'].value));
      const found = await send(through, nGet(uid));
      assert.equal(found.elements.PatientName[0].Alphabetic, name.split('=')[0]);
      assert.equal(found.elements.PatientName[0].Ideographic, name.split('=')[1]);
    });
  }

  test('N-CREATE and N-SET of one step name the same character set, ASCII or not (F25)', async () => {
    const uid = newUid();
    assert.equal((await send(through, nCreate(uid, elements('ISO_IR 100', 'DOE^JANE'), 'latin1'))).status, 0);
    assert.equal(ris.register.received.at(-1).dataSet['00080005'].value, 'ISO_IR 192');
    const list = [[0x00080005, 'CS', 'ISO_IR 100'], [0x00400254, 'LO', 'Schädel']];
    assert.equal((await send(through, nSet(uid, list, 'latin1'))).status, 0);
    assert.equal(ris.register.received.at(-1).dataSet['00080005'].value, 'ISO_IR 192');
  });
});

describe('refusals keep their meaning on every wire', () => {
  test('N-CREATE of a UID that exists: 0x0111, and 409 on the web (J32)', async () => {
    const uid = newUid();
    assert.equal((await send(through, nCreate(uid, begun()))).status, 0x0000);
    assert.equal((await send(through, nCreate(uid, begun()))).status, 0x0111);
    const answer = await post(web, target(uid), { '00400252': { vr: 'CS', Value: ['IN PROGRESS'] } });
    assert.equal(answer.status, 409);
    assert.match(answer.headers['content-type'], /^application\/problem\+json/);
    assert.equal(answer.json().dimseStatus, '0111');
  });

  test('N-SET of a UID nobody knows: 0x0112, and 404 on the web (J26)', async () => {
    const uid = newUid();
    assert.equal((await send(through, nSet(uid, done()))).status, 0x0112);
    for (const form of ['?update', '/update']) {
      const answer = await post(web, target(uid, form), { '00400252': { vr: 'CS', Value: ['COMPLETED'] } });
      assert.equal(answer.status, 404, form);
      assert.equal(answer.json().dimseStatus, '0112');
    }
    assert.equal(ris.register.steps.size, 0, 'an update must never create');
  });

  test('N-GET of a UID nobody knows: 0x0112, and 404 on the web (F27)', async () => {
    const uid = newUid();
    assert.equal((await send(through, nGet(uid))).status, 0x0112);
    assert.equal((await get(web, target(uid))).status, 404);
  });

  test('N-SET of a final step: 0x0110 with Error ID A710 and its comment, and 409 on the web (F22)', async () => {
    const uid = newUid();
    await sendAll(through, [nCreate(uid, begun()), nSet(uid, done())]);
    const answer = await send(through, nSet(uid, { PerformedProcedureStepStatus: 'DISCONTINUED' }));
    assert.equal(answer.status, 0x0110);
    assert.equal(answer.errorId, 0xa710);
    assert.match(answer.errorComment, /may no longer be updated/);
    assert.equal(ris.register.steps.get(uid).PerformedProcedureStepStatus, 'COMPLETED');
    const web409 = await post(web, target(uid, '?update'), { '00400252': { vr: 'CS', Value: ['DISCONTINUED'] } });
    assert.equal(web409.status, 409);
    assert.equal(web409.json().dimseStatus, '0110');
  });

  test('a step that the RIS has ended by itself is final for the modality, too (F24)', async () => {
    const uid = newUid();
    await sendAll(through, [nCreate(uid, begun())]);
    ris.register.steps.get(uid).PerformedProcedureStepStatus = 'DISCONTINUED';
    const answer = await send(through, nSet(uid, done()));
    assert.equal(answer.status, 0x0110);
    assert.equal(answer.errorId, 0xa710);
    assert.equal((await post(web, target(uid, '?update'), { '00400252': { vr: 'CS', Value: ['COMPLETED'] } })).status, 409);
    const kept = (await get(web, target(uid, '?includefield=00400252'))).json();
    assert.deepEqual(kept[0]['00400252'].Value, ['DISCONTINUED']);
  });

  // spec/mapping.md 2a, then 2b: what the RIS says, what the web says, what the modality gets. A problem
  // report names the RIS's own word, so that the two gateways lose nothing where HTTP has one code for many.
  const table = [
    ['N-CREATE', 0x0106, 400, 0x0106],
    ['N-CREATE', 0x0120, 400, 0x0120],
    ['N-CREATE', 0x0117, 400, 0x0117],
    ['N-CREATE', 0x0119, 409, 0x0111], // not of N-CREATE: status_codes.csv
    ['N-CREATE', 0x0124, 403, 0x0124],
    ['N-CREATE', 0x0213, 503, 0x0213],
    ['N-CREATE', 0x0110, 503, 0x0213],
    ['N-CREATE', 0x0122, 501, 0x0118],
    ['N-CREATE', 0x0210, 500, 0x0110],
    ['N-CREATE', 0xc123, 503, 0x0213],
    ['N-SET', 0x0105, 409, 0x0105],
    ['N-SET', 0x0106, 400, 0x0106],
    ['N-SET', 0x0110, 503, 0x0213],
    ['N-SET', 0x0124, 403, 0x0124],
    ['N-SET', 0x0213, 503, 0x0213],
    ['N-GET', 0x0110, 503, 0x0213],
    ['N-GET', 0x0119, 404, 0x0112],
    ['N-GET', 0x0124, 403, 0x0124],
    ['N-GET', 0x0122, 501, 0x0211],
  ];
  const hex = (status) => status.toString(16).padStart(4, '0').toUpperCase();
  for (const [operation, fromRis, onWeb, toModality] of table) {
    test(`${operation} refused with 0x${hex(fromRis)} is ${onWeb} on the web`, async () => {
      const uid = newUid();
      assert.equal((await send({ ...direct, port: ris.port }, nCreate(uid, begun()))).status, 0);
      ris.register.answer = (asked) => (asked === operation ? { status: fromRis, errorComment: 'said by the RIS of PID-4711' } : undefined);
      const body = { '00400252': { vr: 'CS', Value: ['IN PROGRESS'] } };
      const answer = operation === 'N-GET' ? await get(web, target(uid))
        : await post(web, target(uid, operation === 'N-SET' ? '?update' : ''), body);
      assert.equal(answer.status, onWeb, answer.body);
      assert.equal(answer.json().status, onWeb);
      assert.equal(answer.json().dimseStatus, hex(fromRis));
      const request = operation === 'N-GET' ? nGet(uid) : operation === 'N-SET' ? nSet(uid, done()) : nCreate(uid, begun());
      assert.equal(hex((await send(through, request)).status), hex(toModality));
    });
  }
});

describe('the performed procedure step on the web front', () => {
  const create = () => ({
    '00080060': { vr: 'CS', Value: ['MR'] },
    '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Garçon^Noël' }] },
    '00100020': { vr: 'LO', Value: ['PID-0815'] },
    '00400252': { vr: 'CS', Value: ['IN PROGRESS'] },
    '00400340': { vr: 'SQ' },
  });

  test('Create is 201 with a Location; Update, in both forms, and Retrieve are 200 (J1, J2, J5)', async () => {
    const uid = newUid();
    const created = await post(web, target(uid), create());
    assert.equal(created.status, 201, created.body);
    assert.match(created.headers.location, new RegExp(`/modality-performed-procedure-steps/${uid.replaceAll('.', '\\.')}$`));
    assert.equal(created.body, '');
    assert.equal(ris.register.received.at(-1).elements.PatientName[0].Alphabetic, 'Garçon^Noël');

    const series = (number) => ({ '0020000E': { vr: 'UI', Value: [`1.2.3.${number}`] } });
    for (const [form, numbers] of [['?update', [1, 2]], ['/update', [3]]]) {
      const updated = await post(web, target(uid, form), { '00400340': { vr: 'SQ', Value: numbers.map(series) } });
      assert.equal(updated.status, 200, `${form}: ${updated.body}`);
      const items = ris.register.received.at(-1).elements.PerformedSeriesSequence;
      assert.deepEqual(items.map((item) => item.SeriesInstanceUID), numbers.map((number) => `1.2.3.${number}`));
    }

    const found = await get(web, target(uid));
    assert.equal(found.status, 200, found.body);
    assert.match(found.headers['content-type'], /^application\/dicom\+json/);
    const [step, ...more] = found.json();
    assert.equal(more.length, 0);
    assert.deepEqual(step['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'Garçon^Noël' }] });
    assert.equal(step['00400340'].Value.length, 1, 'a sequence is replaced as a whole (F21)');
  });

  test('a body as an array of one object is a body (B10, J6)', async () => {
    assert.equal((await post(web, target(newUid()), [create()])).status, 201);
  });

  test('Retrieve gives what includefield asks for, a dotted path by its sequence (F26, J20)', async () => {
    const uid = newUid();
    assert.equal((await send(through, nCreate(uid, begun()))).status, 0);
    const plainFields = await get(web, target(uid, '?includefield=PatientID,00400252'));
    assert.deepEqual(Object.keys(plainFields.json()[0]), ['00100020', '00400252']);
    const dotted = await get(web, target(uid, '?includefield=ScheduledStepAttributesSequence.0020000D'));
    assert.equal(dotted.status, 200, dotted.body);
    assert.deepEqual(dotted.json(), [{
      '00400270': {
        vr: 'SQ',
        Value: [1, 2].map((number) => ({ '0020000D': { vr: 'UI', Value: [`1.2.3.4.6.${number}`] } })),
      },
    }]);
  });
});

test('the logs of the gateways name no patient', () => {
  expectNoPatientData(assert, house, [
    'Schröder', 'PID-4711', 'MÜLLER', 'Wałęsa', '小東', 'Garçon', 'PID-0815', 'DOE^JANE', 'Doe^Jane', 'White^George', 'ACC1',
  ]);
});
