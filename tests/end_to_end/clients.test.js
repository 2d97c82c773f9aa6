// Clients that nobody here wrote against the origin server: curl, Python's standard library, Chromium
// with pages of an allowed and of a refused origin, and dicomweb-client, which knows nothing of
// Supplement 246. Behind it DCMTK's wlmscpfs and a dcmjs-dimse RIS.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { after, before, beforeEach, describe, test } from 'node:test';
import dicomweb from 'dicomweb-client';
import { chromium } from 'playwright-core';
import XMLHttpRequest from 'xhr2';
import { makeCertificates } from './support/certificates.js';
import { exampleDumps, startWlmscpfs } from './support/dcmtk.js';
import { House, within } from './support/house.js';
import { dicomJson } from './support/http.js';
import { startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';

const steps = '/modality-scheduled-procedure-steps';
const performed = '/modality-performed-procedure-steps';
const house = new House();
let ris;
let gateway;
let base; // without the last slash
let allowed; // the origins of two page servers
let refused;
let guarded; // the same over TLS, for who has a token
let certificates;
let guardedUrl;
const token = 'f00d-cafe';

/// A page on a port of its own: its origin.
async function startPageServer() {
  const server = http.createServer((_, response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A web application</title>'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  house.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

before(async () => {
  const worklist = await startWlmscpfs(house, { OFFIS: exampleDumps('wlistdb/OFFIS').map(({ text }) => text) });
  ris = await startMppsScp(house);
  [allowed, refused] = [await startPageServer(), await startPageServer()];
  const scp = (aeTitle, { port }) => ({ kind: 'scp', ae_title: aeTitle, host: '127.0.0.1', port });
  gateway = await startModgate(house, 'for clients', {
    web: { worklist: 'worklist', mpps: 'mpps', base_path: '/radiology', cors_allowed_origins: allowed },
    'backend worklist': scp('OFFIS', worklist), 'backend mpps': scp('RIS', ris),
  });
  base = gateway.web.url;
  certificates = await makeCertificates(house);
  const tokens = house.newPath('.tokens');
  fs.writeFileSync(tokens, `${crypto.createHash('sha256').update(token).digest('hex')} application\n`);
  guarded = await startModgate(house, 'for clients with a token', {
    web: { worklist: 'worklist', cors_allowed_origins: allowed, tokens, tls_certificate: certificates.certificate,
      tls_private_key: certificates.key },
    'backend worklist': scp('OFFIS', worklist),
  });
  guardedUrl = `https://127.0.0.1:${guarded.web.port}${steps}?PatientName=VIVALDI*`;
});
beforeEach(() => ris.register.received.splice(0));
after(() => house.close());

let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.10.${process.pid}.${++uids}`;
const begun = {
  '00080060': { vr: 'CS', Value: ['MR'] }, '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Vivaldi^Renée' }] },
  '00400252': { vr: 'CS', Value: ['IN PROGRESS'] }, '00400253': { vr: 'SH', Value: ['PPS-1'] },
};
const done = { '00400252': { vr: 'CS', Value: ['COMPLETED'] } };
const received = () => ris.register.received.map(({ operation }) => operation).join(' ');

const expectWorklist = (list) => {
  assert.equal(list.length, 3);
  for (const step of list) assert.deepEqual(step['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'VIVALDI^ANTONIO' }] });
};
const expectStep = ([step, ...more]) => {
  assert.equal(more.length, 0);
  assert.deepEqual(step['00400252'].Value, ['COMPLETED']);
  assert.deepEqual(step['00100010'].Value, [{ Alphabetic: 'Vivaldi^Renée' }]);
};
const expectProblem = (status, { type, body }, wanted) => {
  assert.equal(status, wanted);
  assert.match(type, /^application\/problem\+json/);
  assert.equal(JSON.parse(body).status, wanted);
};

describe('curl', () => {
  /// { status, headers, body }
  async function curl(...args) {
    const { code, stdout, stderr } = await house.run('curl', ['-sS', '-i', '--max-time', '10', ...args]);
    assert.equal(code, 0, stderr);
    const end = stdout.indexOf('\r\n\r\n');
    const [statusLine, ...lines] = stdout.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
    return { status: Number(statusLine.split(' ')[1]), headers, body: stdout.slice(end + 4), json: () => JSON.parse(stdout.slice(end + 4)) };
  }
  const typed = ['-H', `Content-Type: ${dicomJson}`];

  test('Search, Create, Update, Retrieve and Retrieve Capabilities', async () => {
    const found = await curl('-G', '-H', `Accept: ${dicomJson}`, '--data-urlencode', 'PatientName=VIVALDI*', `${base}${steps}`);
    assert.equal(found.status, 200);
    expectWorklist(found.json());

    const uid = newUid();
    const step = `${base}${performed}/${uid}`;
    const created = await curl(...typed, '--data', JSON.stringify(begun), step);
    assert.equal(created.status, 201, created.body);
    assert.equal(created.headers.location, new URL(step).pathname);
    const updated = await curl(...typed, '--data', JSON.stringify(done), `${step}?update`);
    assert.equal(updated.status, 200, updated.body);
    const retrieved = await curl(step);
    assert.equal(retrieved.status, 200);
    expectStep(retrieved.json());
    assert.equal(received(), 'N-CREATE N-SET N-GET');

    const capabilities = await curl('-X', 'OPTIONS', '-H', 'Accept: application/vnd.sun.wadl+xml', `${base}/`);
    assert.equal(capabilities.status, 200);
    assert.match(capabilities.body, /<resource path="modality-scheduled-procedure-steps">/);
  });

  test('a page of the list, XML, a list in gzip, HEAD', async () => {
    const page = await curl('-H', `Accept: ${dicomJson}`, `${base}${steps}?limit=1&PatientName=VIVALDI*`);
    assert.equal(page.json().length, 1);
    assert.equal(page.headers.warning, `299 ${base}: There are 2 additional results that can be requested`);
    const xml = await curl('-H', 'Accept: application/dicom+xml', `${base}${steps}?limit=1`);
    assert.match(xml.headers['content-type'], /^application\/dicom\+xml/);
    assert.match(xml.body, /^<\?xml[^>]*>\s*<NativeDicomModel/);
    const packed = await curl('--compressed', '-H', `Accept: ${dicomJson}`, `${base}${steps}`);
    const plain = await curl('-H', `Accept: ${dicomJson}`, `${base}${steps}`);
    assert.deepEqual(packed.json(), plain.json());
    const head = await curl('-I', '-H', `Accept: ${dicomJson}`, `${base}${steps}`);
    assert.deepEqual([head.status, head.body], [200, '']);
  });

  test('what is wrong is said', async () => {
    const uid = newUid();
    for (const [status, ...args] of [
      [404, `${base}${performed}/1.2.3.4`], [400, `${base}${steps}?limit=-1`], [405, '-X', 'DELETE', `${base}${performed}/1.2.3`],
      [400, ...typed, '--data', '{"0010', `${base}${performed}/${uid}`], [415, '--data', 'x=1', `${base}${performed}/${uid}`],
      [411, ...typed, '-X', 'POST', `${base}${performed}/${uid}`],
    ]) {
      const answer = await curl(...args);
      expectProblem(answer.status, { type: answer.headers['content-type'], body: answer.body }, status);
    }
  });

  test('a body in chunks, after 100 Continue', async () => {
    const { status, body } = await curl(...typed, '-H', 'Transfer-Encoding: chunked', '-H', 'Expect: 100-continue', '--data',
      JSON.stringify(begun), `${base}${performed}/${newUid()}`);
    assert.equal(status, 100, body);
    assert.match(body, /^HTTP\/1\.1 201 /);
    assert.equal(received(), 'N-CREATE');
  });
});

describe('TLS and a token', () => {
  test('curl, which knows the CA', async () => {
    const ask = (...more) => house.run('curl', ['-sS', '--max-time', '10', '-w', '\n%{http_code}', ...more, guardedUrl]);
    const found = await ask('--cacert', certificates.trusted, '--oauth2-bearer', token);
    assert.match(found.stdout, /\n200$/, found.stderr);
    expectWorklist(JSON.parse(found.stdout.split('\n')[0]));
    assert.match((await ask('--cacert', certificates.trusted)).stdout, /\n401$/);
    const stranger = await ask('--oauth2-bearer', token);
    assert.deepEqual([stranger.code, stranger.stdout], [60, '\n000'], 'it does not know the CA');
  });

  test('Python, which checks the host name', async () => {
    const script = 'import json, ssl, sys, urllib.request\n' +
      'context = ssl.create_default_context(cafile=sys.argv[1])\n' +
      'request = urllib.request.Request(sys.argv[2], headers={"Authorization": "Bearer " + sys.argv[3]})\n' +
      'print(json.dumps(json.load(urllib.request.urlopen(request, timeout=10, context=context))))';
    const { code, stdout, stderr } = await house.run('python3', ['-c', script, certificates.trusted, guardedUrl, token]);
    assert.equal(code, 0, stderr);
    expectWorklist(JSON.parse(stdout));
  });
});

test('Python: urllib, http.client on one connection, gzip', async () => {
  const script = new URL('support/client.py', import.meta.url).pathname;
  const [first, second, third] = [newUid(), newUid(), newUid()];
  const { code, stdout, stderr } =
    await house.run('python3', [script, base, first, second, third, JSON.stringify(begun)], { limit: 30000 });
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  for (const [way, uid] of [['urllib', first], ['kept_alive', second]]) {
    const { search, create, update, retrieve, capabilities, unknown } = report[way];
    assert.equal(search.status, 200, search.body);
    expectWorklist(JSON.parse(search.body));
    assert.equal(create.status, 201, create.body);
    assert.equal(create.headers.location, `${new URL(base).pathname}${performed}/${uid}`);
    assert.equal(update.status, 200, update.body);
    assert.equal(retrieve.status, 200, retrieve.body);
    expectStep(JSON.parse(retrieve.body));
    assert.equal(capabilities.status, 200, capabilities.body);
    expectProblem(unknown.status, { type: unknown.headers['content-type'], body: unknown.body }, 404);
  }
  assert.equal(report.connections, 1, 'one connection for six requests, a 404 among them');
  assert.equal(report.gzip_body.status, 201, report.gzip_body.body);
  const once_ = 'N-CREATE N-SET N-GET N-GET';
  assert.equal(received(), `${once_} ${once_} N-CREATE`);
  assert.equal(ris.register.received.at(-1).elements.PatientName[0].Alphabetic, 'Vivaldi^Renée');
  assert.equal(report.gzip.headers['content-encoding'], 'gzip');
  assert.equal(report.identity.headers['content-encoding'], undefined);
  assert.deepEqual(JSON.parse(report.gzip.body), JSON.parse(report.identity.body));
});

describe('dicomweb-client', () => {
  // It has methods for studies only; the one they are all made of asks for any resource.
  const client = () => new dicomweb.api.DICOMwebClient({ url: base, errorInterceptor: () => {} });
  before(() => (globalThis.XMLHttpRequest = XMLHttpRequest));
  after(() => delete globalThis.XMLHttpRequest);

  test('a GET of the worklist', async () => {
    expectWorklist(await client()._httpGetApplicationJson(`${base}${steps}`, { PatientName: 'VIVALDI*' }));
  });

  test('a GET without a match', async () => {
    assert.deepEqual(await client()._httpGetApplicationJson(`${base}${steps}`, { PatientName: 'NOSUCHNAME' }), []);
  });

  test('a GET of what is not served, by its own method', async () => {
    await assert.rejects(client().searchForStudies(), ({ status, response }) => status === 404 && response.status === 404);
  });
});

describe('Chromium', () => {
  let browser;
  before(async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'], timeout: 30000,
    });
    house.defer(() => browser.close());
  });

  /// What the page's script gets: { status, headers, body } or { error } where the browser refuses.
  async function fetchFrom(origin, url, options = {}) {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    try {
      await page.goto(origin, { timeout: 15000 });
      return await within(15000, `fetch of ${url}`, page.evaluate(async ([target, request]) => {
        try {
          const response = await fetch(target, request);
          return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
        } catch (error) {
          return { error: String(error) };
        }
      }, [url, options]));
    } finally {
      await page.close();
    }
  }
  const posts = (body) => ({ method: 'POST', headers: { 'content-type': dicomJson }, body: JSON.stringify(body) });
  const wants = { headers: { accept: dicomJson } };
  const preflights = () => [...gateway.log().matchAll(/web: \S+ OPTIONS: 2/g)].length;

  test('a page of the allowed origin searches, and reads the Warning', async () => {
    const found = await fetchFrom(allowed, `${base}${steps}?PatientName=VIVALDI*`, wants);
    assert.equal(found.status, 200, found.error);
    expectWorklist(JSON.parse(found.body));
    const page = await fetchFrom(allowed, `${base}${steps}?PatientName=VIVALDI*&limit=2`, wants);
    assert.equal(JSON.parse(page.body).length, 2);
    assert.equal(page.headers.warning, `299 ${base}: There are 1 additional results that can be requested`);
  });

  test('it creates, updates and retrieves a step, each POST after a preflight, and reads the Location', async () => {
    const uid = newUid();
    const step = `${base}${performed}/${uid}`;
    const before_ = preflights();
    const created = await fetchFrom(allowed, step, posts(begun));
    assert.equal(created.status, 201, created.error ?? created.body);
    assert.equal(created.headers.location, new URL(step).pathname);
    assert.ok(preflights() > before_, 'a preflight was answered');
    const updated = await fetchFrom(allowed, `${step}?update`, posts(done));
    assert.equal(updated.status, 200, updated.error ?? updated.body);
    const retrieved = await fetchFrom(allowed, step, wants);
    assert.equal(retrieved.status, 200, retrieved.error ?? retrieved.body);
    assert.equal(retrieved.headers['content-location'], new URL(step).pathname);
    expectStep(JSON.parse(retrieved.body));
    assert.equal(received(), 'N-CREATE N-SET N-GET');
  });

  test('it reads problem reports, of its own requests and of the RIS', async () => {
    const unknown = await fetchFrom(allowed, `${base}${performed}/1.2.3.4`, wants);
    expectProblem(unknown.status, { type: unknown.headers['content-type'], body: unknown.body }, 404);
    ris.register.answer = () => 0x0213;
    const busy = await fetchFrom(allowed, `${base}${performed}/${newUid()}`, posts(begun));
    ris.register.answer = () => undefined;
    expectProblem(busy.status, { type: busy.headers['content-type'], body: busy.body }, 503);
    assert.match(busy.headers['retry-after'], /^\d+$/, 'Retry-After is exposed');
  });

  test('it brings a token over TLS after a preflight without one, and reads what a 401 asks for', async () => {
    const found = await fetchFrom(allowed, guardedUrl, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(found.status, 200, found.error ?? found.body);
    expectWorklist(JSON.parse(found.body));
    const without = await fetchFrom(allowed, guardedUrl);
    expectProblem(without.status, { type: without.headers['content-type'], body: without.body }, 401);
    assert.match(without.headers['www-authenticate'], /^Bearer /);
  });

  test('a page of another origin reads nothing and creates nothing', async () => {
    const search = await fetchFrom(refused, `${base}${steps}?PatientName=VIVALDI*`, wants);
    assert.match(search.error ?? '', /TypeError: Failed to fetch/);
    const created = await fetchFrom(refused, `${base}${performed}/${newUid()}`, posts(begun));
    assert.match(created.error ?? '', /TypeError: Failed to fetch/);
    assert.equal(received(), '');
    assert.match(gateway.log(), /OPTIONS: 403/, 'its preflight was refused');
  });
});
