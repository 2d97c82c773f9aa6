// DCMTK's command line tools as peers: wlmscpfs is the legacy RIS, findscu and echoscu are modalities,
// dump2dcm and dcmdump write and read data sets. All with time limits.
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { accepts, freePort, until } from './house.js';

const here = path.dirname(new URL(import.meta.url).pathname);

/// Where Debian's package dcmtk keeps its examples; scripts/setup.sh unpacks them into build/ on
/// machines that install packages without their documentation.
export function examplesDirectory() {
  const places = [
    process.env.DCMTK_EXAMPLES,
    '/usr/share/doc/dcmtk/examples',
    path.join(here, '../../../build/dcmtk-examples'),
  ].filter(Boolean);
  const found = places.find((place) => {
    const folder = path.join(place, 'wlistdb/OFFIS');
    return fs.existsSync(folder) && fs.readdirSync(folder).some((file) => file.includes('.dump'));
  });
  if (!found) throw new Error(`DCMTK's example worklist is in none of ${places.join(', ')}`);
  return found;
}

/// The example dumps of one kind, "wlistqry" or "wlistdb/OFFIS", as { name, text }, in order of number.
export function exampleDumps(kind) {
  const directory = path.join(examplesDirectory(), kind);
  return fs
    .readdirSync(directory)
    .filter((file) => /\.dump(\.gz)?$/.test(file))
    .map((file) => {
      const bytes = fs.readFileSync(path.join(directory, file));
      const text = (file.endsWith('.gz') ? zlib.gunzipSync(bytes) : bytes).toString('latin1');
      return { name: file.replace(/\.dump(\.gz)?$/, ''), text };
    })
    .sort((a, b) => Number(a.name.match(/\d+/)) - Number(b.name.match(/\d+/)));
}

/// Makes a DICOM file from DCMTK's dump text (latin1 keeps its bytes as they are).
export async function dump2dcm(house, text, file = house.newPath('.dcm')) {
  const dump = house.newPath('.dump');
  fs.writeFileSync(dump, text, 'latin1');
  const { code, stdout, stderr } = await house.run('dump2dcm', ['-q', '-g', dump, file]);
  if (code !== 0) throw new Error(`dump2dcm: ${stdout}${stderr}`);
  return file;
}

