// The audit trail as a collector sees it: every message held against the schema, from both fronts to both kinds of
// backend, over UDP and over TLS; and what becomes of messages while the collector is away.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import { after, describe, test } from 'node:test';
import { makeCertificates } from './support/certificates.js';
import { auditNumbers as numbers, expectValid, schemaFault, summary, TlsCollector, UdpCollector } from './support/collector.js';
import { decodeText } from './support/data_set.js';
import { echoscu } from './support/dcmtk.js';
import { freePort, House, until } from './support/house.js';
import { dicomJson, get, post, request, startOriginServer } from './support/http.js';
import { expectNoPatientData, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson, done, doneInJson } from './support/performed_step.js';
import { cFind, nCreate, nGet, nSet, send, sendAll } from './support/scu.js';
import { startStepOriginServer } from './support/step_origin_server.js';

const house = new House();
after(() => house.close());

const event = { activity: '110100', query: '110112', procedure: '110111', alert: '110113' };
const role = { source: '110153', destination: '110152', application: '110150' };
const scheduled = '/modality-scheduled-procedure-steps';
const performed = (uid) => `/modality-performed-procedure-steps/${uid}`;
const adminPort = { bind: '127.0.0.1', port: 0 };
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.80.${process.pid}.${++uids}`;
const of = (kind) => (message) => message.event === event[kind];

const untilNumbers = (gateway, what, condition, limit = 15000) =>
  until(limit, what, async () => condition(await numbers(gateway)));

const auditLines = (gateway) => gateway.log().split('\n').filter((line) => / audit: /.test(line));

/// The embedded store answers: an audit trail without peers.
const withStore = (more = {}) => {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  return {
    web: { worklist: 'local', mpps: 'local' }, admin: adminPort, 'backend local': { kind: 'store', worklist_dir: directory },
    ...more,
  };
};

describe('the schema', () => {
  test('takes what the standard wants and nothing else', async () => {
    const collector = await UdpCollector.start(house);
    const gateway = await startModgate(house, 'schema', withStore({ audit: { syslog: collector.uri } }));
    assert.equal((await post(gateway, performed(newUid()), begunInJson())).status, 201);
    assert.equal((await get(gateway, `${scheduled}?PatientID=1`)).status, 204);
    await collector.wait(3);
    expectValid(collector);
    const wrong = [
      [/<ActiveParticipant .*<\/ActiveParticipant>/, ''],
      [/EventActionCode="."/, 'EventActionCode="X"'],
      [/EventDateTime="([^"]*)Z"/, 'EventDateTime="$1"'],
      [/EventOutcomeIndicator="0"/, 'EventOutcomeIndicator="5"'],
      [/<EventID csd-code="\d+"/, '<EventID csd-code="110104"'],
      [/ originalText="[^"]*"/, ''],
      [/ codeSystemName="DCM"/, ''],
      [/UserIsRequestor="(true|false)"/, 'UserIsRequestor="perhaps"'],
      [/<AuditSourceIdentification.*<\/AuditSourceIdentification>/, ''],
      [/ AuditSourceID="[^"]*"/, ''],
      [/<\/AuditMessage>/, '<More/></AuditMessage>'],
      [/<AuditMessage>/, '<AuditMessage xmlns="urn:other">'],
    ];
    for (const { xml } of collector.received) {
      for (const [pattern, text] of wrong) {
        const changed = xml.replace(pattern, text);
        assert.notEqual(changed, xml, String(pattern));
        assert.ok(schemaFault(changed), `${pattern}: ${changed}`);
      }
    }
    const [query] = collector.received.filter((message) => summary(message).event === event.query);
    const [procedure] = collector.received.filter((message) => summary(message).event === event.procedure);
    for (const changed of [
      query.xml.replace(/<ParticipantObjectQuery>[^<]*/, '<ParticipantObjectQuery>no*base64'),
      query.xml.replace(/<ParticipantObjectQuery>.*<\/ParticipantObjectQuery>/, ''),
      query.xml.replace('ActionCode="E"', 'ActionCode="R"'),
      query.xml.replace(/csd-code="110153"/, 'csd-code="110155"'),
      procedure.xml.replace('ActionCode="C"', 'ActionCode="E"'),
      procedure.xml.replace(/<ParticipantObjectIdentification ParticipantObjectID="PID-4711".*<\/ParticipantObjectIdentification>/, ''),
      procedure.xml.replace(/<SOPClass [^>]*>/, ''),
    ]) {
      assert.ok(schemaFault(changed), changed);
    }
  });
});

describe('DIMSE in front', () => {
  test('over an origin server: Query, Procedure Record and Application Activity by UDP', async () => {
    const collector = await UdpCollector.start(house);
    const ris = await startStepOriginServer(house);
    const worklist = await startOriginServer(house, (_, response) =>
      response.writeHead(200, { 'content-type': dicomJson }).end('[]'));
    const gateway = await startModgate(house, 'dimse', {
      dimse: { worklist: 'worklist', mpps: 'ris' },
      'backend worklist': { kind: 'origin-server', base_uri: `${worklist.url}radiology` },
      'backend ris': { kind: 'origin-server', base_uri: ris.url },
      audit: { syslog: collector.uri, source_id: 'gateway "1" & <co>', enterprise_site_id: 'Süd' },
    });
    const peer = { ...gateway.dimse, callingAeTitle: 'CT1' };
    const found = await send(peer, cFind({ SpecificCharacterSet: 'ISO_IR 192', PatientName: 'Schröder^Zoë*', PatientID: '' }));
    assert.equal(found.status, 0);
    const uid = newUid();
    assert.equal((await send(peer, nCreate(uid, begun()))).status, 0);
    assert.equal((await send(peer, nSet(uid, done()))).status, 0);
    assert.equal((await send(peer, nGet(uid, ['PerformedProcedureStepStatus']))).status, 0);
    assert.equal((await send(peer, nCreate(uid, begun()))).status, 0x0111);
    await gateway.child.stop();
    await collector.wait(2 + 2 + 8);
    expectValid(collector);
    const messages = collector.messages();
    for (const { source } of messages) {
      assert.deepEqual(source, { AuditSourceID: 'gateway "1" & <co>', AuditEnterpriseSiteID: 'Süd' });
    }

    const process = { id: String(gateway.child.pid), requestor: false, at: os.hostname(), atType: '1' };
    const asker = { id: 'CT1', aeTitles: 'AETITLES=CT1', requestor: true, at: '127.0.0.1', atType: '2' };
    const [start, ...rest] = messages;
    assert.deepEqual([start.event, start.type, start.action, start.outcome], [event.activity, '110120', 'E', '0']);
    assert.deepEqual(start.participants, [{ ...process, aeTitles: 'AETITLES=MODGATE', role: role.application }]);
    const stop = rest.pop();
    assert.deepEqual([stop.event, stop.type], [event.activity, '110121']);
    assert.ok(rest.every((message) => message.event !== event.activity));

    // One issued, one received.
    const [issued, received] = messages.filter(of('query'));
    assert.deepEqual([issued.action, issued.outcome, received.action, received.outcome], ['E', '0', 'E', '0']);
    assert.deepEqual(received.participants, [
      { ...asker, role: role.source }, { ...process, aeTitles: 'AETITLES=MODGATE', role: role.destination }]);
    const [identifier] = received.objects;
    assert.deepEqual([identifier.idType, identifier.id], ['110181', '1.2.840.10008.5.1.4.31']);
    assert.deepEqual(identifier.details, { TransferSyntax: '1.2.840.10008.1.2.1' });
    const keys = decodeText(identifier.query);
    assert.equal(keys['00100010'].value, 'Schröder^Zoë*');
    assert.deepEqual(issued.participants, [
      { ...process, aeTitles: undefined, role: role.source },
      { id: `${worklist.url}radiology`, aeTitles: undefined, requestor: false, at: '127.0.0.1', atType: '2', role: role.destination },
      { ...asker, role: undefined }]);
    const [uri] = issued.objects;
    assert.deepEqual([uri.idType, uri.id], ['12', `${worklist.url}radiology${scheduled}`]);
    const asked = worklist.requests.find(({ url }) => url.includes('?'));
    const [path, query] = uri.query.toString('utf8').split('?');
    assert.equal(path, uri.id);
    for (const key of query.split('&')) assert.ok(asked.url.includes(key), `${asked.url}: ${key}`);
    assert.match(decodeURIComponent(query), /PatientName=Schröder\^Zoë\*|00100010=Schröder\^Zoë\*/);

    // Each issued to the RIS, then answered here.
    const procedures = messages.filter(of('procedure'));
    assert.deepEqual(procedures.map(({ action, outcome }) => action + outcome), ['C0', 'C0', 'U0', 'U0', 'R0', 'R0', 'C4', 'C4']);
    for (const [index, procedure] of procedures.entries()) {
      const [user, doer] = procedure.participants;
      if (index % 2 === 1) {
        assert.deepEqual(user, { ...asker, role: role.source });
        assert.deepEqual(doer, { ...process, aeTitles: 'AETITLES=MODGATE', role: role.destination });
      } else {
        assert.deepEqual(user, { ...process, aeTitles: undefined, requestor: true, role: role.source });
        assert.deepEqual([doer.id, doer.at, doer.role], [ris.url, '127.0.0.1', role.destination]);
      }
      // An N-SET and this N-GET name no patient: it is known from the N-CREATE.
      const studies = procedure.objects.slice(0, -1);
      assert.deepEqual(studies.map(({ id, idType, mpps, accession }) => [id, idType, mpps, accession]), [
        ['1.2.3.4.6.1', '110180', uid, 'ACC1'], ['1.2.3.4.6.2', '110180', uid, 'ACC2']]);
      const patient = procedure.objects.at(-1);
      assert.deepEqual([patient.id, patient.idType, patient.name], ['PID-4711', '2', 'Schröder^Zoë']);
      assert.ok(procedure.description.startsWith(`MPPS ${uid}`), procedure.description);
    }
    assert.match(procedures[0].description, / IN PROGRESS: DIMSE status 0000$/);
    assert.match(procedures[3].description, / COMPLETED: DIMSE status 0000$/);
    assert.match(procedures[7].description, /DIMSE status 0111/);
    expectNoPatientData(assert, house, ['Schröder', 'PID-4711']);
  });
});

describe('DICOMweb in front', () => {
  test('over an SCP: by TLS with a client certificate, in octet counting', async () => {
    const certificates = await makeCertificates(house);
    const collector = await TlsCollector.start(house, certificates);
    const scp = await startMppsScp(house);
    scp.register.find = () => [{ status: 0x0000 }];
    const gateway = await startModgate(house, 'web', {
      web: { worklist: 'ris', mpps: 'ris', base_path: '/radiology/' },
      'backend ris': { kind: 'scp', ae_title: 'RIS', host: 'localhost', port: scp.port, calling_ae_title: 'GATE' },
      audit: {
        syslog: collector.uri, tls_trusted: certificates.trusted, tls_certificate: certificates.certificate,
        tls_private_key: certificates.key,
      },
    });
    const name = 'O"Neill^<Zoë>&\'^東';
    const search = await get(gateway, `/radiology${scheduled}?PatientName=${encodeURIComponent(name)}&includefield=PatientID`);
    assert.equal(search.status, 204, search.body);
    const uid = newUid();
    const [step] = begunInJson();
    step['00100010'].Value[0].Alphabetic = 'O"Neill^<Zoë>&\'';
    step['00100020'].Value[0] = '"4711" <&>';
    assert.equal((await post(gateway, `/radiology${performed(uid)}`, [step])).status, 201);
    assert.equal((await post(gateway, `/radiology${performed(uid)}?update`, doneInJson())).status, 200);
    assert.equal((await get(gateway, `/radiology${performed(uid)}`)).status, 200);
    await collector.wait(1 + 2 + 6);
    expectValid(collector);
    assert.equal(collector.connections, 1);
    const messages = collector.messages();
    const [issued, received] = messages.filter(of('query'));
    assert.deepEqual(received.participants.map(({ id, aeTitles, requestor, at }) => [id, aeTitles, requestor, at]), [
      ['127.0.0.1', undefined, true, '127.0.0.1'], [String(gateway.child.pid), undefined, false, os.hostname()]]);
    const [uri] = received.objects;
    assert.deepEqual([uri.idType, uri.id], ['12', `/radiology${scheduled}`]);
    assert.ok(uri.query.toString('utf8').includes(encodeURIComponent('O"Neill^<Zoë>')), uri.query.toString());
    assert.deepEqual(issued.participants.map(({ id, aeTitles, requestor, at, atType }) => [id, aeTitles, requestor, at, atType]), [
      [String(gateway.child.pid), 'AETITLES=GATE', false, os.hostname(), '1'],
      ['RIS', 'AETITLES=RIS', false, 'localhost', '1'],
      ['127.0.0.1', undefined, true, '127.0.0.1', '2']]);
    assert.equal(decodeText(issued.objects[0].query)['00100010'].value, name);

    const procedures = messages.filter(of('procedure'));
    assert.deepEqual(procedures.map(({ action, outcome }) => action + outcome), ['C0', 'C0', 'U0', 'U0', 'R0', 'R0']);
    for (const { objects } of procedures) {
      assert.deepEqual([objects.at(-1).id, objects.at(-1).name], ['"4711" <&>', 'O"Neill^<Zoë>&\'']);
      assert.equal(objects[0].mpps, uid);
    }
    expectNoPatientData(assert, house, ['4711', 'Neill', 'Zoë']);
  });

  test('messages that are queued are recorded when they are accepted, and again when they are delivered', async () => {
    const collector = await UdpCollector.start(house);
    const port = await freePort();
    const gateway = await startModgate(house, 'queued', {
      web: { mpps: 'ris', mpps_delivery: 'queued' }, queue: { retry_first_milliseconds: 50, probe_max_seconds: 1 },
      'backend ris': { kind: 'scp', ae_title: 'RIS', host: '127.0.0.1', port },
      audit: { syslog: collector.uri },
    });
    const uid = newUid();
    const sent = await post(gateway, performed(uid), begunInJson());
    assert.equal(sent.status, 201, sent.body);
    const [accepted] = await collector.wait(1, of('procedure'));
    assert.deepEqual([accepted.action, accepted.outcome, accepted.participants[0].requestor], ['C', '0', true]);
    assert.equal(accepted.participants[1].id, String(gateway.child.pid));
    await startMppsScp(house, port);
    const [, delivered] = await collector.wait(2, of('procedure'));
    assert.deepEqual([delivered.action, delivered.outcome], ['C', '0']);
    assert.deepEqual(delivered.participants.map(({ id }) => id), [String(gateway.child.pid), 'RIS']);
    expectValid(collector);
  });
});

describe('a Security Alert', () => {
  test('is sent for refused associations, 401, 403, failed TLS, and a backend that takes us for nobody', async () => {
    const users = house.newPath('.htpasswd');
    // "secret", by htpasswd -nbB
    const hash = spawnSync('python3', ['-c', 'import crypt; print(crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))'], { encoding: 'utf8' }).stdout.trim();
    fs.writeFileSync(users, `reader:${hash}\n`);
    const certificates = await makeCertificates(house);
    const collector = await UdpCollector.start(house);
    const ris = await startMppsScp(house);
    const gateway = await startModgate(house, 'alerts', {
      dimse: {
        worklist: 'strict', known_modalities_only: 'yes', tls_certificate: certificates.certificate,
        tls_private_key: certificates.key, tls_trusted: certificates.trusted,
      },
      web: { mpps: 'ris', users, read_only_users: 'reader' },
      'backend ris': { kind: 'scp', ae_title: 'RIS', host: '127.0.0.1', port: ris.port },
      'backend strict': {
        kind: 'scp', ae_title: 'RIS', host: '127.0.0.1', port: ris.port, tls_trusted: certificates.trusted, acse_timeout_seconds: 2,
      },
      'modality ct1': { ae_title: 'CT1' },
      audit: { syslog: collector.uri },
    });
    const alerts = (count) => collector.wait(count, of('alert'));
    const last = async (count) => (await alerts(count))[count - 1];
    const tlsPeer = (more) => ({ ...gateway.dimse, tls: certificates, ...more });

    assert.ok(!(await echoscu(house, tlsPeer({ aeTitle: 'OTHER', callingAeTitle: 'CT1' }))).ok);
    const called = await last(1);
    assert.deepEqual([called.type, called.action, called.outcome], ['110126', 'E', '4']);
    assert.equal(called.description, 'Association rejected: called AE title not recognized');
    assert.deepEqual(called.participants.map(({ id, aeTitles, requestor, at }) => [id, aeTitles, requestor, at]), [
      [String(gateway.child.pid), undefined, false, os.hostname()], ['CT1', 'AETITLES=CT1', false, '127.0.0.1']]);
    assert.deepEqual([called.objects[0].idType, called.objects[0].id], ['110182', '127.0.0.1']);
    assert.deepEqual(called.objects[0].details, { 'Alert Description': called.description });

    assert.ok(!(await echoscu(house, tlsPeer({ callingAeTitle: 'EVIL"<\\&' }))).ok);
    const calling = await last(2);
    assert.equal(calling.description, 'Association rejected: calling AE title not recognized');
    assert.equal(calling.participants[1].id, 'EVIL"<\\&');

    assert.ok(!(await echoscu(house, { ...gateway.dimse, callingAeTitle: 'CT1' })).ok); // plain
    const plain = await last(3);
    assert.equal(plain.type, '110126');
    assert.match(plain.description, /^TLS refused: /);

    assert.equal((await get(gateway, performed('1.2.3'))).status, 401);
    const nobody = await last(4);
    assert.deepEqual([nobody.type, nobody.outcome], ['110126', '4']);
    assert.match(nobody.description, /^HTTP 401/);

    const authorization = `Basic ${Buffer.from('reader:secret').toString('base64')}`;
    assert.equal((await post(gateway, performed('1.2.3'), begunInJson(), { authorization })).status, 403);
    const reader = await last(5);
    assert.deepEqual([reader.type, reader.participants[1].id], ['110132', 'reader']);
    assert.match(reader.description, /^HTTP 403/);

    const found = await send(tlsPeer({ callingAeTitle: 'CT1' }), cFind({ PatientID: '1' }));
    assert.notEqual(found.status, 0);
    const backend = await last(6);
    assert.equal(backend.type, '110126');
    assert.match(backend.description, /^Toward a backend: /);
    assert.equal(backend.participants[1].id, 'RIS');
    // The query was received, and not issued.
    const queries = await collector.wait(1, of('query'));
    assert.deepEqual(queries.map(({ outcome, participants }) => [outcome, participants[0].id]), [['8', 'CT1']]);
    expectValid(collector);
  });

  test('is sent for a refused user identity: by who refuses a caller, and by whom a backend refuses', async () => {
    const users = house.newPath('.users');
    fs.writeFileSync(users, 'anna:$2b$04$n1cmOIRytAQe.MRr2U/iveVRFQpLkcCVu3pyqfAvIwv4Mbv0Trl4.\n'); // "secret"
    const password = house.newPath('.password');
    fs.writeFileSync(password, 'wrong', { mode: 0o600 });
    const [told, tells] = [await UdpCollector.start(house), await UdpCollector.start(house)];
    const { web, ...store } = withStore({ audit: { syslog: told.uri } });
    const asked = await startModgate(house, 'asks who it is', { dimse: { ...web, users }, ...store });
    const stranger = await startModgate(house, 'a stranger to it', {
      web: { worklist: 'ris' }, audit: { syslog: tells.uri },
      'backend ris': {
        kind: 'scp', ae_title: 'MODGATE', host: '127.0.0.1', port: asked.dimse.port, username: 'anna', password_file: password,
        calling_ae_title: 'GATE',
      },
    });
    assert.equal((await get(stranger, `${scheduled}?PatientID=1`)).status, 403);

    const [caller] = await told.wait(1, of('alert'));
    assert.deepEqual([caller.type, caller.action, caller.outcome], ['110126', 'E', '4']);
    assert.equal(caller.description, 'Association rejected: user identity missing or refused');
    assert.deepEqual(caller.participants.map(({ id, aeTitles, at }) => [id, aeTitles, at]), [
      [String(asked.child.pid), undefined, os.hostname()], ['GATE', 'AETITLES=GATE', '127.0.0.1']]);
    const [backend] = await tells.wait(1, of('alert'));
    assert.deepEqual([backend.type, backend.outcome, backend.participants[1].id], ['110126', '4', 'MODGATE']);
    assert.match(backend.description, /^Toward a backend: /);
    for (const collector of [told, tells]) {
      expectValid(collector);
      for (const { xml } of collector.received) assert.doesNotMatch(xml, /secret|wrong|anna/);
    }
  });

  test('is sent by a web front that speaks TLS, and not for a probe that says nothing', async () => {
    const certificates = await makeCertificates(house);
    const collector = await UdpCollector.start(house);
    const gateway = await startModgate(house, 'https', withStore({
      web: {
        worklist: 'local', tls_certificate: certificates.certificate, tls_private_key: certificates.key,
      },
      audit: { syslog: collector.uri },
    }));
    await new Promise((resolve) => net.connect(gateway.web.port, '127.0.0.1', function connected() { this.end(resolve); }));
    await assert.rejects(request(gateway, 'GET', '/'));
    const [alert] = await collector.wait(1, of('alert'));
    assert.match(alert.description, /^TLS refused: /);
    await gateway.child.stop();
    await collector.wait(3);
    assert.deepEqual(collector.messages().map(({ event: name }) => name), [event.activity, event.alert, event.activity]);
    expectValid(collector);
  });
});

describe('while the collector is away', () => {
  for (const transport of ['udp', 'tls']) {
    test(`messages wait on disk through SIGKILL and arrive in order once it is there: ${transport}`, async () => {
      const certificates = await makeCertificates(house);
      const port = await freePort();
      const startCollector = () =>
        transport === 'udp' ? UdpCollector.start(house, port) : TlsCollector.start(house, certificates, { port, requireClient: false });
      const state = house.newPath();
      fs.mkdirSync(state, { mode: 0o755 });
      const sections = withStore({
        gateway: { state_dir: state, log_level: 'debug' },
        audit: {
          syslog: `${transport}://127.0.0.1:${port}`, source_id: 'G', ...(transport === 'tls' && { tls_trusted: certificates.trusted }),
        },
      });
      const first = await startModgate(house, 'killed', sections);
      const created = [];
      for (let i = 0; i < 300; i++) {
        const uid = newUid();
        created.push(uid);
        assert.equal((await post(first, performed(uid), begunInJson())).status, 201);
      }
      await untilNumbers(first, 'all on disk', ({ waiting, up }) => waiting === 301 && up === 0);
      assert.deepEqual(await numbers(first), { sent: 0, waiting: 301, lost: 0, up: 0 });
      assert.equal(auditLines(first).length, 1, auditLines(first).join('\n'));
      assert.match(auditLines(first)[0], /warning audit: the collector (udp|tls):\/\/127.0.0.1:\d+ takes no messages: cannot (connect|send): Connection refused/);
      for (const file of fs.readdirSync(state).filter((name) => name.startsWith('audit.'))) {
        assert.equal(fs.statSync(`${state}/${file}`).mode & 0o777, 0o600, file);
      }
      first.child.signal('SIGKILL');
      await first.child.exited;

      const second = await startModgate(house, 'restarted', sections);
      const updated = await post(second, `${performed(created[0])}?update`, doneInJson());
      assert.equal(updated.status, 200);
      await untilNumbers(second, 'the new ones on disk, too', ({ waiting }) => waiting === 303);
      const collector = await startCollector();
      await collector.wait(303, undefined, 30000);
      await untilNumbers(second, 'none waiting', ({ waiting, up }) => waiting === 0 && up === 1);
      expectValid(collector);
      const messages = collector.messages();
      assert.equal(messages.length, 303); // none twice: nothing broke while it was sent
      assert.deepEqual(messages.filter(of('activity')).map(({ type }) => type), ['110120', '110120']);
      const procedures = messages.filter(of('procedure'));
      assert.deepEqual(procedures.map(({ action, description }) => `${action} ${description.split(/[ :]/)[1]}`),
        [...created.map((uid) => `C ${uid}`), `U ${created[0]}`]);
      // The patient of an N-SET is known from an N-CREATE before the restart.
      assert.equal(procedures.at(-1).objects.at(-1).id, 'PID-4711');
      assert.match(auditLines(second).at(-1), /info audit: the collector \S+ takes messages again/);
    });
  }

  test('a collector that breaks off in the middle gets again what it may not have seen, in order', async () => {
    const certificates = await makeCertificates(house);
    const collector = await TlsCollector.start(house, certificates, { requireClient: false });
    const gateway = await startModgate(house, 'broken', withStore({
      audit: { syslog: collector.uri, tls_trusted: certificates.trusted },
    }));
    await collector.wait(1);
    const created = [];
    const seen = () => [...new Set(collector.messages().filter(of('procedure')).map(({ objects }) => objects[0].mpps))];
    const create = async () => {
      const uid = newUid();
      created.push(uid);
      assert.equal((await post(gateway, performed(uid), begunInJson())).status, 201);
    };
    const arrived = () => until(15000, () => `${created} seen, got ${seen()}`, () => seen().length === created.length);
    for (let round = 0; round < 3; round++) {
      await create();
      await arrived();
      for (const socket of collector.sockets) socket.destroy();
      await create(); // it meets a connection that is gone
      await arrived();
    }
    assert.deepEqual(seen(), created);
    expectValid(collector);
  });

  test('what overflows the buffer is counted, logged once, and told in the trail itself', async () => {
    const port = await freePort();
    const gateway = await startModgate(house, 'full', withStore({
      audit: { syslog: `udp://127.0.0.1:${port}`, buffer_megabytes: 1 },
    }));
    const long = 'x'.repeat(6000);
    const search = async () =>
      assert.equal((await get(gateway, `${scheduled}?PatientComments=${long}`)).status < 500, true);
    for (let i = 0; i < 150; i++) await search();
    await untilNumbers(gateway, 'a loss', ({ lost }) => lost > 10);
    const { lost, waiting } = await numbers(gateway);
    const full = () => auditLines(gateway).filter((line) => /buffer is full/.test(line));
    await until(5000, 'a line about it', () => full().length > 0); // the loss is counted first
    assert.equal(full().length, 1);
    assert.match(full()[0], / error audit: the buffer is full \(1048576 bytes\)/);

    const collector = await UdpCollector.start(house, port);
    const kept = await collector.wait(waiting, undefined, 30000);
    assert.deepEqual([kept.at(-1).event, kept.at(-1).type, kept.at(-1).outcome], [event.alert, '110133', '12']);
    await untilNumbers(gateway, 'none waiting', (now) => now.waiting === 0);
    await search();
    const [stopped, started] = await collector.wait(2, of('alert'));
    assert.deepEqual([stopped.type, started.type, started.outcome], ['110133', '110134', '0']);
    assert.equal(started.description, `Audit messages are recorded again; ${lost} were lost`);
    await collector.wait(waiting + 2);
    assert.equal((await numbers(gateway)).lost, lost);
    assert.equal(auditLines(gateway).filter((line) => /recorded again/.test(line)).length, 1);
    expectValid(collector);
  });

  test('a collector that takes the connection and says nothing holds up no transaction and no stop', async () => {
    const certificates = await makeCertificates(house);
    const silent = net.createServer(() => {});
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    house.defer(() => silent.close());
    const gateway = await startModgate(house, 'silent', withStore({
      audit: { syslog: `tls://127.0.0.1:${silent.address().port}`, tls_trusted: certificates.trusted },
    }));
    const before = (await numbers(gateway)).sent;
    await Promise.all(Array.from({ length: 50 }, async () => {
      assert.equal((await post(gateway, performed(newUid()), begunInJson())).status, 201);
    }));
    assert.equal((await numbers(gateway)).sent, before);
    await untilNumbers(gateway, 'all on disk', ({ waiting }) => waiting === 51);
    assert.deepEqual(await gateway.child.stop(9000), { code: 0, signal: null });
  });
});

