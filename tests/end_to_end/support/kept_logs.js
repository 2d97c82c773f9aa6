// Everything that modgate logs in the end-to-end tests, and every patient value that the tests use, side by
// side in one directory, so that the last test of a run can look whether one is in the other:
//   node kept_logs.js clear DIRECTORY     before the first test
//   node kept_logs.js check DIRECTORY     after the last one; exits 1 and shows the lines
// Values come from what is really there: the bytes that a test writes to its sockets, what it is asked by HTTP,
// the files in its House. No list has to be kept.
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));

/// The binary under test: MODGATE_BINARY, or what scripts/test.sh builds.
export const modgateBinary = path.resolve(process.env.MODGATE_BINARY ?? path.join(here, '../../../build/modgate'));
const directory = process.env.MODGATE_LOGS ?? path.join(path.dirname(modgateBinary), 'logs');

// --- Patient values ---------------------------------------------------------------------------------

/// What identifies a patient, of PS3.3 C.7.1.1 and C.2.2 to C.2.4.
const patientAttributes = {
  '00100010': 'PatientName', '00100020': 'PatientID', '00100030': 'PatientBirthDate', '00101000': 'OtherPatientIDs',
  '00101001': 'OtherPatientNames', '00101005': 'PatientBirthName', '00101040': 'PatientAddress',
  '00101060': 'PatientMotherBirthName', '00102154': 'PatientTelephoneNumbers', '00102297': 'ResponsiblePerson',
  '00104000': 'PatientComments',
};
const names = Object.values(patientAttributes).join('|');
const tags = Object.keys(patientAttributes);
const longForm = new Set(['UT', 'UC', 'UR', 'UN']);

/// The values in a text: DICOM JSON, the Native DICOM Model, query parameters, DCMTK's dumps.
function valuesInText(text) {
  const found = [];
  for (const [, body] of text.matchAll(new RegExp(`"(?:${tags.join('|')})"\\s*:\\s*\\{([^\\]]*)\\]`, 'g'))) {
    const [, values] = body.match(/"Value"\s*:\s*\[([^]*)$/) ?? [];
    for (const [, value, key] of (values ?? '').matchAll(/"((?:[^"\\]|\\.)*)"(\s*:)?/g)) {
      if (key) continue;
      try {
        found.push(JSON.parse(`"${value}"`));
      } catch { /* a test that sends broken JSON */ }
    }
  }
  for (const [, body] of text.matchAll(new RegExp(`<DicomAttribute[^>]*tag="(?:${tags.join('|')})"[^>]*>([^]*?)</DicomAttribute>`, 'g'))) {
    for (const [, value] of body.matchAll(/>([^<]+)</g)) found.push(value.trim());
  }
  for (const [, value] of text.matchAll(new RegExp(`[?&](?:${names}|${tags.join('|')})=([^&#\\s"']*)`, 'g'))) {
    try {
      found.push(decodeURIComponent(value));
    } catch { /* a test that sends a broken query */ }
  }
  for (const [, group, element, value] of text.matchAll(/^\s*\((0010),([0-9a-fA-F]{4})\) [A-Z]{2} \[([^\]\n]*)\]/gm)) {
    if (patientAttributes[(group + element).toUpperCase()]) found.push(value.trim());
  }
  return found;
}

/// The values of elements in bytes, little endian, with and without VR.
function valuesInBytes(bytes) {
  const found = [];
  for (const tag of tags) {
    const header = Buffer.alloc(4);
    header.writeUInt16LE(parseInt(tag.slice(0, 4), 16), 0);
    header.writeUInt16LE(parseInt(tag.slice(4), 16), 2);
    for (let at = bytes.indexOf(header); at >= 0 && at + 8 <= bytes.length; at = bytes.indexOf(header, at + 4)) {
      const vr = bytes.toString('latin1', at + 4, at + 6);
      const explicit = /^[A-Z]{2}$/.test(vr);
      if (explicit && longForm.has(vr) && at + 12 > bytes.length) break;
      const start = at + (explicit && longForm.has(vr) ? 12 : 8);
      const length = !explicit ? bytes.readUInt32LE(at + 4) : start === at + 12 ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
      if (length === 0 || length > 1024 || start + length > bytes.length) continue;
      const value = bytes.subarray(start, start + length);
      if (value.some((byte) => byte < 0x20 && byte !== 0x1b && byte !== 0)) continue;
      found.push(value.toString('utf8').replace(/[ \0]+$/, ''), value.toString('latin1').replace(/[ \0]+$/, ''));
    }
  }
  return found;
}

export const valuesIn = (bytes) => [...valuesInBytes(bytes), ...valuesInText(bytes.toString('utf8')), ...valuesInText(bytes.toString('latin1'))];

