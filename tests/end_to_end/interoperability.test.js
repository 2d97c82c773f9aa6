// Third-party SCUs through modgate to third-party SCPs, plain and over TLS, in both transfer syntaxes,
// each with each: worklist and performed procedure steps, as far as they offer them. The calling AE title
// says which SCP is asked: modgate has a [modality] section for each.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import dimse from 'dcmjs-dimse';
import { makeCertificates } from './support/certificates.js';
import { dump2dcm, echoscu, exampleDumps, findscu, readFiles, startWlmscpfs } from './support/dcmtk.js';
import { House } from './support/house.js';
import { get, post } from './support/http.js';
import { expectNoPatientData, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { hasOrthanc, startOrthanc } from './support/orthanc.js';
import { cEcho, cFind, nCreate, nGet, nSet, send, sendAll } from './support/scu.js';

const { ExplicitVRLittleEndian, ImplicitVRLittleEndian } = dimse.constants.TransferSyntax;

/// DCMTK's wlmscpfs speaks no TLS. Orthanc accepts both transfer syntaxes; what modgate prefers is used.
const scps = [
  { name: 'WLM-EXPLICIT', program: 'wlmscpfs', options: ['+xe'] },
  { name: 'WLM-IMPLICIT', program: 'wlmscpfs', options: ['+xi'] },
  { name: 'DCMJS-EXPLICIT', program: 'dcmjs-dimse', transferSyntax: ExplicitVRLittleEndian },
  { name: 'DCMJS-IMPLICIT', program: 'dcmjs-dimse', transferSyntax: ImplicitVRLittleEndian },
  { name: 'DCMJS-TLS-EXPL', program: 'dcmjs-dimse', transferSyntax: ExplicitVRLittleEndian, tls: true },
  { name: 'DCMJS-TLS-IMPL', program: 'dcmjs-dimse', transferSyntax: ImplicitVRLittleEndian, tls: true },
  { name: 'ORTHANC', program: 'orthanc' },
  { name: 'ORTHANC-TLS', program: 'orthanc', tls: true },
].filter(({ program }) => hasOrthanc || program !== 'orthanc');
const stepManagers = scps.filter(({ program }) => program === 'dcmjs-dimse').map(({ name }) => name);

/// dcmjs-dimse and Orthanc propose both transfer syntaxes, and have no way to propose one. dcmjs-dimse takes
/// FF01 for the final response: it loses the rest of what wlmscpfs, which answers FF01 where keys are not
/// supported, sends it.
const scus = [
  { program: 'findscu', how: 'explicit', ask: (peer) => byFindscu(peer, '-xe') },
  { program: 'findscu', how: 'implicit', ask: (peer) => byFindscu(peer, '-xi') },
  { program: 'dcmjs-dimse', how: 'both', ask: byDcmjs, cannot: 'wlmscpfs' },
  ...(hasOrthanc ? [{ program: 'orthanc', how: 'both', ask: byOrthanc }] : []),
];

const fronts = ['plain', 'TLS'];

const house = new House();
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.7.${process.pid}.${++uids}`;
const performed = '/modality-performed-procedure-steps';
const steps = '/modality-scheduled-procedure-steps';
const gates = {}; // by front: a gateway that knows all SCPs
const webs = {}; // by the SCP's name: a gateway with a web front over this one
const registers = {}; // of dcmjs-dimse's SCPs, by name
const orthancs = {}; // by front: one that asks the gateway there
let certificates;
let wanted; // what every SCP has in its worklist, as text() writes it
let identifier;

const text = (items) => items.map(([accession, patient, modality]) => `${accession} ${patient} ${modality}`).sort();
const first = (value) => (Array.isArray(value) ? value[0] : value);

function named(elements) {
  const name = first(elements.PatientName);
  return [elements.AccessionNumber, name?.Alphabetic ?? name, first(elements.ScheduledProcedureStepSequence).Modality];
}

async function byFindscu(peer, option) {
  const { status, responses, output } = await findscu(house, peer, identifier, { options: [option] });
  assert.equal(status, 0, output);
  return responses.map((item) =>
    [item['00080050'].value, item['00100010'].value, item['00400100'].value[0]['00080060'].value]);
}

async function byDcmjs(peer) {
  const answer = await send(peer, cFind({
    AccessionNumber: '', PatientName: '', ScheduledProcedureStepSequence: [{ Modality: '' }],
  }));
  assert.equal(answer.status, 0);
  return answer.pending.map(named);
}

async function byOrthanc(peer, front) {
  const found = await orthancs[front].ask(peer.callingAeTitle, 'find-worklist', {
    Query: { AccessionNumber: '', PatientName: '', ScheduledProcedureStepSequence: [{ Modality: '' }] },
  });
  return found.map(named);
}

async function startScp({ name, program, options, transferSyntax, tls }, dumps, elements) {
  const secured = tls ? certificates : undefined;
  if (program === 'wlmscpfs') return { ...(await startWlmscpfs(house, { [name]: dumps }, options)), aeTitle: name };
  if (program === 'orthanc') return (await startOrthanc(house, { dumps, tls: secured })).scp;
  const scp = await startMppsScp(house, 0, { tls: secured });
  scp.register.transferSyntaxes = [transferSyntax];
  scp.register.find = () => [...elements.map((item) => ({ status: 0xff00, elements: item })), { status: 0 }];
  registers[name] = scp.register;
  return { ...scp, aeTitle: name };
}

before(async () => {
  certificates = await makeCertificates(house);
  const dumps = exampleDumps('wlistdb/OFFIS').slice(0, 3).map(({ text: dump }) => dump);
  const files = await Promise.all(dumps.map((dump) => dump2dcm(house, dump)));
  const items = (await readFiles(house, files)).map((item) =>
    [item['00080050'].value, item['00100010'].value, item['00400100'].value[0]['00080060'].value]);
  wanted = text(items);
  const elements = items.map(([accession, patient, modality]) => ({
    AccessionNumber: accession, PatientName: patient, ScheduledProcedureStepSequence: [{ Modality: modality }],
  }));
  identifier = await dump2dcm(house, '(0008,0050) SH\n(0010,0010) PN\n(0040,0100) SQ\n' +
    '(fffe,e000) -\n(0008,0060) CS\n(fffe,e00d) -\n(fffe,e0dd) -\n');
  const server = {
    tls_certificate: certificates.certificate, tls_private_key: certificates.key, tls_trusted: certificates.trusted,
  };
  const backends = {};
  const modalities = {};
  for (const scp of scps) {
    const { host, port, aeTitle } = await startScp(scp, dumps, elements);
    const backend = { kind: 'scp', ae_title: aeTitle, host, port, ...(scp.tls && server) };
    const route = { worklist: scp.name, mpps: stepManagers.includes(scp.name) ? scp.name : '' };
    backends[`backend ${scp.name}`] = backend;
    modalities[`modality ${scp.name}`] = { ae_title: scp.name, ...route };
    webs[scp.name] = await startModgate(house, `web over ${scp.name}`, {
      web: route, [`backend ${scp.name}`]: backend,
    });
  }
  for (const front of fronts) {
    const tls = front === 'TLS' ? certificates : undefined;
    gates[front] = await startModgate(house, front, { dimse: { ...(tls && server) }, ...modalities, ...backends });
    gates[front].peer = (callingAeTitle) => ({ ...gates[front].dimse, callingAeTitle, tls });
    if (!hasOrthanc) continue;
    orthancs[front] = await startOrthanc(house, {
      tls, modalities: Object.fromEntries(scps.map(({ name }) => [name, gates[front].peer(name)])),
    });
  }
});
after(() => house.close());

for (const front of fronts) {
  describe(`the front, ${front}`, () => {
    for (const { program, how, ask, cannot } of scus) {
      for (const { name } of scps.filter((scp) => scp.program !== cannot)) {
        test(`${program} (${how}) gets the worklist of ${name}`, async () => {
          assert.deepEqual(text(await ask(gates[front].peer(name), front)), wanted);
        });
      }
    }

    for (const name of stepManagers) {
      test(`dcmjs-dimse creates, updates and retrieves a step at ${name}`, async () => {
        const uid = newUid();
        const answers = await sendAll(gates[front].peer(name), [
          nCreate(uid, { PatientName: 'DOE^JANE', PerformedProcedureStepID: 'PPS1', PerformedProcedureStepStatus: 'IN PROGRESS' }),
          nSet(uid, { PerformedProcedureStepStatus: 'COMPLETED' }),
          nGet(uid, ['PerformedProcedureStepStatus']),
        ]);
        assert.deepEqual(answers.map(({ status }) => status), [0, 0, 0]);
        assert.equal(registers[name].steps.get(uid).PerformedProcedureStepStatus, 'COMPLETED');
        assert.equal(answers[2].elements.PerformedProcedureStepStatus, 'COMPLETED');
      });
    }

    test('everybody gets an echo', async () => {
      const peer = gates[front].peer(scps[0].name);
      assert.ok((await echoscu(house, peer)).ok);
      assert.equal((await send(peer, cEcho())).status, 0);
      if (hasOrthanc) await orthancs[front].ask(scps[0].name, 'echo');
    });
  });
}

describe('the web', () => {
  for (const { name } of scps) {
    test(`gets the worklist of ${name}`, async () => {
      const { status, body } = await get(webs[name], steps);
      assert.equal(status, 200);
      assert.deepEqual(text(JSON.parse(body).map((item) => [
        item['00080050'].Value[0], item['00100010'].Value[0].Alphabetic, item['00400100'].Value[0]['00080060'].Value[0],
      ])), wanted);
    });
  }

  for (const name of stepManagers) {
    test(`creates, updates and retrieves a step at ${name}`, async () => {
      const path = `${performed}/${newUid()}`;
      const state = (value) => ({ '00400252': { vr: 'CS', Value: [value] } });
      assert.equal((await post(webs[name], path, state('IN PROGRESS'))).status, 201);
      assert.equal((await post(webs[name], `${path}?update`, state('COMPLETED'))).status, 200);
      const { status, body } = await get(webs[name], `${path}?includefield=PerformedProcedureStepStatus`);
      assert.equal(status, 200);
      assert.deepEqual([JSON.parse(body)].flat()[0]['00400252'].Value, ['COMPLETED']);
    });
  }
});

test('a peer without TLS is not served by the front with it, nor the other way round', async () => {
  const { name } = scps[0];
  assert.ok(!(await echoscu(house, { ...gates.TLS.peer(name), tls: undefined })).ok);
  assert.ok(!(await echoscu(house, { ...gates.plain.peer(name), tls: certificates })).ok);
  assert.ok((await echoscu(house, gates.TLS.peer(name))).ok);
  assert.ok((await echoscu(house, gates.plain.peer(name))).ok);
});

test('no patient data in the logs', () => expectNoPatientData(assert, house, ['VIVALDI', 'HAYDN', 'DOE^JANE']));
