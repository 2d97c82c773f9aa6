// Bad input, peers that are down and peers that lie: each gets a precise answer on the wire it came
// from, no failure becomes an empty worklist, and the next good request works.
// Rules A, B, F, G; spec/mapping.md 1b to 5.
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { dump2dcm, echoscu, exampleDumps, findscu, startWlmscpfs } from './support/dcmtk.js';
import { encode, implicitLittleEndian } from './support/data_set.js';
import { freePort, House, until, within } from './support/house.js';
import { dicomJson, get, post, request, startOriginServer } from './support/http.js';
import { expectNoPatientData, startChain, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { command, RawAssociation, sopClass, withAssociation } from './support/raw_scu.js';

const house = new House();
let ris; // dcmjs: MPPS
let chain; // A → B → wlmscpfs and ris
let lying; // an origin server that answers what it is told
let a; // a gateway in front of it

const maxBodyBytes = 65536;

before(async () => {
  const worklist = await startWlmscpfs(house, { OFFIS: exampleDumps('wlistdb/OFFIS').map(({ text }) => text) });
  ris = await startMppsScp(house);
  chain = await startChain(
    house,
    { worklist: { ...worklist, aeTitle: 'OFFIS' }, mpps: { host: ris.host, port: ris.port, aeTitle: 'RIS' } },
    { b: { max_body_bytes: maxBodyBytes } },
  );
  lying = await startOriginServer(house, (_, response) => response.writeHead(500).end());
  a = await startModgate(house, 'in front of the lying RIS', {
    dimse: { worklist: 'ris', mpps: 'ris' },
    'backend ris': { kind: 'origin-server', base_uri: lying.url, connect_timeout_seconds: 2, response_timeout_seconds: 1 },
  });
});
after(() => house.close());

let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.3.${process.pid}.${++uids}`;
const steps = '/modality-scheduled-procedure-steps';
const performed = '/modality-performed-procedure-steps';
const hex = (status) => (status === undefined ? 'none' : status.toString(16).padStart(4, '0').toUpperCase());

const body = () => ({
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
  '00100020': { vr: 'LO', Value: ['PID-SECRET'] },
  '00400252': { vr: 'CS', Value: ['IN PROGRESS'] },
  '00400253': { vr: 'SH', Value: ['PPS-1'] },
});
const identifier = (...more) => encode([[0x00100010, 'PN', 'GEHEIM*'], [0x00100020, 'LO', ''], ...more]);
const step = () => encode([
  [0x00100010, 'PN', 'GEHEIM^GERDA'], [0x00100020, 'LO', 'PID-SECRET'], [0x00400252, 'CS', 'IN PROGRESS'],
  [0x00400253, 'SH', 'PPS-1'],
]);

const all = [sopClass.worklist, sopClass.mpps, sopClass.mppsRetrieve, sopClass.verification];

function expectProblem(answer, status, { detail } = {}) {
  assert.equal(answer.status, status, `${answer.status}: ${answer.body}`);
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
  const problem = answer.json();
  assert.equal(problem.status, status);
  assert.ok(problem.title, 'a title');
  assert.ok(problem.detail, 'a detail');
  if (detail) assert.match(JSON.stringify(problem), detail);
  assert.doesNotMatch(answer.body, /GEHEIM|PID-SECRET/, 'no patient data in a problem report');
}

async function expectGoodRequestOnTheWeb() {
  assert.equal((await post(chain.b, `${performed}/${newUid()}`, body())).status, 201);
}

describe('bad requests on the web front get a precise 4xx problem report, and the next request works', () => {
  const long = `1.${'2'.repeat(64)}`;
  const manyBytes = JSON.stringify({ '00400280': { vr: 'ST', Value: ['x'.repeat(maxBodyBytes)] } });
  const create = (what, headers) => () => post(chain.b, `${performed}/${newUid()}`, what, headers);
  const table = [
    ['malformed JSON', 400, create('{"00100010": {"vr": "PN", ')],
    ['an empty body', 400, create('')],
    ['text after the data set', 400, create('{} {}')],
    ['a body that is a number', 400, create('42')],
    ['a body that is a string', 400, create('"GEHEIM^GERDA"')],
    ['a body that is an empty array (B10)', 400, create('[]')],
    ['a body that is an array of two (B10)', 400, create('[{},{}]')],
    ['a body that is not UTF-8', 400, create(Buffer.from('{"00100020":{"vr":"LO","Value":["M\xfcLLER"]}}', 'latin1'))],
    ['an attribute that is no object (D4)', 400, create('{"00100020":"PID-SECRET"}'), /00100020/],
    ['a Value that is no array (D20)', 400, create('{"00100020":{"vr":"LO","Value":"PID-SECRET"}}'), /00100020/],
    ['a number where text belongs (D20)', 400, create('{"00100020":{"vr":"LO","Value":[4711]}}'), /00100020/],
    ['text where a number belongs (D7)', 400, create('{"00400300":{"vr":"US","Value":["many"]}}'), /00400300/],
    ['an unknown VR (D20)', 400, create('{"00100020":{"vr":"ZZ","Value":["PID-SECRET"]}}'), /00100020/],
    ['a member that is no tag', 400, create('{"PatientID":{"vr":"LO","Value":["PID-SECRET"]}}')],
    ['the same attribute twice (D2)', 400, create('{"00100020":{"vr":"LO"},"00100020":{"vr":"LO"}}'), /00100020/],
    ['Value and InlineBinary together (D4)', 400, create('{"00100020":{"vr":"LO","Value":["x"],"InlineBinary":"AA=="}}')],
    ['a fault deep in a sequence, named by its path', 400,
      create('{"00400270":{"vr":"SQ","Value":[{"0020000D":{"vr":"UI","Value":[1]}}]}}'), /00400270.*0020000D/],
    ['another step in (0008,0018) (D3)', 400, create({ ...body(), '00080018': { vr: 'UI', Value: ['1.2.3'] } })],
    ['nesting without end (D20)', 400,
      create(`${'{"00400270":{"vr":"SQ","Value":['.repeat(500)}{}${']}}'.repeat(500)}`), undefined, [400, 413]],
    ['a UID with an empty component (B24)', 400, () => post(chain.b, `${performed}/1.2..3`, body())],
    ['a UID with letters (B24)', 400, () => post(chain.b, `${performed}/1.2.abc`, body())],
    ['a UID of 66 characters (B24)', 400, () => post(chain.b, `${performed}/${long}`, body())],
    ['a bad UID to retrieve (B24)', 400, () => get(chain.b, `${performed}/1.2.x`)],
    ['an unknown path', 404, () => get(chain.b, '/modality-scheduled-procedure-stepss')],
    ['an unknown path below a step', 404, () => get(chain.b, `${performed}/1.2.3/frames`)],
    ['the collection of performed steps', 404, () => get(chain.b, performed), undefined, [404, 405]],
    ['DELETE of a step (B15)', 405, () => request(chain.b, 'DELETE', `${performed}/1.2.3`), /GET|POST/],
    ['PUT of a step, as early drafts had it (J30)', 405, () => request(chain.b, 'PUT', `${performed}/1.2.3`, {
      headers: { 'content-type': dicomJson }, body: '{}' })],
    ['POST to the worklist (B15)', 405, () => post(chain.b, steps, body())],
    ['a body over the limit', 413, create(manyBytes)],
    ['a body over the limit in chunks', 413, create(manyBytes, { 'transfer-encoding': 'chunked' })],
    ['a body of another type (B15)', 415, create('GEHEIM^GERDA', { 'content-type': 'text/plain' })],
    ['an answer wanted as a picture (B15)', 406, () => get(chain.b, `${performed}/1.2.3`, { accept: 'image/png' })],
    ['a worklist wanted as a picture (B3)', 406, () => get(chain.b, steps, { accept: 'image/png' })],
    ['?update=false (A28)', 400, () => post(chain.b, `${performed}/1.2.3?update=false`, body())],
    ['a negative limit (A17)', 400, () => get(chain.b, `${steps}?limit=-1`)],
    ['an offset that is no number (A17)', 400, () => get(chain.b, `${steps}?offset=ten`)],
    ['a limit beyond all numbers (A17)', 400, () => get(chain.b, `${steps}?limit=99999999999999999999`)],
    ['the same attribute twice in a query (A6)', 400, () => get(chain.b, `${steps}?PatientID=1&00100020=2`)],
    ['fuzzymatching=maybe (A15)', 400, () => get(chain.b, `${steps}?fuzzymatching=maybe`)],
    ['includefield=all beside another (A12)', 400, () => get(chain.b, `${steps}?includefield=all,PatientID`)],
    ['a bad percent sequence (A8)', 400, () => get(chain.b, `${steps}?PatientName=GEHEIM%ZZ`)],
    ['a query that is not UTF-8 (A8)', 400, () => get(chain.b, `${steps}?PatientName=GEHEIM%FC`)],
    ['a sequence as a match attribute (A4)', 400, () => get(chain.b, `${steps}?00400100=x`)],
    ['a date that is none', 400, () => get(chain.b, `${steps}?00400100.00400002=yesterday`)],
  ];
  for (const [name, status, ask, detail, either = [status]] of table) {
    test(`${name}: ${either.join(' or ')}`, async () => {
      const received = ris.register.received.length;
      const answer = await ask();
      assert.ok(either.includes(answer.status), `${answer.status}: ${answer.body}`);
      expectProblem(answer, answer.status, { detail: status === 405 ? undefined : detail });
      if (answer.status === 405) assert.match(answer.headers.allow ?? '', detail ?? /GET|POST/, 'Allow');
      assert.equal(ris.register.received.length, received, 'nothing of it reached the RIS');
      await expectGoodRequestOnTheWeb();
    });
  }

  test('bytes that are no HTTP end the connection, with a 400 at most', async () => {
    const socket = net.connect(chain.b.web.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data));
    socket.on('error', () => {});
    socket.write(Buffer.from('0100000000cd0001\r\n\r\n', 'latin1'));
    await once(socket, 'close');
    assert.match(text, /^(HTTP\/1\.1 400 |$)/);
    await expectGoodRequestOnTheWeb();
  });
});

describe('bad requests on the DIMSE front get a status with an Error Comment, and the next request works', () => {
  async function expectGoodRequests(association) {
    assert.equal((await association.echo()).status, 0);
    const found = await association.find(encode([[0x00100010, 'PN', 'VIVALDI*'], [0x00100020, 'LO', '']]));
    assert.equal(found.status, 0, found.final.errorComment);
    assert.equal(found.responses.length, 3);
    assert.equal((await association.nCreate(newUid(), step())).status, 0);
  }

  function expectRefusal(response, status) {
    assert.equal(hex(response.status), hex(status), response.errorComment);
    // PS3.7, Annex C, gives 0106 and 0117 no Error Comment
    if (![0x0106, 0x0117].includes(status)) assert.ok(response.errorComment, 'an Error Comment');
    assert.ok((response.errorComment ?? '').length <= 64, 'LO holds 64 characters (G12)');
    assert.doesNotMatch(response.errorComment ?? '', /GEHEIM|PID-SECRET/);
  }

  test('findscu with two items in the step sequence: A900 with Error Comment (A29)', async () => {
    const item = (modality) => `(fffe,e000) -\n(0008,0060) CS [${modality}]\n(fffe,e00d) -\n`;
    const text = `(0010,0010) PN []\n(0040,0100) SQ\n${item('MR')}${item('CT')}(fffe,e0dd) -\n`;
    const answer = await findscu(house, chain.a.dimse, await dump2dcm(house, text));
    assert.deepEqual(answer.responses, []);
    expectRefusal(answer, 0xa900);
    assert.equal((await echoscu(house, chain.a.dimse)).ok, true);
  });

  const twoItems = identifier([0x00400100, 'SQ', [[[0x00080060, 'CS', 'MR']], [[0x00080060, 'CS', 'CT']]]]);
  const truncated = (bytes) => bytes.subarray(0, bytes.length - 3);
  const tooLong = () => {
    const bytes = Buffer.from(step());
    bytes.writeUInt16LE(0xfff0, 6);
    return bytes;
  };
  const unknownSet = (rest) => Buffer.concat([encode([[0x00080005, 'CS', 'ISO_IR 999']]), rest]);
  const badUtf8 = () => Buffer.concat([encode([[0x00080005, 'CS', 'ISO_IR 192']]), encode([[0x00100010, 'PN', 'M\xfcLLER']])]);
  const table = [
    ['C-FIND with two items in the step sequence (A29)', 0xa900, (it) => it.find(twoItems)],
    ['C-FIND with a data set that ends too early', 0xa900, (it) => it.find(truncated(identifier()))],
    ['C-FIND with a data set that is none', 0xa900, (it) => it.find(Buffer.from('this is not a data set at all!!!'))],
    ['C-FIND in an unknown character set (G8)', 0xc004, (it) => it.find(unknownSet(identifier()))],
    ['N-CREATE with a data set that ends too early', 0x0110, (it) => it.nCreate(newUid(), truncated(step()))],
    ['N-CREATE with a length beyond the end', 0x0110, (it) => it.nCreate(newUid(), tooLong())],
    ['N-CREATE with a data set that is none', 0x0110, (it) => it.nCreate(newUid(), Buffer.from('no data set, none....'))],
    ['N-CREATE in an unknown character set (G8)', 0x0106, (it) => it.nCreate(newUid(), unknownSet(step()))],
    ['N-CREATE with bytes that are no UTF-8 (G8)', undefined, (it) => it.nCreate(newUid(), badUtf8())],
    ['N-CREATE with a bad UID', 0x0117, (it) => it.nCreate('1.2..3', step())],
    ['N-SET with a data set that ends too early', 0x0110, (it) => it.nSet(newUid(), truncated(step()))],
  ];
  for (const [name, status, ask] of table) {
    test(`${name}: ${status === undefined ? 'a failure' : `0x${hex(status)}`}`, async () => {
      await withAssociation(chain.a.dimse, all, async (association) => {
        const received = ris.register.received.length;
        const answer = await ask(association);
        if (status === undefined) assert.ok([0x0106, 0x0110].includes(answer.status), hex(answer.status));
        expectRefusal(answer.final ?? answer, status ?? answer.status);
        assert.equal(answer.responses?.length ?? 0, 0);
        assert.equal(ris.register.received.length, received, 'nothing of it reached the RIS');
        await expectGoodRequests(association);
      });
    });
  }

  test('an implicit data set that is none is refused as well', async () => {
    await withAssociation(chain.a.dimse, all, async (association) => {
      expectRefusal((await association.find(Buffer.from('\x10\0\x10\0\xff\0\0\0ab'))).final, 0xa900);
      assert.equal((await association.echo()).status, 0);
    }, { transferSyntaxes: [implicitLittleEndian] });
  });

  test('another called AE title is rejected permanently with 1/1/7 (H2)', async () => {
    await assert.rejects(RawAssociation.open({ ...chain.a.dimse, aeTitle: 'SOMEBODY' }, all), /rejected: 1\/1\/7/);
  });

  test('an abstract syntax that is not offered is refused, the association is not (H3)', async () => {
    await withAssociation(chain.a.dimse, ['1.2.840.10008.5.1.4.1.1.7', sopClass.verification], async (association) => {
      assert.deepEqual(association.contexts.map(({ result }) => result), [3, 0]);
      assert.equal((await association.echo()).status, 0);
    });
  });

  test('bytes that are no PDU end their connection and no other', async () => {
    await withAssociation(chain.a.dimse, all, async (association) => {
      const socket = net.connect(chain.a.dimse.port, '127.0.0.1');
      socket.on('data', () => {});
      socket.on('error', () => {});
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(socket, 'close');
      await expectGoodRequests(association);
    });
  });
});

describe('a backend that is down', () => {
  let web; // front over an SCP that is not there
  let dimse; // front over an origin server that is not there
  let both; // DIMSE → HTTP → nothing

  before(async () => {
    const backend = { kind: 'scp', ae_title: 'NOBODY', host: '127.0.0.1', acse_timeout_seconds: 2 };
    web = await startModgate(house, 'over no SCP', {
      web: { worklist: 'gone', mpps: 'gone' }, 'backend gone': { ...backend, port: await freePort() },
    });
    dimse = await startModgate(house, 'over no origin server', {
      dimse: { worklist: 'gone', mpps: 'gone' },
      'backend gone': { kind: 'origin-server', base_uri: `http://127.0.0.1:${await freePort()}/`, connect_timeout_seconds: 2 },
    });
    both = await startModgate(house, 'over a gateway over no SCP', {
      dimse: { worklist: 'next', mpps: 'next' }, 'backend next': { kind: 'origin-server', base_uri: web.web.url, response_timeout_seconds: 5 }, // no time for Retry-After
    });
  });

  test('is 503 on the web for every transaction, soon enough (mapping 5a)', async () => {
    for (const ask of [
      () => get(web, steps),
      () => post(web, `${performed}/${newUid()}`, body()),
      () => post(web, `${performed}/${newUid()}?update`, body()),
      () => get(web, `${performed}/${newUid()}`),
    ]) expectProblem(await ask(), 503);
  });

  for (const [name, gateway] of [['an origin server', () => dimse], ['a gateway over an SCP', () => both]]) {
    test(`${name}: 0xA700 on C-FIND and 0x0213 on N-CREATE, N-SET, N-GET (mapping 5b)`, async () => {
      await withAssociation(gateway().dimse, all, async (association) => {
        const found = await association.find(identifier());
        assert.deepEqual([found.statuses.map(hex), found.responses.length], [['A700'], 0]);
        assert.ok(found.final.errorComment, 'an Error Comment');
        assert.equal(hex((await association.nCreate(newUid(), step())).status), '0213');
        assert.equal(hex((await association.nSet(newUid(), step())).status), '0213');
        assert.equal(hex((await association.nGet(newUid())).status), '0213');
        assert.equal((await association.echo()).status, 0);
      });
    });
  }

  test('findscu sees the failure, not an empty worklist', async () => {
    for (const gateway of [dimse, both]) {
      const answer = await findscu(house, gateway.dimse, await dump2dcm(house, exampleDumps('wlistqry')[0].text));
      assert.equal(hex(answer.status), 'A700', answer.output);
      assert.match(answer.output, /Refused|Out of resources/i);
      assert.deepEqual(answer.responses, []);
    }
  });

  test('that accepts connections and says nothing counts as down after the ACSE timeout', async () => {
    const silent = net.createServer((socket) => socket.on('error', () => {}));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const sockets = [];
    silent.on('connection', (socket) => sockets.push(socket));
    try {
      const gateway = await startModgate(house, 'over a silent SCP', {
        web: { worklist: 'silent', mpps: 'silent' },
        'backend silent': { kind: 'scp', ae_title: 'SILENT', host: '127.0.0.1', port: silent.address().port, acse_timeout_seconds: 1 },
      });
      expectProblem(await get(gateway, steps, {}), 503);
      expectProblem(await post(gateway, `${performed}/${newUid()}`, body()), 503);
    } finally {
      sockets.forEach((socket) => socket.destroy());
      silent.close();
    }
  });

  test('and comes back is used again without a restart', async () => {
    const port = await freePort();
    const gateway = await startModgate(house, 'over an SCP that comes later', {
      web: { mpps: 'later' }, 'backend later': { kind: 'scp', ae_title: 'LATER', host: '127.0.0.1', port },
    });
    expectProblem(await post(gateway, `${performed}/${newUid()}`, body()), 503);
    const first = await startMppsScp(house, port);
    assert.equal((await post(gateway, `${performed}/${newUid()}`, body())).status, 201);
    first.close(); // its kept association dies with it
    const second = await startMppsScp(house, port);
    assert.equal((await post(gateway, `${performed}/${newUid()}`, body())).status, 201);
    assert.equal(second.register.received.length, 1);
  });
});

