// PDUs and messages on a bare socket, for what well-behaved libraries cannot do: any bytes a test
// wants, and every element of a command set that came. PS3.8, 9.3; PS3.7, 6.3.1 and Annex E.
import { within } from './house.js';
import { encode, implicitLittleEndian, tagText } from './data_set.js';

export const sopClass = {
  verification: '1.2.840.10008.1.1',
  worklist: '1.2.840.10008.5.1.4.31',
  mpps: '1.2.840.10008.3.1.2.3.3',
  mppsRetrieve: '1.2.840.10008.3.1.2.3.4',
};

export const command = {
  cFind: 0x0020, cEcho: 0x0030, cCancel: 0x0fff, nGet: 0x0110, nSet: 0x0120, nCreate: 0x0140, response: 0x8000,
};

export const pduType = {
  associateRequest: 0x01, associateAccept: 0x02, associateReject: 0x03, data: 0x04, releaseRequest: 0x05,
  releaseResponse: 0x06, abort: 0x07,
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

export function encodeCommand(values) {
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

/// Elements by the names above; others by their tags, as bytes.
export function decodeCommand(bytes) {
  const values = {};
  for (let at = 0; at < bytes.length; ) {
    const tag = tagText(bytes, at);
    const length = bytes.readUInt32LE(at + 4);
    const value = bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length;
    if (tag === '00000000') continue;
    const [name, vr] = fields[tag] ?? [tag];
    if (vr === undefined) values[name] = value;
    else if (vr === 'US') values[name] = value.readUInt16LE(0);
    else if (vr === 'AT') {
      values[name] = [];
      for (let i = 0; i + 4 <= value.length; i += 4) values[name].push(tagText(value, i));
    } else values[name] = value.toString('latin1').replace(/[ \0]+$/, '');
  }
  return values;
}

export function item(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUInt16BE(body.length, 2);
  return Buffer.concat([header, body]);
}

export function pdu(type, body) {
  const header = Buffer.from([type, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

/// A P-DATA-TF PDU with one PDV. control: 1 = command, 2 = last fragment.
export function pdv(context, control, value) {
  const header = Buffer.from([0, 0, 0, 0, context, control]);
  header.writeUInt32BE(value.length + 2, 0);
  return pdu(pduType.data, Buffer.concat([header, value]));
}

/// One side of a connection: PDUs and messages as they come, waited for at most limit milliseconds.
export class UpperLayer {
  constructor(socket, limit) {
    this.socket = socket;
    this.limit = limit;
    this.buffer = Buffer.alloc(0);
    this.pdus = [];
    this.closed = false;
    this.wake = () => {};
    socket.on('data', (data) => {
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
    socket.on('error', end);
    socket.on('close', end);
  }

  async nextPdu() {
    while (!this.pdus.length) {
      if (this.closed) throw new Error('the peer closed the connection');
      await within(this.limit, 'a PDU from the peer', new Promise((resolve) => (this.wake = resolve)));
    }
    return this.pdus.shift();
  }

  /// Sends one message without waiting. dataSet: bytes, or undefined for none.
  send(context, values, dataSet) {
    const bytes = encodeCommand({ commandDataSetType: dataSet ? 0x0102 : 0x0101, ...values });
    this.socket.write(pdv(context, 0x03, bytes));
    for (let at = 0; dataSet && at < dataSet.length; at += 8000) {
      const part = dataSet.subarray(at, at + 8000);
      this.socket.write(pdv(context, at + 8000 < dataSet.length ? 0x00 : 0x02, part));
    }
  }

  /// The next message: { context, command, dataSet (bytes or undefined) }. Throws at any other PDU (its
  /// type is in .pduType of the error) and at the end of the connection.
  async read() {
    const parts = { command: [], dataSet: [] };
    let received;
    for (;;) {
      const { type, body } = await this.nextPdu();
      if (type === pduType.abort) throw Object.assign(new Error(`A-ABORT ${body[2]}/${body[3]}`), { pduType: type });
      if (type !== pduType.data) throw Object.assign(new Error(`PDU ${type} instead of P-DATA-TF`), { pduType: type });
      for (let at = 0; at < body.length; at += 4 + body.readUInt32BE(at)) {
        const context = body[at + 4];
        const control = body[at + 5];
        const kind = control & 1 ? 'command' : 'dataSet';
        parts[kind].push(body.subarray(at + 6, at + 4 + body.readUInt32BE(at)));
        if (!(control & 2)) continue;
        if (kind === 'command') received = decodeCommand(Buffer.concat(parts.command));
        if (kind === 'dataSet' || received.commandDataSetType === 0x0101) {
          return { context, command: received, dataSet: kind === 'dataSet' ? Buffer.concat(parts.dataSet) : undefined };
        }
      }
    }
  }
}
