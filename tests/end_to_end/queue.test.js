// The durable queue over real wires: modalities and web clients in front, a DIMSE receiver (PACS) and a
// DICOMweb receiver (RIS) behind, which go away, refuse, and lose answers. What crashes do to it: crash.js.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { commandsFor } from './support/documents.js';
import { freePort, House, until } from './support/house.js';
import { get, post } from './support/http.js';
import { expectNoPatientData, ini, modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson, changedInJson, done, doneInJson } from './support/performed_step.js';
import { nCreate, nGet, nSet, send } from './support/scu.js';
import { startStepOriginServer } from './support/step_origin_server.js';

const house = new House();
after(() => house.close());

const documented = commandsFor('end_to_end: queue');
const patientData = ['Schröder', 'PID-4711', '19700102', 'ACC1'];
const target = (uid, rest = '') => `/modality-performed-procedure-steps/${uid}${rest}`;
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.10.${process.pid}.${++uids}`;
const changed = (description) => ({ PerformedProcedureStepDescription: description });
const discontinued = () => ({ ...done(), PerformedProcedureStepStatus: 'DISCONTINUED' });
const held = 'held';
const seconds = 20_000; // for what takes milliseconds on a machine that has nothing else to do

/// Days become milliseconds, minutes a second.
const compressed = { retry_first_milliseconds: 20, retry_max_seconds: 1, probe_max_seconds: 1 };

const scp = ({ port }, more = {}) =>
  ({ kind: 'scp', ae_title: 'PACS', host: '127.0.0.1', port, dimse_timeout_seconds: 3, ...more });
const originServer = ({ url, port }, more = {}) =>
  ({ kind: 'origin-server', base_uri: url ?? `http://127.0.0.1:${port}/`, response_timeout_seconds: 3, ...more });

/// A gateway with a queue. receivers: { name: section }. Returns the gateway with its stateDirectory.
async function startQueue(name, receivers, { dimse, web, state, under } = {}) {
  const stateDirectory = state ?? house.newPath();
  fs.mkdirSync(stateDirectory, { recursive: true });
  const route = { mpps: Object.keys(receivers).join(', '), mpps_delivery: 'queued' };
  const gateway = await startModgate(house, name, {
    gateway: { log_level: 'debug', state_dir: stateDirectory },
    queue: compressed,
    dimse: { ...route, ...dimse },
    web: { ...route, ...(web ?? dimse) },
    ...Object.fromEntries(Object.entries(receivers).map(([backend, section]) => [`backend ${backend}`, section])),
  }, { under });
  return { ...gateway, stateDirectory };
}

/// "modgate queue VERB …" beside the running gateway: { code, stdout, stderr }.
const queue = ({ configuration }, verb, args = [], options = {}) =>
  house.run(modgateBinary, ['queue', verb, '--config', configuration, ...args.map(String)], options);

/// What "modgate queue list" shows, a line an object.
async function list(gateway, ...args) {
  const { code, stdout, stderr } = await queue(gateway, 'list', args);
  assert.equal(code, 0, stderr);
  return stdout.trimEnd().split('\n').slice(1).map((line) => {
    const [message, receiver, state, what, caller, age, attempts, status, ...reason] = line.trim().split(/ +/);
    return { message, receiver, state, what, caller, age, attempts: Number(attempts), status, reason: reason.join(' ') };
  });
}

const emptied = (gateway) => until(seconds, () => `an empty queue; the log: ${gateway.log().slice(-2000)}`,
  async () => (await list(gateway)).length === 0);

/// What changed a step at a receiver: 'create' and descriptions or final states, in the order of arrival.
const arrivedAtScp = ({ register }, uid) => register.received
  .filter((request) => request.uid === uid && request.operation !== 'N-GET')
  .map(({ operation, elements }) => (operation === 'N-CREATE' ? 'create'
    : elements.PerformedProcedureStepStatus ?? elements.PerformedProcedureStepDescription));
const arrivedAtServer = ({ received }, uid) => received
  .filter((request) => request.uid === uid && request.operation !== 'retrieve')
  .map(({ operation, attributes }) => (operation === 'create' ? 'create'
    : attributes['00400252']?.Value[0] ?? attributes['00400254'].Value[0]));

async function accepts(gateway, ...requests) {
  for (const request of requests) {
    const { status, errorComment } = await send(gateway.dimse, request);
    assert.equal(status, 0x0000, errorComment);
  }
}