describe('an origin server that lies or fails never makes an empty worklist or a false success', () => {
  const answerWith = (status, headers, text) => (_, response) => response.writeHead(status, headers).end(text);
  const json = { 'content-type': dicomJson };
  const item = (modality) => ({
    '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
    '00100020': { vr: 'LO', Value: ['PID-SECRET'] },
    '00400100': { vr: 'SQ', Value: [{ '00080060': { vr: 'CS', Value: [modality] } }] },
  });
  const cutShort = (_, response) => {
    response.writeHead(200, { ...json, 'content-length': '5000' });
    response.write('[{"00100010":{"vr":"PN"}', () => response.destroy());
  };

  // what it answers; then the final statuses of C-FIND, N-CREATE, N-SET and N-GET (mapping 1b to 4b)
  const table = [
    ['200 []', answerWith(200, json, '[]'), 0x0000, 0x0000, 0x0000, 0x0112],
    ['204', answerWith(204), 0x0000, 0x0000, 0x0000, 0x0112],
    ['200 with an HTML page', answerWith(200, { 'content-type': 'text/html' }, '<h1>Log in</h1>'), 0xc003, 0x0000, 0x0000, 0x0110],
    ['200 with truncated JSON', answerWith(200, json, '[{"00100010":{"vr":"PN"'), 0xc003, 0x0000, 0x0000, 0x0110],
    ['200 with JSON that is no DICOM', answerWith(200, json, '[{"hello":"world"}]'), 0xc003, 0x0000, 0x0000, 0x0110],
    ['200 with wrong JSON types', answerWith(200, json, '[{"00100020":{"vr":"LO","Value":[1]}}]'), 0xc003, 0x0000, 0x0000, 0x0110],
    ['200 with a body cut short', cutShort, 0xc003, undefined, undefined, undefined],
    ['400', answerWith(400, {}, 'no'), 0xa900, 0x0106, 0x0106, 0x0110],
    ['401', answerWith(401, { 'www-authenticate': 'Basic' }), 0xc006, 0x0124, 0x0124, 0x0124],
    ['403', answerWith(403), 0xc006, 0x0124, 0x0124, 0x0124],
    ['404', answerWith(404), 0x0122, 0x0110, 0x0112, 0x0112],
    ['405', answerWith(405, { allow: 'OPTIONS' }), 0x0122, 0x0211, 0x0211, 0x0211],
    ['409', answerWith(409), 0xc001, 0x0111, 0x0110, 0x0110],
    ['410', answerWith(410), 0x0122, 0x0111, 0x0112, 0x0112],
    ['413', answerWith(413), 0xa700, 0x0213, 0x0213, 0x0213],
    ['429', answerWith(429), 0xa700, 0x0213, 0x0213, 0x0213],
    ['500', answerWith(500, {}, 'GEHEIM^GERDA'), 0xc002, 0x0110, 0x0110, 0x0110],
    ['501', answerWith(501), 0x0122, 0x0118, 0x0118, 0x0211],
    ['502', answerWith(502), 0xc002, 0x0110, 0x0110, 0x0110],
    ['503', answerWith(503, { 'retry-after': '1' }), 0xa700, 0x0213, 0x0213, 0x0213],
    ['a redirection without end', answerWith(302, { location: '/modality-scheduled-procedure-steps' }), 0xc007, 0x0110, 0x0110, undefined],
  ];
  for (const [name, answer, ...wanted] of table) {
    test(`${name}: ${wanted.map(hex).join(' ')}`, async () => {
      lying.answer = answer;
      await withAssociation(a.dimse, all, async (association) => {
        const found = await association.find(identifier());
        const answers = [
          found.final,
          await association.nCreate(newUid(), step()),
          await association.nSet(newUid(), step()),
          await association.nGet(newUid()),
        ];
        assert.deepEqual(
          answers.map(({ status }, index) => (wanted[index] === undefined ? 'none' : hex(status))),
          wanted.map(hex),
          answers.map(({ status, errorComment }) => `${hex(status)} ${errorComment}`).join('; '),
        );
        for (const { status, errorComment } of answers) {
          if (wanted[0] === undefined || status === 0) continue;
          assert.doesNotMatch(errorComment ?? '', /GEHEIM/);
        }
        if (wanted[0] !== 0) {
          assert.ok(found.final.errorComment, 'an Error Comment for the modality');
          assert.equal(found.responses.length, 0);
        }
        assert.equal((await association.echo()).status, 0);
      });
    });
  }

  test('no answer in time: 0xA700 on C-FIND, 0x0110 on the others (mapping 5b)', async () => {
    const held = [];
    lying.answer = (_, response) => held.push(response);
    await withAssociation(a.dimse, all, async (association) => {
      assert.equal(hex((await association.find(identifier())).status), 'A700');
      assert.equal(hex((await association.nGet(newUid())).status), '0110');
      assert.equal(hex((await association.nCreate(newUid(), step())).status), '0110');
    });
    held.forEach((response) => response.destroy());
  });

  test('two good items, then one that is none: no success, whatever was sent before', async () => {
    const text = JSON.stringify([item('MR'), item('CT')]).replace(/\]$/, ',{"00100020":{"vr":"LO","Value":[1]}}]');
    lying.answer = answerWith(200, json, text);
    await withAssociation(a.dimse, all, async (association) => {
      const { status, responses } = await association.find(identifier());
      assert.ok([0xc003, 0xc005].includes(status), hex(status));
      if (responses.length) assert.equal(hex(status), 'C005');
    });
  });

  test('more than was asked for is cut to what was asked for (F8, F26)', async () => {
    const more = { ...item('MR'), '00400252': { vr: 'CS', Value: ['IN PROGRESS'] } };
    lying.answer = answerWith(200, json, JSON.stringify([more]));
    await withAssociation(a.dimse, all, async (association) => {
      const got = await association.nGet(newUid(), [0x00100020, 0x00400252]);
      assert.deepEqual([hex(got.status), Object.keys(got.dataSet)], ['0000', ['00100020', '00400252']]);
      const found = await association.find(encode([[0x00100020, 'LO', ''], [0x00400100, 'SQ', [[[0x00400009, 'SH', '']]]]]));
      assert.deepEqual(found.responses, [encode([[0x00100020, 'LO', 'PID-SECRET'], [0x00400100, 'SQ', [[]]]])]);
    });
  });

  test('an attribute that was asked for and is not there makes N-GET a warning, 0x0001 (mapping 4b)', async () => {
    lying.answer = answerWith(200, json, JSON.stringify([item('MR')]));
    await withAssociation(a.dimse, all, async (association) => {
      const got = await association.nGet(newUid(), [0x00100020, 0x00400252]);
      assert.deepEqual([hex(got.status), Object.keys(got.dataSet)], ['0001', ['00100020']]);
    });
  });

  test('an item with two steps becomes two responses with one step each (F9, J7)', async () => {
    const [first, second] = [item('MR'), item('CT')];
    first['00400100'].Value.push(second['00400100'].Value[0]);
    lying.answer = answerWith(200, json, JSON.stringify([first]));
    await withAssociation(a.dimse, all, async (association) => {
      const asked = encode([
        [0x00100010, 'PN', ''], [0x00100020, 'LO', ''], [0x00400100, 'SQ', [[[0x00080060, 'CS', '']]]],
      ]);
      const { statuses, responses } = await association.find(asked);
      assert.deepEqual(statuses.map(hex), ['FF00', 'FF00', '0000']);
      assert.deepEqual(responses, ['MR', 'CT'].map((modality) => encode([
        [0x00100010, 'PN', 'GEHEIM^GERDA'], [0x00100020, 'LO', 'PID-SECRET'],
        [0x00400100, 'SQ', [[[0x00080060, 'CS', modality]]]],
      ])));
    });
  });

  test('a page that says more remains is followed by the next (mapping 1b)', async () => {
    const items = ['MR', 'CT', 'US'].map(item);
    lying.requests.length = 0;
    lying.answer = (incoming, response) => {
      const offset = Number(new URL(incoming.url, 'http://x').searchParams.get('offset') ?? 0);
      const remaining = items.length - offset - 1;
      const warning = remaining > 0
        ? { warning: `299 ${lying.url}: There are ${remaining} additional results that can be requested` } : {};
      response.writeHead(200, { ...json, ...warning }).end(JSON.stringify([items[offset]]));
    };
    await withAssociation(a.dimse, all, async (association) => {
      const { statuses } = await association.find(identifier());
      assert.deepEqual(statuses.map(hex), ['FF00', 'FF00', 'FF00', '0000']);
    });
    assert.equal(lying.requests.length, 3);
  });

  test('optional keys it did not know make the responses 0xFF01 (mapping 1b)', async () => {
    const warning = `299 ${lying.url}: The fuzzymatching parameter is not supported. Only literal matching has been performed.`;
    lying.answer = answerWith(200, { ...json, warning }, JSON.stringify([item('MR')]));
    await withAssociation(a.dimse, all, async (association) => {
      assert.deepEqual((await association.find(identifier())).statuses.map(hex), ['FF01', '0000']);
    });
  });
});

