// modgate --trace NAME --for TIME: one caller's data sets in a file that only its owner may read, for a time,
// and never at the cost of a transaction.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { dump2dcm, exampleDumps, findscu, startWlmscpfs } from './support/dcmtk.js';
import { House, until } from './support/house.js';
import { get, post } from './support/http.js';
import { expectNoPatientData, modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson, done } from './support/performed_step.js';
import { nCreate, nGet, nSet, send } from './support/scu.js';

const house = new House();
after(() => house.close());

const target = (uid) => `/modality-performed-procedure-steps/${uid}`;
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.72.${process.pid}.${++uids}`;

/// A gateway over a worklist and an MPPS SCP, with a trace. Returns it with file(), the trace's path.
async function startTraced(name, words, options = {}) {
  const wlm = await startWlmscpfs(house, { OFFIS: exampleDumps('wlistdb/OFFIS').slice(0, 3).map(({ text }) => text) });
  const mpps = await startMppsScp(house);
  const state = house.newPath();
  fs.mkdirSync(state);
  const scp = (aeTitle, port) => ({ kind: 'scp', ae_title: aeTitle, host: '127.0.0.1', port });
  const gateway = await startModgate(house, name, {
    gateway: { state_dir: state, log_level: 'info' },
    dimse: { worklist: 'ris', mpps: 'pacs' }, web: { worklist: 'ris', mpps: 'pacs' },
    'backend ris': scp('OFFIS', wlm.port), 'backend pacs': scp('PACS', mpps.port),
  }, { words, ...options });
  const file = () => path.join(state, fs.readdirSync(state).find((one) => one.startsWith('trace-')));
  return { ...gateway, file, state };
}
const linesOf = (file) => fs.readFileSync(file, 'utf8').trimEnd().split('\n').filter(Boolean).map((line) => JSON.parse(line));
const anyStep = (callingAeTitle, gateway) => dump2dcm(house, '(0010,0010) PN []\n(0010,0020) LO []\n(0040,0100) SQ\n(fffe,e000) -\n(0008,0060) CS []\n(fffe,e00d) -\n(fffe,e0dd) -\n')
  .then((file) => findscu(house, { ...gateway.dimse, callingAeTitle }, file));

describe('a trace', () => {
  test('of an AE title holds both services, request and answer, and nobody else; the log tells where and until when', async () => {
    const gateway = await startTraced('ae', ['--trace', 'CT1', '--for', '10m']);
    const file = gateway.file();
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    assert.match(gateway.log(), new RegExp(`warning trace of "CT1" until \\d{4}-\\S+Z: patient data are written to ${file}`));

    assert.equal((await anyStep('CT1', gateway)).responses.length, 3);
    assert.equal((await anyStep('CT2', gateway)).responses.length, 3);
    const uid = newUid();
    const ct1 = { ...gateway.dimse, callingAeTitle: 'CT1' };
    assert.equal((await send(ct1, nCreate(uid, begun()))).status, 0);
    assert.equal((await send(ct1, nSet(uid, done()))).status, 0);
    assert.equal((await send(ct1, nGet(uid, ['PatientName']))).status, 0);
    assert.equal((await send(ct1, nCreate(uid, begun()))).status, 0x0111);
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);

    const lines = await until(5000, 'all lines', () => {
      const all = linesOf(file);
      return all.length >= 13 && all;
    });
    assert.deepEqual(lines.map(({ operation, what }) => `${operation} ${what}`), [
      'search request', 'search match', 'search match', 'search match', 'search answer',
      'create request', 'create answer', 'update request', 'update answer', 'retrieve request', 'retrieve answer',
      'create request', 'create answer',
    ]);
    assert.ok(lines.every(({ caller, front, time }) => caller === 'CT1' && front === 'dimse' && !Number.isNaN(Date.parse(time))));
    assert.deepEqual(lines[0].dataSet['00100010'], { vr: 'PN' });
    assert.ok(lines.slice(1, 4).every(({ dataSet }) => dataSet['00100010'].Value[0].Alphabetic));
    assert.equal(lines[5].mpps, uid);
    assert.deepEqual(lines[5].dataSet['00100010'], { vr: 'PN', Value: [{ Alphabetic: 'Schröder^Zoë' }] });
    assert.deepEqual([lines[10].status, lines[10].dataSet['00100010'].Value[0].Alphabetic], ['0000', 'Schröder^Zoë']);
    assert.deepEqual([lines[12].status, lines[12].how], ['0111', 'answered']);
    assert.ok(lines.every(({ tx }) => gateway.log().includes(`tx=${tx} `)));
    assert.match(fs.readFileSync(file, 'utf8'), /"00400270"/);
  });

  test('of an address follows web clients that nobody asks who they are', async () => {
    const gateway = await startTraced('address', ['--trace', '127.0.0.1', '--for', '1h']);
    assert.equal((await get(gateway, '/modality-scheduled-procedure-steps?PatientName=V*')).status, 200);
    const lines = await until(5000, 'the lines', () => {
      const all = linesOf(gateway.file());
      return all.at(-1)?.what === 'answer' && all;
    });
    assert.deepEqual(lines.map(({ front, what, address }) => [front, what, address]).at(0), ['web', 'request', '127.0.0.1']);
    assert.equal(lines[0].dataSet['00100010'].Value[0].Alphabetic, 'V*');
  });

  test('ends by itself, and everything else goes on', async () => {
    const gateway = await startTraced('short', ['--trace', 'CT1', '--for', '1s']);
    await until(10000, 'the end', () => / trace of "CT1" ended, its time is over: 0 lines in /.test(gateway.log()));
    assert.equal((await anyStep('CT1', gateway)).responses.length, 3);
    assert.equal(fs.readFileSync(gateway.file(), 'utf8'), '');
  });

  test('whose file cannot grow ends in a whole line, and the transactions are done', async () => {
    // prlimit lets no file grow beyond two kilobytes: a disk that is full.
    const gateway = await startTraced('full', ['--trace', 'CT1', '--for', '10m'], { under: ['prlimit', '--fsize=2048', '--'] });
    for (let i = 0; i < 3; i++) {
      assert.equal((await anyStep('CT1', gateway)).responses.length, 3);
      assert.equal((await send({ ...gateway.dimse, callingAeTitle: 'CT1' }, nCreate(newUid(), begun()))).status, 0);
    }
    await until(5000, 'the end', () => / error trace of "CT1" ended, File too large: \d+ lines in /.test(gateway.log()));
    assert.ok(linesOf(gateway.file()).length > 0);
    assert.ok(fs.statSync(gateway.file()).size <= 2048);
  });

  test('that is asked for in a wrong way is a clear fault, and nothing starts', async () => {
    const { configuration } = await startTraced('words', ['--trace', 'CT1', '--for', '1m']);
    const timeFault = /^modgate: --trace: expected --for with 1s to 24h, such as 90s, 10m or 2h\n$/;
    for (const [words, says] of [
      [['--trace', 'CT1'], timeFault], [['--trace', 'CT1', '--for', '0s'], timeFault], [['--trace', 'CT1', '--for', '25h'], timeFault],
      [['--trace', 'CT1', '--for', '10x'], timeFault], [['--trace', 'CT1', '--for', '-5m'], timeFault], [['--trace', 'CT1', '--for', ''], /--for/],
      [['--for', '10m'], /expected --trace NAME/], [['--trace', '', '--for', '10m'], /--trace/], [['--trace', 'x'.repeat(65), '--for', '10m'], /at most 64/],
    ]) {
      const { code, stdout, stderr } = await house.run(modgateBinary, ['--config', configuration, ...words]);
      assert.equal(code, 2, words.join(' '));
      assert.match(stdout + stderr, says, words.join(' '));
      assert.doesNotMatch(stderr, /ready/);
    }
    const { code, stderr } = await house.run(modgateBinary, ['--trace', 'CT1', '--for', '10m', 'check', '--config', configuration]);
    assert.equal(code, 2);
    assert.match(stderr, /--trace: expected no command with it/);
  });
});

test('the logs of the gateways name no patient', () => {
  expectNoPatientData(assert, house, ['Schröder', 'PID-4711', 'VIVALDI']);
});
