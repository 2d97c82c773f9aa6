// Records what real peers say to each other into the corpus of dimse_fuzz: DCMTK, dcmjs-dimse and Orthanc,
// each as SCU and as SCP, in the transfer syntaxes that they agree on. Needs what the end-to-end tests need.
//   node tests/fuzz/record_dimse.mjs
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { once } from 'node:events';
import { dump2dcm, echoscu, exampleDumps, findscu, startWlmscpfs } from '../end_to_end/support/dcmtk.js';
import { House } from '../end_to_end/support/house.js';
import { startMppsScp } from '../end_to_end/support/mpps_scp.js';
import { startOrthanc } from '../end_to_end/support/orthanc.js';
import { cEcho, cFind, nCreate, nGet, nSet, sendAll } from '../end_to_end/support/scu.js';

const corpus = path.join(path.dirname(new URL(import.meta.url).pathname), 'corpus/dimse');
const house = new House();

/// The first byte of an input: what its other bytes are to dimse_fuzz.
const meaning = { request: 3, answer: 7, '1.2.840.10008.1.2': 0, '1.2.840.10008.1.2.1': 1, '1.2.840.10008.1.2.2': 2 };

function splitPdus(bytes) {
  const pdus = [];
  for (let at = 0; at + 6 <= bytes.length; at += 6 + bytes.readUInt32BE(at + 2)) {
    pdus.push(bytes.subarray(at, at + 6 + bytes.readUInt32BE(at + 2)));
  }
  return pdus;
}

/// The transfer syntax of the first context that an A-ASSOCIATE-AC accepts.
function acceptedSyntax(pdu) {
  for (let at = 74; at < pdu.length; at += 4 + pdu.readUInt16BE(at + 2)) {
    if (pdu[at] === 0x21 && pdu[at + 6] === 0) {
      return pdu.toString('latin1', at + 12, at + 12 + pdu.readUInt16BE(at + 10)).replace(/\0$/, '');
    }
  }
  return undefined;
}

/// Lets work talk to the peer through a tap, and writes down what was said, by the name of both.
async function record(name, peer, work) {
  const taken = { scu: [], scp: [] };
  const tap = net.createServer((near) => {
    const far = net.connect(peer.port, peer.host);
    near.on('data', (data) => taken.scu.push(data));
    far.on('data', (data) => taken.scp.push(data));
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => {});
  });
  tap.listen(0, '127.0.0.1');
  await once(tap, 'listening');
  await work({ ...peer, port: tap.address().port }, tap.address().port);
  tap.close();
  const [request, ...requests] = splitPdus(Buffer.concat(taken.scu));
  const [answer, ...responses] = splitPdus(Buffer.concat(taken.scp));
  const write = (suffix, first, pdus) =>
    fs.writeFileSync(path.join(corpus, `${name}-${suffix}`), Buffer.concat([Buffer.from([first]), ...pdus]));
  const syntax = meaning[acceptedSyntax(answer)];
  write('request', meaning.request, [request]);
  write('answer', meaning.answer, [answer]);
  write('scu', syntax, requests);
  write('scp', syntax, responses);
}

try {
  const dumps = exampleDumps('wlistdb/OFFIS').slice(0, 2).map(({ text }) => text);
  const identifier = await dump2dcm(house, '(0008,0050) SH\n(0010,0010) PN\n(0040,0100) SQ\n' +
    '(fffe,e000) -\n(0008,0060) CS\n(fffe,e00d) -\n(fffe,e0dd) -\n');
  for (const [name, scuOption, scpOption] of [['explicit', '-xe', '+xe'], ['implicit', '-xi', '+xi']]) {
    const wlm = { ...(await startWlmscpfs(house, { OFFIS: dumps }, [scpOption])), aeTitle: 'OFFIS' };
    await record(`dcmtk-find-${name}`, wlm, (peer) => findscu(house, peer, identifier, { options: [scuOption] }));
    if (name === 'explicit') await record('dcmtk-echo', wlm, (peer) => echoscu(house, peer));
  }
  const { host, port, register } = await startMppsScp(house);
  const elements = { PatientName: 'MÜLLER^JÖRG', ScheduledProcedureStepSequence: [{ Modality: 'CT' }] };
  register.find = () => [{ status: 0xff00, elements }, { status: 0xff00, elements }, { status: 0 }];
  for (const syntax of [...register.transferSyntaxes]) {
    register.transferSyntaxes = [syntax];
    register.steps.clear();
    const user = { type: 5, primaryField: 'eyJ.eyJ.c2ln', positiveResponseRequested: true };
    await record(`dcmjs-${meaning[syntax] === 1 ? 'explicit' : 'implicit'}`, { host, port, aeTitle: 'RIS', user }, (peer) => sendAll(peer, [
      cEcho(), cFind({ PatientName: '', ScheduledProcedureStepSequence: [{ Modality: '' }] }),
      nCreate('1.2.3.4', { PatientName: 'MÜLLER^JÖRG', PerformedProcedureStepStatus: 'IN PROGRESS', PerformedSeriesSequence: [] }),
      nSet('1.2.3.4', { PerformedProcedureStepStatus: 'COMPLETED' }), nGet('1.2.3.4', ['PerformedProcedureStepStatus']),
    ]));
  }
  const { scp } = await startOrthanc(house, { dumps });
  await record('orthanc', scp, async (peer, tapped) => {
    const scu = await startOrthanc(house, { modalities: { peer: { ...peer, port: tapped } } });
    await scu.ask('peer', 'find-worklist', { Query: { PatientName: '', ScheduledProcedureStepSequence: [{ Modality: '' }] } });
  });
} finally {
  await house.close();
}