/// Reads dcmdump's lines into { "00100010": { vr, value } }; a sequence's value is a list of such.
/// Values are text without padding, undefined where there is none.
export function parseDump(text) {
  const root = {};
  const open = [root]; // data sets
  const sequences = [];
  for (const line of text.split('\n')) {
    const match = line.match(/^ *\(([0-9a-f]{4}),([0-9a-f]{4})\) (\S\S) (.*)$/);
    if (!match) continue;
    const tag = (match[1] + match[2]).toUpperCase();
    if (tag.startsWith('0002')) continue;
    if (tag === 'FFFEE000') {
      const item = {};
      sequences.at(-1).push(item);
      open.push(item);
    } else if (tag === 'FFFEE00D') {
      open.pop();
    } else if (tag === 'FFFEE0DD') {
      sequences.pop();
    } else if (match[3] === 'SQ') {
      const items = [];
      open.at(-1)[tag] = { vr: 'SQ', value: items };
      sequences.push(items);
    } else {
      const rest = match[4].replace(/ *# +\S+, *\S+ \S+ *$/, '').trimEnd();
      const value = rest.startsWith('[') ? rest.slice(1, -1).trimEnd() : rest;
      open.at(-1)[tag] = { vr: match[3], value: value === '(no value available)' || value === '' ? undefined : value };
    }
  }
  return root;
}

/// Reads DICOM files, text decoded to UTF-8 by DCMTK; (0008,0005) as it stands in the file.
export async function readFiles(house, files) {
  if (!files.length) return [];
  const dump = async (...options) => {
    const { code, stdout, stderr } = await house.run('dcmdump', ['-q', '+L', ...options, ...files]);
    if (code !== 0) throw new Error(`dcmdump ${files}: ${stderr}`);
    return stdout.split(/^# Dicom-File-Format$/m).slice(1).map(parseDump);
  };
  const [decoded, asTheyStand] = [await dump('+U8'), await dump()];
  return decoded.map((dataSet, index) => {
    const { '00080005': characterSet } = asTheyStand[index];
    const { '00080005': _, ...rest } = dataSet;
    return characterSet ? { '00080005': characterSet, ...rest } : rest;
  });
}

/// A copy without (0008,0005) at any level: text is compared after decoding.
export function withoutCharacterSet(dataSet) {
  return Object.fromEntries(
    Object.entries(dataSet)
      .filter(([tag]) => tag !== '00080005')
      .map(([tag, { vr, value }]) => [tag, { vr, value: vr === 'SQ' ? value.map(withoutCharacterSet) : value }]),
  );
}

/// peer.tls: as support/certificates.js gives it.
const tlsOptions = ({ tls }) => (tls ? ['+tls', tls.key, tls.certificate, '+cf', tls.trusted] : []);

/// C-FIND by findscu with an identifier file: { exitCode, statuses, status, errorComment, responses,
/// output }. status is the final DIMSE status; undefined if none came (refused, aborted).
export async function findscu(house, peer, identifier, { options = [], limit = 30000, read = true } = {}) {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  const { code, stdout, stderr } = await house.run(
    'findscu',
    ['-d', '-W', '-X', '-od', directory, '-to', '10', '-ta', '10', '-td', '25', '-aet', peer.callingAeTitle ?? 'FINDSCU',
      '-aec', peer.aeTitle, ...tlsOptions(peer), ...options, peer.host ?? '127.0.0.1', String(peer.port), identifier],
    { limit },
  );
  const output = stdout + stderr;
  const statuses = [...output.matchAll(/DIMSE Status +: 0x([0-9a-f]{4})/g)].map((m) => parseInt(m[1], 16));
  const last = statuses.at(-1);
  const files = fs.readdirSync(directory).sort().map((file) => path.join(directory, file));
  return {
    exitCode: code,
    statuses,
    status: last === undefined || last === 0xff00 || last === 0xff01 ? undefined : last,
    errorComment: output.match(/\(0000,0902\) LO \[(.*?) *\]/)?.[1],
    responses: read ? await readFiles(house, files) : files,
    output,
  };
}

export async function echoscu(house, peer) {
  const { code, stdout, stderr } = await house.run('echoscu', [
    '-to', '5', '-ta', '5', '-aet', peer.callingAeTitle ?? 'ECHOSCU', '-aec', peer.aeTitle, ...tlsOptions(peer), peer.host ?? '127.0.0.1', String(peer.port),
  ]);
  return { ok: code === 0, output: stdout + stderr };
}

/// Starts wlmscpfs over worklists: { AE_TITLE: [dump text, ...] }. Returns { host, port, child }.
/// options: more for it, as +xi.
/// -csk: each answer keeps the character set of its file; wlmscpfs would strip it otherwise.
export async function startWlmscpfs(house, worklists, options = []) {
  const directory = house.newPath();
  for (const [aeTitle, dumps] of Object.entries(worklists)) {
    const folder = path.join(directory, aeTitle);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'lockfile'), '');
    for (const [index, text] of dumps.entries()) {
      await dump2dcm(house, text, path.join(folder, `${String(index + 1).padStart(2, '0')}.wl`));
    }
  }
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const child = house.spawn('wlmscpfs', 'wlmscpfs', ['-csk', '-dhl', ...options, '-dfp', directory, String(port)]);
    const up = await until(10000, 'wlmscpfs to listen', async () => child.ended || (await accepts(port)));
    if (up === true) return { host: '127.0.0.1', port, child, directory };
    if (attempt === 3) throw new Error(`wlmscpfs: ${child.stdout}${child.stderr}`);
  }
}