describe('a collector that is not who it should be', () => {
  test('gets nothing, and one line says why', async () => {
    const [ours, theirs] = [await makeCertificates(house), await makeCertificates(house)];
    const collector = await TlsCollector.start(house, theirs, { requireClient: false });
    const gateway = await startModgate(house, 'impostor', withStore({
      audit: { syslog: collector.uri, tls_trusted: ours.trusted },
    }));
    for (let i = 0; i < 5; i++) assert.equal((await post(gateway, performed(newUid()), begunInJson())).status, 201);
    await until(15000, 'two attempts', () => collector.refused >= 2);
    assert.deepEqual([collector.received, collector.faults], [[], []]);
    assert.equal(auditLines(gateway).length, 1, auditLines(gateway).join('\n'));
    assert.match(auditLines(gateway)[0], /warning audit: the collector tls:\S+ takes no messages: TLS: .*certificate/);
    // The right one is told of it.
    await collector.close();
    const right = await TlsCollector.start(house, ours, { port: collector.port, requireClient: false });
    const [alert] = await right.wait(1, of('alert'));
    assert.equal(alert.type, '110126');
    assert.match(alert.description, /^The collector of audit messages is refused: TLS: /);
    expectValid(right);
  });

  test('a collector that does not take our certificate is sent nothing that would be lost', async () => {
    const [ours, theirs] = [await makeCertificates(house), await makeCertificates(house)];
    const collector = await TlsCollector.start(house, ours);
    const gateway = await startModgate(house, 'stranger', withStore({
      audit: {
        syslog: collector.uri, tls_trusted: ours.trusted, tls_certificate: theirs.certificate, tls_private_key: theirs.key,
      },
    }));
    assert.equal((await post(gateway, performed(newUid()), begunInJson())).status, 201);
    await until(15000, 'two attempts', () => collector.refused >= 2);
    const { sent, waiting, up } = await numbers(gateway);
    assert.deepEqual([sent, up], [0, 0]);
    assert.ok(waiting >= 2, String(waiting));
    assert.deepEqual(collector.received, []);
  });
});