/// A port where whoever connects is sent away at once; counts them. After end() nobody listens there.
async function startDeadReceiver() {
  const dead = { attempts: 0 };
  const server = net.createServer((socket) => {
    dead.attempts++;
    socket.destroy();
  });
  server.listen(await freePort());
  await once(server, 'listening');
  house.defer(() => server.close());
  dead.port = server.address().port;
  dead.end = async () => {
    server.close();
    await once(server, 'close');
  };
  return dead;
}

describe('a receiver that is away for days', () => {
  for (const kind of ['DIMSE', 'DICOMweb']) {
    test(`${kind}: gets every message in order on its return, also after a restart; the other one at once`, async () => {
      const dead = await startDeadReceiver();
      const alive = kind === 'DIMSE' ? await startStepOriginServer(house) : await startMppsScp(house);
      const receivers = kind === 'DIMSE' ? { away: scp(dead), alive: originServer(alive) }
        : { away: originServer(dead), alive: scp(alive) };
      const gateway = await startQueue(`away ${kind}`, receivers);
      const arrivedAlive = kind === 'DIMSE' ? arrivedAtServer : arrivedAtScp;

      const steps = Array.from({ length: 12 }, newUid);
      await Promise.all(steps.map(async (uid, index) => {
        if (index % 2) { // web clients
          const answers = [
            await post(gateway, target(uid), begunInJson()), await post(gateway, target(uid, '?update'), changedInJson('first')),
            await post(gateway, target(uid, '?update'), changedInJson('second')), await post(gateway, target(uid, '?update'), doneInJson()),
          ];
          assert.deepEqual(answers.map(({ status }) => status), [201, 200, 200, 200], answers.map(({ body }) => body).join());
        } else {
          await accepts(gateway, nCreate(uid, begun()), nSet(uid, changed('first')), nSet(uid, changed('second')), nSet(uid, done()));
        }
      }));
      const everything = ['create', 'first', 'second', 'COMPLETED'];
      for (const uid of steps) {
        await until(seconds, 'the other receiver to be served', () => arrivedAlive(alive, uid).length === everything.length);
        assert.deepEqual(arrivedAlive(alive, uid), everything);
      }
      const open = await list(gateway);
      assert.equal(open.length, 4 * steps.length);
      assert.ok(open.every(({ receiver, state }) => receiver === 'away' && ['waiting', 'delivering'].includes(state)), JSON.stringify(open));
      await until(seconds, 'the receiver to be asked for some time', () => dead.attempts >= 8);
      assert.equal((await gateway.child.stop()).code, 0);

      const again = await startQueue(`away ${kind} again`, receivers, { state: gateway.stateDirectory });
      const asked = dead.attempts;
      await until(seconds, 'the receiver to be asked by the next gateway', () => dead.attempts > asked);
      await dead.end();
      await until(seconds, 'it to be found down', () => /queue->away status=\S+ receiver down/.test(again.log()));
      const back = kind === 'DIMSE' ? await startMppsScp(house, dead.port) : await startStepOriginServer(house, dead.port);
      await emptied(again);
      for (const uid of steps) {
        assert.deepEqual((kind === 'DIMSE' ? arrivedAtScp : arrivedAtServer)(back, uid), everything);
        assert.deepEqual(arrivedAlive(alive, uid), everything, 'the other one got something twice');
      }
      assert.match(again.log(), /away answers again: delivering/);
    });
  }
});

