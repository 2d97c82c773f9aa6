// Collectors of audit messages: syslog over UDP (RFC 5426) and over TLS with octet counting (RFC 5425). Each reads
// RFC 5424 messages strictly and holds their XML against the schema of PS3.15, A.5, by xmllint.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { until } from './house.js';

const schema = new URL('audit_message.rng', import.meta.url).pathname;

function xmllint(files, input) {
  const { status, stderr } = spawnSync('xmllint', ['--nonet', '--noout', '--relaxng', schema, ...files], { input, encoding: 'utf8' });
  return status === 0 ? undefined : stderr || `xmllint: ${status}`;
}

/// Why xml is not what the schema wants; undefined if it is.
export const schemaFault = (xml) => xmllint(['-'], xml);

/// One SYSLOG-MSG: { priority, time, host, application, process, messageId, xml }.
export function parseSyslog(bytes) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  const match = text.match(/^<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) - \uFEFF(.*)$/s);
  if (!match) throw new Error(`no RFC 5424 message: ${text.slice(0, 200)}`);
  const [, priority, time, host, application, process, messageId, xml] = match;
  return { priority: Number(priority), time, host, application, process, messageId, xml };
}

const unescape = (text) =>
  text.replace(/&(lt|gt|quot|amp|#\d+);/g, (_, name) =>
    ({ lt: '<', gt: '>', quot: '"', amp: '&' })[name] ?? String.fromCodePoint(Number(name.slice(1))));
const attributesOf = (text) =>
  Object.fromEntries([...text.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, unescape(value)]));
/// [{ attributes, inner }] of the elements of this name.
const elements = (xml, name) =>
  [...xml.matchAll(new RegExp(`<${name}((?: [\\w-]+="[^"]*")*)(?:/>|>(.*?)</${name}>)`, 'gs'))]
    .map(([, attributes, inner = '']) => ({ attributes: attributesOf(attributes), inner }));
const codeOf = (inner, name) => elements(inner, name)[0]?.attributes['csd-code'];
const fromBase64 = (text) => Buffer.from(text, 'base64');

/// What a message says: { event, type, action, outcome, description, participants, source, objects }.
export function summary({ xml }) {
  const [event] = elements(xml, 'EventIdentification');
  return {
    event: codeOf(event.inner, 'EventID'),
    type: codeOf(event.inner, 'EventTypeCode'),
    action: event.attributes.EventActionCode,
    outcome: event.attributes.EventOutcomeIndicator,
    description: unescape(elements(event.inner, 'EventOutcomeDescription')[0]?.inner ?? ''),
    participants: elements(xml, 'ActiveParticipant').map(({ attributes, inner }) => ({
      id: attributes.UserID,
      aeTitles: attributes.AlternativeUserID,
      requestor: attributes.UserIsRequestor === 'true',
      at: attributes.NetworkAccessPointID,
      atType: attributes.NetworkAccessPointTypeCode,
      role: codeOf(inner, 'RoleIDCode'),
    })),
    source: elements(xml, 'AuditSourceIdentification')[0].attributes,
    objects: elements(xml, 'ParticipantObjectIdentification').map(({ attributes, inner }) => ({
      id: attributes.ParticipantObjectID,
      idType: codeOf(inner, 'ParticipantObjectIDTypeCode'),
      name: unescape(elements(inner, 'ParticipantObjectName')[0]?.inner ?? ''),
      query: elements(inner, 'ParticipantObjectQuery').map((query) => fromBase64(query.inner))[0],
      details: Object.fromEntries(elements(inner, 'ParticipantObjectDetail')
        .map((detail) => [detail.attributes.type, fromBase64(detail.attributes.value).toString('utf8')])),
      mpps: elements(inner, 'MPPS')[0]?.attributes.UID,
      accession: elements(inner, 'Accession')[0]?.attributes.Number,
    })),
  };
}