describe('an SCP that refuses or breaks off never makes a whole worklist on the web', () => {
  let web;
  let scp;
  const item = { PatientName: [{ Alphabetic: 'GEHEIM^GERDA' }], PatientID: 'PID-SECRET', StudyInstanceUID: '1.2.3' };
  const pending = { status: 0xff00, elements: item };

  before(async () => {
    scp = await startMppsScp(house);
    scp.register.find = () => [{ status: 0x0000 }];
    web = await startModgate(house, 'over a refusing SCP', {
      web: { worklist: 'scp' },
      'backend scp': { kind: 'scp', ae_title: 'SCP', host: '127.0.0.1', port: scp.port, dimse_timeout_seconds: 2 },
    });
  });
  beforeEach(() => scp.register.received.splice(0));

  const table = [
    ['one match', [pending, { status: 0x0000 }], 200],
    ['one match with optional keys unsupported (FF01)', [{ ...pending, status: 0xff01 }, { status: 0x0000 }], 200],
    ['no match', [{ status: 0x0000 }], 204],
    ['A700 at once', [{ status: 0xa700, errorComment: 'out of memory' }], 503],
    ['A700 after a match: too many', [pending, { status: 0xa700 }], 413],
    ['A900', [{ status: 0xa900 }], 400],
    ['0122', [{ status: 0x0122 }], 501],
    ['0124', [{ status: 0x0124 }], 403],
    ['C001', [{ status: 0xc001 }], 503],
    ['C001 after a match', [pending, { status: 0xc001 }], 503],
    ['0110', [{ status: 0x0110 }], 500],
    ['FE00 that nobody asked for', [pending, { status: 0xfe00 }], 503],
    ['A-ABORT', 'abort', 503],
  ];
  for (const [name, answers, status] of table) {
    test(`${name}: ${status} (mapping 1a)`, async () => {
      scp.register.find = () => answers;
      const answer = await get(web, `${steps}?PatientName=GEHEIM*`);
      if (status >= 400) {
        expectProblem(answer, status);
        if (answers !== 'abort') assert.equal(answer.json().dimseStatus, hex(answers.at(-1).status));
      } else {
        assert.equal(answer.status, status, answer.body);
        if (status === 200) assert.equal(answer.json().length, 1);
        if (answers[0].status === 0xff01) assert.match(answer.headers.warning, /optional keys were not supported/);
      }
      if (status === 503 && answers !== 'abort' && answers[0].status === 0xa700) assert.ok(answer.headers['retry-after']);
      scp.register.find = () => [pending, { status: 0x0000 }];
      assert.equal((await get(web, steps)).status, 200, 'the next request works');
    });
  }

  test('no answer within dimse_timeout_seconds: 503, and the next request works', async () => {
    let release;
    scp.register.find = () => new Promise((resolve) => (release = () => resolve([{ status: 0x0000 }])));
    expectProblem(await get(web, steps), 503);
    release();
    scp.register.find = () => [pending, { status: 0x0000 }];
    assert.equal((await get(web, steps)).status, 200);
  });
});