describe('refusals', () => {
  test('0213 and 503 are tried again without end, in order', async () => {
    const [pacs, ris] = [await startMppsScp(house), await startStepOriginServer(house)];
    const refusals = (status) => {
      const left = { create: 3, set: 3 };
      return (operation) => {
        const kind = ['N-CREATE', 'create'].includes(operation) ? 'create' : 'set';
        return left[kind]-- > 0 ? status : undefined;
      };
    };
    pacs.register.answer = refusals(0x0213);
    ris.answer = refusals(503);
    const gateway = await startQueue('retried', { pacs: scp(pacs), ris: originServer(ris) });
    const uid = newUid();
    await accepts(gateway, nCreate(uid, begun()), nSet(uid, changed('first')), nSet(uid, done()));
    await emptied(gateway);
    const wanted = ['create', 'create', 'create', 'create', 'first', 'first', 'first', 'first', 'COMPLETED'];
    assert.deepEqual(arrivedAtScp(pacs, uid), wanted);
    assert.deepEqual([...new Set(arrivedAtServer(ris, uid))], ['create', 'first', 'COMPLETED']);
    assert.match(gateway.log(), /queue->pacs status=0213 retry attempt=3/);
    assert.match(gateway.log(), /queue->ris status=0213 retry/);
  });

  test('0106 and 400 are held, the later ones of that step wait, other steps go on', async () => {
    const [pacs, ris] = [await startMppsScp(house), await startStepOriginServer(house)];
    const [refused, other] = [newUid(), newUid()];
    pacs.register.answer = (operation, uid) => (operation === 'N-SET' && uid === refused ? 0x0106 : undefined);
    ris.answer = (operation, uid) => (operation === 'update' && uid === refused ? 400 : undefined);
    const gateway = await startQueue('held', { pacs: scp(pacs), ris: originServer(ris) });
    await accepts(gateway, nCreate(refused, begun()), nSet(refused, changed('first')), nSet(refused, done()));
    await accepts(gateway, nCreate(other, begun()), nSet(other, done()));
    const settled = await until(seconds, 'two held and two behind them', async () => {
      const open = await list(gateway);
      return open.length === 4 && open.filter(({ state }) => state === held).length === 2 && open;
    });
    assert.deepEqual(settled.map(({ receiver, state, what, status }) => [receiver, state, what, status]), [
      ['pacs', held, 'update', '0106'], ['ris', held, 'update', settled[1].status],
      ['pacs', 'waiting', 'update', '0000'], ['ris', 'waiting', 'update', '0000'],
    ]);
    for (const arrived of [arrivedAtScp(pacs, other), arrivedAtServer(ris, other)]) assert.deepEqual(arrived, ['create', 'COMPLETED']);
    for (const arrived of [arrivedAtScp(pacs, refused), arrivedAtServer(ris, refused)]) assert.deepEqual(arrived, ['create', 'first']);

    // "modgate queue" beside the running gateway
    const [{ message, caller }, , { message: behind }] = settled;
    assert.equal(caller, 'DCMJS');
    assert.deepEqual((await list(gateway, '--state', 'held', '--receiver', 'ris')).map((line) => line.message), [message]);
    assert.deepEqual(await list(gateway, '--older-than', '1h'), []);
    assert.deepEqual((await list(gateway, '--state', 'delivered')).length, 6);

    const shown = await queue(gateway, 'show', [message]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, new RegExp(`mpps +${refused}`));
    const listed = await queue(gateway, 'list');
    for (const word of patientData) assert.ok(!(shown.stdout + listed.stdout).includes(word), word);
    const whole = await queue(gateway, 'show', [behind, '--with-patient-data']);
    assert.match(whole.stdout, /Miller\^Ann/);

    const exported = await queue(gateway, 'export', ['--all', '--receiver', 'pacs']);
    assert.equal(exported.code, 0, exported.stderr);
    const lines = exported.stdout.trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(lines.map((line) => [line.message, line.mpps, line.operation, line.state]),
      [[Number(message), refused, 'update', held], [Number(behind), refused, 'update', 'waiting']]);
    assert.equal(lines[0].attributes['00400254'].Value[0], 'first');

    for (const [verb, args, code, pattern] of [
      ['show', [999999], 1, /999999: no such message/],
      ['retry', [999999], 1, /no such message/],
      ['retry', [], 2, /expected numbers of messages, or --all/],
      ['list', ['--state', 'lost'], 2, /expected waiting/],
      ['discard', [message], 1, /nothing discarded/], // nobody says yes
    ]) {
      const result = await queue(gateway, verb, args);
      assert.equal(result.code, code, `${verb} ${args}: ${result.stdout}${result.stderr}`);
      assert.match(result.stderr, pattern);
    }
    assert.equal((await list(gateway)).length, 4);

    // The PACS is mended: the held one is retried, and those behind it follow.
    pacs.register.answer = () => undefined;
    const retried = await queue(gateway, 'retry', [message, '--receiver', 'pacs']);
    assert.equal(retried.code, 0, retried.stderr);
    await until(seconds, 'the PACS to get the rest', () => arrivedAtScp(pacs, refused).includes('COMPLETED'));
    assert.deepEqual(arrivedAtScp(pacs, refused), ['create', 'first', 'first', 'COMPLETED']);
    // The RIS never will be: discarded, and those behind it go on.
    ris.answer = () => undefined;
    const discarded = await queue(gateway, 'discard', [message, '--receiver', 'ris'], { input: 'y\n' });
    assert.equal(discarded.code, 0, discarded.stderr);
    assert.match(discarded.stdout, /will never reach ris.*Discard\? \[y\/N\]/s);
    await emptied(gateway);
    assert.deepEqual(arrivedAtServer(ris, refused), ['create', 'first', 'COMPLETED']);
    const late = await queue(gateway, 'discard', [message, '--receiver', 'ris', '--yes']);
    assert.equal(late.code, 1);
    assert.match(late.stderr, /is discarded and cannot be discarded/);
  });

  test('--all is all of it, list shows a thousand and says so', async () => {
    const gateway = await startQueue('many', { ris: originServer({ port: await freePort() }) });
    const all = 1003;
    const left = Array.from({ length: all }, newUid);
    await Promise.all(Array.from({ length: 8 }, async () => {
      while (left.length) assert.equal((await post(gateway, target(left.pop()), begunInJson())).status, 201);
    }));
    const linesOf = async (verb, ...args) => {
      const { code, stdout, stderr } = await queue(gateway, verb, args);
      assert.equal(code, 0, stderr);
      return [stdout.trimEnd().split('\n').length, stderr];
    };
    assert.deepEqual(await linesOf('list'), [1 + 1000, 'the first 1000 only, see --limit\n']);
    assert.deepEqual(await linesOf('export', '--all'), [all, '']);
    assert.deepEqual(await linesOf('retry', '--all', '--limit', '2'), [2, 'the first 2 only, see --limit\n']);
    assert.deepEqual(await linesOf('retry', '--all'), [all, '']);
  });

  test('what a modality does wrong is refused at once (F.7.2), from both fronts', async () => {
    const pacs = await startMppsScp(house);
    const gateway = await startQueue('rules', { pacs: scp(pacs) });
    const [uid, unknown, broken] = [newUid(), newUid(), newUid()];
    await accepts(gateway, nCreate(uid, begun()));
    const { PatientID, ...withoutId } = begun();
    for (const [request, status, why] of [
      [nCreate(uid, begun()), 0x0111, 'N-CREATE of a UID that is taken'],
      [nSet(unknown, changed('x')), 0x0112, 'N-SET of a step that nobody created'],
      [nCreate(broken, { ...begun(), PerformedProcedureStepStatus: 'COMPLETED' }), 0x0106, 'a step cannot begin COMPLETED'],
      [nCreate(broken, withoutId), 0x0120, 'Patient ID is of type 2'],
    ]) {
      assert.equal((await send(gateway.dimse, request)).status, status, why);
    }
    await accepts(gateway, nSet(uid, done()));
    const late = await send(gateway.dimse, nSet(uid, changed('too late')));
    assert.deepEqual([late.status, late.errorId], [0x0110, 0xa710]);

    assert.equal((await post(gateway, target(uid), begunInJson())).status, 409);
    assert.equal((await post(gateway, target(uid, '?update'), changedInJson('too late'))).status, 409);
    assert.equal((await post(gateway, target(unknown, '?update'), changedInJson('x'))).status, 404);
    const [{ '00100020': _, ...rest }] = begunInJson();
    assert.equal((await post(gateway, target(broken), [rest])).status, 400);
    await emptied(gateway);
    assert.deepEqual([...pacs.register.steps.keys()], [uid]);
    assert.deepEqual(arrivedAtScp(pacs, uid), ['create', 'COMPLETED']);
  });
});

