// The crash test: modalities and web clients send performed procedure steps through one modgate to two
// receivers that come and go, break off and refuse, while modgate is killed with SIGKILL again and again.
// At the end each receiver must hold exactly what was answered with success: every message in effect once,
// in order, none lost.
//
//   node crash.js KILLS [SEED]        through scripts/crash-test.sh
//
// A message is in effect when it changes the stored step: a repeated N-SET that finds the step as it makes
// it is no second effect; an older one after a newer one is, and so is a second N-CREATE.
import fs from 'node:fs';
import { freePort, House, until, within } from './support/house.js';
import { post } from './support/http.js';
import { ini, modgateBinary } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson, changedInJson, done, doneInJson } from './support/performed_step.js';
import { nCreate, nSet, send } from './support/scu.js';
import { startStepOriginServer } from './support/step_origin_server.js';

const kills = Number(process.argv[2] ?? 20);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31));
if (!Number.isInteger(kills) || kills < 0 || !Number.isInteger(seed)) {
  console.error('usage: crash.js KILLS [SEED]');
  process.exit(2);
}
const modalities = 6; // half of them speak DICOMweb
const drained = 120_000 + 200 * kills; // ms for the queue to become empty in the end
const patientData = ['Schröder', 'PID-4711', '19700102', 'ACC1'];

/// mulberry32: the same numbers for the same seed, so that a choice can be made again.
function randomNumbers(state) {
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    chance: (probability) => next() < probability,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
  };
}

const faults = [];
const fault = (text) => {
  if (faults.length < 20) console.error(`FAULT: ${text}`);
  faults.push(text);
};
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const counts = { accepted: 0, repeatedByModalities: 0, effects: 0, requests: 0, questions: 0, outages: 0, lostAnswers: 0, refusals: 0 };

/// What was answered with success: instance UID → effects in order, as 'created', '1', '2', 'COMPLETED'.
const accepted = new Map();

// --- receivers ----------------------------------------------------------------------------------

/// Follows the states of the steps of one receiver. describe(uid): description and status as stored.
class Observer {
  effects = new Map();
  constructor(name, random, describe) {
    Object.assign(this, { name, random, describe, calm: false });
  }
  /// Before a request is performed: refuses or breaks off now and then.
  answer(operation, refusals) {
    if (['N-GET', 'retrieve'].includes(operation)) counts.questions++;
    else counts.requests++;
    if (this.calm) return undefined;
    if (this.random.chance(0.05)) return 'break';
    if (this.random.chance(0.05)) {
      counts.refusals++;
      return refusals[this.random.between(0, refusals.length - 1)];
    }
    return undefined;
  }
  performed(operation, uid) {
    const create = operation === 'N-CREATE' || operation === 'create';
    const [description, status] = this.describe(uid);
    const effect = create ? 'created' : status === 'IN PROGRESS' ? description : status;
    const known = this.effects.get(uid) ?? [];
    this.effects.set(uid, known);
    if (known.at(-1) !== effect) {
      known.push(effect);
      counts.effects++;
    }
    if (this.calm || !this.random.chance(0.08)) return undefined;
    counts.lostAnswers++;
    return 'break';
  }
}

async function startReceivers(house) {
  const [dimse, web] = [
    new Observer('dimse', randomNumbers(seed + 1), (uid) => {
      const step = scp.register.steps.get(uid);
      return [step.PerformedProcedureStepDescription, step.PerformedProcedureStepStatus];
    }),
    new Observer('web', randomNumbers(seed + 2), (uid) => {
      const step = server.steps.get(uid);
      return [step['00400254'].Value?.[0], step['00400252'].Value[0]];
    }),
  ];
  let scp = await startMppsScp(undefined, await freePort());
  scp.register.answer = (operation) => dimse.answer(operation, [0x0213, 0x0110, 0xa700]);
  scp.register.performed = (operation, uid) => dimse.performed(operation, uid);
  dimse.port = scp.port;
  dimse.open = async () => (scp = await startMppsScp(undefined, scp.port, { register: scp.register }));
  dimse.close = () => scp.close();
  house.defer(() => scp.close());
  const server = await startStepOriginServer(house, await freePort());
  server.answer = (operation) => web.answer(operation, [503, 500, 429]);
  server.performed = (operation, uid) => web.performed(operation, uid);
  Object.assign(web, { port: server.port, open: server.open, close: server.close, url: server.url });
  return { dimse, web };
}

