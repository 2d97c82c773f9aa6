// A RIS on a bare socket that does to each connection what a test tells it: refuses, accepts some
// presentation contexts and not others, answers, stalls, breaks off, sends bytes that are no PDU.
// PS3.8, 9.3; PS3.7, 9 and 10.
import net from 'node:net';
import { once } from 'node:events';
import { explicitLittleEndian } from './data_set.js';
import { command, item, pdu, pduType, UpperLayer } from './upper_layer.js';

/// The presentation contexts that an A-ASSOCIATE-RQ proposes: [{ id, abstractSyntax, transferSyntaxes }].
function contextsOf(body) {
  const text = (at, length) => body.toString('latin1', at, at + length).replace(/\0$/, '');
  const contexts = [];
  for (let at = 68; at < body.length; at += 4 + body.readUInt16BE(at + 2)) {
    if (body[at] !== 0x20) continue;
    const end = at + 4 + body.readUInt16BE(at + 2);
    const context = { id: body[at + 4], transferSyntaxes: [] };
    for (let inner = at + 8; inner < end; inner += 4 + body.readUInt16BE(inner + 2)) {
      const value = text(inner + 4, body.readUInt16BE(inner + 2));
      if (body[inner] === 0x30) context.abstractSyntax = value;
      else context.transferSyntaxes.push(value);
    }
    contexts.push(context);
  }
  return contexts;
}

/// The acceptor's side of a connection.
export class RawAcceptor extends UpperLayer {
  /// Reads the A-ASSOCIATE-RQ: its body.
  async requested() {
    const { type, body } = await this.nextPdu();
    if (type !== pduType.associateRequest) throw new Error(`PDU ${type} instead of A-ASSOCIATE-RQ`);
    this.request = body;
    this.contexts = contextsOf(body);
    return body;
  }

  /// result: of each context, given its abstract syntax (PS3.8, Table 9-18); 0 accepts.
  accept(result = () => 0) {
    const maximum = Buffer.alloc(4);
    maximum.writeUInt32BE(16384);
    this.socket.write(pdu(pduType.associateAccept, Buffer.concat([
      Buffer.from([0, 1, 0, 0]), this.request.subarray(4, 68), item(0x10, '1.2.840.10008.3.1.1.1'),
      ...this.contexts.map(({ id, abstractSyntax }) =>
        item(0x21, Buffer.from([id, 0, result(abstractSyntax), 0]), item(0x40, explicitLittleEndian))),
      item(0x50, item(0x51, maximum), item(0x52, '1.2.826.0.1.3680043.9.3811.8')),
    ])));
  }

  reject(result, source, reason) {
    this.socket.end(pdu(pduType.associateReject, Buffer.from([0, result, source, reason])));
  }

  /// source and reason: PS3.8, Table 9-26.
  abort(source = 2, reason = 0) {
    this.socket.end(pdu(pduType.abort, Buffer.from([0, 0, source, reason])));
  }

  /// Answers a message that was read. values: status and whatever else the command set is to hold.
  respond(message, values, dataSet) {
    this.send(message.context, {
      commandField: message.command.commandField | command.response,
      messageIdBeingRespondedTo: message.command.messageId,
      ...values,
    }, dataSet);
  }

  /// Answers a release, if that is what comes next.
  async released() {
    const { type } = await this.nextPdu();
    if (type === pduType.releaseRequest) this.socket.end(pdu(pduType.releaseResponse, Buffer.alloc(4)));
    return type;
  }
}

/// { host, port, aeTitle, behave, connections, errors }: behave(acceptor) is what it does to each
/// connection; what it throws is kept in errors, since peers may go away at any time.
export async function startRawScp(house, behave, limit = 10000) {
  const scp = { host: '127.0.0.1', aeTitle: 'RAWSCP', behave, connections: 0, errors: [] };
  const sockets = new Set();
  const server = net.createServer({ noDelay: true }, async (socket) => {
    scp.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    try {
      await scp.behave(new RawAcceptor(socket, limit));
    } catch (error) {
      scp.errors.push(error);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scp.port = server.address().port;
  house.defer(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  return scp;
}
