// What an origin server answers and what happens on the way to it, and what the modality is told of it, on
// the wire: every row of docs/spec/mapping.md 1b to 5b, every status of status_codes.csv with exactly the
// fields that it may carry. The origin server is Node's, the modality a bare socket.
// status_table_web.test.js holds the other direction.
import assert from 'node:assert/strict';
import tls from 'node:tls';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
import { decode, encode } from './support/data_set.js';
import { freePort, House, until, within } from './support/house.js';
import { dicomJson, startOriginServer } from './support/http.js';
import { startModgate } from './support/modgate.js';
import { command, RawAssociation, sopClass, withAssociation } from './support/raw_scu.js';
import { mappingRows, statusCodes } from './support/specification.js';

const steps = '/modality-scheduled-procedure-steps';
const performed = '/modality-performed-procedure-steps/';

// The fields that a response may have beside the mandatory ones: column response_fields of status_codes.csv, by
// its column code, and by service where these differ. The UIDs and an Error Comment must be there where they may be;
// the others where the origin server gave them. In a Pending response the SOP class is allowed by PS3.7, 9.1.2.1.
const uidsOf = ['affectedSopClassUid', 'affectedSopInstanceUid'];
const responseFields = {
  '0x0000': { 'C-FIND': [], 'N-CREATE': uidsOf, 'N-SET': uidsOf, 'N-GET': [...uidsOf, 'dataSet'] },
  '0xFF00': ['affectedSopClassUid', 'dataSet'],
  '0xFF01': ['affectedSopClassUid', 'dataSet'],
  '0xFE00': [],
  '0xA700': ['errorComment'],
  '0xA900': ['errorComment', 'offendingElement'],
  '0xC000-0xCFFF': ['errorComment', 'offendingElement'],
  '0x0122': ['errorComment'],
  '0x0001': ['errorComment', 'offendingElement', 'dataSet'],
  '0x0107': { 'N-CREATE': [...uidsOf, 'attributeIdentifierList'], 'N-SET': [...uidsOf, 'attributeIdentifierList'],
    'N-GET': [...uidsOf, 'attributeIdentifierList', 'dataSet'] },
  '0x0116': ['dataSet'],
  '0x0105': ['attributeIdentifierList'],
  '0x0106': ['dataSet'],
  '0x0110': [...uidsOf, 'errorComment', 'errorId'],
  '0x0110 + Error ID 0xA710': [...uidsOf, 'errorComment', 'errorId'],
  '0x0111': ['affectedSopInstanceUid'],
  '0x0112': ['affectedSopInstanceUid'],
  '0x0117': ['affectedSopInstanceUid'],
  '0x0118': ['affectedSopClassUid'],
  '0x0119': uidsOf,
  '0x0120': ['attributeIdentifierList'],
  '0x0121': ['dataSet'],
  '0x0124': ['errorComment'],
  '0x0210': [], '0x0211': [], '0x0212': [], '0x0213': [],
  // never sent: of other services, or of ranges that no service here defines
  '0x0115': undefined, '0xBxxx': undefined, '0xAxxx (other)': undefined, '0x01xx/0x02xx (other)': undefined,
};
const onlyIfKnown = ['attributeIdentifierList', 'offendingElement', 'errorId', 'dataSet'];

// What the origin server says. answer(incoming, response) as http.js has it.
const json = { 'content-type': dicomJson };
const says = (status, headers = {}, text = '') => (_, response) => response.writeHead(status, headers).end(text);
const given = (value, headers = {}) => says(200, { ...json, ...headers }, JSON.stringify(value));
const problem = (status, more) =>
  says(status, { 'content-type': 'application/problem+json' }, JSON.stringify({ type: 'about:blank', status, ...more }));
const warns = (text) => ({ warning: `299 http://ris.example/radiology: ${text}` });
/// One answer after the other; the last one stays.
const inTurn = (...answers) => {
  let turn = 0;
  return (incoming, response) => answers[Math.min(turn++, answers.length - 1)](incoming, response);
};
const byMethod = (answers) => (incoming, response) => answers[incoming.method](incoming, response);
const raw = (text) => (incoming, response) => response.socket.end(text);
const closes = (incoming, response) => response.socket.destroy();
const silent = () => {};
const elsewhere = { host: 'http://127.0.0.2:9' };
const back = (status) => inTurn((incoming, response) =>
  response.writeHead(status, { location: `${incoming.url}${incoming.url.includes('?') ? '&' : '?'}` }).end(), given([]));

const item = (modality = 'MR', ...more) => ({
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
  '00100020': { vr: 'LO', Value: ['PID-SECRET'] },
  '00400100': { vr: 'SQ', Value: [modality, ...more].map((value) => ({ '00080060': { vr: 'CS', Value: [value] } })) },
});
const object = (status = 'IN PROGRESS') => ({
  '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
  '00100020': { vr: 'LO', Value: ['PID-SECRET'] },
  '00400252': { vr: 'CS', Value: [status] },
  '00400253': { vr: 'SH', Value: ['PPS-1'] },
});
const final = 'Performed Procedure Step Object may no longer be updated';
const notSupported = 'Requested optional Attributes are not supported.';
const modified = (what) => `The Modality Performed Procedure Step was ${what} with modifications.`;
const text = (body) => says(200, json, body);

