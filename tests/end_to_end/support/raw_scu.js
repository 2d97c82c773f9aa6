// A modality on a bare socket: sends whatever bytes a test wants, for what well-behaved libraries
// cannot do (a data set that is none, N-CREATE without an instance UID). PS3.8, 9.3; PS3.7, 9 and 10.
import net from 'node:net';
import { within } from './house.js';
import { decodeText, encode, explicitLittleEndian, implicitLittleEndian, tagText } from './data_set.js';

export const sopClass = {
  verification: '1.2.840.10008.1.1',
  worklist: '1.2.840.10008.5.1.4.31',
  mpps: '1.2.840.10008.3.1.2.3.3',
  mppsRetrieve: '1.2.840.10008.3.1.2.3.4',
};

export const command = {
  cFind: 0x0020, cEcho: 0x0030, cCancel: 0x0fff, nGet: 0x0110, nSet: 0x0120, nCreate: 0x0140,
};

const fields = {
  '00000002': ['affectedSopClassUid', 'UI'], '00000003': ['requestedSopClassUid', 'UI'],
  '00000100': ['commandField', 'US'], '00000110': ['messageId', 'US'],
  '00000120': ['messageIdBeingRespondedTo', 'US'], '00000700': ['priority', 'US'],
  '00000800': ['commandDataSetType', 'US'], '00000900': ['status', 'US'],
  '00000901': ['offendingElement', 'AT'], '00000902': ['errorComment', 'LO'],
  '00000903': ['errorId', 'US'], '00001000': ['affectedSopInstanceUid', 'UI'],
  '00001001': ['requestedSopInstanceUid', 'UI'], '00001005': ['attributeIdentifierList', 'AT'],
};

function encodeCommand(values) {
  const elements = Object.entries(fields)
    .filter(([, [name]]) => values[name] !== undefined)
    .map(([tag, [name, vr]]) => {
      const value = values[name];
      const bytes = vr === 'AT'
        ? Buffer.concat(value.map((at) => {
            const two = Buffer.alloc(4);
            two.writeUInt16LE(at >>> 16, 0);
            two.writeUInt16LE(at & 0xffff, 2);
            return two;
          }))
        : value;
      return [parseInt(tag, 16), vr, bytes];
    });
  const rest = encode(elements, implicitLittleEndian);
  return Buffer.concat([encode([[0x00000000, 'UL', rest.length]], implicitLittleEndian), rest]);
}

function decodeCommand(bytes) {
  const values = {};
  for (let at = 0; at < bytes.length; ) {
    const field = fields[tagText(bytes, at)];
    const length = bytes.readUInt32LE(at + 4);
    const value = bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length;
    if (!field) continue;
    const [name, vr] = field;
    if (vr === 'US') values[name] = value.readUInt16LE(0);
    else if (vr === 'AT') {
      values[name] = [];
      for (let i = 0; i + 4 <= value.length; i += 4) values[name].push(tagText(value, i));
    } else values[name] = value.toString('latin1').replace(/[ \0]+$/, '');
  }
  return values;
}

