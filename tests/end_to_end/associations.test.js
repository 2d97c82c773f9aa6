// Who may associate with the running program, how many at once, what differs from one modality to
// another, and what the log says of those who speak no DICOM. Rules F8, G10, H1, H2, H10.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { decodeText, encode } from './support/data_set.js';
import { House, until } from './support/house.js';
import { dicomJson, startOriginServer } from './support/http.js';
import { startModgate } from './support/modgate.js';
import { RawAssociation, sopClass, withAssociation } from './support/raw_scu.js';
import { cEcho, cFind, send } from './support/scu.js';

const house = new House();
let server; // answers every Search with one match
before(async () => {
  server = await startOriginServer(house, (_, response) => {
    response.writeHead(200, { 'content-type': dicomJson });
    response.end(JSON.stringify([{
      '00080050': { vr: 'SH', Value: ['A1'] }, '00100010': { vr: 'PN', Value: [{ Alphabetic: 'MÜLLER^JÖRG' }] },
    }]));
  });
});
after(() => house.close());

const backend = (keys = {}) => ({ 'backend ris': { kind: 'origin-server', base_uri: server.url, ...keys } });
const identifier = encode([[0x00080050, 'SH', ''], [0x00100010, 'PN', '']]);
const classes = [sopClass.verification, sopClass.worklist];

test('200 associations are held at once and used in turn; the 201st is rejected for the moment, until they leave (H2)', async () => {
  const most = 200;
  const gateway = await startModgate(house, 'at its limit', { dimse: { worklist: 'ris' }, ...backend() });
  const held = [];
  try {
    for (let count = 0; count < most; count++) {
      held.push(await RawAssociation.open({ ...gateway.dimse, callingAeTitle: `CT${count}` }, classes));
    }
    await assert.rejects(RawAssociation.open(gateway.dimse, classes), /rejected: 2\/3\/2/);
    for (let round = 0; round < 2; round++) {
      for (const association of held) assert.equal((await association.echo()).status, 0);
      for (const association of held) assert.equal((await association.find(identifier)).responses.length, 1);
    }
    await assert.rejects(RawAssociation.open(gateway.dimse, classes), /rejected: 2\/3\/2/);
    await held.pop().release();
    const late = await until(10000, 'room for one', () => RawAssociation.open(gateway.dimse, classes).catch(() => undefined));
    held.push(late);
    assert.equal((await late.echo()).status, 0);
    await assert.rejects(RawAssociation.open(gateway.dimse, classes), /rejected: 2\/3\/2/);
    for (const association of held.splice(0)) await association.release();
    for (let count = 0; count < most; count++) held.push(await until(10000, 'room again', () =>
      RawAssociation.open(gateway.dimse, classes).catch(() => undefined)));
  } finally {
    held.forEach((association) => association.abort());
  }
});

