// What README.md shows works as it stands there: its configurations are good ones, and its curl commands
// get what they ask for, from a RIS that dcmjs-dimse plays.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, test } from 'node:test';
import { blocksOf, commandsFor, documents, textOf } from './support/documents.js';
import { House } from './support/house.js';
import { modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';

const house = new House();
after(() => house.close());

const documented = commandsFor('end_to_end: readme');

/// { section: { key: value } }
function sectionsOf(text) {
  const sections = {};
  let section;
  for (const line of text.split('\n')) {
    const [, name] = line.match(/^\[(.*)\]$/) ?? [];
    if (name) section = sections[name] = {};
    const [, key, value] = line.match(/^(\w+) = (.*)$/) ?? [];
    if (key) section[key] = value;
  }
  return sections;
}

// The third is a part of one, which scripts/fresh_machine_test.sh completes.
const configurations = blocksOf(textOf('README.md')).filter(({ language }) => language === 'ini').map(({ text }) => text).slice(0, 2);

test('every link and picture of the documents leads to a file', () => {
  const root = new URL('../../', import.meta.url);
  const broken = documents.filter((name) => name.endsWith('.md')).flatMap((name) => {
    const document = new URL(name, root);
    return [...textOf(name).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
      .map(([, link]) => new URL(link, document)).filter((link) => link.protocol === 'file:' && !fs.existsSync(link))
      .map((link) => `${name}: ${link.pathname}`);
  });
  assert.deepEqual(broken, []);
});

configurations.forEach((text, index) => {
  test(`configuration ${index + 1} is a good one`, async () => {
    const file = house.newPath('.ini');
    fs.writeFileSync(file, text);
    const { code, stdout, stderr } = await house.run(modgateBinary, ['check', '--config', file]);
    assert.equal(code, 0, stdout + stderr);
  });
});

test('the commands get what they ask for, with the second configuration', async () => {
  const ris = await startMppsScp(house);
  const item = (id) => ({
    PatientName: [{ Alphabetic: 'VIVALDI^ANTONIO' }], PatientID: id, ScheduledProcedureStepSequence: [{ Modality: 'CT' }],
  });
  ris.register.find = () => [...['1', '2', '3'].map((id) => ({ status: 0xff00, elements: item(id) })), { status: 0 }];
  const { web, 'backend legacy': legacy } = sectionsOf(configurations[1]);
  const gateway = await startModgate(house, 'of README.md', {
    web: { ...web, port: 0 }, 'backend legacy': { ...legacy, host: ris.host, port: ris.port },
  });
  const commands = documented.take('README.md').join('\n');
  assert.match(commands, new RegExp(`localhost:${web.port}`), 'the port is that of the configuration');

  const home = house.newPath();
  fs.mkdirSync(home);
  fs.writeFileSync(`${home}/.curlrc`, 'silent\nshow-error\nmax-time = 10\nwrite-out = "\\n%{http_code} %header{content-type}\\n"\n');
  const script = commands.replaceAll(`localhost:${web.port}`, `127.0.0.1:${gateway.web.port}`);
  const { code, stdout, stderr } = await house.run('bash', ['-euc', script], { env: { CURL_HOME: home } });
  assert.equal(code, 0, stdout + stderr);
  assert.deepEqual([...stdout.matchAll(/^(\d{3} \S*)$/gm)].map(([, line]) => line), [
    '200 application/dicom+json', '200 application/dicom+xml', '201 ', '200 ', '200 application/dicom+json',
    '200 application/vnd.sun.wadl+xml',
  ]);
  const [list, , , , step] = stdout.split(/^\d{3} \S*$/m);
  assert.deepEqual(JSON.parse(list).map((one) => one['00100020'].Value), [['1'], ['2']]);
  assert.deepEqual(JSON.parse(step), [{ '00400252': { vr: 'CS', Value: ['COMPLETED'] } }]);
  assert.deepEqual(ris.register.received.map(({ operation }) => operation), ['N-CREATE', 'N-SET', 'N-GET']);
});