// Rows of 1b: [row, what happens, the answer, the statuses, further expectations].
// Expected: { requests: that the origin server got; offending: tags; log }. An Error Comment must be there wherever it may.
const cut = 'HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 5000\r\n\r\n[{"00100010":{';
const badChunk = 'HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[]\r\n';
const remaining = (count) => warns(`There are ${count} additional results that can be requested`);
const paged = (incoming, response) => {
  const offset = Number(new URL(incoming.url, 'http://x').searchParams.get('offset') ?? 0);
  given([item(['MR', 'CT', 'US'][offset])], offset < 2 ? remaining(2 - offset) : {})(incoming, response);
};
const manyForOne = (incoming, response) => {
  const parameters = new URL(incoming.url, 'http://x').searchParams;
  const [limit, offset] = [Number(parameters.get('limit')), Number(parameters.get('offset') ?? 0)];
  if (limit > 1) return response.writeHead(413).end();
  return given(offset < 3 ? [item(['MR', 'CT', 'US'][offset])] : [], offset < 2 ? remaining(2 - offset) : {})(incoming, response);
};
const redirects = '301, 302, 303, 307, 308';
const unusable = '2xx but wrong type / JSON or XML invalid / truncated body';
const brokenItem = JSON.stringify([item(), item()]).replace(/\]$/, ',{"00100020":{"vr":"LO","Value":[1]}}]');
const find = [
  ['200, n items (n>=1)', 'two items', given([item(), item('CT')]), 'FF00 FF00 0000'],
  ['200, n items (n>=1)', 'an item with two steps (F9)', given([item('MR', 'CT'), item()]), 'FF00 FF00 FF00 0000'],
  ['200 + Warning (optional key / fuzzy unsupported)', 'optional keys',
    given([item()], warns('One or more optional keys were not supported.')), 'FF01 0000'],
  ...['fuzzymatching', 'emptyvaluematching'].map((name) =>
    ['200 + Warning (optional key / fuzzy unsupported)', name,
      given([item()], warns(`The ${name} parameter is not supported. Only literal matching has been performed.`)), 'FF01 0000']),
  ['200 + Warning "remaining"', 'three pages', paged, 'FF00 FF00 FF00 0000', { requests: 3 }],
  ['200 + Warning "remaining"', 'the second page fails', inTurn(given([item()], remaining(1)), says(500)), 'FF00 C005', { requests: 2 }],
  ['200 + Warning "remaining"', 'always the same page', given([item()], remaining(1)), 'FF00 C005', { requests: 2 }],
  ['200 `[]`, 200 empty body, 204', 'an empty list', given([]), '0000'],
  ['200 `[]`, 200 empty body, 204', 'an empty body', says(200), '0000'],
  ['200 `[]`, 200 empty body, 204', 'an empty body of a type', says(200, json), '0000'],
  ['200 `[]`, 200 empty body, 204', '204', says(204), '0000'],
  ['203, 206', '203', says(203, json, JSON.stringify([item()])), 'FF00 0000'],
  ['203, 206', '206', says(206, json, JSON.stringify([item()])), 'C005'],
  ...[301, 302, 303, 307, 308].flatMap((status) => [
    [redirects, `${status}, the same host`, back(status), '0000', { requests: 2 }],
    [redirects, `${status}, another host`, says(status, { location: elsewhere.host }), 'C007', { requests: 1 }],
    [redirects, `${status} without end`, (incoming, response) => response.writeHead(status, { location: incoming.url }).end(),
      'C007', { requests: 4 }],
    [redirects, `${status} to nowhere`, says(status), 'C007', { requests: 1 }],
  ]),
  ['304', '304', says(304), 'C003'],
  ['400, 414', '400', says(400, {}, 'GEHEIM^GERDA'), 'A900'],
  ['400, 414', '400 with a report that names an attribute', problem(400, { attributes: ['00100010'] }), 'A900', { offending: ['00100010'] }],
  ['400, 414', '414', says(414), 'A900', { requests: 2 }],
  ['400, 414', '414, but not for includefield=all', (incoming, response) =>
    (incoming.url.includes('includefield=all') ? given([item()]) : says(414))(incoming, response), 'FF00 0000', { requests: 2 }],
  ...[401, 403].map((status) => ['401, 403', `${status}`, says(status), 'C006']),
  ...[404, 405, 410, 501].map((status) => ['404, 405, 410, 501', `${status}`, says(status), '0122']),
  ...[406, 415].flatMap((status) => [
    ['406, 415', `${status}`, says(status), 'C001', { requests: 2 }],
    ['406, 415', `${status}, but not for */*`, (incoming, response) =>
      (incoming.headers.accept === 'application/dicom+json, */*;q=0.1' ? given([item()]) : says(status))(incoming, response),
    'FF00 0000', { requests: 2 }],
  ]),
  ...[408, 425, 429, 503].map((status) => ['408, 425, 429, 503', `${status}`, says(status), 'A700']),
  ['413', 'whatever the limit', says(413), 'A700'],
  ['413', 'but not for one at a time', manyForOne, 'FF00 FF00 FF00 0000'],
  ...[500, 502, 504, 505, 507, 511, 599].map((status) => ['500, 502, 504, 505, other 5xx', `${status}`, says(status), 'C002']),
  ...[402, 407, 409, 411, 412, 416, 417, 421, 422, 423, 426, 428, 431, 451, 499].map((status) =>
    ['other 4xx', `${status}`, says(status), 'C001']),
  [unusable, 'a page of HTML', says(200, { 'content-type': 'text/html' }, '<h1>Log in</h1>'), 'C003'],
  [unusable, 'JSON that ends early', text('[{"00100010":{"vr":"PN"'), 'C003'],
  [unusable, 'JSON that is no DICOM', text('[{"hello":"world"}]'), 'C003'],
  [unusable, 'XML that ends early', says(200, { 'content-type': 'application/dicom+xml' }, '<NativeDicomModel><Dicom'), 'C003'],
  [unusable, 'multipart without parts', says(200, { 'content-type': 'multipart/related; boundary=x' }, 'nothing'), 'C003'],
  [unusable, 'a body shorter than its length', raw(cut), 'C003'],
  [unusable, 'two items, and a third that is none', text(brokenItem), 'FF00 FF00 C005'],
  ...[201, 202, 205].map((status) => [unusable, `${status}, which brings no list`, says(status), 'C003']),
];
const cancelRow = 'C-CANCEL received';