describe('an answer that is lost is looked for, since nobody may say a step twice or not at all (mapping 2b, 3b)', () => {
  const json = { 'content-type': dicomJson };
  const stored = JSON.stringify([body()]);
  // the origin server keeps silent about POSTs that silent(count) says; found: what GET gives
  const forgetful = (silent, found) => {
    let posts = 0;
    return (incoming, response) => {
      if (incoming.method === 'GET') return response.writeHead(found, json).end(found === 200 ? stored : '');
      return silent(++posts) ? response.destroy() : response.writeHead(incoming.url.includes('update') ? 200 : 201).end();
    };
  };
  const posts = () => lying.requests.filter(({ method }) => method === 'POST').length;
  beforeEach(() => lying.requests.splice(0));

  test('N-CREATE whose answer is lost, but the step is there: 0x0000, sent once', async () => {
    lying.answer = forgetful(() => true, 200);
    await withAssociation(a.dimse, all, async (association) => {
      const { status, errorComment } = await association.nCreate(newUid(), step());
      assert.equal(hex(status), '0000', errorComment);
    });
    assert.equal(posts(), 1);
  });

  test('N-CREATE whose answer is lost, and another step is there: no success', async () => {
    lying.answer = forgetful(() => true, 200);
    await withAssociation(a.dimse, all, async (association) => {
      const other = encode([[0x00400252, 'CS', 'IN PROGRESS'], [0x00400253, 'SH', 'PPS-2']]);
      assert.notEqual(hex((await association.nCreate(newUid(), other)).status), '0000');
    });
  });

  test('N-CREATE whose request is lost: sent once more, 0x0000', async () => {
    lying.answer = forgetful((count) => count === 1, 404);
    await withAssociation(a.dimse, all, async (association) => {
      const { status, errorComment } = await association.nCreate(newUid(), step());
      assert.equal(hex(status), '0000', errorComment);
    });
    assert.equal(posts(), 2);
  });

  test('N-CREATE that is never answered: 0x0110, after two attempts', async () => {
    lying.answer = forgetful(() => true, 404);
    await withAssociation(a.dimse, all, async (association) =>
      assert.equal(hex((await association.nCreate(newUid(), step())).status), '0110'));
    assert.equal(posts(), 2);
  });

  test('N-SET whose answer is lost, but the step shows it: 0x0000', async () => {
    lying.answer = forgetful(() => true, 200);
    await withAssociation(a.dimse, all, async (association) => {
      const { status, errorComment } = await association.nSet(newUid(), step());
      assert.equal(hex(status), '0000', errorComment);
    });
  });
});