describe('a user identity', () => {
  const token = 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJjdCJ9.c2ln';
  const username = 1;
  const passcode = 2;
  const jwt = 5;
  let gateway;
  before(async () => {
    const users = house.newPath('.users');
    fs.writeFileSync(users, 'anna:$2b$04$n1cmOIRytAQe.MRr2U/iveVRFQpLkcCVu3pyqfAvIwv4Mbv0Trl4.\n'); // "secret"
    const tokens = house.newPath('.tokens');
    fs.writeFileSync(tokens, `${createHash('sha256').update(token).digest('hex')} ct\n`);
    gateway = await startModgate(house, 'asks who it is', {
      dimse: { worklist: 'ris', users, tokens }, ...backend({ forward_bearer_token: 'yes' }),
    });
  });

  const rows = [
    ['the right passcode', { type: passcode, primaryField: 'anna', secondaryField: 'secret' }, true],
    ['the right passcode, and a response wanted',
      { type: passcode, primaryField: 'anna', secondaryField: 'secret', positiveResponseRequested: true }, true],
    ['a wrong passcode', { type: passcode, primaryField: 'anna', secondaryField: 'Secret' }, false],
    ['an unknown user', { type: passcode, primaryField: 'bert', secondaryField: 'secret' }, false],
    ['a user name alone', { type: username, primaryField: 'anna' }, false],
    ['the right token', { type: jwt, primaryField: token }, true],
    ['the right token, and a response wanted', { type: jwt, primaryField: token, positiveResponseRequested: true }, true],
    ['another token', { type: jwt, primaryField: `${token}x` }, false],
    ['no identity', undefined, false],
  ];
  for (const [name, user, admitted] of rows) {
    test(`${name}: ${admitted ? 'admitted' : 'rejected by 1/2/1'} (H2, H10)`, async () => {
      const answer = send({ ...gateway.dimse, user }, cEcho());
      if (admitted) assert.equal((await answer).status, 0);
      else await assert.rejects(answer, { rejection: [1, 2, 1] });
    });
  }

  test('with a token goes to the origin server as the caller\'s bearer token, one without does not', async () => {
    const search = async (user) => {
      const before_ = server.requests.length;
      assert.equal((await send({ ...gateway.dimse, user }, cFind({ AccessionNumber: '' }))).status, 0);
      assert.equal(server.requests.length, before_ + 1);
      return server.requests.at(-1).headers.authorization;
    };
    assert.equal(await search({ type: jwt, primaryField: token }), `Bearer ${token}`);
    assert.equal(await search({ type: passcode, primaryField: 'anna', secondaryField: 'secret' }), undefined);
  });

  test('is in no log', () => assert.doesNotMatch(gateway.log(), /secret|eyJ/i));
});

describe('what differs from one modality to another', () => {
  let gateway;
  let other;
  before(async () => {
    other = await startOriginServer(house, (_, response) => response.writeHead(204).end());
    gateway = await startModgate(house, 'with rules', {
      dimse: { worklist: 'ris', known_modalities_only: 'yes' },
      'modality plain': { ae_title: 'PLAIN' },
      'modality station': { ae_title: 'STATION', station_filter: 'yes' },
      'modality keys': { ae_title: 'KEYS', return_keys_only: 'AccessionNumber' },
      'modality unicode': { ae_title: 'UNICODE', character_set: 'ISO_IR 192' },
      'modality latin': { ae_title: 'LATIN', assume_character_set: 'ISO_IR 100' },
      'modality here': { ae_title: 'HERE', host: '127.0.0.1' },
      'modality name': { ae_title: 'NAME', host: 'localhost' },
      'modality elsewhere': { ae_title: 'ELSEWHERE', host: '192.0.2.1' },
      'modality other': { ae_title: 'OTHER', worklist: 'other' },
      'modality none': { ae_title: 'NONE', worklist: '' },
      'backend other': { kind: 'origin-server', base_uri: other.url },
      ...backend(),
    });
  });

  /// What an AE title's C-FIND asks the origin server for, and what it gets.
  async function find(callingAeTitle, dataSet = identifier) {
    const before_ = server.requests.length;
    const found = await withAssociation({ ...gateway.dimse, callingAeTitle }, classes, (association) => association.find(dataSet));
    const asked = server.requests.slice(before_).map(({ url }) => new URL(url, 'http://x').searchParams);
    return { ...found, asked: asked[0] };
  }
  const accession = encode([[0x00080050, 'SH', '0000'], [0x00100010, 'PN', '']]);
  const latin = encode([[0x00100010, 'PN', 'MÜLLER*']], undefined, 'latin1');

  /// The value of a matching key, however it is written.
  const key = (asked, ...names) => names.map((name) => asked.get(name)).find((value) => value !== null);

  test('station_filter: its own AE title is matched', async () => {
    const station = (asked) => key(asked, 'ScheduledProcedureStepSequence.ScheduledStationAETitle', '00400100.00400001');
    assert.equal(station((await find('STATION')).asked), 'STATION');
    assert.equal(station((await find('PLAIN')).asked), undefined);
  });

  test('return_keys_only: what it fills is not matched, and is returned', async () => {
    const { asked, responses } = await find('KEYS', accession);
    assert.equal(key(asked, 'AccessionNumber', '00080050'), undefined);
    assert.equal(decodeText(responses[0])['00080050'].value, 'A1');
    assert.equal(key((await find('PLAIN', accession)).asked, 'AccessionNumber', '00080050'), '0000');
  });

  test('character_set: it is answered in that (G10)', async () => {
    const set = ({ responses }) => decodeText(responses[0])['00080005'].value;
    assert.equal(set(await find('UNICODE')), 'ISO_IR 192');
    assert.equal(set(await find('PLAIN')), 'ISO_IR 100');
  });

  test('assume_character_set: its text is read in that where it declares none (G2)', async () => {
    assert.equal(key((await find('LATIN', latin)).asked, 'PatientName', '00100010'), 'MÜLLER*');
    const refused = await find('PLAIN', latin);
    assert.equal(refused.asked, undefined);
    assert.ok(refused.status >= 0xa700 && refused.status < 0xd000, `status ${refused.status.toString(16)}`);
  });

  test('host: from another it is rejected as unknown, by address or by name (H2)', async () => {
    assert.equal((await find('HERE')).responses.length, 1);
    assert.equal((await find('NAME')).responses.length, 1);
    await assert.rejects(find('ELSEWHERE'), /rejected: 1\/1\/3/);
  });

  test('worklist: another backend is asked, or none offered', async () => {
    const { asked, status } = await find('OTHER');
    assert.equal(status, 0);
    assert.equal(asked, undefined);
    assert.equal(other.requests.length, 1);
    const association = await RawAssociation.open({ ...gateway.dimse, callingAeTitle: 'NONE' }, classes);
    assert.deepEqual(association.contexts.map(({ result }) => result), [0, 3]);
    association.abort();
  });

  test('no [modality] section: it is rejected where only known ones are served (H2)', async () => {
    await assert.rejects(find('STRANGER'), /rejected: 1\/1\/3/);
  });
});