describe('a receiver that performs, and whose answer does not come', () => {
  for (const [fate, canBeAsked] of [['break', true], ['break', false], ['silence', true], ['silence', false]]) {
    const how = `${fate === 'break' ? 'it closes' : 'it is silent'}, it can${canBeAsked ? '' : 'not'} be asked`;
    test(`${how}: every message is in effect once, in order`, async () => {
      const [pacs, ris] = [await startMppsScp(house), await startStepOriginServer(house)];
      const effects = { pacs: [], ris: [] };
      // the first three times that anything is performed, the answer is lost
      const losing = (name, stateOf) => {
        let left = 3;
        return (operation, uid) => {
          const effect = ['N-CREATE', 'create'].includes(operation) ? 'create' : stateOf(uid);
          if (effects[name].at(-1) !== effect) effects[name].push(effect);
          return left-- > 0 ? fate : undefined;
        };
      };
      pacs.register.performed = losing('pacs', (uid) => {
        const { PerformedProcedureStepStatus: status, PerformedProcedureStepDescription: description } = pacs.register.steps.get(uid);
        return status === 'IN PROGRESS' ? description : status;
      });
      ris.performed = losing('ris', (uid) => {
        const { '00400252': status, '00400254': description } = ris.steps.get(uid);
        return status.Value[0] === 'IN PROGRESS' ? description.Value[0] : status.Value[0];
      });
      if (!canBeAsked) {
        pacs.register.answer = (operation) => (operation === 'N-GET' ? 0x0122 : undefined);
        ris.answer = (operation) => (operation === 'retrieve' ? 405 : undefined);
      }
      const gateway = await startQueue(how, {
        pacs: scp(pacs, { dimse_timeout_seconds: 1 }), ris: originServer(ris, { response_timeout_seconds: 1 }),
      });
      const uid = newUid();
      await accepts(gateway, nCreate(uid, begun()), nSet(uid, changed('first')), nSet(uid, done()));
      await emptied(gateway);
      for (const name of ['pacs', 'ris']) assert.deepEqual(effects[name], ['create', 'first', 'COMPLETED'], name);
      if (canBeAsked) {
        for (const arrived of [arrivedAtScp(pacs, uid), arrivedAtServer(ris, uid)]) {
          assert.deepEqual(arrived, ['create', 'first', 'COMPLETED'], 'sent again although it could be asked');
        }
      }
    });
  }
});

