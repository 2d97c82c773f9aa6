// What a DIMSE peer answers and what happens to its association, and what the web is told of it:
// every row of docs/spec/mapping.md 1a to 5a and 5c, every status of status_codes.csv. dcmjs-dimse is
// the peer where it can be; a bare socket refuses, stalls and breaks off. status_table_dimse.test.js
// holds the other direction.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
import { encode } from './support/data_set.js';
import { freePort, House, until } from './support/house.js';
import { dicomJson, get, post, request } from './support/http.js';
import { startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { startRawScp } from './support/raw_scp.js';
import { mappingRows, statusCodes } from './support/specification.js';
import { pdu, pduType, pdv, sopClass } from './support/upper_layer.js';

const steps = '/modality-scheduled-procedure-steps';
const performed = '/modality-performed-procedure-steps';

// What is common to the tables: transactions, fields of responses, Warning texts.
const operations = { search: 'C-FIND', create: 'N-CREATE', update: 'N-SET', retrieve: 'N-GET' };
const item = { PatientName: [{ Alphabetic: 'GEHEIM^GERDA' }], PatientID: 'PID-SECRET', StudyInstanceUID: '1.2.3' };
const object = { PerformedProcedureStepStatus: 'IN PROGRESS', PerformedProcedureStepID: 'PPS-1' };
const encodedItem = encode([[0x00100010, 'PN', 'GEHEIM^GERDA'], [0x00100020, 'LO', 'PID-SECRET']]);
const truncatedItem = encodedItem.subarray(0, -3);
const match = { status: 0xff00, elements: item };
const success = { status: 0x0000 };
const comment = { errorComment: 'The peer says why' };
const offending = { fields: { OffendingElement: [0x00400009] } };
const list = { fields: { AttributeIdentifierList: [0x00400252, 0x00400253] } };
const invalid = { elements: { PerformedProcedureStepStatus: 'BROKEN', PerformedProcedureStepID: 'PPS-?' } };
const errorId = (number) => ({ fields: { ErrorID: number } });
const bothTags = ['00400252', '00400253'];
const unsupported = 'Requested optional Attributes are not supported.';
const step = (what) => `The Modality Performed Procedure Step was ${what}.`;
const final = 'Performed Procedure Step Object may no longer be updated';

// Rows of mapping.md 1a: [row, what the SCP sends, what the web is told, the request].
// Expected: { status, count: results, warning, retryAfter, attributes, errorId }; a failure has the last status
// sent as its dimseStatus and the Error Comment sent as its errorComment.
const search = [
  ['>=1 FF00, final 0000', [match, match, success], { status: 200, count: 2 }],
  ['>=1 FF01 (any), final 0000', [match, { ...match, status: 0xff01 }, success],
    { status: 200, count: 2, warning: 'One or more optional keys were not supported.' }],
  ['no Pending, final 0000', [success], { status: 204 }],
  ['no Pending, final 0000', [success], { status: 200, count: 0 }, { gateway: 'options' }],
  ['offset >= matches, or limit=0', [match, match, success], { status: 204 }, { query: '?offset=2' }],
  ['offset >= matches, or limit=0', [match, match, success], { status: 204, remaining: 2 }, { query: '?limit=0' }],
  ['offset >= matches, or limit=0', [match, match, success], { status: 200, count: 0 }, { query: '?offset=7', gateway: 'options' }],
  // a gateway that cancels needs a peer that goes on until then: "cancelled" below
  ['FE00 not requested by us', [{ status: 0xfe00 }], { status: 503 }],
  ['FE00 not requested by us', [match, { status: 0xfe00 }], { status: 503 }],
  ['A700 before any Pending', [{ status: 0xa700, ...comment }], { status: 503, retryAfter: true }],
  ['A700 after >=1 Pending', [match, { status: 0xa700, ...comment }], { status: 413 }],
  ['A900', [{ status: 0xa900, ...comment, ...offending }], { status: 400, attributes: ['00400009'] }],
  ['0122 (or 0118)', [{ status: 0x0122, ...comment }], { status: 501 }],
  ['0122 (or 0118)', [{ status: 0x0118 }], { status: 501 }],
  ['0124', [{ status: 0x0124, ...comment }], { status: 403 }],
  ['Cxxx', [{ status: 0xc000, ...comment, ...offending }], { status: 503, attributes: ['00400009'] }],
  ['Cxxx', [{ status: 0xc123, ...comment }], { status: 503 }],
  ['Cxxx', [{ status: 0xcfff }], { status: 503 }],
  ...[0x0210, 0x0211, 0x0212, 0x0213, 0x0105, 0x0106, 0x0110, 0x0111, 0x0112, 0x0115, 0x0117, 0x0119, 0x0120, 0x0121,
    0x01ff, 0x02ff, 0xa000, 0xa800, 0xafff, 0x7000]
    .map((status) => ['0210, 0211, 0212, other failure', [{ status, ...comment }], { status: 500 }]),
  ...[0xa900, 0x0122, 0x0124, 0xc000, 0x0110, 0xa800]
    .map((status) => ['Failure after some Pendings (not A700)', [match, { status, ...comment }], { status: 503 }]),
  // global rule 4: other services' warnings are performed as well
  ...[0x0001, 0x0107, 0x0116, 0xb000, 0xbfff].flatMap((status) => [
    ['>=1 FF00, final 0000', [match, { status }], { status: 200, count: 1, warning: 'The search was performed with a warning.' }],
    ['no Pending, final 0000', [{ status }], { status: 204, warning: 'The search was performed with a warning.' }],
  ]),
  ['identifier undecodable', [{ ...match, bytes: encodedItem }, { status: 0xff00, bytes: truncatedItem }, success],
    { status: 200, count: 1, warning: 'One or more matches could not be read and were left out.' }],
  ['identifier undecodable', [{ status: 0xff00, bytes: truncatedItem }, success], { status: 503, dimseStatus: 'C003' }],
  ['query text invalid locally', [match, success], { status: 400, untouched: true, attributes: ['00400100'] }, { query: '?00400100.00400002=yesterday' }],
  ['query text invalid locally', [match, success], { status: 400, untouched: true, attributes: ['00100010'] }, { query: '?PatientName=%E5%B1%B1', gateway: 'latin' }],
];

// Rows of 2a, 3a and 4a: [row, the response of the SCP, what the web is told].
const create = [
  ['0000', success, { status: 201 }],
  ['0107', { status: 0x0107, ...list }, { status: 201, warning: `${unsupported} 00400252, 00400253` }],
  ['0116', { status: 0x0116, ...invalid }, { status: 201, warning: `${step('created with modifications')} 00400252, 00400253` }],
  ...[0x0001, 0xb000, 0xb123, 0xbfff]
    .map((status) => ['0001, Bxxx', { status, ...comment }, { status: 201, warning: step('created with a warning') }]),
  ['0111', { status: 0x0111 }, { status: 409 }],
  ...[[0x0105, list], [0x0106, invalid], [0x0120, list], [0x0121, invalid]].map(([status, more]) =>
    ['0105, 0106, 0120, 0121', { status, ...more }, { status: 400, attributes: bothTags }]),
  ['0117', { status: 0x0117 }, { status: 400 }],
  ...[0x0118, 0x0122, 0x0211].map((status) => ['0118, 0122, 0211', { status, ...comment }, { status: 501 }]),
  ['0119', { status: 0x0119 }, { status: 409 }],
  ['0124', { status: 0x0124, ...comment }, { status: 403 }],
  ['0213', { status: 0x0213 }, { status: 503, retryAfter: true }],
  ['0110', { status: 0x0110, ...comment, ...errorId(0x1234) }, { status: 503, errorId: '1234' }],
  ...[0x0210, 0x0212, 0x0115].map((status) => ['0210, 0212, 0115', { status }, { status: 500 }]),
  ...[0xa000, 0xa700, 0xa900, 0xafff, 0xc000, 0xcfff, 0x0112, 0x01ff, 0x02ff, 0x7000, 0xfe00]
    .map((status) => ['Axxx, Cxxx, others', { status, ...comment }, { status: 503 }]),
];
const update = [
  ['0000', success, { status: 200 }],
  ['0107, 0116, 0001, Bxxx', { status: 0x0107, ...list }, { status: 200, warning: `${unsupported} 00400252, 00400253` }],
  ['0107, 0116, 0001, Bxxx', { status: 0x0116, ...invalid },
    { status: 200, warning: `${step('updated with modifications')} 00400252, 00400253` }],
  ...[0x0001, 0xb000, 0xb123, 0xbfff]
    .map((status) => ['0107, 0116, 0001, Bxxx', { status }, { status: 200, warning: step('updated with a warning') }]),
  ['0112', { status: 0x0112 }, { status: 404 }],
  ['0110 + Error ID A710', { status: 0x0110, errorComment: final, ...errorId(0xa710) }, { status: 409, errorId: 'A710' }],
  ['0110 + Error ID A710', { status: 0x0110, errorComment: 'It is over', ...errorId(0xa710) }, { status: 409, errorId: 'A710' }],
  ['0110 with comment containing "no longer be updated" but no Error ID', { status: 0x0110, errorComment: final }, { status: 409 }],
  ['0110 otherwise', { status: 0x0110, ...comment }, { status: 503 }],
  ['0110 otherwise', { status: 0x0110, ...comment, ...errorId(0x1234) }, { status: 503, errorId: '1234' }],
  ['0105', { status: 0x0105, ...list }, { status: 409, attributes: bothTags }],
  ...[[0x0106, invalid], [0x0120, list], [0x0121, invalid]].map(([status, more]) =>
    ['0106, 0120, 0121, 0117', { status, ...more }, { status: 400, attributes: bothTags }]),
  ['0106, 0120, 0121, 0117', { status: 0x0117 }, { status: 400 }],
  ['0119', { status: 0x0119 }, { status: 409 }],
  ...[0x0118, 0x0122, 0x0211].map((status) => ['0118, 0122, 0211', { status, ...comment }, { status: 501 }]),
  ['0124', { status: 0x0124, ...comment }, { status: 403 }],
  ['0213', { status: 0x0213 }, { status: 503, retryAfter: true }],
  ...[0x0210, 0x0212, 0x0115].map((status) => ['0210, 0212, 0115', { status }, { status: 500 }]),
  ...[0xa000, 0xa700, 0xa710, 0xafff, 0xc000, 0xcfff, 0x0111, 0x01ff, 0x02ff, 0x7000, 0xfe00]
    .map((status) => ['Axxx, Cxxx, others', { status, ...comment }, { status: 503 }]),
];
const readable = '0001, 0107 (and 0116/0106 when an Attribute List came with it)';
const retrieve = [
  ['0000', { ...success, elements: object }, { status: 200 }],
  ...[0x0001, 0x0107, 0x0116, 0x0106, 0xb000, 0xbfff]
    .map((status) => [readable, { status, elements: object, ...list }, { status: 200, warning: unsupported }]),
  ...[0x0106, 0x0116].map((status) => ['0106, 0116 without data', { status }, { status: 400 }]),
  ['0112', { status: 0x0112 }, { status: 404 }],
  ['0117', { status: 0x0117 }, { status: 400 }],
  ...[0x0118, 0x0122, 0x0211]
    .map((status) => ['0118, 0122, 0211, or presentation context refused', { status, ...comment }, { status: 501 }]),
  // the refused presentation context is an event of 5a
  ['0119', { status: 0x0119 }, { status: 404 }],
  ['0124', { status: 0x0124, ...comment }, { status: 403 }],
  ['0213', { status: 0x0213 }, { status: 503, retryAfter: true }],
  ['0110, Axxx, Cxxx, others', { status: 0x0110, ...comment, ...errorId(0x1234) }, { status: 503, errorId: '1234' }],
  ...[0xa000, 0xa700, 0xafff, 0xc000, 0xcfff, 0x0105, 0x0111, 0x0115, 0x0120, 0x0121, 0x01ff, 0x02ff, 0x7000, 0xfe00]
    .map((status) => ['0110, Axxx, Cxxx, others', { status, ...comment }, { status: 503 }]),
  ...[0x0210, 0x0212].map((status) => ['0210, 0212', { status }, { status: 500 }]),
  ['success but no data set', success, { status: 503, dimseStatus: '0110' }],
  ...[0x0001, 0x0107, 0xb000].map((status) => ['success but no data set', { status }, { status: 503 }]),
];

// Rows of 5a: [row, what happens, how the peer does it, what the web is told]. Expected: { status, gatewayStatus:
// with gateway_status_codes, retryAfter, unknown: a write may have been done, and the answer says so }. The peer is
// a bare socket; those that need another one stand in "elsewhere" below.
const associated = (work) => async (scp) => {
  await scp.requested();
  scp.accept();
  await work(scp, await scp.read());
};
const ends = (send) => associated(async (scp, message) => {
  send(scp, message);
  scp.end = await scp.nextPdu();
});
const rejected = (...how) => async (scp) => {
  await scp.requested();
  scp.reject(...how);
};
const refused = (result) => async (scp) => {
  await scp.requested();
  scp.accept(() => result);
  await scp.released();
};
const sendMatch = (scp, message) => {
  if (message.command.commandField === 0x0020) scp.respond(message, { status: 0xff00 }, encodedItem);
};
const permanent = 'A-ASSOCIATE-RJ permanent: called AE (1,7), calling AE (1,3), context (1,2), version (2,2), none';
const transient = 'A-ASSOCIATE-RJ result 2 (transient), source 3 reason 1/2';
const otherRefusal = 'context refused (4 transfer syntax, 1/2 other)';
const broken = 'A-ABORT or TCP close before final response';
const invalidBytes = 'invalid PDU, wrong Message ID Responded To, undecodable command set';
const lost = { status: 503, gatewayStatus: 502, retryAfter: true, unknown: true };
const defect = { status: 503, gatewayStatus: 502, unknown: true };
const aborted = { ...defect, end: pduType.abort };
const events = [
  [transient, '2/3/1, temporary congestion', rejected(2, 3, 1), { status: 503, gatewayStatus: 502, retryAfter: true }],
  [transient, '2/3/2, local limit exceeded', rejected(2, 3, 2), { status: 503, gatewayStatus: 502, retryAfter: true }],
  [permanent, '1/1/7, called AE title', rejected(1, 1, 7), { status: 503, gatewayStatus: 502, log: /rejected.*called/i }],
  [permanent, '1/1/3, calling AE title', rejected(1, 1, 3), { status: 503, gatewayStatus: 502, log: /rejected.*calling/i }],
  [permanent, '1/1/2, application context', rejected(1, 1, 2), { status: 503, gatewayStatus: 502, log: /rejected.*context/i }],
  [permanent, '1/2/2, protocol version', rejected(1, 2, 2), { status: 503, gatewayStatus: 502, log: /rejected.*version/i }],
  [permanent, '1/1/1, no reason given', rejected(1, 1, 1), { status: 503, gatewayStatus: 502, log: /rejected.*no reason/i }],
  ['association up, context refused (3 abstract syntax)', 'every context with 3', refused(3), { status: 501, gatewayStatus: 501 }],
  ...[4, 1, 2].map((result) =>
    [otherRefusal, `every context with ${result}`, refused(result), { status: 503, gatewayStatus: 502 }]),
  ['no A-ASSOCIATE-AC in ACSE timeout', 'no answer to the A-ASSOCIATE-RQ', (scp) => scp.requested(),
    { status: 503, gatewayStatus: 504, retryAfter: true }],
  ['DIMSE response timeout', 'no answer to the request', associated(() => {}),
    { status: 503, gatewayStatus: 504, retryAfter: true, unknown: true }],
  ['DIMSE response timeout', 'a match, and no more', associated(sendMatch),
    { status: 503, gatewayStatus: 504, retryAfter: true, unknown: true }],
  [broken, 'A-ABORT by the service user', associated((scp) => scp.abort(0)), lost],
  [broken, 'A-ABORT by the service provider', associated((scp) => scp.abort(2, 1)), lost],
  [broken, 'a match, then A-ABORT', associated((scp, message) => (sendMatch(scp, message), scp.abort())), lost],
  [broken, 'the connection closed', associated((scp) => scp.socket.end()), lost],
  [broken, 'the connection reset', associated((scp) => scp.socket.resetAndDestroy()), lost],
  [broken, 'half a response, then the end', associated((scp, message) => {
    const whole = pdv(message.context, 3, Buffer.alloc(60));
    scp.socket.end(whole.subarray(0, 40));
  }), lost],
  [invalidBytes, 'bytes that are no PDU', ends((scp) => scp.socket.write('HTTP/1.0 400 Bad Request\r\n\r\n')), aborted],
  [invalidBytes, 'a PDU of 4 GiB', ends((scp) => scp.socket.write(Buffer.from('0400fffffff000000000', 'hex'))), aborted],
  [invalidBytes, 'a PDU in the wrong place', ends((scp) => scp.socket.write(pdu(pduType.associateReject, Buffer.alloc(4)))), aborted],
  [invalidBytes, 'another Message ID',
    ends((scp, message) => scp.respond(message, { status: 0, messageIdBeingRespondedTo: 4711 })), aborted],
  [invalidBytes, 'another context', ends((scp, message) => scp.respond({ ...message, context: 99 }, { status: 0 })), aborted],
  [invalidBytes, 'another operation',
    ends((scp, message) => scp.respond(message, { status: 0, commandField: 0x8030 })), aborted],
  [invalidBytes, 'a response without a status', ends((scp, message) => scp.respond(message, {})), aborted],
  [invalidBytes, 'a command set that is none', ends((scp, message) => scp.socket.write(pdv(message.context, 3, Buffer.from('garbage!!')))), aborted],
  ['response data set undecodable', 'an Attribute List that ends too early',
    associated((scp, message) => (scp.respond(message, { status: 0 }, truncatedItem), scp.released())),
    { status: 503, gatewayStatus: 502, only: ['retrieve'] }],
  ['A-RELEASE-RQ from peer in mid operation', 'a match, then a release',
    ends((scp, message) => (sendMatch(scp, message), scp.socket.write(pdu(pduType.releaseRequest, Buffer.alloc(4))))),
    { ...lost, end: pduType.releaseResponse }],
  ['all retries for a write exhausted', 'no answer to any N-CREATE and N-SET, and the step is not there',
    associated((scp, message) => {
      if (message.command.commandField !== 0x0110) return scp.socket.end();
      scp.respond(message, { status: 0x0112 });
      return scp.released();
    }), { ...lost, only: ['create', 'update'], connections: 3 }],
];

// Rows of 5c: [row, request, status, header that must be there].
const body = (more = {}) => ({
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
  '00400252': { vr: 'CS', Value: ['IN PROGRESS'] }, '00400253': { vr: 'SH', Value: ['PPS-1'] }, ...more,
});
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.7.${process.pid}.${++uids}`;
const created = (what, headers) => (gateway) => post(gateway, `${performed}/${newUid()}`, what, headers);
const maxBodyBytes = 65536;
const tooMuch = { '00400280': { vr: 'ST', Value: ['x'.repeat(maxBodyBytes)] } };
const clientFailures = [
  ['malformed JSON/XML', created('{"00100010": {"vr": "PN", '), 400],
  ['malformed JSON/XML', created('<NativeDicomModel><Dicom', { 'content-type': 'application/dicom+xml' }), 400],
  ['wrong Content-Type', created('GEHEIM^GERDA', { 'content-type': 'text/plain' }), 415, /application\/dicom\+json/],
  ['no acceptable type', (gateway) => get(gateway, steps, { accept: 'image/png' }), 406, /application\/dicom\+json/],
  ['body over limit', created(body(tooMuch)), 413],
  ['URI over limit', (gateway) => get(gateway, `${steps}?PatientID=${'1'.repeat(100000)}`), 414],
  ['Content-Length missing when required', (gateway) =>
    bytes(gateway, `POST ${performed}/1.2.3 HTTP/1.1\r\nHost: x\r\nContent-Type: ${dicomJson}\r\n\r\n`), 411],
  ['method not allowed', (gateway) => request(gateway, 'DELETE', `${performed}/1.2.3`), 405, undefined, ['allow', ['GET', 'HEAD', 'OPTIONS', 'POST']]],
  ['method not allowed', (gateway) => post(gateway, steps, body()), 405, undefined, ['allow', ['GET', 'HEAD', 'OPTIONS']]],
  ['unknown path', (gateway) => get(gateway, '/studies'), 404],
  ['unauthenticated', (gateway, guarded) => get(guarded, steps), 401, undefined, ['www-authenticate', ['Bearer realm="modgate"']]],
  ['unauthorised', (gateway) => request(gateway, 'OPTIONS', steps,
    { headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'GET' } }), 403],
  ['unauthorised', (gateway, guarded) =>
    post(guarded, `${performed}/${newUid()}`, body(), { authorization: 'Bearer reader-token' }), 403],
  ['HTTP version', (gateway) => bytes(gateway, `GET ${steps} HTTP/3.0\r\nHost: x\r\n\r\n`), 505],
  // nothing outside makes it throw: a unit test does
  ['internal exception', undefined, 'An exception of a service is 500 without its text, and the next request works'],
  // "shutting down" has a test of its own below
];
const shuttingDown = 'shutting down';
const cancelledRow = 'gateway cancelled (page full / cap), final FE00 or 0000';
const elsewhere = {
  refused: 'TCP refused, no route, DNS failure',
  tls: 'TLS handshake or certificate failure',
  identity: 'RJ because of user identity (result 1, source 2) after forwarding a Bearer token',
};

// ---- The documents and the tables ---------------------------------------------------------------

const hex = (status) => status.toString(16).padStart(4, '0').toUpperCase();

test('every row of mapping.md is in a table here, and every row here is in mapping.md', () => {
  const here = {
    '1a': [...search.map(([row]) => row), cancelledRow],
    '2a': create.map(([row]) => row),
    '3a': update.map(([row]) => row),
    '4a': retrieve.map(([row]) => row),
    '5a': [...events.map(([row]) => row), ...Object.values(elsewhere)],
    '5c': [...clientFailures.map(([row]) => row), shuttingDown],
  };
  for (const [section, rows] of Object.entries(here)) {
    assert.deepEqual([...new Set(rows)].sort(), mappingRows(section).sort(), section);
  }
});

test('every status that a row of mapping.md names is answered by the peer for it', () => {
  for (const [section, table] of [['1a', search], ['2a', create], ['3a', update], ['4a', retrieve]]) {
    for (const row of mappingRows(section).filter((name) => name !== cancelledRow)) {
      const sent = table.filter(([name]) => name === row).flatMap(([, answers]) => [answers].flat()).map(({ status }) => hex(status));
      for (const [word] of row.matchAll(/\b[0-9A-F]{4}\b|\b[ABC]xxx\b/g)) {
        if (row.includes(`Error ID ${word}`) || row.includes(`not ${word}`)) continue;
        const pattern = new RegExp(word.replace('xxx', '...'));
        assert.ok(sent.some((status) => pattern.test(status)), `${section}, ${row}: ${word}`);
      }
    }
  }
});

test('every status of status_codes.csv is answered by the peer, for each service that may have it', () => {
  const tables = { 'C-FIND': search, 'N-CREATE': create, 'N-SET': update, 'N-GET': retrieve };
  for (const { code, services } of statusCodes()) {
    const error = code.match(/Error ID 0x(\w{4})/)?.[1];
    const patterns = code.split('/').map((part) =>
      new RegExp(`^${part.match(/0x(\w{4})/)[1].replace('C000', 'C...').replaceAll('x', '.')}$`));
    for (const service of services.length ? services : Object.keys(tables)) {
      const answers = tables[service].flatMap(([, sent]) => [sent].flat());
      for (const pattern of patterns) {
        const there = answers.some(({ status, fields }) =>
          pattern.test(hex(status)) && (!error || fields?.ErrorID === parseInt(error, 16)));
        // Annex C knows no FE00 for N-services, nor 0001 for others than N-GET: these are sent all the same
        assert.ok(there, `${service}: ${code}`);
      }
    }
  }
});

// ---- Running them -------------------------------------------------------------------------------

const house = new House();
let ris; // dcmjs
let raw; // a bare socket
const gateways = {};

const backend = ({ port, ...keys }) => ({ kind: 'scp', ae_title: 'SCP', host: '127.0.0.1', port, ...keys });
const inFront = (name, scp, web = {}) => startModgate(house, name, {
  web: { worklist: 'scp', mpps: 'scp', ...web }, 'backend scp': backend(scp),
});
const codes = { gateway_status_codes: 'yes' };
const impatient = { reuse_associations: 'no', acse_timeout_seconds: 1, dimse_timeout_seconds: 1 };

before(async () => {
  ris = await startMppsScp(house);
  raw = await startRawScp(house, () => {}, 20000);
  const { port } = ris;
  gateways.plain = await inFront('plain', { port },
    { count_cap: 2, max_body_bytes: maxBodyBytes, cors_allowed_origins: 'https://app.example' });
  gateways.options = await inFront('with options', { port }, { no_match_status: 200, ...codes });
  gateways.latin = await inFront('of Latin 1', { port, character_set: 'ISO_IR 100' });
  gateways.raw = await inFront('over a bare socket', { port: raw.port, ...impatient }, { count_cap: 2 });
  gateways.rawCodes = await inFront('over a bare socket, gateway codes', { port: raw.port, ...impatient }, codes);
});
after(() => house.close());

const ask = {
  search: (gateway, query = '') => get(gateway, `${steps}${query}`),
  create: (gateway, uid = newUid()) => post(gateway, `${performed}/${uid}`, body()),
  update: (gateway, uid = newUid()) => post(gateway, `${performed}/${uid}?update`, body()),
  retrieve: (gateway, uid = newUid()) => get(gateway, `${performed}/${uid}`),
};

/// Bytes as they are: the status and headers of the first answer.
async function bytes(gateway, text) {
  const socket = net.connect(gateway.web.port, '127.0.0.1').on('error', () => {});
  let received = '';
  socket.on('data', (data) => (received += data));
  socket.write(text);
  await until(5000, 'an answer', () => received.includes('\r\n\r\n'));
  socket.destroy();
  const [head, text_] = received.split('\r\n\r\n');
  const headers = Object.fromEntries(head.split('\r\n').slice(1).map((line) =>
    [line.split(':')[0].toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  return { status: Number(head.split(' ')[1]), headers, body: text_, json: () => JSON.parse(text_) };
}

/// A problem report, whole and without patient data.
function expectProblem(answer, status) {
  assert.equal(answer.status, status, answer.body);
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
  const report = answer.json();
  assert.equal(report.status, status);
  assert.equal(report.type, 'about:blank');
  assert.ok(report.title && report.detail, answer.body);
  const known = ['type', 'title', 'status', 'detail', 'dimseStatus', 'errorComment', 'errorId', 'attributes'];
  assert.deepEqual(Object.keys(report).filter((name) => !known.includes(name)), []);
  assert.doesNotMatch(answer.body, /GEHEIM|PID-SECRET|BROKEN/);
  return report;
}

/// service: the base URI as the client knows it. Rule A16
const warnings = (gateway, ...texts) =>
  texts.filter(Boolean).map((text) => `299 http://127.0.0.1:${gateway.web.port}: ${text}`).join(', ') || undefined;

function expectAnswer(gateway, answer, expected, last) {
  const { status, remaining } = expected;
  const retryAfter = answer.headers['retry-after'];
  assert.equal(retryAfter !== undefined, Boolean(expected.retryAfter), `${status}, Retry-After ${retryAfter}`);
  if (retryAfter) assert.match(retryAfter, /^\d+$/);
  if (status < 300) {
    assert.equal(answer.status, status, answer.body);
    const more = remaining && `There are ${remaining} additional results that can be requested`;
    assert.equal(answer.headers.warning, warnings(gateway, more, expected.warning));
    assert.equal(answer.headers['content-type'], answer.body ? dicomJson : undefined);
    return;
  }
  const report = expectProblem(answer, status);
  assert.equal(answer.headers.warning, undefined);
  assert.equal(answer.headers.location, undefined);
  assert.deepEqual(report.attributes, expected.attributes);
  if (expected.untouched) return;
  assert.equal(report.dimseStatus, expected.dimseStatus ?? hex(last.status));
  if (!expected.dimseStatus) assert.equal(report.errorComment, last.errorComment);
  assert.equal(report.errorId, expected.errorId);
}

const say = (answers) => answers.map(({ status }) => hex(status)).join(', ');

describe('1a: C-FIND to Search', () => {
  for (const [row, answers, expected, { query = '', gateway: name = 'plain' } = {}] of search) {
    const told = `${expected.status}${query && `, ${query.slice(0, 30)}`}${name === 'plain' ? '' : `, ${name}`}`;
    test(`${row}: ${say(answers)}: ${told}`, async () => {
      const scripted = answers.some(({ bytes }) => bytes);
      const gateway = gateways[scripted ? 'raw' : name];
      let asked = 0;
      ris.register.find = () => (asked++, answers);
      raw.behave = associated(async (scp, message) => {
        for (const { status, bytes } of answers) scp.respond(message, { status }, bytes);
        await scp.released();
      });
      const answer = await ask.search(gateway, query);
      expectAnswer(gateway, answer, expected, answers.at(-1));
      if (expected.status === 200) assert.equal(answer.json().length, expected.count);
      if (expected.status === 204) assert.equal(answer.body, '');
      if (!scripted) assert.equal(asked, expected.untouched ? 0 : 1);
    });
  }

  for (const [final, before, remaining] of [[0xfe00, true, 2], [0x0000, false, 2]]) {
    test(`${cancelledRow}: ${hex(final)}`, async () => {
      let cancelled = false;
      raw.behave = associated(async (scp, message) => {
        for (let sent = 0; sent < 5; sent++) scp.respond(message, { status: 0xff00 }, encodedItem);
        const next = await scp.read();
        cancelled = next.command.commandField === 0x0fff && next.command.messageIdBeingRespondedTo === message.command.messageId;
        scp.respond(message, { status: final });
        await scp.released();
      });
      const answer = await ask.search(gateways.raw, '?limit=1');
      expectAnswer(gateways.raw, answer, { status: 200, remaining });
      assert.equal(answer.json().length, 1);
      assert.ok(cancelled, 'a C-CANCEL for this C-FIND');
    });
  }
});

for (const [section, transaction, table] of [['2a', 'create', create], ['3a', 'update', update], ['4a', 'retrieve', retrieve]]) {
  const operation = operations[transaction];
  describe(`${section}: ${operation} to ${transaction}`, () => {
    for (const [row, response, expected] of table) {
      test(`${row}: ${hex(response.status)}${response.errorComment ? ` "${response.errorComment}"` : ''}: ${expected.status}`, async () => {
        ris.register.answer = (name) => (name === operation ? response : undefined);
        const uid = newUid();
        const answer = await ask[transaction](gateways.plain, uid);
        expectAnswer(gateways.plain, answer, expected, response);
        const resource = `${performed}/${uid}`;
        if (answer.status === 201) {
          assert.equal(answer.headers.location, resource);
          assert.equal(answer.headers['content-length'], '0'); // B12
        }
        if (transaction === 'update' && answer.status === 200) assert.equal(answer.headers['content-length'], '0');
        if (transaction === 'retrieve' && answer.status === 200) {
          assert.equal(answer.headers['content-location'], resource); // B14
          assert.deepEqual(answer.json().map((step) => step['00400253']), [{ vr: 'SH', Value: ['PPS-1'] }]);
        }
      });
    }
  });
}

// The four transactions at once, in front of each of two gateways: [transaction, answer, answer with gateway codes].
const everyTransaction = (gateway, withCodes, only = Object.keys(operations)) =>
  Promise.all(only.map(async (transaction) =>
    [transaction, ...(await Promise.all([ask[transaction](gateway), ask[transaction](withCodes)]))]));

function expectEvent(answers, { status, gatewayStatus, retryAfter, unknown }) {
  for (const [transaction, answer, withCodes] of answers) {
    const report = expectProblem(answer, status);
    expectProblem(withCodes, gatewayStatus);
    const mayBeDone = unknown && ['create', 'update'].includes(transaction);
    assert.equal(Boolean(answer.headers['retry-after']), Boolean(retryAfter && !mayBeDone), `${transaction}: Retry-After`);
    assert.equal(/it is not known whether it was done/.test(report.detail), Boolean(mayBeDone), `${transaction}: ${report.detail}`);
  }
}

describe('5a: what happens to the association', () => {
  for (const [row, name, behave, expected] of events) {
    test(`${row}: ${name}: ${expected.status} / ${expected.gatewayStatus}`, async () => {
      const seen = [];
      raw.connections = 0;
      raw.behave = (scp) => {
        seen.push(scp);
        return behave(scp);
      };
      const logged = gateways.raw.log().length;
      const answers = await everyTransaction(gateways.raw, gateways.rawCodes, expected.only);
      expectEvent(answers, expected);
      if (expected.connections) assert.equal(raw.connections, 2 * answers.length * expected.connections);
      if (expected.end) {
        for (const { end } of seen) {
          assert.equal(end?.type, expected.end);
          if (expected.end === pduType.abort) assert.equal(end.body[2], 2, 'by the service provider');
        }
      }
      if (expected.log) assert.match(gateways.raw.log().slice(logged), expected.log);
      raw.behave = associated((scp, message) => (scp.respond(message, { status: 0 }), scp.released()));
      assert.equal((await ask.search(gateways.raw)).status, 204, 'the next request works');
    });
  }

  const pair = async (name, scp) => [await inFront(name, scp), await inFront(`${name}, gateway codes`, scp, codes)];

  test(`${elsewhere.refused}: 503 / 502`, async () => {
    const nobody = await pair('over nobody', { port: await freePort() });
    const unnamed = await pair('over a host without address', { port: 104, host: 'no-such-host.invalid' });
    for (const two of [nobody, unnamed]) {
      expectEvent(await everyTransaction(...two), { status: 503, gatewayStatus: 502, retryAfter: true });
    }
  });

  test(`${elsewhere.tls}: 503 / 502`, async () => {
    const [known, stranger] = [await makeCertificates(house), await makeCertificates(house)];
    const server = async (options) => {
      const made = tls.createServer(options, (socket) => socket.on('error', () => {}));
      made.on('tlsClientError', () => {});
      made.listen(0, '127.0.0.1');
      await once(made, 'listening');
      house.defer(() => made.close());
      return made.address().port;
    };
    const plain = await startRawScp(house, (scp) => scp.socket.end('no TLS here'));
    const peers = [ // the certificates are for 127.0.0.1
      ['a certificate of an unknown CA', await server(stranger.options), '127.0.0.1'],
      ['a certificate of another host', await server(known.options), 'localhost'],
      ['no TLS', plain.port, '127.0.0.1'],
    ];
    for (const [name, port, host] of peers) {
      const two = await pair(`over ${name}`, { port, host, tls_trusted: known.trusted, acse_timeout_seconds: 3 });
      expectEvent(await everyTransaction(...two), { status: 503, gatewayStatus: 502 });
      assert.match(two[0].log(), /warning .*(certificate|TLS)/, 'the log says so');
    }
  });

  test(`${elsewhere.identity}: 403`, async () => {
    const token = house.newPath('.jwt');
    fs.writeFileSync(token, 'a.b.c\n');
    const two = await pair('with a token', { port: raw.port, bearer_token_file: token, ...impatient });
    raw.behave = rejected(1, 2, 1); // PS3.7, D.3.3.7; reason 2 is the version, as above
    expectEvent(await everyTransaction(...two), { status: 403, gatewayStatus: 403 });
  });
});

describe('5c: failures of the client', () => {
  let guarded;
  before(async () => {
    const tokens = house.newPath('.tokens');
    fs.writeFileSync(tokens, `${crypto.createHash('sha256').update('reader-token').digest('hex')} reader\n`);
    guarded = await inFront('guarded', { port: ris.port }, { tokens, read_only_users: 'reader' });
  });

  for (const [row, send, status, text, [header, value] = []] of clientFailures) {
    if (!send) {
      test(`${row}: shown by a unit test`, () => {
        const unit = fs.readFileSync(new URL('../web/origin_server_test.cpp', import.meta.url), 'utf8');
        assert.ok(unit.includes(`TEST_CASE("${status}")`));
      });
      continue;
    }
    test(`${row}: ${status}`, async () => {
      const received = ris.register.received.length;
      ris.register.find = () => assert.fail('nothing may reach the SCP');
      const answer = await send(gateways.plain, guarded);
      expectProblem(answer, status);
      if (text) assert.match(answer.json().detail, text);
      if (header) assert.deepEqual(answer.headers[header].split(', ').sort(), value);
      assert.equal(ris.register.received.length, received);
    });
  }

  test(`${shuttingDown}: 503 for a request that is still arriving`, async () => {
    ris.register.find = () => [success];
    const gateway = await inFront('that stops', { port: ris.port });
    const socket = net.connect(gateway.web.port, '127.0.0.1').on('error', () => {});
    let received = '';
    socket.on('data', (data) => (received += data));
    socket.write(`GET ${steps} HTTP/1.1\r\nHost: x\r\n`);
    assert.equal((await ask.search(gateway)).status, 204, 'it is being read by now');
    gateway.child.signal('SIGTERM');
    await once(socket, 'close');
    assert.match(received, /^HTTP\/1\.1 503 /);
    expectProblem({ status: 503, headers: { 'content-type': 'application/problem+json' }, body: received,
      json: () => JSON.parse(received.split('\r\n\r\n')[1]) }, 503);
    assert.deepEqual(await gateway.child.exited, { code: 0, signal: null });
  });

  test(`${shuttingDown}: 503 for a request that the grace was too short for`, async () => {
    const gateway = await inFront('that stops in a Search', { port: raw.port });
    let asked = false;
    raw.behave = associated(async (scp, message) => {
      asked = true;
      const cancel = await scp.read();
      assert.equal(cancel.command.commandField, 0x0fff);
      scp.respond(message, { status: 0xfe00 });
    });
    const answer = ask.search(gateway);
    await until(5000, 'the request to reach the SCP', () => asked);
    gateway.child.signal('SIGTERM');
    expectProblem(await answer, 503);
    assert.deepEqual(await gateway.child.exited, { code: 0, signal: null });
  });
});