function item(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function pdu(type, body) {
  const header = Buffer.from([type, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

const title = (text) => Buffer.from(text.padEnd(16), 'latin1');

export class RawAssociation {
  /// Opens an association with one presentation context for each abstract syntax, all proposing the
  /// given transfer syntaxes. Throws if it is rejected.
  static async open(peer, abstractSyntaxes, { transferSyntaxes = [explicitLittleEndian], limit = 10000 } = {}) {
    const association = new RawAssociation(peer, limit);
    association.contexts = abstractSyntaxes.map((abstractSyntax, index) => ({ id: 2 * index + 1, abstractSyntax }));
    const maximum = Buffer.alloc(4);
    maximum.writeUInt32BE(16384);
    association.socket.write(
      pdu(0x01, Buffer.concat([
        Buffer.from([0, 1, 0, 0]), title(peer.aeTitle), title(peer.callingAeTitle ?? 'RAWSCU'), Buffer.alloc(32),
        item(0x10, '1.2.840.10008.3.1.1.1'),
        ...association.contexts.map(({ id, abstractSyntax }) =>
          item(0x20, Buffer.from([id, 0, 0, 0]), item(0x30, abstractSyntax),
            ...transferSyntaxes.map((syntax) => item(0x40, syntax)))),
        item(0x50, item(0x51, maximum), item(0x52, '1.2.826.0.1.3680043.9.3811.9')),
      ])),
    );
    const { type, body } = await association.#next();
    if (type === 0x03) {
      association.socket.destroy();
      throw new Error(`association rejected: ${body[1]}/${body[2]}/${body[3]}`);
    }
    if (type !== 0x02) throw new Error(`PDU ${type} instead of A-ASSOCIATE-AC`);
    for (let at = 68; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
      if (body[at] !== 0x21) continue;
      const context = association.contexts.find(({ id }) => id === body[at + 4]);
      context.result = body[at + 6];
      context.transferSyntax = body.toString('latin1', at + 12, at + 12 + body.readUInt16BE(at + 10));
    }
    return association;
  }

  constructor(peer, limit) {
    this.limit = limit;
    this.messageId = 0;
    this.buffer = Buffer.alloc(0);
    this.pdus = [];
    this.closed = false;
    this.wake = () => {};
    this.socket = net.connect({ host: peer.host ?? '127.0.0.1', port: peer.port, noDelay: true });
    this.socket.on('data', (data) => {
      this.buffer = Buffer.concat([this.buffer, data]);
      while (this.buffer.length >= 6 && this.buffer.length >= 6 + this.buffer.readUInt32BE(2)) {
        const end = 6 + this.buffer.readUInt32BE(2);
        this.pdus.push({ type: this.buffer[0], body: this.buffer.subarray(6, end) });
        this.buffer = this.buffer.subarray(end);
      }
      this.wake();
    });
    const end = () => {
      this.closed = true;
      this.wake();
    };
    this.socket.on('error', end);
    this.socket.on('close', end);
  }

  async #next() {
    while (!this.pdus.length) {
      if (this.closed) throw new Error('the peer closed the connection');
      await within(this.limit, 'a PDU from the peer', new Promise((resolve) => (this.wake = resolve)));
    }
    return this.pdus.shift();
  }

  context(abstractSyntax) {
    return this.contexts.find((context) => context.abstractSyntax === abstractSyntax);
  }

  /// Sends one message without waiting. dataSet: bytes, or undefined for none. Returns the message id.
  write(abstractSyntax, values, dataSet) {
    const { id } = this.context(abstractSyntax);
    const messageId = ++this.messageId;
    const bytes = encodeCommand({
      ...(values.commandField === command.cCancel ? {} : { messageId }),
      commandDataSetType: dataSet ? 0x0102 : 0x0101,
      ...values,
    });
    const pdv = (control, value) => {
      const header = Buffer.from([0, 0, 0, 0, id, control]);
      header.writeUInt32BE(value.length + 2, 0);
      return pdu(0x04, Buffer.concat([header, value]));
    };
    this.socket.write(pdv(0x03, bytes));
    for (let at = 0; dataSet && at < dataSet.length; at += 8000) {
      const part = dataSet.subarray(at, at + 8000);
      this.socket.write(pdv(at + 8000 < dataSet.length ? 0x00 : 0x02, part));
    }
    return messageId;
  }

  /// The next message: { command, dataSet (bytes or undefined) }. Throws on A-ABORT or a closed connection.
  async read() {
    const parts = { command: [], dataSet: [] };
    let received;
    for (;;) {
      const { type, body } = await this.#next();
      if (type === 0x07) throw new Error(`A-ABORT ${body[2]}/${body[3]}`);
      if (type !== 0x04) throw new Error(`PDU ${type} instead of P-DATA-TF`);
      for (let at = 0; at < body.length; at += 4 + body.readUInt32BE(at)) {
        const control = body[at + 5];
        const kind = control & 1 ? 'command' : 'dataSet';
        parts[kind].push(body.subarray(at + 6, at + 4 + body.readUInt32BE(at)));
        if (!(control & 2)) continue;
        if (kind === 'command') received = decodeCommand(Buffer.concat(parts.command));
        if (kind === 'dataSet' || received.commandDataSetType === 0x0101) {
          return { command: received, dataSet: kind === 'dataSet' ? Buffer.concat(parts.dataSet) : undefined };
        }
      }
    }
  }

  /// One request, its one response: { ...command fields, dataSet (decoded) }.
  async ask(abstractSyntax, values, dataSet) {
    this.write(abstractSyntax, values, dataSet);
    const response = await this.read();
    return { ...response.command, dataSet: response.dataSet && decodeText(response.dataSet) };
  }

  /// C-FIND: { responses: [bytes], statuses, final: command fields }.
  async find(identifier) {
    this.write(sopClass.worklist, { affectedSopClassUid: sopClass.worklist, commandField: command.cFind, priority: 0 },
      identifier);
    const found = { responses: [], statuses: [] };
    for (;;) {
      const response = await this.read();
      found.statuses.push(response.command.status);
      if (response.command.status !== 0xff00 && response.command.status !== 0xff01) {
        return { ...found, final: response.command, status: response.command.status };
      }
      found.responses.push(response.dataSet);
    }
  }

  echo() {
    return this.ask(sopClass.verification, { affectedSopClassUid: sopClass.verification, commandField: command.cEcho });
  }

  nCreate(uid, dataSet) {
    return this.ask(sopClass.mpps,
      { affectedSopClassUid: sopClass.mpps, commandField: command.nCreate, affectedSopInstanceUid: uid }, dataSet);
  }

  nSet(uid, dataSet) {
    return this.ask(sopClass.mpps,
      { requestedSopClassUid: sopClass.mpps, commandField: command.nSet, requestedSopInstanceUid: uid }, dataSet);
  }

  nGet(uid, attributes) {
    return this.ask(sopClass.mppsRetrieve, {
      requestedSopClassUid: sopClass.mppsRetrieve, commandField: command.nGet, requestedSopInstanceUid: uid,
      attributeIdentifierList: attributes,
    });
  }

  async release() {
    this.socket.write(pdu(0x05, Buffer.alloc(4)));
    const { type } = await this.#next();
    this.socket.end();
    if (type !== 0x06) throw new Error(`PDU ${type} instead of A-RELEASE-RP`);
  }

  abort() {
    this.socket.destroy();
  }
}

/// Runs work with an association and ends it whatever happens.
export async function withAssociation(peer, abstractSyntaxes, work, options) {
  const association = await RawAssociation.open(peer, abstractSyntaxes, options);
  try {
    const result = await work(association);
    await association.release();
    return result;
  } finally {
    association.abort();
  }
}