describe('what is broken off', () => {
  test('C-CANCEL ends a search with FE00 and its HTTP request (F11)', async () => {
    let held;
    lying.answer = (incoming, response) => (held = { gone: once(response, 'close') });
    const gateway = await startModgate(house, 'in front of a slow RIS', {
      dimse: { worklist: 'ris' }, 'backend ris': { kind: 'origin-server', base_uri: lying.url },
    });
    await withAssociation(gateway.dimse, all, async (association) => {
      const search = association.find(identifier());
      await until(5000, 'the question to reach the RIS', () => held);
      association.write(sopClass.worklist, { commandField: command.cCancel, messageIdBeingRespondedTo: 1 });
      assert.deepEqual((await search).statuses.map(hex), ['FE00']);
      await within(5000, 'the request to the RIS to be given up', held.gone);
      assert.equal((await association.echo()).status, 0);
    });
  });

  test('a modality that disconnects in a search takes its HTTP request with it (mapping 5b)', async () => {
    let held;
    lying.answer = (incoming, response) => (held = { gone: once(response, 'close') });
    const gateway = await startModgate(house, 'in front of a slow RIS, left alone', {
      dimse: { worklist: 'ris' }, 'backend ris': { kind: 'origin-server', base_uri: lying.url },
    });
    const association = await RawAssociation.open(gateway.dimse, all);
    association.find(identifier()).catch(() => {});
    await until(5000, 'the question to reach the RIS', () => held);
    association.abort();
    await within(5000, 'the request to the RIS to be given up', held.gone);
    await withAssociation(gateway.dimse, all, async (next) => assert.equal((await next.echo()).status, 0));
  });

  test('a user agent that disconnects in a Search makes the gateway send C-CANCEL (F11)', async () => {
    const scp = await startMppsScp(house);
    let asked = 0;
    let release;
    scp.register.find = () => new Promise((resolve) => {
      asked++;
      release = () => resolve([{ status: 0xfe00 }]);
    });
    const gateway = await startModgate(house, 'over a slow SCP', {
      web: { worklist: 'scp' }, 'backend scp': { kind: 'scp', ae_title: 'SCP', host: '127.0.0.1', port: scp.port },
    });
    const socket = net.connect(gateway.web.port, '127.0.0.1').on('error', () => {});
    socket.write(`GET ${steps} HTTP/1.1\r\nHost: x\r\nAccept: ${dicomJson}\r\n\r\n`);
    await until(5000, 'the question to reach the SCP', () => asked);
    socket.destroy();
    await until(5000, 'a C-CANCEL', () => scp.register.cancelled);
    release();
    scp.register.find = () => [{ status: 0x0000 }];
    assert.equal((await get(gateway, steps)).status, 204, 'the next request works');
  });

  test('peers that connect and say nothing keep nobody else from being served', async () => {
    const silent = [];
    try {
      for (let count = 0; count < 40; count++) {
        for (const front of [chain.a.dimse, chain.b.web]) {
          const socket = net.connect(front.port, '127.0.0.1').on('error', () => {});
          silent.push(socket);
          await once(socket, 'connect');
          if (count % 2) socket.write(front === chain.b.web ? 'POST / HTTP/1.1\r\nHost:' : Buffer.from([1, 0, 0, 0]));
        }
      }
      await withAssociation(chain.a.dimse, all, async (association) =>
        assert.equal((await association.find(identifier())).status, 0));
      await expectGoodRequestOnTheWeb();
    } finally {
      silent.forEach((socket) => socket.destroy());
    }
  });
});

test('the logs of the gateways name no patient', () => {
  expectNoPatientData(assert, house, ['GEHEIM', 'GERDA', 'PID-SECRET', 'VIVALDI']);
});