describe('a collector that is slow to look at our certificate, and does not take it', () => {
  test('is sent nothing that would be lost', async () => {
    const [ours, theirs] = [await makeCertificates(house), await makeCertificates(house)];
    const collector = await TlsCollector.start(house, ours);
    // Whatever the gateway says takes a second to get there.
    const wire = net.createServer((near) => {
      const far = net.connect(collector.port, '127.0.0.1');
      far.pipe(near);
      near.on('data', (data) => setTimeout(() => far.destroyed || far.write(data), 1000));
      near.on('close', () => setTimeout(() => far.end(), 1000));
      for (const socket of [near, far]) socket.on('error', () => {});
      house.defer(() => [near, far].forEach((socket) => socket.destroy()));
    });
    wire.listen(0, '127.0.0.1');
    await once(wire, 'listening');
    house.defer(() => wire.close());
    const gateway = await startModgate(house, 'slowly refused', withStore({
      audit: {
        syslog: `tls://127.0.0.1:${wire.address().port}`, tls_trusted: ours.trusted, tls_certificate: theirs.certificate, tls_private_key: theirs.key,
      },
    }));
    for (const attempts of [1, 2]) {
      await until(15000, `attempt ${attempts}`, () => collector.refused >= attempts);
      await untilNumbers(gateway, 'it to be known', ({ up }) => up === 0);
      assert.deepEqual([(await numbers(gateway)).sent, collector.received], [0, []]);
    }
  });
});