describe('direct, with a mirror', () => {
  test('the answer of the first is the answer; the mirror gets what the first accepted, when it can', async () => {
    const [ris, dead] = [await startMppsScp(house), await startDeadReceiver()];
    const gateway = await startQueue('mirror', { ris: scp(ris), pacs: originServer(dead) }, { dimse: { mpps_delivery: 'direct' } });
    const [uid, refused] = [newUid(), newUid()];
    await accepts(gateway, nCreate(uid, begun()));
    ris.register.answer = () => ({ status: 0x0110, errorComment: 'Not like this' });
    const update = await send(gateway.dimse, nSet(uid, changed('refused')));
    assert.deepEqual([update.status, update.errorComment], [0x0110, 'Not like this']);
    assert.equal((await send(gateway.dimse, nCreate(refused, begun()))).status, 0x0110);
    ris.register.answer = () => undefined;
    await accepts(gateway, nSet(uid, changed('first')), nSet(uid, done()));
    const again = await send(gateway.dimse, nSet(uid, changed('too late')));
    assert.deepEqual([again.status, again.errorId], [0x0110, 0xa710], 'as the RIS says it');

    assert.deepEqual((await list(gateway)).map(({ receiver, what }) => [receiver, what]),
      [['pacs', 'create'], ['pacs', 'update'], ['pacs', 'update']]);
    await dead.end();
    const pacs = await startStepOriginServer(house, dead.port);
    await emptied(gateway);
    assert.deepEqual(arrivedAtServer(pacs, uid), ['create', 'first', 'COMPLETED']);
    assert.deepEqual([...pacs.steps.keys()], [uid]);
  });

  test('the first is away: the modality is told, and the mirror gets nothing', async () => {
    const pacs = await startStepOriginServer(house);
    const gateway = await startQueue('first away', { ris: scp({ port: await freePort() }), pacs: originServer(pacs) },
      { dimse: { mpps_delivery: 'direct' } });
    const answer = await send(gateway.dimse, nCreate(newUid(), begun()));
    assert.notEqual(answer.status, 0x0000);
    await emptied(gateway);
    assert.deepEqual(pacs.received, []);
  });

  test('modgate is killed while the first is being asked: the mirror waits for a person', async () => {
    const deaf = { port: await freePort(), sockets: [] }; // accepts, and says nothing
    const server = net.createServer((socket) => deaf.sockets.push(socket.on('error', () => {}))).listen(deaf.port);
    await once(server, 'listening');
    house.defer(() => {
      server.close();
      deaf.sockets.forEach((socket) => socket.destroy());
    });
    const pacs = await startStepOriginServer(house);
    const receivers = { ris: scp(deaf), pacs: originServer(pacs) };
    const gateway = await startQueue('killed', receivers, { dimse: { mpps_delivery: 'direct' } });
    const [happened, never] = [newUid(), newUid()];
    const answers = [happened, never].map((uid) => send(gateway.dimse, nCreate(uid, begun())).catch((error) => error));
    await until(seconds, 'the RIS to be asked twice', () => deaf.sockets.length === 2);
    assert.deepEqual((await list(gateway)).map(({ state }) => state), ['undecided', 'undecided']);
    gateway.child.signal('SIGKILL');
    for (const answer of await Promise.all(answers)) assert.ok(answer instanceof Error, 'the modality got an answer');

    const next = await startQueue('after the kill', receivers, { dimse: { mpps_delivery: 'direct' }, state: gateway.stateDirectory });
    const open = await list(next);
    assert.deepEqual(open.map(({ receiver, state }) => [receiver, state]), [['pacs', held], ['pacs', held]]);
    assert.match(open[0].reason, /^modgate stopped before the first receiver answered/);
    for (const { message } of open) {
      const { stdout } = await queue(next, 'show', [message]);
      const verb = stdout.includes(`${happened}\n`) ? ['retry', [message]] : ['discard', [message, '--yes']];
      const { code, stderr } = await queue(next, ...verb);
      assert.equal(code, 0, stderr);
    }
    await emptied(next);
    assert.deepEqual([...pacs.steps.keys()], [happened]);
  });

  test('mirror_states and mirror_modalities: whole steps that come to the state, of the modality', async () => {
    const ris = await startMppsScp(house);
    const [completed, magnets] = [await startStepOriginServer(house), await startStepOriginServer(house)];
    const gateway = await startQueue('filters', {
      ris: scp(ris),
      completed: originServer(completed, { mirror_states: 'COMPLETED' }),
      magnets: originServer(magnets, { mirror_modalities: 'MR' }),
    }, { dimse: { mpps_delivery: 'direct' } });
    const [ends, fails, magnet] = [newUid(), newUid(), newUid()];
    await accepts(gateway, nCreate(ends, begun()), nSet(ends, changed('first')), nCreate(fails, begun()), nSet(fails, changed('first')));
    await accepts(gateway, nCreate(magnet, { ...begun(), Modality: 'MR' }), nSet(magnet, changed('loud')));
    await until(seconds, 'the MR step', () => arrivedAtServer(magnets, magnet).length === 2);
    assert.deepEqual((await list(gateway)).map(({ receiver, state }) => `${receiver} ${state}`),
      Array(6).fill('completed withheld'));
    assert.deepEqual(completed.received, []);

    await accepts(gateway, nSet(ends, done()), nSet(fails, discontinued()), nSet(magnet, discontinued()));
    await emptied(gateway);
    assert.deepEqual(arrivedAtServer(completed, ends), ['create', 'first', 'COMPLETED']);
    assert.deepEqual([...completed.steps.keys()], [ends]);
    assert.deepEqual(arrivedAtServer(magnets, magnet), ['create', 'loud', 'DISCONTINUED']);
    assert.deepEqual([...magnets.steps.keys()], [magnet]);
    assert.equal(ris.register.steps.size, 3);
  });
});