class Collector {
  constructor(house, port) {
    this.port = port;
    this.received = []; // syslog messages, in order of arrival
    this.faults = [];
    this.summaries = []; // of those received, as far as anybody asked
    house.defer(() => this.close());
  }
  take(bytes) {
    try {
      this.received.push(parseSyslog(bytes));
    } catch (error) {
      this.faults.push(String(error));
    }
  }
  /// Each is read once: this is asked again and again while datagrams come, which nobody keeps for long.
  messages() {
    for (const one of this.received.slice(this.summaries.length)) this.summaries.push(summary(one));
    return [...this.summaries];
  }
  /// The messages that the filter takes, once there are so many.
  async wait(count, filter = () => true, limit = 15000) {
    const found = () => this.messages().filter(filter);
    await until(limit, () => `${count} audit messages, got ${JSON.stringify(found())} ${this.faults}`, () => found().length >= count);
    return found();
  }
}

export class UdpCollector extends Collector {
  static async start(house, port = 0) {
    const collector = new UdpCollector(house, port);
    await collector.open();
    return collector;
  }
  get uri() {
    return `udp://127.0.0.1:${this.port}`;
  }
  async open() {
    this.socket = dgram.createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
    this.socket.on('message', (bytes) => this.take(bytes));
    this.socket.bind(this.port, '127.0.0.1');
    await once(this.socket, 'listening');
    this.port = this.socket.address().port;
  }
  async close() {
    const socket = this.socket;
    this.socket = undefined;
    if (socket) await new Promise((resolve) => socket.close(resolve));
  }
}

/// certificates: as support/certificates.js gives them. requireClient: a certificate is asked of the client.
export class TlsCollector extends Collector {
  static async start(house, certificates, { port = 0, requireClient = true } = {}) {
    const collector = new TlsCollector(house, port);
    Object.assign(collector, { certificates, requireClient, connections: 0, refused: 0 });
    await collector.open();
    return collector;
  }
  get uri() {
    return `tls://127.0.0.1:${this.port}`;
  }
  async open() {
    this.sockets = new Set();
    this.server = tls.createServer(
      { ...this.certificates.options, requestCert: this.requireClient, rejectUnauthorized: this.requireClient },
      (socket) => this.serve(socket));
    this.server.on('tlsClientError', () => ++this.refused);
    this.server.listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
  }
  serve(socket) {
    ++this.connections;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      for (;;) {
        const blank = bytes.indexOf(0x20);
        if (blank < 0) return;
        const length = bytes.toString('latin1', 0, blank);
        if (!/^[1-9]\d*$/.test(length)) {
          this.faults.push(`no octet count: ${length}`);
          return socket.destroy();
        }
        const end = blank + 1 + Number(length);
        if (bytes.length < end) return;
        this.take(bytes.subarray(blank + 1, end));
        bytes = bytes.subarray(end);
      }
    });
  }
  /// From now on it has these certificates; who is connected is sent away.
  renew(certificates) {
    this.certificates = certificates;
    this.server.setSecureContext(certificates.options);
    for (const socket of this.sockets) socket.destroy();
  }
  async close() {
    const server = this.server;
    this.server = undefined;
    if (!server) return;
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/// Everything that came is what RFC 5424 and the schema want.
export function expectValid(collector) {
  assert.deepEqual(collector.faults, []);
  assert.ok(collector.received.length > 0);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'modgate-e2e-'));
  try {
    const files = collector.received.map(({ xml }, index) => {
      const file = path.join(directory, `${index}.xml`);
      fs.writeFileSync(file, xml);
      return file;
    });
    assert.equal(xmllint(files), undefined);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
  for (const message of collector.received) {
    assert.equal(message.priority, 85);
    assert.equal(message.messageId, 'DICOM+RFC3881');
    assert.equal(message.application, 'modgate');
    assert.equal(message.host, os.hostname());
    assert.match(message.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
}

/// { sent, waiting, lost, up } of a gateway with an admin port; undefined while its audit trail is off.
export async function auditNumbers({ admin: { host, port } }) {
  const body = await new Promise((resolve, reject) => {
    http.get({ host, port, path: '/metrics', agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
  if (!body.includes('modgate_audit_')) return undefined;
  const number = (name) => Number(body.match(new RegExp(`^${name} (\\S+)$`, 'm'))[1]);
  return {
    sent: number('modgate_audit_sent_total'), waiting: number('modgate_audit_waiting'),
    lost: number('modgate_audit_lost_total'), up: number('modgate_audit_collector_up'),
  };
}