test('max_associations_per_ae holds for each calling AE title by itself', async () => {
  const gateway = await startModgate(house, 'two each', { dimse: { worklist: 'ris', max_associations_per_ae: 2 }, ...backend() });
  const open = (callingAeTitle) => RawAssociation.open({ ...gateway.dimse, callingAeTitle }, classes);
  const held = [await open('CT1'), await open('CT1'), await open('CT2')];
  await assert.rejects(open('CT1'), /rejected: 2\/3\/2/);
  await held[0].release();
  held.push(await until(10000, 'room for CT1', () => open('CT1').catch(() => undefined)));
  held.forEach((association) => association.abort());
});

test('whoever speaks no DICOM is one line in the log each, a probe none above debug, and nobody waits for them', async () => {
  const gateway = await startModgate(house, 'on a noisy network', { dimse: { worklist: 'ris' }, ...backend() });
  const { host, port } = gateway.dimse;
  const bytes = (...values) => Buffer.from(values);
  const visits = {
    'a probe': undefined,
    HTTP: 'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'a PDU of 4 GiB': bytes(1, 0, 0xff, 0xff, 0xff, 0xff),
    'half a request': bytes(1, 0, 0, 0),
    'a data PDU': bytes(4, 0, 0, 0, 0, 4, 0, 0, 0, 0),
  };
  for (const [name, sent] of Object.entries(visits)) {
    const seen = gateway.log().length;
    const socket = net.connect(port, host).on('error', () => {});
    if (sent) socket.write(sent);
    socket.end();
    await once(socket.resume(), 'close');
    await until(5000, `a line about ${name}`, () => gateway.log().slice(seen).includes('\n'));
    await withAssociation(gateway.dimse, classes, async (association) => assert.equal((await association.echo()).status, 0));
    const lines = gateway.log().slice(seen).trim().split('\n');
    assert.equal(lines.length, 1, lines.join('\n'));
    assert.match(lines[0], sent ? / warning dimse: 127\.0\.0\.1: / : / debug dimse: 127\.0\.0\.1: /, name);
  }
  const seen = gateway.log().length;
  const shaking = tls.connect({ host, port, rejectUnauthorized: false });
  shaking.on('error', () => {});
  await new Promise((resolve) => shaking.on('close', resolve));
  await until(5000, 'a line about TLS', () => gateway.log().slice(seen).includes('\n'));
  assert.match(gateway.log().slice(seen), / warning .*TLS client hello/);
});