const values = new Set();
const note = (bytes) => valuesIn(bytes).forEach((value) => values.add(value));

/// Notes the patient values in the files of a directory that goes away.
export function noteFiles(root) {
  for (const entry of fs.readdirSync(root, { withFileTypes: true, recursive: true })) {
    const file = path.join(entry.path ?? entry.parentPath, entry.name);
    if (entry.isFile() && !/\.(sqlite(-\w+)?|pem|key|log)$/.test(file) && fs.statSync(file).size < 4 << 20) note(fs.readFileSync(file));
  }
}

// --- This process: a test that uses modgate ----------------------------------------------------------

let log;

/// Where the lines of a modgate go, beside those of the others of this process. stream: its stdout or stderr.
export function keepLog(name, stream) {
  if (log === undefined) {
    fs.mkdirSync(directory, { recursive: true });
    log = fs.openSync(path.join(directory, `${path.basename(process.argv[1] ?? 'node')}-${process.pid}.log`), 'a');
    listen();
  }
  let rest = '';
  const keep = (text) => fs.writeSync(log, text.split('\n').map((line) => `${name}\t${line}\n`).join(''));
  stream.on('data', (data) => {
    const end = (rest += data).lastIndexOf('\n');
    if (end < 0) return;
    keep(rest.slice(0, end));
    rest = rest.slice(end + 1);
  });
  stream.on('end', () => rest && keep(rest));
}

/// From now on: whatever is written to a socket, and asked of a server, in this process.
function listen() {
  const { write } = net.Socket.prototype;
  const tail = Symbol('the end of what was written before');
  net.Socket.prototype.write = function tapped(chunk, encoding, ...more) {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) {
      const bytes = Buffer.concat([this[tail] ?? Buffer.alloc(0), Buffer.from(chunk, typeof encoding === 'string' ? encoding : undefined)]);
      note(bytes);
      this[tail] = bytes.subarray(Math.max(0, bytes.length - 1024));
    }
    return write.call(this, chunk, encoding, ...more);
  };
  const { emit } = http.Server.prototype;
  http.Server.prototype.emit = function tapped(event, request, ...more) {
    if (event === 'request') note(Buffer.from(request.url));
    return emit.call(this, event, request, ...more);
  };
  process.on('exit', () => fs.writeFileSync(path.join(directory, `${path.basename(process.argv[1] ?? 'node')}-${process.pid}.values.json`), JSON.stringify([...values])));
}

// --- Clear and check ---------------------------------------------------------------------------------

const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
const decoded = (line) => line.replace(/(?:%[0-9a-fA-F]{2})+/g, (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
});

/// What of a value must not be in a log: each word of a name, the whole of anything else. Of fewer than four
/// characters nothing: such things are everywhere.
function traces(value) {
  const parts = value.includes('^') || value.includes('=') ? value.split(/[\^=\\ *?,]+/) : [value.replace(/[*?]/g, '')];
  return parts.map((part) => wordsOf(part).join(' ')).filter((part) => part.length >= 4);
}

/// [{ file, line, trace }] of the lines that hold a patient value. Also how many of both there are.
export function findPatients(root) {
  const files = fs.existsSync(root) ? fs.readdirSync(root) : [];
  const all = new Set(files.filter((file) => file.endsWith('.values.json')).flatMap((file) => JSON.parse(fs.readFileSync(path.join(root, file), 'utf8'))).flatMap(traces));
  const byFirst = new Map();
  for (const trace of all) {
    const words = trace.split(' ');
    byFirst.set(words[0], [...(byFirst.get(words[0]) ?? []), words]);
  }
  const found = [];
  let lines = 0;
  for (const file of files.filter((name) => name.endsWith('.log'))) {
    for (const line of fs.readFileSync(path.join(root, file), 'utf8').split('\n')) {
      lines++;
      const words = wordsOf(decoded(line.slice(line.indexOf('\t') + 1))); // without the name that the test gave it
      words.forEach((word, at) => {
        for (const trace of byFirst.get(word) ?? []) {
          if (trace.every((part, i) => words[at + i] === part)) found.push({ file, line, trace: trace.join(' ') });
        }
      });
    }
  }
  return { found, lines, values: all.size };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , command, root] = process.argv;
  if (command === 'clear') {
    fs.rmSync(root, { recursive: true, force: true });
  } else {
    const { found, lines, values: count } = findPatients(root);
    for (const { file, line, trace } of found.slice(0, 50)) console.log(`${file}: "${trace}" in: ${line}`);
    console.log(`${lines} lines of logs, ${count} patient values, ${found.length} lines that hold one`);
    process.exitCode = found.length ? 1 : 0;
  }
}