// Rows of 2b, 3b and 4b: [row, what happens, the answer, the status, further expectations].
// Expected: { requests, errorId, comment, attributes: tags of the Attribute Identifier List, dataSet: tags, log }.
const named = (status, dimseStatus, attributes) => problem(status, { dimseStatus, attributes });
const both = ['00400252', '00400253'];
const lostThen = (get, ...posts) => byMethod({ POST: inTurn(closes, ...posts), GET: get });
const oneRetry = '411, 406, 415, 414';
const unsent = 'request never sent (DNS, connect, TLS)';
const unanswered = 'sent, no answer (timeout, reset)';
const nCreate = [
  ...[201, 200, 204].map((status) => ['201, 200, 204', `${status}`, says(status), '0000']),
  ['201, 200, 204', '200 with a page of HTML', says(200, { 'content-type': 'text/html' }, '<h1>'), '0000'],
  ['202', '202', says(202), '0000', { log: /202 Accepted/ }],
  ['2xx + Warning "...modifications"', '201', says(201, warns(modified('created'))), '0116'],
  ['2xx + Warning "...modifications"', '200', says(200, warns(modified('created'))), '0116'],
  ['2xx + Warning "optional Attributes are not supported"', '201', says(201, warns(notSupported)), '0107'],
  ['2xx + Warning "optional Attributes are not supported"', '201, naming two', says(201, warns(`${notSupported} 00400252, 00400253`)),
    '0107', { attributes: both }],
  ['2xx + Warning "...modifications"', '201, naming two', says(201, warns(`${modified('created')} 00400252, 00400253`)), '0116', { dataSet: both }],
  ['2xx + other Warning', '201', says(201, warns('The disk of GEHEIM is nearly full.')), '0000', { log: /Warning/ }],
  ['400', '400', says(400), '0106'],
  ['400', '400, naming a missing attribute', named(400, '0120', both), '0120', { attributes: both }],
  ['400', '400, naming an empty attribute', named(400, '0121', both), '0121', { dataSet: both }],
  ['400', '400, naming a bad value', named(400, '0106', ['00400252']), '0106', { dataSet: ['00400252'] }],
  ['400', '400, naming an unknown attribute', named(400, '0105', both), '0105', { attributes: both }],
  ['400', '400, naming a bad UID', named(400, '0117'), '0117'],
  // words that N-CREATE does not have, status_codes.csv; and what is no status
  ...['0112', '0119', '0122', '0115', '0000', 'FF00', 'A700', 'C123', 'B000', '01FF', '10000', 'zz', ''].map((word) =>
    ['400', `400 with a report of ${word}`, named(400, word), '0106']),
  ...[401, 403].map((status) => ['401, 403', `${status}`, says(status), '0124']),
  ['404', '404', says(404), '0110'],
  ['405', '405', says(405, { allow: 'GET' }), '0211'],
  ['409', '409', says(409), '0111', { requests: 1 }],
  ['410', '410', says(410), '0111'],
  [oneRetry, '415: JSON, then XML', says(415), '0110', { requests: 2, types: ['application/dicom+json', 'application/dicom+xml'] }],
  [oneRetry, '406: with Accept */*', says(406), '0110', { requests: 2 }],
  // the length is always there, and a path cannot be shorter: nothing to correct
  [oneRetry, '411', says(411), '0110', { requests: 1 }],
  [oneRetry, '414', says(414), '0110', { requests: 1 }],
  [oneRetry, '415, but not for XML', (incoming, response) =>
    says(incoming.headers['content-type'].includes('xml') ? 201 : 415)(incoming, response), '0000', { requests: 2 }],
  ...[413, 429, 503].map((status) => ['413, 429, 503', `${status}`, says(status), '0213']),
  ['501', '501', says(501), '0118'],
  ...[500, 502, 504, 402, 408, 412, 422, 425, 451, 505, 507].map((status) => ['500, 502, 504, other', `${status}`, says(status), '0110']),
  ['500, 502, 504, other', '500 with words for the modality', problem(500, { errorComment: 'Täglich\\um zwölf' }), '0110', { comment: 'T?glich?um zw?lf' }],
  ['500, 502, 504, other', '500 with too many words', problem(500, { errorComment: 'x'.repeat(200) }), '0110', { comment: 'x'.repeat(64) }],
  ...[307, 308].flatMap((status) => [
    ['3xx', `${status}, the same host`, inTurn((incoming, response) => response.writeHead(status, { location: incoming.url }).end(), says(201)),
      '0000', { requests: 2, methods: 'POST POST' }],
    ['3xx', `${status}, another host`, says(status, { location: elsewhere.host }), '0110', { requests: 1 }],
  ]),
  ...[300, 301, 302, 303, 304].map((status) =>
    ['3xx', `${status}`, (incoming, response) => response.writeHead(status, { location: incoming.url }).end(), '0110', { requests: 1 }]),
  [unanswered, 'and it is there', lostThen(given([object()])), '0000', { methods: 'POST GET' }],
  [unanswered, 'another one is there', lostThen(given([{ ...object(), '00400253': { vr: 'SH', Value: ['PPS-2'] } }])), '0110', { methods: 'POST GET' }],
  [unanswered, 'and it is not there', lostThen(says(404), says(201)), '0000', { methods: 'POST GET POST' }],
  [unanswered, 'twice', lostThen(says(404), closes), '0110', { methods: 'POST GET POST' }],
  [unanswered, 'and Retrieve is not offered', lostThen(says(501)), '0110', { methods: 'POST GET' }],
  [unanswered, 'in time', byMethod({ POST: silent, GET: given([object()]) }), '0000', { methods: 'POST GET' }],
  ['409 after our own resend', 'and it is ours',
    byMethod({ POST: inTurn(closes, says(409)), GET: inTurn(says(404), given([object()])) }), '0000', { methods: 'POST GET POST GET' }],
  ['409 after our own resend', 'and it is not ours',
    byMethod({ POST: inTurn(closes, says(409)), GET: inTurn(says(404), given([{ ...object(), '00400253': { vr: 'SH', Value: ['PPS-2'] } }])) }),
    '0111', { methods: 'POST GET POST GET' }],
];
const conflict = '409';
const setAnew = '409 after our own resend of a final N-SET';
const nSet = [
  ...[200, 201, 204, 202].map((status) => ['200, 201, 204, 202', `${status}`, says(status), '0000',
    { log: { 201: /201 Created/, 202: /202 Accepted/ }[status] }]),
  ['200, 201, 204, 202', '200 with modifications', says(200, warns(modified('updated'))), '0116'],
  ['200, 201, 204, 202', '200, some not supported', says(200, warns(notSupported)), '0107'],
  ['200, 201, 204, 202', '200 with another Warning', says(200, warns('The disk of GEHEIM is nearly full.')), '0000', { log: /Warning/ }],
  ['400', '400', says(400), '0106'],
  ['400', '400, naming an unknown attribute', named(400, '0105', both), '0105', { attributes: both }],
  ['400', '400, naming an empty attribute', named(400, '0121', both), '0121', { dataSet: both }],
  ['400', '400, naming a conflict of class and instance', named(400, '0119'), '0119'],
  ...['0120', '0111', '0122', '0115', 'FE00'].map((word) => ['400', `400 with a report of ${word}`, named(400, word), '0106']),
  ...[401, 403].map((status) => ['401, 403', `${status}`, says(status), '0124']),
  ['404', '404', says(404), '0112'],
  ['405', '405', says(405), '0211'],
  [conflict, 'the step is final, as GET shows', byMethod({ POST: says(409), GET: given([object('COMPLETED')]) }), '0110',
    { errorId: 0xa710, comment: final, methods: 'POST GET' }],
  [conflict, 'the step is final, as the report says', problem(409, { errorId: 'A710' }), '0110', { errorId: 0xa710, comment: final, requests: 1 }],
  [conflict, 'the step is final, as the words say', problem(409, { errorComment: final }), '0110', { errorId: 0xa710, comment: final, requests: 1 }],
  [conflict, 'the step is not final', byMethod({ POST: says(409), GET: given([object()]) }), '0110', { methods: 'POST GET', comment: 'HTTP 409 Conflict' }],
  [conflict, 'and nothing more is known', byMethod({ POST: problem(409, { errorComment: 'Not now' }), GET: says(501) }), '0110',
    { methods: 'POST GET', comment: 'Not now' }],
  [conflict, 'an attribute was never created (B17)', named(409, '0105', both), '0105', { attributes: both }],
  ['410', '410', says(410), '0112'],
  ...[[406, 2], [411, 1], [414, 1], [415, 2]].map(([status, requests]) => ['406, 411, 414, 415', `${status}`, says(status), '0110', { requests }]),
  ...[413, 429, 503].map((status) => ['413, 429, 503', `${status}`, says(status), '0213']),
  ['501', '501', says(501), '0118'],
  ...[500, 502, 504, 402, 412, 422, 505, 301, 302, 303].map((status) => ['500, 502, 504, others', `${status}`, says(status), '0110', { requests: 1 }]),
  ['sent, no answer', 'and it was done', lostThen(given([object()])), '0000', { methods: 'POST GET' }],
  ['sent, no answer', 'and it was not done', lostThen(given([object('DISCONTINUED')]), says(200)), '0000', { methods: 'POST GET POST' }],
  ['sent, no answer', 'twice', lostThen(given([object('DISCONTINUED')]), closes), '0110', { methods: 'POST GET POST' }],
  [setAnew, 'and it is as we wanted it', byMethod({ POST: inTurn(closes, says(409)),
    GET: inTurn(given([object()]), given([{ ...object('COMPLETED'), '00400250': { vr: 'DA', Value: ['20261120'] } }])) }),
  '0000', { methods: 'POST GET POST GET', set: [[0x00400250, 'DA', '20261120'], [0x00400252, 'CS', 'COMPLETED']] }],
  [setAnew, 'and it is not', byMethod({ POST: inTurn(closes, says(409)), GET: inTurn(given([object()]), given([object('DISCONTINUED')])) }),
    '0110', { methods: 'POST GET POST GET', errorId: 0xa710, comment: final, set: [[0x00400252, 'CS', 'COMPLETED']] }],
];
const asked = [0x00100020, 0x00400252];
const nGet = [
  ['200 + object', 'a list of one', given([object()]), '0000', { dataSet: ['00100020', '00400252'] }],
  ['200 + object', 'a bare object', given(object()), '0000', { dataSet: ['00100020', '00400252'] }],
  ['200 + object', 'and all of it asked for', given(object()), '0000', { get: [], dataSet: ['00100010', '00100020', '00400252', '00400253'] }],
  ['200, some requested optional tags absent', 'one', given(object()), '0001', { get: [...asked, 0x00400254], dataSet: ['00100020', '00400252'] }],
  ['200 + Warning unsupported attributes', 'and it is known which', given([object()], warns(notSupported)), '0107',
    { get: [...asked, 0x00400254], dataSet: ['00100020', '00400252'], attributes: ['00400254'] }],
  ['200 + Warning unsupported attributes', 'and it is not known which', given([object()], warns(notSupported)), '0001',
    { dataSet: ['00100020', '00400252'] }],
  ['204 or empty array', '204', says(204), '0112'],
  ['204 or empty array', 'an empty list', given([]), '0112'],
  ['204 or empty array', 'an empty body', says(200), '0112'],
  ['400', '400', says(400), '0110'],
  ['400', '400 with a report of 0106', named(400, '0106'), '0110'],
  ...[401, 403].map((status) => ['401, 403', `${status}`, says(status), '0124']),
  ...[404, 410].map((status) => ['404, 410', `${status}`, says(status), '0112']),
  ...[405, 501].map((status) => ['405, 501', `${status}`, says(status), '0211']),
  ...[406, 415].map((status) => ['406, 415', `${status}`, says(status), '0110', { requests: 2 }]),
  ...[413, 429, 503].map((status) => ['413, 429, 503', `${status}`, says(status), '0213']),
  ...[500, 502, 504, 402, 409, 412, 422, 505].map((status) => ['500, 502, 504, others, malformed body', `${status}`, says(status), '0110']),
  ...[['a page of HTML', says(200, { 'content-type': 'text/html' }, '<h1>Log in</h1>')], ['JSON that ends early', text('[{"0010')],
    ['two objects', given([object(), object()])], ['a body shorter than its length', raw(cut)], ['201', says(201)], ['206', says(206)]]
    .map(([name, answer]) => ['500, 502, 504, others, malformed body', name, answer, '0110']),
  ['connect failure/timeout', 'no answer in time', silent, '0110'],
  ['connect failure/timeout', 'no answer at first', inTurn(closes, given(object())), '0000', { dataSet: ['00100020', '00400252'], requests: 2 }],
  ['connect failure/timeout', 'no answer at all', closes, '0110', { requests: 2 }],
];
// Rows that are no answer of the origin server have a test of their own below.
const down = { '2b': unsent, '3b': 'never sent', '4b': 'connect failure/timeout', '5b': 'HTTP connect failure, TLS failure' };
const own = {
  titles: 'unknown called AE / calling AE',
  many: 'too many associations',
  late: 'upstream known to be down at association time',
  timeout: 'HTTP timeout before any byte',
  short: 'body shorter than Content-Length, chunk error',
  type: 'unsupported Content-Type in 2xx',
  gone: 'SCU aborts / disconnects',
  operation: 'operation not for this class on the context (e.g. N-GET on 3.3)',
  sopClass: 'unknown SOP class in command although context differs',
  undecodable: 'data set undecodable in request',
  characters: '(0008,0005) unsupported',
  second: 'second request while one runs and async window is 1',
};

