// The search for patients in the logs finds what is there: a test of support/kept_logs.js, which CTest runs
// over everything that the other tests have logged.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { encode, explicitLittleEndian, implicitLittleEndian } from './support/data_set.js';
import { House } from './support/house.js';
import { findPatients, valuesIn } from './support/kept_logs.js';
import { begunInJson } from './support/performed_step.js';

const house = new House();
after(() => house.close());
const script = new URL('./support/kept_logs.js', import.meta.url).pathname;

describe('patient values are found in', () => {
  const elements = [[0x00080050, 'SH', 'ACC1'], [0x00100010, 'PN', 'MÜLLER^JÖRG'], [0x00100020, 'LO', 'PID-4711'], [0x00100030, 'DA', '19700102']];
  for (const [name, bytes] of [
    ['explicit little endian', encode(elements, explicitLittleEndian)],
    ['implicit little endian', encode(elements, implicitLittleEndian)],
    ['explicit little endian in UTF-8, inside a sequence', encode([[0x00400270, 'SQ', [elements]]], explicitLittleEndian, 'utf8')],
    ['DICOM JSON', Buffer.from(JSON.stringify([{ '00100010': { vr: 'PN', Value: [{ Alphabetic: 'MÜLLER^JÖRG' }] }, '00100020': { vr: 'LO', Value: ['PID-4711'] }, '00100030': { vr: 'DA', Value: ['19700102'] } }]))],
    ['the Native DICOM Model', Buffer.from('<DicomAttribute tag="00100010" vr="PN"><PersonName number="1"><Alphabetic><FamilyName>MÜLLER^JÖRG</FamilyName></Alphabetic></PersonName></DicomAttribute><DicomAttribute tag="00100020" vr="LO"><Value number="1">PID-4711</Value></DicomAttribute><DicomAttribute vr="DA" tag="00100030"><Value number="1">19700102</Value></DicomAttribute>')],
    ['a query', Buffer.from('/modality-scheduled-procedure-steps?PatientName=M%C3%9CLLER%5EJ%C3%96RG&00100020=PID-4711&PatientBirthDate=19700102')],
    ['a dump', Buffer.from('(0010,0010) PN [MÜLLER^JÖRG]    # 12, 1 PatientName\n(0010,0020) LO [PID-4711]\n  (0010,0030) DA [19700102]\n')],
  ]) {
    test(name, () => {
      const values = valuesIn(bytes);
      for (const value of ['MÜLLER^JÖRG', 'PID-4711', '19700102']) assert.ok(values.includes(value), `${value} in ${values}`);
      assert.ok(!values.includes('ACC1'));
    });
  }
});

/// A directory as a run leaves it.
function run(values, log) {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'a.values.json'), JSON.stringify(values));
  fs.writeFileSync(path.join(directory, 'a.log'), 'maria\tready\nmodgate\ttx=1 search dimse->ris caller="CT1" status=0000\n');
  fs.writeFileSync(path.join(directory, 'b.log'), log);
  return directory;
}
const check = (directory) => spawnSync(process.execPath, [script, 'check', directory], { encoding: 'utf8' });

describe('the check', () => {
  const values = ['Schröder^Zoë', 'PID-4711', '19700102', 'CT1', 'A*', 'DE LA CRUZ^MARIA'];
  test('passes logs without a patient, however short other values are', () => {
    const { status, stdout } = check(run(values, 'modgate\tinfo web: A CT1 de la 1.2.1970 pid 4712\n'));
    assert.equal(status, 0, stdout);
    assert.match(stdout, /^5 lines of logs, 5 patient values, 0 lines that hold one$/m);
  });

  for (const line of [
    'info tx=7 search dimse->ris name=Schröder status=0000', 'debug GET /steps?PatientName=schr%C3%B6der*', 'warning PID-4711 is not known',
    'error [PID 4711]', 'info born 19700102', 'SCHRÖDER', 'warning {"00100010":{"vr":"PN","Value":[{"Alphabetic":"X^MARIA"}]}}',
  ]) {
    test(`fails where one line is "${line}"`, () => {
      const { status, stdout } = check(run(values, `modgate\tinfo nothing\nmodgate\t${line}\n`));
      assert.equal(status, 1, stdout);
      assert.ok(stdout.includes(line), stdout);
    });
  }

  test('counts what it has looked at', () => {
    assert.deepEqual(findPatients(run(['Schröder^Anna', 'X'], 'a\nb')), { found: [], lines: 5, values: 2 });
    assert.deepEqual(findPatients(house.newPath()), { found: [], lines: 0, values: 0 });
  });
});

test('what this process sends and starts is kept', async () => {
  // A process of its own: this one must not leave its name in the real logs.
  const logs = house.newPath();
  const program = `
    import http from 'node:http';
    import { spawn } from 'node:child_process';
    import { keepLog } from ${JSON.stringify(script)};
    const child = spawn('echo', ['one line']);
    keepLog('child', child.stdout);
    const server = http.createServer((request, response) => response.end(${JSON.stringify(JSON.stringify(begunInJson()))})).listen(0, '127.0.0.1', async () => {
      await (await fetch('http://127.0.0.1:' + server.address().port + '/?PatientID=QUERIED-1')).text();
      server.close();
    });`;
  const { code, stderr } = await house.run(process.execPath, ['--input-type=module', '-e', program], { env: { MODGATE_LOGS: logs } });
  assert.equal(code, 0, stderr);
  const [log, values] = ['.log', '.values.json'].map((end) => fs.readFileSync(path.join(logs, fs.readdirSync(logs).find((name) => name.endsWith(end))), 'utf8'));
  assert.equal(log, 'child\tone line\n');
  for (const value of ['Schröder^Zoë', 'PID-4711', 'QUERIED-1']) assert.ok(JSON.parse(values).includes(value), values);
});