describe('Retrieve', () => {
  for (const [from, absent, expected] of [
    ['auto', 'is away', 'ours'],
    ['auto', 'offers no N-GET', 'ours'],
    ['auto', 'has the step', 'theirs'],
    ['auto', 'has not got all of it yet', 'ours'],
    ['gateway', 'has the step', 'ours'],
    ['backend', 'is away', 'failure'],
  ]) {
    test(`retrieve_from = ${from}, the receiver ${absent}: ${expected}`, async () => {
      const away = absent === 'is away';
      const pacs = away ? { port: await freePort() } : await startMppsScp(house);
      const gateway = await startQueue(`retrieve ${from} ${absent}`, { pacs: scp(pacs) }, { dimse: { retrieve_from: from } });
      const uid = newUid();
      const behind = absent === 'has not got all of it yet';
      if (behind) pacs.register.answer = (operation) => (operation === 'N-SET' ? 0x0213 : undefined);
      await accepts(gateway, nCreate(uid, begun()), nSet(uid, changed('ours')));
      if (behind) await until(seconds, 'the receiver to have the step', () => pacs.register.steps.has(uid));
      else if (!away) {
        await emptied(gateway);
        pacs.register.steps.get(uid).PerformedProcedureStepDescription = 'theirs';
        if (absent === 'offers no N-GET') pacs.register.answer = (operation) => (operation === 'N-GET' ? 0x0122 : undefined);
      }
      const found = await send(gateway.dimse, nGet(uid));
      const onTheWeb = await get(gateway, target(uid));
      if (expected === 'failure') {
        assert.notEqual(found.status, 0x0000);
        assert.ok(onTheWeb.status >= 500, String(onTheWeb.status));
        return;
      }
      assert.equal(found.status, 0x0000, found.errorComment);
      assert.equal(found.elements.PerformedProcedureStepDescription, expected);
      assert.equal(found.elements.PatientName[0].Alphabetic, 'Schröder^Zoë');
      assert.equal(found.elements.ScheduledStepAttributesSequence.length, 2);
      assert.equal(onTheWeb.status, 200, onTheWeb.body);
      assert.equal(onTheWeb.json()[0]['00400254'].Value[0], expected);
    });
  }
});