// ---- The documents and the tables ---------------------------------------------------------------

const hex = (status) => status.toString(16).padStart(4, '0').toUpperCase();
const operations = { 'C-FIND': find, 'N-CREATE': nCreate, 'N-SET': nSet, 'N-GET': nGet };

test('every row of mapping.md is in a table here, and every row here is in mapping.md', () => {
  const rows = (table) => table.map(([row]) => row);
  const here = {
    '1b': [...rows(find), cancelRow], '2b': [...rows(nCreate), down['2b']], '3b': [...rows(nSet), down['3b']],
    '4b': [...rows(nGet), down['4b']], '5b': [...Object.values(own), down['5b']],
  };
  for (const [section, list] of Object.entries(here)) {
    assert.deepEqual([...new Set(list)].sort(), mappingRows(section).sort(), section);
  }
});

test('every HTTP status that a row of mapping.md names is answered for it', () => {
  for (const [section, table] of [['1b', find], ['2b', nCreate], ['3b', nSet], ['4b', nGet]]) {
    for (const row of mappingRows(section)) {
      const names = table.filter(([name]) => name === row).map(([, name]) => name).join('; ');
      if (/^\d{3}(, \d{3})+/.test(row) && !/item/.test(row)) {
        for (const [code] of row.matchAll(/\b\d{3}\b/g)) {
          if (!/^200|206/.test(row)) assert.match(names, new RegExp(`\\b${code}\\b`), `${section}, ${row}: ${code}`);
        }
      }
    }
  }
});

