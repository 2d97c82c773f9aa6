// A modality on a bare socket: sends whatever bytes a test wants, for what well-behaved libraries
// cannot do (a data set that is none, N-CREATE without an instance UID). PS3.8, 9.3; PS3.7, 9 and 10.
import net from 'node:net';
import { decodeText, explicitLittleEndian } from './data_set.js';
import { command, item, pdu, pduType, sopClass, UpperLayer } from './upper_layer.js';

export { command, sopClass } from './upper_layer.js';

const title = (text) => Buffer.from(text.padEnd(16), 'latin1');

export class RawAssociation extends UpperLayer {
  /// Opens an association with one presentation context for each abstract syntax, all proposing the
  /// given transfer syntaxes. Throws if it is rejected.
  static async open(peer, abstractSyntaxes, { transferSyntaxes = [explicitLittleEndian], limit = 10000 } = {}) {
    const association = new RawAssociation(peer, limit);
    association.contexts = abstractSyntaxes.map((abstractSyntax, index) => ({ id: 2 * index + 1, abstractSyntax }));
    const maximum = Buffer.alloc(4);
    maximum.writeUInt32BE(16384);
    association.socket.write(
      pdu(pduType.associateRequest, Buffer.concat([
        Buffer.from([0, 1, 0, 0]), title(peer.aeTitle), title(peer.callingAeTitle ?? 'RAWSCU'), Buffer.alloc(32),
        item(0x10, '1.2.840.10008.3.1.1.1'),
        ...association.contexts.map(({ id, abstractSyntax }) =>
          item(0x20, Buffer.from([id, 0, 0, 0]), item(0x30, abstractSyntax),
            ...transferSyntaxes.map((syntax) => item(0x40, syntax)))),
        item(0x50, item(0x51, maximum), item(0x52, '1.2.826.0.1.3680043.9.3811.9')),
      ])),
    );
    const { type, body } = await association.nextPdu();
    if (type === pduType.associateReject) {
      association.socket.destroy();
      throw new Error(`association rejected: ${body[1]}/${body[2]}/${body[3]}`);
    }
    if (type !== pduType.associateAccept) throw new Error(`PDU ${type} instead of A-ASSOCIATE-AC`);
    for (let at = 68; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
      if (body[at] !== 0x21) continue;
      const context = association.contexts.find(({ id }) => id === body[at + 4]);
      context.result = body[at + 6];
      context.transferSyntax = body.toString('latin1', at + 12, at + 12 + body.readUInt16BE(at + 10));
    }
    return association;
  }

  constructor(peer, limit) {
    super(net.connect({ host: peer.host ?? '127.0.0.1', port: peer.port, noDelay: true }), limit);
    this.messageId = 0;
  }

  context(abstractSyntax) {
    return this.contexts.find((context) => context.abstractSyntax === abstractSyntax);
  }

  /// Sends one message without waiting. dataSet: bytes, or undefined for none. Returns the message id.
  write(abstractSyntax, values, dataSet) {
    const messageId = ++this.messageId;
    const ids = values.commandField === command.cCancel ? {} : { messageId };
    this.send(this.context(abstractSyntax).id, { ...ids, ...values }, dataSet);
    return messageId;
  }

  /// One request, its one response: { ...command fields, dataSet (decoded) }.
  async ask(abstractSyntax, values, dataSet) {
    this.write(abstractSyntax, values, dataSet);
    const response = await this.read();
    return { ...response.command, dataSet: response.dataSet && decodeText(response.dataSet) };
  }

  /// C-FIND: { responses: [bytes], statuses, messages: as read() gives them, final: command fields }.
  async find(identifier) {
    this.write(sopClass.worklist, { affectedSopClassUid: sopClass.worklist, commandField: command.cFind, priority: 0 },
      identifier);
    const found = { responses: [], statuses: [], messages: [] };
    for (;;) {
      const response = await this.read();
      found.statuses.push(response.command.status);
      found.messages.push(response);
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
    this.socket.write(pdu(pduType.releaseRequest, Buffer.alloc(4)));
    const { type } = await this.nextPdu();
    this.socket.end();
    if (type !== pduType.releaseResponse) throw new Error(`PDU ${type} instead of A-RELEASE-RP`);
  }

  /// Without a word.
  abort() {
    this.socket.destroy();
  }

  /// A-ABORT by the service user. PS3.8, 9.3.8
  sendAbort() {
    this.socket.end(pdu(pduType.abort, Buffer.alloc(4)));
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
