// Nobody is asked for more than is wanted: a page on the web that is full ends the C-FIND behind it, and a
// modality's C-CANCEL ends the HTTP transfer behind it. Rules A20, F11.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { dump2dcm, findscu } from './support/dcmtk.js';
import { encode } from './support/data_set.js';
import { House, until } from './support/house.js';
import { dicomJson, get, startOriginServer } from './support/http.js';
import { expectNoPatientData, startModgate } from './support/modgate.js';
import { startRawScp } from './support/raw_scp.js';
import { command } from './support/upper_layer.js';

const house = new House();
after(() => house.close());

const steps = '/modality-scheduled-procedure-steps';
const pending = 0xff00;
const cancel = 0xfe00;

describe('a full page on the web', () => {
  const matches = 10000;
  const everyMilliseconds = 5;
  const further = 20; // responses that may still come behind the last one that counts

  const dataSet = (number) => encode([
    [0x00080050, 'SH', `A${number}`], [0x00100010, 'PN', 'GEHEIM^GERDA'], [0x00400100, 'SQ', [[[0x00080060, 'CS', 'CT']]]],
  ]);

  /// Sends its matches slowly, until a C-CANCEL comes. searches: { sent, cancelled } of each C-FIND.
  async function startSlowScp() {
    const searches = [];
    const scp = await startRawScp(house, async (acceptor) => {
      await acceptor.requested();
      acceptor.accept();
      for (;;) {
        const request = await acceptor.read().catch((error) => error);
        if (request instanceof Error) return; // released, or the end of the test
        if (request.command.commandField === command.cCancel) continue; // too late
        const search = { sent: 0, cancelled: false };
        searches.push(search);
        while (search.sent < matches && !search.cancelled) {
          acceptor.respond(request, { status: pending }, dataSet(++search.sent));
          await new Promise((resolve) => setTimeout(resolve, everyMilliseconds));
          if (!acceptor.pdus.length) continue;
          const next = await acceptor.read();
          assert.equal(next.command.commandField, command.cCancel);
          assert.equal(next.command.messageIdBeingRespondedTo, request.command.messageId);
          search.cancelled = true;
        }
        acceptor.respond(request, { status: search.cancelled ? cancel : 0 });
      }
    });
    return Object.assign(scp, { searches });
  }

  test('ends the C-FIND by C-CANCEL once count_cap is counted, and the association is used again (A20, F11)', async () => {
    const scp = await startSlowScp();
    const limit = 10;
    const countCap = 10;
    const gateway = await startModgate(house, 'over a slow SCP', {
      web: { worklist: 'scp', count_cap: countCap, count_cap_milliseconds: 20000 },
      'backend scp': { kind: 'scp', ae_title: 'SCP', host: '127.0.0.1', port: scp.port },
    });
    for (let round = 1; round <= 3; round++) {
      const { status, headers, body } = await get(gateway, `${steps}?limit=${limit}`);
      assert.equal(status, 200);
      assert.deepEqual(JSON.parse(body).map((item) => item['00080050'].Value[0]),
        Array.from({ length: limit }, (_, index) => `A${index + 1}`));
      assert.match(headers.warning ?? '', new RegExp(`There are ${countCap} additional results`));
      await until(10000, 'the C-CANCEL', () => scp.searches[round - 1].cancelled);
      const { sent } = scp.searches[round - 1];
      assert.ok(sent >= limit + countCap, `${sent} responses are fewer than were counted`);
      assert.ok(sent <= limit + countCap + further, `${sent} responses were sent before the C-CANCEL came`);
    }
    assert.equal(scp.searches.length, 3);
    assert.equal(scp.connections, 1, 'one association for all searches');
    assert.deepEqual(scp.errors, []);
  });
});

describe('the C-CANCEL of a modality', () => {
  const item = (number) => ({
    '00080050': { vr: 'SH', Value: [`A${number}`] }, '00100010': { vr: 'PN', Value: [{ Alphabetic: 'GEHEIM^GERDA' }] },
  });

  /// Asks with findscu --cancel 5 while the origin server is in the middle of an answer that it never ends.
  async function cancelIn(answer) {
    let held;
    const server = await startOriginServer(house, (request, response) => {
      const hold = () => {
        held = { closed: false };
        response.on('close', () => (held.closed = true));
      };
      answer(new URL(request.url, 'http://x'), response, hold);
    });
    const gateway = await startModgate(house, 'over an origin server', {
      dimse: { worklist: 'ris' }, 'backend ris': { kind: 'origin-server', base_uri: server.url, page_size: 10 },
    });
    const identifier = await dump2dcm(house, '(0008,0050) SH\n(0010,0010) PN\n');
    const found = await findscu(house, gateway.dimse, identifier, { options: ['--cancel', '5'], read: false });
    await until(10000, 'the end of the HTTP transfer', () => held?.closed);
    assert.equal(found.status, cancel, found.output);
    assert.ok(found.responses.length >= 5, `${found.responses.length} responses`);
    const next = await findscu(house, gateway.dimse, identifier, { options: ['--cancel', '5'], read: false });
    assert.equal(next.status, cancel, 'the next one is served as well');
    return server;
  }

  test('ends the transfer of the page after the one that it came in (F11)', async () => {
    const server = await cancelIn((uri, response, hold) => {
      if (Number(uri.searchParams.get('offset') ?? 0) > 0) return hold();
      response.writeHead(200, {
        'content-type': dicomJson, warning: '299 x: "There are 9990 additional results that can be requested"',
      });
      return response.end(JSON.stringify(Array.from({ length: 10 }, (_, index) => item(index))));
    });
    assert.deepEqual(server.requests.map(({ url }) => new URL(url, 'http://x').searchParams.get('offset') ?? '0'), ['0', '10', '0', '10']);
  });

  test('ends the transfer of the very page that it came in, while that is still arriving (F11)', async () => {
    await cancelIn((_, response, hold) => {
      hold();
      response.writeHead(200, { 'content-type': dicomJson });
      response.write(`[${Array.from({ length: 10 }, (_unused, index) => JSON.stringify(item(index))).join(',')},`);
    });
  });
});

test('the logs of the gateways name no patient', () => expectNoPatientData(assert, house, ['GEHEIM', 'GERDA']));