const codeOf = (status, errorId) =>
  Object.keys(responseFields).find((code) => {
    if (errorId === 0xa710 && status === 0x0110) return code.includes('A710');
    const [low, high = low] = code.split('-');
    return parseInt(low, 16) <= status && status <= parseInt(high, 16) && !/x/.test(low.slice(2));
  });

test('every status of status_codes.csv has its fields here, and each that a service may have is asked of it', () => {
  assert.deepEqual(Object.keys(responseFields).sort(), [...new Set(statusCodes().map(({ code }) => code))].sort());
  const reached = Object.fromEntries(Object.keys(operations).map((service) => [service, new Set(['0x0210', '0x0211'])]));
  for (const [service, table] of Object.entries(operations)) {
    for (const [, , , statuses, { errorId } = {}] of table) {
      for (const status of statuses.split(' ')) reached[service].add(codeOf(parseInt(status, 16), errorId));
    }
  }
  reached['C-FIND'].add('0xFE00'); // cancelled, below
  // Named by the tests of 5b; no answer of an origin server has them as its meaning (mapping.md, 4b), and a
  // mistyped argument is a defect of this gateway's own
  const nowhere = { 'N-SET': ['0x0212', '0x0117'], 'N-CREATE': ['0x0212'], 'N-GET': ['0x0212', '0x0117', '0x0118', '0x0119'] };
  for (const { code, services } of statusCodes()) {
    for (const service of services) {
      assert.ok(reached[service].has(code) || nowhere[service]?.includes(code), `${service}: ${code}`);
    }
  }
});

// ---- Running them -------------------------------------------------------------------------------

const house = new House();
let ris; // the origin server
let a; // the gateway in front of it

const inFront = (name, keys = {}, dimse = {}) => startModgate(house, name, {
  dimse: { worklist: 'ris', mpps: 'ris', ...dimse },
  'backend ris': { kind: 'origin-server', base_uri: ris.url, connect_timeout_seconds: 1, response_timeout_seconds: 1, ...keys },
});

before(async () => {
  ris = await startOriginServer(house, says(500));
  a = await inFront('in front of the origin server');
});
beforeEach(() => ris.requests.splice(0));
after(() => house.close());