/// Up and down, until over() says so; then up for good, and without whims.
async function comeAndGo(receiver, over) {
  while (!over()) {
    await pause(receiver.random.between(200, 4000));
    receiver.close();
    counts.outages++;
    await pause(receiver.random.between(50, 1000));
    await receiver.open();
  }
  receiver.calm = true;
}

// --- modalities ---------------------------------------------------------------------------------

const changed = (description) => ({ PerformedProcedureStepDescription: description });
const ended = (status) => ({ ...done(), PerformedProcedureStepStatus: status });

/// What the answer to a message says: 'done', 'again', 'done before' or a fault's text.
const dimseClient = (gateway) => ({
  async ask(uid, effect) {
    const request = effect === 'created' ? nCreate(uid, begun())
      : nSet(uid, effect.match(/^\d/) ? changed(effect) : ended(effect));
    const { status, errorId, errorComment } = await send({ host: '127.0.0.1', port: gateway.dimse, aeTitle: 'MODGATE' }, request, 8000);
    if (status === 0x0000) return 'done';
    if (status === 0x0213) return 'again';
    if (status === 0x0111 || errorId === 0xa710) return 'done before';
    return `status ${status.toString(16)} (${errorComment})`;
  },
});
const webClient = (gateway) => ({
  async ask(uid, effect) {
    const path = `/modality-performed-procedure-steps/${uid}`;
    const to = { web: { host: '127.0.0.1', port: gateway.web } };
    const { status, body } = effect === 'created' ? await post(to, path, begunInJson())
      : await post(to, `${path}?update`, effect.match(/^\d/) ? changedInJson(effect) : doneInJson(effect));
    if (status === 200 || status === 201) return 'done';
    if (status === 503) return 'again';
    if (status === 409) return 'done before';
    return `status ${status} (${body})`;
  },
});

/// Steps, one after the other, until over(). A message whose answer was lost is sent again, and then
/// "done before" is an answer, too, where it may be: to N-CREATE and to what ends the step.
async function examine(client, number, random, over) {
  for (let step = 1; !over(); step++) {
    const uid = `1.2.826.0.1.3680043.9.3811.9.${process.pid}.${number}.${step}`;
    const updates = Array.from({ length: random.between(0, 4) }, (_, index) => String(index + 1));
    const list = [];
    accepted.set(uid, list);
    for (const effect of ['created', ...updates, random.chance(0.8) ? 'COMPLETED' : 'DISCONTINUED']) {
      let lost = false;
      for (;;) {
        let answer;
        try {
          answer = await client.ask(uid, effect);
        } catch {
          lost = true; // the gateway is gone, perhaps after it has taken the message
          counts.repeatedByModalities++;
          await pause(random.between(10, 60));
          continue;
        }
        const repeatable = effect === 'created' || !effect.match(/^\d/);
        if (answer === 'done' || (answer === 'done before' && lost && repeatable)) {
          list.push(effect);
          counts.accepted++;
          break;
        }
        if (answer !== 'again') {
          fault(`${uid}, ${effect}: answered ${answer}${lost ? ' to a repetition' : ''}`);
          return;
        }
        await pause(50);
      }
      await pause(random.between(0, 30));
    }
  }
}

// --- modgate ------------------------------------------------------------------------------------

function configure(house, gateway, receivers) {
  fs.mkdirSync(house.path('state'));
  fs.writeFileSync(gateway.configuration, ini({
    gateway: { log_level: 'debug', state_dir: house.path('state') },
    queue: {
      workers_per_receiver: 4, retry_first_milliseconds: 30, retry_max_seconds: 1, probe_max_seconds: 1,
      attempt_timeout_seconds: 5,
    },
    dimse: { ae_title: 'MODGATE', bind: '127.0.0.1', port: gateway.dimse, mpps: 'pacs, ris', mpps_delivery: 'queued' },
    web: { bind: '127.0.0.1', port: gateway.web, mpps: 'pacs, ris', mpps_delivery: 'queued' },
    'backend pacs': { kind: 'scp', ae_title: 'PACS', host: '127.0.0.1', port: receivers.dimse.port, dimse_timeout_seconds: 3 },
    'backend ris': { kind: 'origin-server', base_uri: receivers.web.url, response_timeout_seconds: 3 },
  }));
}

