// A user agent that sends paths, headers and bodies as they are, and an origin server that answers
// what a test tells it.
import { once } from 'node:events';
import http from 'node:http';
import { within } from './house.js';

export const dicomJson = 'application/dicom+json';

/// One request on a connection of its own: { status, headers, body, json() }.
export function request(gateway, method, path, { headers = {}, body, limit = 20000 } = {}) {
  const { host, port } = gateway.web;
  const answer = new Promise((resolve, reject) => {
    const call = http.request({ host, port, method, path, agent: false, headers }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        resolve({ status: response.statusCode, headers: response.headers, body: text, json: () => JSON.parse(text) });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
  return within(limit, `an answer to ${method} ${path}`, answer);
}

export const get = (gateway, path, headers = {}) =>
  request(gateway, 'GET', path, { headers: { accept: dicomJson, ...headers } });

/// body: an object to be written as JSON, or text as it is.
export const post = (gateway, path, body, headers = {}) =>
  request(gateway, 'POST', path, {
    headers: { accept: dicomJson, 'content-type': dicomJson, ...headers },
    body: typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body,
  });

/// A DICOMweb RIS that does as it is told: answer(request, response, body) writes the answer.
/// Returns { url, port, requests, answer }; set .answer to change it.
export async function startOriginServer(house, answer) {
  const ris = { answer, requests: [] };
  const server = http.createServer(async (incoming, response) => {
    const parts = [];
    for await (const part of incoming) parts.push(part);
    const body = Buffer.concat(parts).toString('utf8');
    ris.requests.push({ method: incoming.method, url: incoming.url, headers: incoming.headers, body });
    ris.answer(incoming, response, body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ris.port = server.address().port;
  ris.url = `http://127.0.0.1:${ris.port}/`;
  house.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return ris;
}
