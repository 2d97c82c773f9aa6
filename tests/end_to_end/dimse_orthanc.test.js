// Orthanc at both ends: as a worklist SCP that modgate asks (its plugin ModalityWorklists), and as
// an SCU that asks modgate (its REST API). Skipped where there is no Orthanc.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { dump2dcm, exampleDumps } from './support/dcmtk.js';
import { accepts, freePort, House, until } from './support/house.js';
import { get } from './support/http.js';
import { expectNoPatientData, startModgate } from './support/modgate.js';

const orthanc = '/usr/sbin/Orthanc';
const plugin = '/usr/share/orthanc/plugins/libModalityWorklists.so';
const house = new House();
const items = 5;
let scp; // { host, port, aeTitle } of Orthanc
let gate;
let rest; // Orthanc's HTTP server

/// Orthanc over a folder of worklist files, knowing modgate as the modality "gate".
async function startOrthanc(gatePort) {
  const folder = house.newPath();
  fs.mkdirSync(path.join(folder, 'worklist'), { recursive: true });
  for (const { name, text } of exampleDumps('wlistdb/OFFIS').slice(0, items)) {
    await dump2dcm(house, text, path.join(folder, 'worklist', `${name}.wl`));
  }
  const [http, dicom] = [await freePort(), await freePort()];
  const configuration = path.join(folder, 'orthanc.json');
  fs.writeFileSync(configuration, JSON.stringify({
    StorageDirectory: folder, IndexDirectory: folder, HttpPort: http, DicomPort: dicom, DicomAet: 'ORTHANC',
    DicomCheckCalledAet: false, DicomAlwaysAllowEcho: true, DicomAlwaysAllowFind: true,
    DicomAlwaysAllowFindWorklist: true, RemoteAccessAllowed: false, AuthenticationEnabled: false,
    DicomModalities: { gate: ['MODGATE', '127.0.0.1', gatePort] },
    Plugins: [plugin], Worklists: { Enable: true, Database: path.join(folder, 'worklist') },
  }));
  const child = house.spawn('orthanc', orthanc, [configuration], { env: { TCP_NODELAY: '1' } });
  await until(20000, () => `Orthanc to start; it wrote:\n${child.stderr}`, async () =>
    (await accepts(http)) && (await accepts(dicom)));
  return { scp: { host: '127.0.0.1', port: dicom, aeTitle: 'ORTHANC' }, rest: { host: '127.0.0.1', port: http } };
}

const identifier = ['AccessionNumber', 'PatientName', 'ScheduledProcedureStepSequence[0].Modality'];

describe('Orthanc around modgate', { skip: fs.existsSync(orthanc) ? false : 'Orthanc is not installed' }, () => {
  before(async () => {
    const port = await freePort();
    ({ scp, rest } = await startOrthanc(port));
    gate = await startModgate(house, 'gate', {
      dimse: { port, worklist: 'orthanc' },
      web: { worklist: 'orthanc' },
      'backend orthanc': { kind: 'scp', ae_title: scp.aeTitle, host: scp.host, port: scp.port },
    });
  });
  after(() => house.close());

  test('its worklist is found over the web', async () => {
    const { status, body } = await get(gate, '/modality-scheduled-procedure-steps?PatientName=*');
    assert.equal(status, 200);
    assert.equal(JSON.parse(body).length, items);
  });

  test('findscu gets the same from it directly and through modgate', async () => {
    const keys = identifier.flatMap((key) => ['-k', key]);
    const ask = async ({ host, port, aeTitle }) => {
      const { code, stdout, stderr } =
        await house.run('findscu', ['-v', '-W', ...keys, '-aec', aeTitle, host, String(port)]);
      assert.equal(code, 0, stderr);
      return [...(stdout + stderr).matchAll(/^I: \(0010,0010\) PN (\[.*?\])/gm)].map(([, name]) => name).sort();
    };
    const direct = await ask(scp);
    const through = await ask(gate.dimse);
    assert.equal(direct.length, items);
    assert.deepEqual(through, direct);
  });

  test('as SCU it finds its own worklist through modgate', async () => {
    const response = await fetch(`http://127.0.0.1:${rest.port}/modalities/gate/find-worklist`, {
      method: 'POST',
      body: JSON.stringify({ Query: { PatientName: '*', AccessionNumber: '', ScheduledProcedureStepSequence: [{ Modality: '' }] } }),
    });
    assert.equal(response.status, 200);
    const found = await response.json();
    assert.equal(found.length, items);
  });

  test('as SCU it can echo modgate', async () => {
    const response = await fetch(`http://127.0.0.1:${rest.port}/modalities/gate/echo`, { method: 'POST', body: '{}' });
    assert.equal(response.status, 200);
  });

  test('no patient data in the log', () => expectNoPatientData(assert, house, ['VIVALDI', 'HAYDN']));
});