let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.8.${process.pid}.${++uids}`;
const all = [sopClass.worklist, sopClass.mpps, sopClass.mppsRetrieve, sopClass.verification];
const identifier = encode([
  [0x00100010, 'PN', 'GEHEIM*'], [0x00100020, 'LO', ''], [0x00400100, 'SQ', [[[0x00080060, 'CS', '']]]],
]);
const step = encode([
  [0x00100010, 'PN', 'GEHEIM^GERDA'], [0x00100020, 'LO', 'PID-SECRET'], [0x00400252, 'CS', 'IN PROGRESS'], [0x00400253, 'SH', 'PPS-1'],
]);

/// The response holds what it must and nothing that it may not. command: as decoded, dataSet: its tags.
function expectFields(service, command_, dataSet, { attributes, offending, errorId, comment, dataSet: tags } = {}, uid = undefined) {
  const where = `${service}-RSP ${hex(command_.status)}: ${JSON.stringify(command_)}`;
  const code = codeOf(command_.status, command_.errorId);
  const allowed = responseFields[code]?.[service] ?? responseFields[code];
  assert.ok(Array.isArray(allowed), where);
  const mandatory = ['commandField', 'messageIdBeingRespondedTo', 'commandDataSetType', 'status'];
  const has = [...Object.keys(command_).filter((name) => !mandatory.includes(name)), ...(dataSet ? ['dataSet'] : [])];
  const known = { attributeIdentifierList: attributes, offendingElement: offending, errorId, dataSet: tags };
  const wanted = allowed.filter((name) => !onlyIfKnown.includes(name) || known[name] !== undefined);
  const success = command_.status < 2; // an Error Comment belongs to a warning only where there is something to say
  assert.deepEqual(has.filter((name) => !(success && name === 'errorComment')).sort(),
    wanted.filter((name) => !(success && name === 'errorComment')).sort(), where);
  for (const [name, value] of Object.entries(known)) {
    if (value !== undefined && name !== 'dataSet') assert.deepEqual(command_[name], value, where);
  }
  if (tags) assert.deepEqual(Object.keys(dataSet), tags, where);
  if (command_.errorComment) assert.match(command_.errorComment, /^[\x20-\x5b\x5d-\x7e]{1,64}$/, where);
  assert.doesNotMatch(command_.errorComment ?? '', /GEHEIM|PID-SECRET/, where);
  if (comment !== undefined) assert.equal(command_.errorComment, comment);
  if (command_.affectedSopInstanceUid !== undefined && uid) assert.equal(command_.affectedSopInstanceUid, uid, where);
  assert.equal(command_.commandDataSetType, dataSet ? command_.commandDataSetType : 0x0101, where);
}

function expectRequests({ requests, methods, types, log }, logged) {
  if (requests !== undefined) assert.equal(ris.requests.length, requests, JSON.stringify(ris.requests.map(({ url }) => url)));
  if (methods) assert.equal(ris.requests.map(({ method }) => method).join(' '), methods);
  if (types) assert.deepEqual(ris.requests.map(({ headers }) => headers['content-type']), types);
  const text = a.log().slice(logged);
  if (log) assert.match(text, log);
  assert.doesNotMatch(text, /GEHEIM|PID-SECRET/);
}

const statusesOf = ({ statuses }) => statuses.map(hex).join(' ');

describe('1b: Search to C-FIND', () => {
  for (const [row, name, answer, statuses, expected = {}] of find) {
    test(`${row}: ${name}: ${statuses}`, async () => {
      ris.answer = answer;
      const logged = a.log().length;
      await withAssociation(a.dimse, all, async (association) => {
        const found = await association.find(identifier);
        assert.equal(statusesOf(found), statuses, JSON.stringify(found.final));
        for (const { command: pending, dataSet } of found.messages.slice(0, -1)) {
          expectFields('C-FIND', pending, decode(dataSet), { dataSet: ['00100010', '00100020', '00400100'] });
        }
        const { command: last, dataSet } = found.messages.at(-1);
        expectFields('C-FIND', last, dataSet, expected);
        assert.equal((await association.echo()).status, 0);
      });
      expectRequests(expected, logged);
      assert.ok(ris.requests.every(({ method, url }) => method === 'GET' && (url.startsWith(steps))));
    });
  }

  test(`${cancelRow}: FE00, and the HTTP request is given up`, async () => {
    let held;
    ris.answer = (incoming, response) => (held = { gone: once(response, 'close') });
    const patient = await inFront('with patience', { response_timeout_seconds: 30 });
    await withAssociation(patient.dimse, all, async (association) => {
      const search = association.find(identifier);
      await until(5000, 'the question to arrive', () => held);
      association.write(sopClass.worklist, { commandField: command.cCancel, messageIdBeingRespondedTo: 1 });
      const found = await search;
      assert.equal(statusesOf(found), 'FE00');
      expectFields('C-FIND', found.final, undefined);
      await within(5000, 'the request to be given up', held.gone);
    });
  });
});

const operate = {
  'N-CREATE': (association, uid, { create = step }) => association.nCreate(uid, create),
  'N-SET': (association, uid, { set }) => association.nSet(uid, set ? encode(set) : step),
  'N-GET': (association, uid, { get = asked }) => association.nGet(uid, get.length ? get : undefined),
};

for (const [section, service, table] of [['2b', 'N-CREATE', nCreate], ['3b', 'N-SET', nSet], ['4b', 'N-GET', nGet]]) {
  describe(`${section}: ${service}`, () => {
    for (const [row, name, answer, status, expected = {}] of table) {
      test(`${row}: ${name}: ${status}`, async () => {
        ris.answer = answer;
        const logged = a.log().length;
        const uid = newUid();
        await withAssociation(a.dimse, all, async (association) => {
          const { dataSet, ...response } = await operate[service](association, uid, expected);
          assert.equal(hex(response.status), status, JSON.stringify(response));
          expectFields(service, response, dataSet, expected, uid);
          assert.equal((await association.echo()).status, 0);
        });
        expectRequests(expected, logged);
        assert.ok(ris.requests.every(({ url }) => url.startsWith(performed + uid)));
      });
    }
  });
}

describe('2b and 3b, 400: our own check names the attributes', () => {
  let strict;
  before(async () => (strict = await inFront('that rejects what breaks the rules', {}, { validate: 'reject' })));

  for (const [name, service, dataSet, status, expected] of [
    ['attributes that N-SET may not touch', 'N-SET', step, '0105', { attributes: ['00100010', '00100020', '00400253'] }],
    ['a status that is none', 'N-SET', encode([[0x00400252, 'CS', 'BROKEN']]), '0106', { dataSet: ['00400252'] }],
    ['an empty status', 'N-SET', encode([[0x00400252, 'CS', '']]), '0106', { dataSet: ['00400252'] }],
    ['a step that begins at its end', 'N-CREATE', encode([[0x00400252, 'CS', 'COMPLETED']]), '0106', { dataSet: ['00400252'] }],
    ['a step without most attributes', 'N-CREATE', step, '0120',
      { attributes: ['00080060', '00081032', '00081120', '00100030', '00100040', '00200010', '00400241', '00400242', '00400243', '00400244',
        '00400245', '00400250', '00400251', '00400254', '00400255', '00400260', '00400270', '00400340'] }],
  ]) {
    test(`${service}: ${name}: ${status}`, async () => {
      await withAssociation(strict.dimse, all, async (association) => {
        const uid = newUid();
        const { dataSet: tags, ...response } = await (service === 'N-SET' ? association.nSet(uid, dataSet) : association.nCreate(uid, dataSet));
        assert.equal(hex(response.status), status);
        expectFields(service, response, tags, expected, uid);
      });
      assert.equal(ris.requests.length, 0, 'nothing was sent');
    });
  }
});

describe('5b: what the SCP does on its own side', () => {
  // [service, status, comment] of the four operations
  async function expectEach(gateway, wanted) {
    await withAssociation(gateway.dimse, all, async (association) => {
      const uid = newUid();
      const found = await association.find(identifier);
      assert.equal(statusesOf(found), wanted[0]);
      expectFields('C-FIND', found.final, found.messages.at(-1).dataSet);
      for (const [index, service] of ['N-CREATE', 'N-SET', 'N-GET'].entries()) {
        const { dataSet, ...response } = await operate[service](association, uid, {});
        assert.equal(hex(response.status), wanted[index + 1], `${service} ${JSON.stringify(response)}`);
        expectFields(service, response, dataSet, {}, uid);
      }
      assert.equal((await association.echo()).status, 0);
    });
  }

  test(`${own.titles}: A-ASSOCIATE-RJ 1/1/7, 1/1/3`, async () => {
    const strict = await inFront('of known modalities', {}, { known_modalities_only: 'yes' });
    await assert.rejects(RawAssociation.open({ ...strict.dimse, aeTitle: 'SOMEBODY' }, all), /rejected: 1\/1\/7/);
    await assert.rejects(RawAssociation.open(strict.dimse, all), /rejected: 1\/1\/3/);
    for (const reason of [/called AE title not recognized/, /calling AE title not recognized/]) {
      await until(5000, 'the log', () => reason.test(strict.log()));
    }
  });

  test(`${own.many}: A-ASSOCIATE-RJ 2/3/2, and accepted again once one has left`, async () => {
    const small = await inFront('of one association', {}, { max_associations: 1 });
    await withAssociation(small.dimse, all, () =>
      assert.rejects(RawAssociation.open(small.dimse, all), /rejected: 2\/3\/2/));
    await until(5000, 'the place to be free', () =>
      withAssociation(small.dimse, all, (association) => association.echo()).catch(() => false));
  });

  test(`${down['5b']} and ${own.late}: accepted; A700, 0213`, async () => {
    await expectEach(await inFront('in front of nobody', { base_uri: `http://127.0.0.1:${await freePort()}/` }), ['A700', '0213', '0213', '0213']);
    await expectEach(await inFront('in front of a host without address', { base_uri: 'http://no-such-host.invalid/' }),
      ['A700', '0213', '0213', '0213']);
  });

  test(`${down['5b']}: TLS: A700, 0213, and the log says so`, async () => {
    const server = tls.createServer((await makeCertificates(house)).options);
    server.on('tlsClientError', () => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    house.defer(() => server.close());
    const stranger = await inFront('in front of a stranger', { base_uri: `https://127.0.0.1:${server.address().port}/` });
    await expectEach(stranger, ['A700', '0213', '0213', '0213']);
    assert.match(stranger.log(), /certificate/);
    const plain = await inFront('in front of no TLS', { base_uri: `https://127.0.0.1:${ris.port}/` });
    await expectEach(plain, ['A700', '0213', '0213', '0213']);
  });

  test(`${own.timeout}: A700, 0110`, async () => {
    ris.answer = silent;
    await expectEach(a, ['A700', '0110', '0110', '0110']);
  });

  for (const [name, bytes] of [['a body that is too short', cut], ['a chunk that is none', badChunk]]) {
    test(`${own.short}: ${name}: C003, 0110`, async () => {
      ris.answer = raw(bytes);
      await expectEach(a, ['C003', '0110', '0110', '0110']);
    });
  }

  test(`${own.type}: C003, 0110 for N-GET; the body of Create and Update is ignored`, async () => {
    ris.answer = says(200, { 'content-type': 'image/png' }, 'no picture');
    await expectEach(a, ['C003', '0000', '0000', '0110']);
  });

  test(`${own.gone}: Search and Retrieve are given up, Create and Update are finished`, async () => {
    const patient = await inFront('of modalities that leave', { response_timeout_seconds: 30 });
    for (const [method, begin] of [
      ['GET', (association) => association.find(identifier)],
      ['GET', (association) => association.nGet(newUid())],
      ['POST', (association) => association.nCreate(newUid(), step)],
      ['POST', (association) => association.nSet(newUid(), step)],
    ]) {
      for (const leave of [(association) => association.abort(), (association) => association.sendAbort()]) {
        let held;
        ris.answer = (incoming, response) => (held = { incoming, response, gone: once(response, 'close') });
        const association = await RawAssociation.open(patient.dimse, all);
        begin(association).catch(() => {});
        await until(5000, 'the request to arrive', () => held);
        assert.equal(held.incoming.method, method);
        leave(association);
        const logged = patient.log().length;
        if (method === 'GET') {
          await within(5000, 'the request to be given up', held.gone);
        } else {
          held.response.writeHead(201).end();
          await until(5000, 'the log', () => /status=0000/.test(patient.log().slice(logged)));
        }
      }
    }
  });

  test(`${own.operation}: 0211, and nothing else`, async () => {
    await withAssociation(a.dimse, all, async (association) => {
      const uid = newUid();
      for (const [context, field, uids] of [
        [sopClass.mpps, command.nGet, { requestedSopClassUid: sopClass.mpps, requestedSopInstanceUid: uid }],
        [sopClass.mppsRetrieve, command.nSet, { requestedSopClassUid: sopClass.mppsRetrieve, requestedSopInstanceUid: uid }],
        [sopClass.mpps, 0x0130, { requestedSopClassUid: sopClass.mpps, requestedSopInstanceUid: uid }],
        [sopClass.mpps, 0x0150, { requestedSopClassUid: sopClass.mpps, requestedSopInstanceUid: uid }],
        [sopClass.verification, command.nCreate, { affectedSopClassUid: sopClass.verification }],
      ]) {
        const { dataSet, ...response } = await association.ask(context, { commandField: field, ...uids });
        assert.deepEqual(response, { commandField: field | 0x8000, messageIdBeingRespondedTo: association.messageId,
          commandDataSetType: 0x0101, status: 0x0211 });
      }
    });
    assert.equal(ris.requests.length, 0);
  });

  test(`${own.sopClass}: 0118 for N-services, 0122 for C-FIND`, async () => {
    const other = '1.2.840.10008.5.1.4.1.1.7';
    await withAssociation(a.dimse, all, async (association) => {
      const uid = newUid();
      association.write(sopClass.worklist, { affectedSopClassUid: other, commandField: command.cFind, priority: 0 }, identifier);
      const { command: found } = await association.read();
      assert.equal(hex(found.status), '0122');
      expectFields('C-FIND', found, undefined);
      for (const [service, context, field, uids, dataSet] of [
        ['N-CREATE', sopClass.mpps, command.nCreate, { affectedSopClassUid: other, affectedSopInstanceUid: uid }, step],
        ['N-SET', sopClass.mpps, command.nSet, { requestedSopClassUid: other, requestedSopInstanceUid: uid }, step],
        ['N-GET', sopClass.mppsRetrieve, command.nGet, { requestedSopClassUid: other, requestedSopInstanceUid: uid }],
      ]) {
        const { dataSet: _, ...response } = await association.ask(context, { commandField: field, ...uids }, dataSet);
        assert.equal(hex(response.status), '0118', service);
        expectFields(service, response, undefined, {}, uid);
      }
    });
    assert.equal(ris.requests.length, 0);
  });

  test(`${own.undecodable}: A900 for C-FIND, 0110 for N-services`, async () => {
    await withAssociation(a.dimse, all, async (association) => {
      const cutShort = step.subarray(0, -3);
      const found = await association.find(identifier.subarray(0, -3));
      assert.equal(statusesOf(found), 'A900');
      expectFields('C-FIND', found.final, undefined, { offending: ['00400100'] });
      for (const [service, response] of [
        ['N-CREATE', await association.nCreate(newUid(), cutShort)], ['N-SET', await association.nSet(newUid(), cutShort)],
      ]) {
        const { dataSet, ...fields } = response;
        assert.equal(hex(fields.status), '0110', service);
        expectFields(service, fields, dataSet);
      }
    });
    assert.equal(ris.requests.length, 0);
  });

  test('a bad UID: 0117, with the UID only where it is one', async () => {
    await withAssociation(a.dimse, all, async (association) => {
      for (const response of [
        await association.nCreate('1.2..3', step), await association.nSet('1.2..3', step), await association.nGet('1.2..3'),
      ]) {
        const { commandField, messageIdBeingRespondedTo, dataSet, ...rest } = response;
        assert.deepEqual(rest, { commandDataSetType: 0x0101, status: 0x0117 });
      }
    });
    assert.equal(ris.requests.length, 0);
  });

  test(`${own.characters}: C004 for C-FIND, 0106 for N-CREATE and N-SET`, async () => {
    const unknownSet = (rest) => Buffer.concat([encode([[0x00080005, 'CS', 'ISO_IR 999']]), rest]);
    await withAssociation(a.dimse, all, async (association) => {
      const found = await association.find(unknownSet(identifier));
      assert.equal(statusesOf(found), 'C004');
      expectFields('C-FIND', found.final, undefined, { offending: found.final.offendingElement });
      for (const [service, response] of [
        ['N-CREATE', await association.nCreate(newUid(), unknownSet(step))], ['N-SET', await association.nSet(newUid(), unknownSet(step))],
      ]) {
        const { dataSet, ...fields } = response;
        assert.equal(hex(fields.status), '0106', service);
        expectFields(service, fields, dataSet);
      }
    });
    assert.equal(ris.requests.length, 0);
  });

  test(`${own.second}: answered in turn`, async () => {
    ris.answer = given([]);
    await withAssociation(a.dimse, all, async (association) => {
      association.write(sopClass.worklist, { affectedSopClassUid: sopClass.worklist, commandField: command.cFind, priority: 0 }, identifier);
      association.write(sopClass.verification, { affectedSopClassUid: sopClass.verification, commandField: command.cEcho });
      const answers = [await association.read(), await association.read()];
      assert.deepEqual(answers.map(({ command: { messageIdBeingRespondedTo, status } }) => [messageIdBeingRespondedTo, status]), [[1, 0], [2, 0]]);
    });
  });

  test(`${own.second}: a Message ID that is used twice: 0210 for N-services`, async () => {
    let held;
    ris.answer = (incoming, response) => (held = response);
    await withAssociation(a.dimse, all, async (association) => {
      const uid = newUid();
      const request = { affectedSopClassUid: sopClass.mpps, commandField: command.nCreate, affectedSopInstanceUid: uid, messageId: 7 };
      association.write(sopClass.mpps, request, step);
      await until(5000, 'the first request to arrive', () => held);
      association.write(sopClass.mpps, request, step);
      association.write(sopClass.verification, { affectedSopClassUid: sopClass.verification, commandField: command.cEcho, messageId: 9 });
      held.writeHead(201).end();
      const answers = [await association.read(), await association.read(), await association.read()];
      assert.deepEqual(answers.map(({ command: { status } }) => hex(status)), ['0000', '0210', '0000']);
      expectFields('N-CREATE', answers[1].command, undefined);
    });
  });

  test(`${own.second}: a Message ID that is used twice: A-ABORT for C-FIND`, async () => {
    let held;
    ris.answer = (incoming, response) => (held = response);
    const association = await RawAssociation.open(a.dimse, all);
    const request = { affectedSopClassUid: sopClass.worklist, commandField: command.cFind, priority: 0, messageId: 7 };
    association.write(sopClass.worklist, request, identifier);
    await until(5000, 'the first request to arrive', () => held);
    association.write(sopClass.worklist, request, identifier);
    given([])(undefined, held);
    await assert.rejects(async () => {
      for (;;) await association.read();
    }, /A-ABORT 2\//);
    association.abort();
  });
});
