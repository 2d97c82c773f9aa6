// Starts the program under test with a configuration written for it, and reads its "ready" line.
import fs from 'node:fs';
import { modgateBinary } from './kept_logs.js';

export { modgateBinary };

/// { section: { key: value } } as an INI file's text.
export function ini(sections) {
  return Object.entries(sections)
    .map(([name, keys]) =>
      [`[${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`), ''].join('\n'))
    .join('\n');
}

/// Starts modgate. sections holds what matters to the test; addresses and free ports are added, and
/// the log says as much as it can, so that the log tests see the worst. under: a command that runs modgate,
/// such as one that limits it. words: further ones of the command line.
/// Returns { child, configuration, dimse: { host, port, aeTitle }, web: { host, port, url }, log }.
export async function startModgate(house, name, sections, { env, limit = 10000, under = [], words: more = [] } = {}) {
  if (!fs.existsSync(modgateBinary)) throw new Error(`there is no modgate at ${modgateBinary}: build it first`);
  const front = { bind: '127.0.0.1', port: 0 };
  const configuration = house.newPath(`-${name}.ini`);
  const stateDirectory = house.newPath();
  fs.mkdirSync(stateDirectory);
  const all = { gateway: { log_level: 'debug', state_dir: stateDirectory }, ...sections };
  if (all.dimse) all.dimse = { ae_title: 'MODGATE', ...front, ...all.dimse };
  if (all.web) all.web = { ...front, ...all.web };
  fs.writeFileSync(configuration, ini(all));
  const [command, ...words] = [...under, modgateBinary, '--config', configuration, ...more];
  const child = house.spawn(`modgate ${name}`, command, words, { env });
  const gateway = { name, child, configuration, log: () => child.stdout + child.stderr };
  house.gateways.push(gateway);
  const [, fronts] = await child.waitFor(/^ready((?: \w+=\S+:\d+)*)$/m, { limit });
  for (const [, front, host, port] of fronts.matchAll(/(\w+)=(\S+):(\d+)/g)) {
    gateway[front] = { host, port: Number(port) };
  }
  if (gateway.dimse) gateway.dimse.aeTitle = all.dimse.ae_title;
  if (gateway.web) gateway.web.url = `http://${gateway.web.host}:${gateway.web.port}${all.web.base_path ?? '/'}`;
  return gateway;
}

/// Two gateways in a row: A receives DIMSE and asks B over HTTP, B asks the SCPs. One request crosses
/// DIMSE → HTTP → DIMSE. worklist, mpps: { host, port, aeTitle } of the SCPs, either may be missing. a, b,
/// backend: more keys for A's DIMSE front, B's web front and A's backend.
export async function startChain(house, { worklist, mpps }, { a = {}, b = {}, backend = {} } = {}) {
  const scp = ({ host, port, aeTitle }) => ({ kind: 'scp', ae_title: aeTitle, host, port, calling_ae_title: 'GATEWAY_B' });
  const web = await startModgate(house, 'B', {
    web: { ...(worklist && { worklist: 'worklist_scp' }), ...(mpps && { mpps: 'mpps_scp' }), ...b },
    ...(worklist && { 'backend worklist_scp': scp(worklist) }),
    ...(mpps && { 'backend mpps_scp': scp(mpps) }),
  });
  const dimse = await startModgate(house, 'A', {
    dimse: { ...(worklist && { worklist: 'ris' }), ...(mpps && { mpps: 'ris' }), ...a },
    'backend ris': { kind: 'origin-server', base_uri: web.web.url, ...backend },
  });
  return { a: dimse, b: web };
}

/// Fails if the log of any gateway of this house holds one of the words; also if there is no log.
export function expectNoPatientData(assert, house, words) {
  assert.ok(house.gateways.length > 0, 'no gateway was started');
  for (const { name, log } of house.gateways) {
    const text = log();
    assert.match(text, /^ready/m, `gateway ${name} wrote no log`);
    for (const word of words) {
      for (const form of [word, encodeURIComponent(word)]) {
        const at = text.toLowerCase().indexOf(form.toLowerCase());
        assert.ok(at < 0, `gateway ${name} logged "${word}": ${text.slice(Math.max(0, at - 200), at + 200)}`);
      }
    }
  }
}