describe('the disk', () => {
  const limited = ['bash', '-c', 'trap "" XFSZ; ulimit -S -f 400; exec "$@"', 'modgate']; // KiB a file
  test('full: 0213 and 503, the log says why; with space again it goes on, and what was told success arrives', async () => {
    const dead = await startDeadReceiver();
    const gateway = await startQueue('full', { pacs: scp(dead) }, { under: limited });
    const accepted = [];
    let refused;
    for (let count = 0; count < 400 && !refused; count++) {
      const uid = newUid();
      const { status, errorComment } = await send(gateway.dimse, nCreate(uid, begun()));
      if (status === 0x0000) accepted.push(uid);
      else refused = { uid, status, errorComment };
    }
    assert.ok(refused, `${accepted.length} steps were accepted in 400 KiB`);
    assert.equal(refused.status, 0x0213, refused.errorComment);
    assert.ok(accepted.length > 1, String(accepted.length));
    const onTheWeb = await post(gateway, target(newUid()), begunInJson());
    assert.equal(onTheWeb.status, 503, onTheWeb.body);
    assert.match(gateway.log(), /refused, the MPPS queue cannot keep it: \S*mpps-queue\.sqlite: (disk I\/O error|database or disk is full)/);

    const freed = await house.run('prlimit', [`--pid=${gateway.child.pid}`, '--fsize=unlimited']);
    assert.equal(freed.code, 0, freed.stderr);
    const next = newUid();
    await until(seconds, 'a step to be accepted again', async () => (await send(gateway.dimse, nCreate(next, begun()))).status === 0x0000);
    accepted.push(next);
    assert.equal((await send(gateway.dimse, nCreate(refused.uid, begun()))).status, 0x0000, 'refused means not kept');
    accepted.push(refused.uid);
    await dead.end();
    const pacs = await startMppsScp(house, dead.port);
    await emptied(gateway);
    assert.deepEqual([...pacs.register.steps.keys()].sort(), accepted.sort());
  });

  test('full, and stopped: the next gateway delivers what was told success', async () => {
    const dead = await startDeadReceiver();
    const gateway = await startQueue('full and stopped', { pacs: scp(dead) }, { under: limited });
    const accepted = [];
    for (let count = 0; count < 400; count++) {
      const uid = newUid();
      if ((await send(gateway.dimse, nCreate(uid, begun()))).status !== 0x0000) break;
      accepted.push(uid);
    }
    gateway.child.signal('SIGKILL');
    await gateway.child.exited;
    await dead.end();
    const pacs = await startMppsScp(house, dead.port);
    const next = await startQueue('with space', { pacs: scp(pacs) }, { state: gateway.stateDirectory });
    await emptied(next);
    assert.deepEqual([...pacs.register.steps.keys()].sort(), accepted.sort());
  });

  /// A start that must fail: the lines it wrote.
  async function refusesToStart(stateDirectory, under = []) {
    const configuration = house.newPath('-refused.ini');
    fs.writeFileSync(configuration, ini({
      gateway: { state_dir: stateDirectory },
      dimse: { bind: '127.0.0.1', port: 0, mpps: 'pacs', mpps_delivery: 'queued' },
      'backend pacs': scp({ port: 1 }),
    }));
    const [command, ...words] = [...under, modgateBinary, '--config', configuration];
    const { code, stdout, stderr } = await house.run(command, words);
    assert.equal(code, 1, stdout + stderr);
    const lines = (stdout + stderr).trimEnd().split('\n');
    assert.equal(lines.length, 1, stdout + stderr);
    assert.ok(lines[0].includes(stateDirectory), lines[0]);
    return lines[0];
  }

  /// A state_dir with a queue that a gateway has left, with messages in it: the file's path.
  async function leftBehind(name, steps = 10) {
    const gateway = await startQueue(name, { pacs: scp({ port: await freePort() }) });
    for (let count = 0; count < steps; count++) await accepts(gateway, nCreate(newUid(), begun()));
    assert.equal((await gateway.child.stop()).code, 0);
    return path.join(gateway.stateDirectory, 'mpps-queue.sqlite');
  }

  test('state_dir that is missing, or a file', async () => {
    assert.match(await refusesToStart(house.newPath()), /expected state_dir to be a directory that this user may write/);
    const file = house.newPath();
    fs.writeFileSync(file, '');
    assert.match(await refusesToStart(file), /expected state_dir to be a directory that this user may write/);
  });

  // root writes anywhere, unless this is taken from it
  const unprivileged = process.getuid() === 0 ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search', '--'] : [];
  test('state_dir that is read-only', async () => {
    const directory = house.newPath();
    fs.mkdirSync(directory);
    fs.chmodSync(directory, 0o555);
    assert.match(await refusesToStart(directory, unprivileged), /Permission denied.*expected state_dir to be a directory that this user may write/);
  });
  test('a queue file that is read-only', async () => {
    const file = await leftBehind('read-only file');
    fs.chmodSync(file, 0o444);
    assert.match(await refusesToStart(path.dirname(file), unprivileged), /mpps-queue\.sqlite: cannot be used .*expected a file in state_dir that this user may write/);
  });

  test('a second gateway on the same state_dir; the first goes on', async () => {
    const pacs = await startMppsScp(house);
    const gateway = await startQueue('first of two', { pacs: scp(pacs) });
    assert.match(await refusesToStart(gateway.stateDirectory), /is in use by another modgate: expected a state_dir of its own for each/);
    await accepts(gateway, nCreate(newUid(), begun()));
    await emptied(gateway);
    assert.equal(pacs.register.steps.size, 1);
  });

  for (const [where, from] of [['in the middle', 0.5], ['at its begin', 0]]) {
    test(`a file that is overwritten ${where}: nothing starts, nothing is thrown away`, async () => {
      const file = await leftBehind(`damaged ${where}`);
      const bytes = fs.readFileSync(file);
      const at = Math.floor((bytes.length * from) / 4096) * 4096;
      bytes.fill(0xa5, at, at + 8192);
      fs.writeFileSync(file, bytes);
      assert.match(await refusesToStart(path.dirname(file)), /mpps-queue\.sqlite: is damaged .*docs\/mpps-queue\.md.*start again/);
      assert.deepEqual(fs.readFileSync(file), bytes);
    });
  }

  test('what docs/mpps-queue.md says saves what can be read, and it is delivered', async () => {
    const commands = documented.take('docs/mpps-queue.md', /damaged|SELECT/).join('\n');
    const file = await leftBehind('to be saved', 100);
    const bytes = fs.readFileSync(file);
    bytes.fill(0xa5, Math.floor(bytes.length / 8192) * 4096, Math.floor(bytes.length / 8192) * 4096 + 4096);
    fs.writeFileSync(file, bytes);
    const saved = await house.run('bash', ['-euo', 'pipefail', '-c', commands], { cwd: path.dirname(file) });
    assert.equal(saved.code, 0, saved.stderr);
    const pacs = await startMppsScp(house);
    const gateway = await startQueue('saved', { pacs: scp(pacs) }, { state: path.dirname(file) });
    await emptied(gateway);
    const lost = saved.stdout.split('\n').filter(Boolean);
    assert.ok(lost.length > 0 && lost.length < 50, saved.stdout);
    assert.equal(pacs.register.steps.size + lost.length, 100);
  });

  test('full under what a command prints: it says so, and does not end with 0', async () => {
    const gateway = await startModgate(house, 'printed', {
      web: { mpps: 'pacs', mpps_delivery: 'queued' }, 'backend pacs': scp({ port: await freePort() }),
    });
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
    for (const words of [['check'], ['probe'], ['queue', 'list'], ['queue', 'export', '--all']]) {
      const command = [modgateBinary, ...words, '--config', gateway.configuration];
      const { code, stderr } = await house.run('bash', ['-c', '"$@" > /dev/full', 'bash', ...command]);
      assert.equal(code, 1, words.join(' '));
      assert.equal(stderr, 'modgate: not all of the output could be written: expected room on its disk\n');
    }
  });

  test('the backup that docs/mpps-queue.md tells of is made beside the running gateway, and holds what waits', async () => {
    const [command] = documented.take('docs/mpps-queue.md', /\.backup/);
    const port = await freePort();
    const running = await startQueue('backed up', { pacs: scp({ port }) });
    const created = Array.from({ length: 5 }, newUid);
    for (const uid of created) assert.equal((await post(running, target(uid), begunInJson())).status, 201);
    const directory = house.newPath();
    fs.mkdirSync(directory);
    const copy = path.join(directory, 'mpps-queue.sqlite');
    const made = await house.run('bash', ['-euc', command.replace('FILE', copy)], { cwd: running.stateDirectory });
    assert.equal(made.code, 0, made.stderr);
    await running.child.stop();
    const pacs = await startMppsScp(house, port);
    await emptied(await startQueue('from its backup', { pacs: scp(pacs) }, { state: directory }));
    assert.deepEqual([...pacs.register.steps.keys()].sort(), created.sort());
  });

  test('a file of something else', async () => {
    const directory = house.newPath();
    fs.mkdirSync(directory);
    const { code } = await house.run('node', ['-e', `
      const { execFileSync } = require('child_process');
      execFileSync('python3', ['-c', 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("create table t(a)"); d.commit()', process.argv[1]]);
    `, path.join(directory, 'mpps-queue.sqlite')]);
    assert.equal(code, 0);
    assert.match(await refusesToStart(directory), /is no queue of this modgate.*name another state_dir/);
  });
});

test('no log holds patient data', () => expectNoPatientData(assert, house, [...patientData, 'Miller', 'Überprüfung']));
