// The log of a gateway that bad peers come to: one form for every line (DCMTK's own are led into it, see
// tests/dimse/library_test.cpp; httplib writes none), and no end of lines from nobody.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, test } from 'node:test';
import { House, until } from './support/house.js';
import { get, request } from './support/http.js';
import { startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';

const house = new House();
after(() => house.close());

async function startBetween(name, log) {
  const ris = await startMppsScp(house);
  const gateway = await startModgate(house, name, {
    gateway: { log_level: 'debug', ...log }, dimse: { worklist: 'ris' }, web: { worklist: 'ris' },
    'backend ris': { kind: 'scp', ae_title: 'RIS', host: '127.0.0.1', port: ris.port },
  });
  return { gateway, ris };
}

/// Sends bytes and waits for the end of the connection.
async function visit({ host, port }, bytes) {
  const socket = net.connect(port, host).on('error', () => {});
  socket.end(bytes);
  await once(socket.resume(), 'close');
}

/// An A-ASSOCIATE-RQ of these items. called, calling: of 16 bytes.
function associateRequest(items, { called = 'MODGATE', calling = 'CT1' } = {}) {
  const title = (text) => Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(16, ' ')]).subarray(0, 16);
  const body = Buffer.concat([Buffer.from([0, 1, 0, 0]), title(called), title(calling), Buffer.alloc(32), ...items]);
  const head = Buffer.from([1, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
}
const item = (type, content, length = content.length) => {
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUInt16BE(length, 2);
  return Buffer.concat([head, Buffer.from(content)]);
};
const applicationContext = item(0x10, '1.2.840.10008.3.1.1.1');
const verification = item(0x20, Buffer.concat([Buffer.from([1, 0, 0, 0]), item(0x30, '1.2.840.10008.1.1'), item(0x40, '1.2.840.10008.1.2')]));
const userInformation = item(0x50, item(0x51, Buffer.from([0, 0, 0x40, 0])));

const bad = [
  'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
  Buffer.from([1, 0, 0xff, 0xff, 0xff, 0xff]),
  associateRequest([applicationContext, verification, userInformation], { calling: 'B\xD6SE"\\\x01' }), // is good, and goes away
  associateRequest([applicationContext, verification, userInformation], { called: 'N\xD6"\n\x7f', calling: '\xff\xfe' }),
  associateRequest([applicationContext, item(0x99, 'unknown'), verification, userInformation]),
  associateRequest([applicationContext, item(0x20, Buffer.from([1, 0, 0, 0, 0x30, 0, 0xff, 0xff])), userInformation]),
  associateRequest([applicationContext, verification, item(0x50, item(0x51, Buffer.from([0, 0, 0x40, 0]), 400))]),
  associateRequest([item(0x10, '1.2.3'), verification, userInformation]),
];

for (const form of ['json', 'text']) {
  test(`as ${form}, every line has its form, whatever bad peers send`, async () => {
    const { gateway } = await startBetween(form, { log_format: form });
    for (const bytes of bad) await visit(gateway.dimse, bytes);
    for (const bytes of ['\x16\x03\x01garbage\r\n\r\n', 'GET /\xff"\\ HTTP/1.1\r\nHost: a\r\n\r\n', 'X'.repeat(100_000)]) await visit(gateway.web, Buffer.from(bytes, 'latin1'));
    assert.equal((await get(gateway, '/modality-scheduled-procedure-steps?PatientName=*')).status, 501);
    await request(gateway, 'BREW', '/');
    await gateway.child.stop();
    const lines = gateway.log().trimEnd().split('\n').filter((line) => !line.startsWith('ready '));
    assert.ok(lines.length > bad.length, gateway.log());
    for (const line of lines) {
      if (form === 'text') {
        assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warning|info|debug) [^\0-\x1f]+$/);
        continue;
      }
      const { time, level, message, ...more } = JSON.parse(line);
      assert.ok(!Number.isNaN(Date.parse(time)) && ['error', 'warning', 'info', 'debug'].includes(level) && message, line);
      assert.deepEqual(more, {});
    }
    assert.ok(!gateway.log().includes('\ufffd'), 'all of it is UTF-8');
  });
}

describe('lines that a peer can cause without end', () => {
  for (const [name, front, bytes] of [
    ['garbage on the DIMSE port', 'dimse', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['associations that are rejected', 'dimse', associateRequest([applicationContext, verification, userInformation], { called: 'WRONG' })],
    ['requests that are none', 'web', 'garbage\r\n\r\n'],
    ['paths that are not there', 'web', 'GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
  ]) {
    test(`${name}: some are written, the rest is counted, and nobody is kept waiting`, async () => {
      const { gateway } = await startBetween(name.replaceAll(' ', '-'), { log_level: 'info' });
      const before = gateway.log().split('\n').length;
      for (let i = 0; i < 130; i++) await visit(gateway[front], bytes);
      await until(5000, () => `the count in ${gateway.log().slice(-500)}`, () => /\(too many such lines: 100 not written in this minute\)/.test(gateway.log()));
      const lines = gateway.log().split('\n').length - before;
      assert.ok(lines >= 20 && lines <= 30, `${lines} lines`);
      assert.equal((await get(gateway, '/modality-scheduled-procedure-steps')).status, 501);
      await until(5000, 'the line of the transaction', () => / search web->ris /.test(gateway.log()));
    });
  }
});
