// A DICOMweb RIS that manages performed procedure steps: Create, Update, Retrieve (Supplement 246, 15.4 to
// 15.6) and OPTIONS. Keeps what it received, refuses or breaks off when a test tells it, and can go away
// and come back on the same port with its steps.
import { once } from 'node:events';
import http from 'node:http';
import { dicomJson } from './http.js';

const status = '00400252';
const resource = '/modality-performed-procedure-steps/';

/// { port, url, steps, received, answer, performed, open(), close() }. steps: instance UID → attributes in
/// the DICOM JSON Model. received: every request in order, as { operation, uid, attributes }.
/// answer(operation, uid): an HTTP status to refuse with, 'break' to close the connection, or undefined to
/// go on; for 'create', 'update' and 'retrieve'. performed(operation, uid): called when a step was created or
/// changed, before the answer; 'break': the answer is lost; 'silence': it
/// never comes.
export async function startStepOriginServer(house, port = 0) {
  const ris = { steps: new Map(), received: [], answer: () => undefined, performed: () => undefined };
  let server;

  const perform = (operation, uid, body) => {
    const step = ris.steps.get(uid);
    const [attributes] = body ? [JSON.parse(body)].flat() : [];
    ris.received.push({ operation, uid, attributes });
    const refusal = ris.answer(operation, uid);
    if (refusal !== undefined) return [refusal];
    if (operation === 'retrieve') return step ? [200, JSON.stringify([step])] : [404];
    if (operation === 'create') {
      if (step) return [409];
      ris.steps.set(uid, attributes);
    } else {
      if (!step) return [404];
      if (step[status].Value[0] !== 'IN PROGRESS') return [409];
      Object.assign(step, attributes); // sequences are replaced as a whole (rule F21)
    }
    return [ris.performed(operation, uid) ?? (operation === 'create' ? 201 : 200)];
  };

  const listener = async (incoming, response) => {
    const parts = [];
    try {
      for await (const part of incoming) parts.push(part);
    } catch {
      return; // the client went away
    }
    const { pathname, searchParams } = new URL(incoming.url, 'http://ris');
    const answer = (code, text) => {
      if (code === 'break') return incoming.socket.destroy();
      if (code === 'silence') return undefined;
      return response.writeHead(code, text && { 'content-type': dicomJson }).end(text);
    };
    if (incoming.method === 'OPTIONS') return answer(200);
    if (!pathname.startsWith(resource)) return answer(404);
    const uid = pathname.slice(resource.length);
    const posted = searchParams.has('update') ? 'update' : 'create';
    return answer(...perform(incoming.method === 'GET' ? 'retrieve' : posted, uid, Buffer.concat(parts).toString('utf8')));
  };

  ris.open = async () => {
    server = http.createServer(listener);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = server.address().port;
    ris.port = port;
    ris.url = `http://127.0.0.1:${port}/`;
  };
  ris.close = () => {
    server.close();
    server.closeAllConnections();
  };
  await ris.open();
  house.defer(ris.close);
  return ris;
}