function start(house, gateway) {
  const child = house.spawn('modgate', modgateBinary, ['--config', gateway.configuration]);
  child.exited.then(({ code, signal }) => {
    if (signal !== 'SIGKILL' && code !== 0) fault(`modgate ended by itself (${code ?? signal}):\n${child.stderr.slice(-2000)}`);
    for (const word of patientData) if (child.stderr.includes(word)) fault(`the log says ${word}`);
    child.stdout = child.stderr = ''; // hundreds of them
  });
  return child;
}

/// Starts and kills; returns the one that lives.
async function killAgainAndAgain(house, gateway, random) {
  for (let count = 1; count <= kills && !faults.length; count++) {
    const child = start(house, gateway);
    if (random.chance(0.1)) {
      await pause(random.between(0, 60)); // perhaps before it is ready
    } else {
      await child.waitFor(/^ready/m, { limit: 30_000 });
      await pause(random.between(10, random.chance(0.3) ? 1000 : 250));
    }
    child.signal('SIGKILL');
    await child.exited;
    if (count % 50 === 0) console.log(`${count} kills, ${counts.accepted} messages accepted`);
  }
  const last = start(house, gateway);
  await last.waitFor(/^ready/m, { limit: 30_000 });
  return last;
}

async function openMessages(house, gateway) {
  const { code, stdout, stderr } = await house.run(modgateBinary, ['queue', 'list', '--config', gateway.configuration]);
  if (code !== 0) throw new Error(`modgate queue list: ${code}: ${stderr}`);
  const [, ...lines] = stdout.trimEnd().split('\n');
  return lines;
}

// --- the whole ----------------------------------------------------------------------------------

function compare(receiver) {
  for (const [uid, wanted] of accepted) {
    const seen = receiver.effects.get(uid) ?? [];
    if (seen.join() !== wanted.join()) fault(`${receiver.name}, ${uid}: accepted ${wanted}; in effect ${seen}`);
  }
  for (const uid of receiver.effects.keys()) if (!accepted.has(uid)) fault(`${receiver.name}: nobody sent ${uid}`);
}

const begin = Date.now();
const house = new House();
console.log(`seed ${seed}`);
try {
  const receivers = await startReceivers(house);
  const gateway = { configuration: house.path('modgate.ini'), dimse: await freePort(), web: await freePort() };
  configure(house, gateway, receivers);
  let killed = false;
  const over = () => killed || faults.length > 0;
  const coming = Object.values(receivers).map((receiver) => comeAndGo(receiver, over));
  const examining = Array.from({ length: modalities }, (_, index) => examine(
    (index % 2 ? webClient : dimseClient)(gateway), index + 1, randomNumbers(seed + 10 + index), over));
  const child = await killAgainAndAgain(house, gateway, randomNumbers(seed));
  killed = true;
  await within(60_000, 'the end of the last steps', Promise.all([...coming, ...examining]));
  let open;
  await until(drained, () => `an empty queue; there are ${open.length} open:\n${open.slice(0, 20).join('\n')}`, async () => {
    open = await openMessages(house, gateway);
    return open.length === 0 || faults.length > 0;
  });
  Object.values(receivers).forEach(compare);
  await child.stop();
} catch (error) {
  fault(error.stack);
}
await house.close();
const seconds = (Date.now() - begin) / 1000;
console.log(
  `seed=${seed} kills=${kills} steps=${accepted.size} messages_accepted=${counts.accepted} ` +
  `deliveries_in_effect=${counts.effects} repeated_at_receivers=${counts.requests - counts.effects} ` +
  `asked_whether_done=${counts.questions} lost_answers=${counts.lostAnswers} refusals=${counts.refusals} outages=${counts.outages} ` +
  `repeated_by_modalities=${counts.repeatedByModalities} faults=${faults.length} seconds=${seconds.toFixed(0)}`);
if (faults.length || !counts.accepted) {
  console.log(`FAILED: scripts/crash-test.sh ${kills} ${seed}`);
  process.exit(1);
}
process.exit(0);