describe('the keys of [audit]', () => {
  const faults = async (audit) => {
    const file = house.newPath('.ini');
    fs.writeFileSync(file, `[web]\n[audit]\n${Object.entries(audit).map(([key, value]) => `${key} = ${value}\n`).join('')}`);
    const { modgateBinary } = await import('./support/modgate.js');
    return house.run(modgateBinary, ['check', '--config', file]);
  };
  for (const uri of ['tcp://host', 'udp://', 'host:514', 'udp://host:0', 'udp://host:70000', 'udp://host/path', 'udp://user@host', 'tls://[::1:6514', 'udp://host:514x', 'udp://ho st']) {
    test(`${uri} is a fault that says what is expected`, async () => {
      const { code, stderr, stdout } = await faults({ syslog: uri });
      assert.equal(code, 2);
      assert.match(stdout + stderr, /:3: \[audit\] syslog: expected udp:\/\/HOST\[:514\] or tls:\/\/HOST\[:6514\]; empty = no audit trail/);
    });
  }
  test('TLS needs the CAs of the collector, and UDP has no use for certificates', async () => {
    const bare = await faults({ syslog: 'tls://collector' });
    assert.equal(bare.code, 2);
    assert.match(bare.stdout + bare.stderr, /\[audit\] tls_trusted: missing, expected the CAs that the collector's certificate is of/);
    const missing = await faults({ syslog: 'tls://collector', tls_trusted: '/nonexistent' });
    assert.match(missing.stdout + missing.stderr, /\[audit\] tls_trusted: cannot use \/nonexistent/);
    const udp = await faults({ syslog: 'udp://collector', tls_trusted: '/etc/passwd' });
    assert.match(udp.stdout + udp.stderr, /\[audit\] syslog: expected tls:\/\/HOST where there are tls_ keys/);
    assert.equal((await faults({ syslog: 'udp://[::1]:1514' })).code, 0);
    assert.equal((await faults({ syslog: '' })).code, 0);
  });
});
