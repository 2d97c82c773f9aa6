// The status page in Chromium: what a person called at night sees, what can be done about held MPPS by
// keyboard, and that nobody else's page can do it. Screenshots are left in build/screenshots.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import axe from 'axe-core';
import { chromium } from 'playwright-core';
import { freePort, House, until } from './support/house.js';
import { get, post, startOriginServer } from './support/http.js';
import { modgateBinary, startModgate } from './support/modgate.js';
import { startMppsScp } from './support/mpps_scp.js';
import { begun, begunInJson } from './support/performed_step.js';
import { nCreate, send } from './support/scu.js';

const screenshots = new URL('../../build/screenshots', import.meta.url).pathname;
fs.mkdirSync(screenshots, { recursive: true });
const house = new House();
let browser;
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'], timeout: 30000,
  });
});
after(async () => {
  await browser?.close();
  await house.close();
});

const target = (uid) => `/modality-performed-procedure-steps/${uid}`;
let uids = 0;
const newUid = () => `1.2.826.0.1.3680043.9.3811.71.${process.pid}.${++uids}`;
const adminPort = { bind: '127.0.0.1', port: 0 };
const scp = (port) => ({ kind: 'scp', ae_title: 'PACS', host: '127.0.0.1', port, acse_timeout_seconds: 2 });
const address = ({ admin: { host, port } }, path = '/') => `http://${host}:${port}${path}`;

/// A page that notes what it asked for and what went wrong in it.
async function open(gateway, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  page.asked = new Set();
  page.faults = [];
  page.on('request', (one) => page.asked.add(new URL(one.url()).origin));
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && page.faults.push(message.text()));
  await page.goto(address(gateway));
  return page;
}
const says = (page, selector, pattern, limit = 10000) =>
  until(limit, () => `${selector} to say ${pattern}`, async () => pattern.test(await page.locator(selector).textContent()));

/// Text of the page that does not stand out from what is behind it by 4.5 to 1. WCAG 2.1, 1.4.3.
const faintTexts = (page) => page.evaluate(() => {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((one) => (one / 255 <= 0.03928 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = channels(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let looked = 0;
  const faint = [];
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
    if (!text || !element.checkVisibility() || element.tagName === 'SCRIPT') continue;
    looked++;
    const [one, other] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return looked > 20 ? faint : [`only ${looked} texts`];
});
/// What axe-core has against the page as it stands: [[rule, where, …], …]. Its rules are WCAG's, and good practice.
async function barriers(page) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  assert.ok(passes.length > 10, `only ${passes.length} rules had something to look at`);
  return violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]);
}
const tooWide = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);

describe('at a glance', () => {
  test('what answers, what does not, why and what to try, within five seconds on the page, /readyz, the metrics and in one log line; and back again', async () => {
    const port = await freePort();
    const peer = await startMppsScp(house, port);
    const gateway = await startModgate(house, 'page', {
      dimse: { mpps: 'pacs' }, web: { mpps: 'pacs' }, admin: adminPort, 'backend pacs': scp(port),
    });
    const page = await open(gateway);
    await says(page, '#verdict', /^Everything answers\.$/);
    const uid = newUid();
    assert.equal((await send(gateway.dimse, nCreate(uid, begun()))).status, 0);
    assert.equal((await post(gateway, target(uid), begunInJson())).status, 409);
    await says(page, '#recent', /create web → pacs127\.0\.0\.1✗ this step exists already \(0111\).*create dimse → pacs.*✓ success/);
    await says(page, '#backends', /Last failure .*: create by 127\.0\.0\.1: this step exists already \(0111\)→ Often a repeat/);
    await says(page, '#routes', /dimse → pacs: create10/);
    await says(page, '#rate-text', /2 in the hour, 1 of them failed/);
    for (const chart of ['rate', 'latency']) {
      const drawn = page.getByRole('img', { name: chart === 'rate' ? /^Transactions a minute: / : /^Milliseconds each: \d/ });
      assert.equal(await drawn.locator('rect').count() >= 60, true, chart);
    }
    for (const secret of [uid, 'Schröder', 'PID-4711']) assert.ok(!(await page.content()).includes(secret), secret);

    await peer.close();
    const gone = Date.now();
    await Promise.all([
      says(page, '#verdict', /^Something does not work\.pacs does not answer since .*: cannot connect: Connection refused\. Is the program started there.*Refused now: web mpps, dimse mpps\.$/, 5000),
      until(5000, '/readyz', async () => /pacs does not answer: cannot connect: Connection refused/.test(await (await fetch(address(gateway, '/readyz'))).text())),
      until(5000, 'the metrics', async () => (await (await fetch(address(gateway, '/metrics'))).text()).includes('modgate_backend_up{backend="pacs"} 0\n')),
      until(5000, 'the log', () => / warn.* backend pacs does not answer: cannot connect: Connection refused/.test(gateway.log())),
    ]);
    assert.ok(Date.now() - gone < 6000);
    const readme = fs.readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const plain = (text) => text.replace(/\d+/g, '0').replace(/\s+/g, ' ').trim();
    const [, first] = readme.match(/^```text\n(Something .*?)^```/ms);
    assert.equal(plain(await page.locator('#verdict').innerText()), plain(first), 'README.md shows it as it is');
    await says(page, '#backends', /pacs ✗ DOWN.*“modgate probe” says more/);
    assert.deepEqual(await barriers(page), []);
    await page.screenshot({ path: `${screenshots}/status-page-down.png`, fullPage: true });
    await startMppsScp(house, port);
    await says(page, '#verdict', /^Everything answers\.$/);
    await until(5000, '/readyz again', async () => (await fetch(address(gateway, '/readyz'))).status === 200);
    const lines = gateway.log().split('\n').filter((line) => / pacs .*answer/.test(line));
    assert.equal(lines.length, 2, lines.join('\n'));
    assert.match(await page.locator('#backends').textContent(), /Last outage .*: cannot connect: Connection refused/);
    await page.screenshot({ path: `${screenshots}/status-page.png`, fullPage: true });

    gateway.child.signal('SIGKILL');
    await says(page, '#verdict', /^The gateway does not answer\./);
    assert.deepEqual([...page.asked], [address(gateway, '')]);
    page.faults = page.faults.filter((text) => !/ERR_CONNECTION_REFUSED/.test(text));
    assert.deepEqual(page.faults, []);
  });
});

describe('while one of several backends is gone', () => {
  test('the page says which services are refused, which wait in the queue and which are answered without it', async () => {
    const here = await startMppsScp(house);
    here.register.find = () => [{ status: 0 }];
    const gateway = await startModgate(house, 'several', {
      dimse: { worklist: 'here, gone', worklist_partial: 'yes', mpps: 'here, gone' },
      web: { worklist: 'here, gone', mpps: 'gone', mpps_delivery: 'queued' },
      admin: adminPort, 'backend here': scp(here.port), 'backend gone': scp(await freePort()),
      'modality other': { ae_title: 'OTHER', worklist: 'here', mpps: 'here' },
    });
    assert.equal((await get(gateway, '/modality-scheduled-procedure-steps')).status, 503);
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
    assert.equal((await send(gateway.dimse, nCreate(newUid(), begun()))).status, 0);
    const page = await open(gateway);
    await says(page, '#verdict', new RegExp('^Something does not work\\.gone does not answer since .* Refused now: web worklist\\. ' +
      'Kept in the queue until it answers: web mpps, dimse mpps\\. Answered without it: dimse worklist\\.$'));
    await says(page, '#services', /^✗ web worklist → here, gone✓ web mpps → gone✓ dimse worklist → here, gone✓ dimse mpps → here, gone✓ modality OTHER/);
  });

  test('what waits in the queue is no reason for red: it works, but needs a look', async () => {
    const gateway = await startModgate(house, 'waits', {
      dimse: { mpps: 'gone', mpps_delivery: 'queued' }, admin: adminPort, 'backend gone': scp(await freePort()),
    });
    const page = await open(gateway);
    await says(page, '#verdict', /^It works, but needs a look\.gone does not answer .* Kept in the queue until it answers: dimse mpps\.$/);
  });
});

describe('a backend that answers and refuses', () => {
  test('our credentials is no green page: what was refused, and what to change, until it takes one again', async () => {
    let status = 401;
    const ris = await startOriginServer(house, (asked, response) => response.writeHead(asked.method === 'OPTIONS' ? 200 : status).end());
    const gateway = await startModgate(house, 'refused', {
      web: { worklist: 'ris' }, admin: adminPort, 'backend ris': { kind: 'origin-server', base_uri: ris.url },
    });
    const page = await open(gateway);
    await says(page, '#verdict', /^Everything answers\.$/);
    assert.ok((await get(gateway, '/modality-scheduled-procedure-steps')).status >= 400);
    await says(page, '#verdict', /^It works, but needs a look\.ris answers, but refused the last search, of 127\.0\.0\.1 at \d.*: the origin server refused our credentials \(C006\)\. Correct the credentials in its/);
    await says(page, '#backends', /^ris ✗ answers, but refuses since/);
    status = 204;
    assert.equal((await get(gateway, '/modality-scheduled-procedure-steps')).status, 204);
    await says(page, '#verdict', /^Everything answers\.$/);
  });
});

describe('a backend that takes connections and says nothing', () => {
  test('is told of within five seconds on the page and by /readyz, too', async () => {
    const pacs = await startMppsScp(house);
    let silent = false; // as behind a cable that was pulled: what is sent is lost
    const wire = net.createServer((socket) => {
      const on = net.connect(pacs.port, '127.0.0.1');
      for (const [from, to] of [[socket, on], [on, socket]]) {
        from.on('data', (data) => silent || to.write(data));
        from.on('error', () => to.destroy());
        from.on('close', () => silent || to.destroy());
        house.defer(() => from.destroy());
      }
    });
    wire.listen(0, '127.0.0.1');
    await once(wire, 'listening');
    house.defer(() => wire.close());
    const { port } = wire.address();
    const gateway = await startModgate(house, 'silent', {
      dimse: { mpps: 'pacs' }, admin: adminPort, 'backend pacs': { ...scp(port), acse_timeout_seconds: 5 },
    });
    const page = await open(gateway);
    await says(page, '#verdict', /^Everything answers\.$/);
    silent = true;
    await Promise.all([
      says(page, '#verdict', /^Something does not work\.pacs does not answer since /, 5000),
      until(5000, '/readyz', async () => (await fetch(address(gateway, '/readyz'))).status === 503),
    ]);
    silent = false;
    await says(page, '#verdict', /^Everything answers\.$/);
  });
});

/// A gateway in whose queue messages are held: their receiver refuses what the test says.
async function startHeld(name, count, admin = {}) {
  const pacs = await startMppsScp(house);
  pacs.register.answer = () => 0x0106;
  const gateway = await startModgate(house, name, {
    web: { mpps: 'pacs', mpps_delivery: 'queued' }, admin: { ...adminPort, ...admin }, 'backend pacs': scp(pacs.port),
  });
  for (let i = 0; i < count; i++) assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
  await until(10000, 'all to be held', async () => (await list(gateway)).filter(([, state]) => state === 'held').length === count);
  return { gateway, pacs };
}
/// What "modgate queue list" shows: [[message, state], …].
async function list({ configuration }, ...words) {
  const { stdout } = await house.run(modgateBinary, ['queue', 'list', '--config', configuration, ...words]);
  return stdout.trimEnd().split('\n').slice(1).map((line) => line.trim().split(/ +/)).map(([message, , state]) => [message, state]);
}
const focused = (page) => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
/// Presses Tab until that has the focus.
async function tabTo(page, name) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    if ((await focused(page)) === name) return;
  }
  assert.fail(`Tab never came to "${name}"`);
}

describe('held MPPS', () => {
  test('by keyboard only: retry delivers, discard asks first and can be left, and the log says who did it', async () => {
    const users = house.newPath('.htpasswd');
    const hash = spawnSync('python3', ['-c', 'import crypt; print(crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))'], { encoding: 'utf8' }).stdout.trim();
    fs.writeFileSync(users, `nurse:${hash}\n`);
    const { gateway, pacs } = await startHeld('held', 2, { users });
    const page = await open(gateway, { httpCredentials: { username: 'nurse', password: 'secret' } });
    await says(page, '#verdict', /It works, but needs a look\.2 MPPS messages are held: a person has to decide/);
    await says(page, '#queue', /pacs: 2 not delivered, 2 of them held; the oldest is \d+ s old/);
    await says(page, '#queue', /Held: .+ \(0106\)/);
    await page.screenshot({ path: `${screenshots}/status-page-held.png`, fullPage: true });

    await tabTo(page, 'Discard message 1 for pacs');
    await page.keyboard.press('Enter');
    assert.equal(await page.getByRole('dialog', { name: 'Discard message 1 for pacs?' }).isVisible(), true);
    assert.match(await page.locator('#sure-text').textContent(), /^pacs will never get it: .*Later messages of the step are judged as if it had arrived\.$/);
    assert.equal(await focused(page), 'Keep it'); // Enter pressed twice by mistake loses nothing
    assert.deepEqual(await barriers(page), []);
    await page.screenshot({ path: `${screenshots}/status-page-discard.png` });
    await page.keyboard.press('Escape');
    assert.equal(await page.getByRole('dialog').isVisible(), false);
    assert.equal(await focused(page), 'Discard message 1 for pacs');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter'); // Keep it
    assert.equal(await page.getByRole('dialog').isVisible(), false);
    assert.deepEqual(await list(gateway), [['1', 'held'], ['2', 'held']]);

    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), 'Discard it for good');
    await page.keyboard.press('Enter');
    await says(page, '#said', /^Message 1 for pacs is discarded$/);
    assert.equal(await focused(page), 'MPPS queue');
    assert.deepEqual(await list(gateway), [['2', 'held']]);
    assert.deepEqual(await list(gateway, '--state', 'discarded'), [['1', 'discarded']]);

    pacs.register.answer = () => undefined;
    await tabTo(page, 'Retry message 2 for pacs');
    await page.keyboard.press('Space');
    await says(page, '#said', /^Message 2 for pacs is tried again now$/);
    await until(10000, 'the delivery', async () => (await list(gateway)).length === 0);
    await says(page, '#verdict', /^Everything answers\.$/);
    await says(page, '#queue', /Empty: everything is delivered\./);
    const lines = gateway.log().split('\n').filter((line) => / admin: /.test(line)).map((line) => line.replace(/^\S+ /, ''));
    assert.deepEqual(lines, [
      'warning admin: user="nurse" address=127.0.0.1 discard message=1 receiver=pacs: done',
      'info admin: user="nurse" address=127.0.0.1 retry message=2 receiver=pacs: done',
    ]);
    assert.deepEqual(page.faults, []);
  });

  test('who has the focus in the queue keeps it while the page goes on, and sees how many there are', async () => {
    const { gateway } = await startHeld('many', 102);
    const page = await open(gateway);
    await says(page, '#verdict', /102 MPPS messages are held/);
    const buttons = page.locator('#queue').getByRole('button', { name: /^Discard message/ });
    assert.equal(await buttons.count(), 5); // what stands below stays near
    await tabTo(page, 'Discard message 1 for pacs');
    const depth = () => page.locator('#queue').getByText(/the oldest is/).textContent();
    for (let i = 0; i < 2; i++) {
      const before = await depth();
      await until(10000, 'another age of the oldest', async () => (await depth()) !== before);
      assert.equal(await focused(page), 'Discard message 1 for pacs');
    }
    await tabTo(page, 'Show all 100');
    assert.deepEqual(await barriers(page), []);
    await page.keyboard.press('Enter');
    assert.equal(await buttons.count(), 100);
    assert.equal(await focused(page), 'Show the first 5 only');
    await says(page, '#queue', /The oldest 100 of 102: “modgate queue list --state held” lists them\./);
    await page.keyboard.press('Enter');
    assert.equal(await buttons.count(), 5);
    assert.equal(await focused(page), 'Show all 100');
  });

  test('who is asked whether he is sure comes back to where he was, whatever was drawn meanwhile', async () => {
    const { gateway } = await startHeld('sure', 1);
    const page = await open(gateway);
    await says(page, '#queue', /Held: /);
    await tabTo(page, 'Discard message 1 for pacs');
    await page.keyboard.press('Enter');
    assert.equal(await focused(page), 'Keep it');
    assert.equal((await post(gateway, target(newUid()), begunInJson())).status, 201);
    await says(page, '#queue', /message 2 for pacs/);
    assert.equal(await focused(page), 'Keep it');
    await page.keyboard.press('Escape');
    await until(5000, 'the focus to be back', async () => (await focused(page)) === 'Discard message 1 for pacs');
  });

  test('what somebody else has settled meanwhile is told, not done twice; what is no message is refused', async () => {
    const { gateway } = await startHeld('settled', 1);
    const { token } = await (await fetch(address(gateway, '/status'))).json();
    const act = async (verb, body) => {
      const answer = await fetch(address(gateway, `/queue/${verb}`), {
        method: 'POST', body, headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-page-token': token },
      });
      return [answer.status, (await answer.json()).says];
    };
    assert.deepEqual(await act('discard', 'message=1&receiver=pacs'), [200, 'Message 1 for pacs is discarded']);
    assert.deepEqual(await act('discard', 'message=1&receiver=pacs'), [409, 'Message 1 for pacs is discarded and cannot be discarded']);
    assert.deepEqual(await act('retry', 'message=1&receiver=pacs'), [409, 'Message 1 for pacs is discarded and cannot be tried again']);
    assert.equal((await act('retry', 'message=7&receiver=pacs'))[0], 404);
    assert.equal((await act('retry', 'message=1&receiver=evil%0Aline'))[0], 404);
    for (const body of ['', 'message=1', 'receiver=pacs', 'message=x&receiver=pacs', 'message=1&message=2&receiver=pacs', 'message=1&receiver=%zz', 'message=1&receiver=pacs&more=1']) {
      assert.equal((await act('retry', body))[0], 400, body);
    }
    assert.doesNotMatch(gateway.log(), /evil/);
  });

  test('phone width and dark: nothing to scroll sideways, everything stands out, both ways of colour', async () => {
    const { gateway } = await startHeld('phone', 1);
    assert.ok((await get(gateway, '/modality-performed-procedure-steps/1.2.3')).status >= 400);
    const page = await open(gateway, { viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
    await says(page, '#verdict', /1 MPPS message is held/);
    await says(page, '#recent', /create/);
    assert.equal(await tooWide(page), 0);
    assert.deepEqual(await faintTexts(page), []);
    assert.deepEqual(await barriers(page), []);
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.screenshot({ path: `${screenshots}/status-page-phone-dark.png`, fullPage: true });
    await page.getByRole('button', { name: 'Discard message 1 for pacs' }).click();
    assert.equal(await tooWide(page), 0);
    assert.deepEqual(await faintTexts(page), []);
    await page.keyboard.press('Escape');
    await page.emulateMedia({ colorScheme: 'light' });
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), dark);
    assert.deepEqual(await faintTexts(page), []);
    await page.setViewportSize({ width: 1100, height: 900 });
    assert.equal(await tooWide(page), 0);
  });
});

describe('somebody else\'s page', () => {
  test('in the same browser cannot act on the queue, read the token or put the page into a frame', async () => {
    const { gateway } = await startHeld('forged', 2);
    const requests = []; // what reached the port, told by the browser
    const url = (verb) => address(gateway, `/queue/${verb}`);
    const evil = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html>
      <form id="form" method="post" action="${url('discard')}" target="there"><input name="message" value="1"><input name="receiver" value="pacs"></form>
      <form id="text" method="post" enctype="text/plain" action="${url('discard')}" target="there"><input name="message" value="1&receiver=pacs"></form>
      <form id="get" action="${url('discard')}" target="there"><input name="message" value="1"><input name="receiver" value="pacs"></form>
      <iframe name="there"></iframe><iframe id="frame"></iframe>`));
    evil.listen(0, '127.0.0.1');
    await once(evil, 'listening');
    house.defer(() => { evil.closeAllConnections(); evil.close(); });

    const page = await (await browser.newContext()).newPage();
    const told = []; // by the browser, of what it refused
    page.on('console', (message) => told.push(message.text()));
    let shown = 0; // what the frame was asked to show; a form that is sent before that may be dropped
    page.on('framenavigated', (frame) => { if (frame.name() === 'there') shown += 1; });
    page.on('response', (response) => response.url().startsWith(url('')) && requests.push([response.request().method(), response.status()]));
    for (const site of ['127.0.0.1', 'localhost']) {
      await page.goto(`http://${site}:${evil.address().port}/`);
      for (const [form, expected] of [['form', ['POST', 403]], ['text', ['POST', 403]], ['get', ['GET', 405]]]) {
        const seen = requests.length;
        const before = shown;
        await page.evaluate((id) => document.getElementById(id).submit(), form);
        await until(5000, () => `an answer to ${form}`, () => requests.length > seen && shown > before);
        assert.deepEqual(requests.at(-1), expected, form);
      }
      const fetched = await page.evaluate(async ([discard, status]) => {
        const attempts = {
          simple: [discard, { method: 'POST', mode: 'no-cors', body: new URLSearchParams({ message: 1, receiver: 'pacs' }) }],
          withToken: [discard, { method: 'POST', headers: { 'X-Page-Token': '0'.repeat(64) }, body: new URLSearchParams({ message: 1, receiver: 'pacs' }) }],
          read: [status, {}],
        };
        const results = {};
        for (const [name, [to, options]] of Object.entries(attempts)) {
          results[name] = await fetch(to, { ...options, credentials: 'include' }).then((answer) => answer.type, () => 'refused');
        }
        return results;
      }, [url('discard'), address(gateway, '/status')]);
      assert.deepEqual(fetched, { simple: 'opaque', withToken: 'refused', read: 'refused' });
      await page.evaluate((to) => { document.getElementById('frame').src = to; }, address(gateway));
      await until(5000, () => `the frame to be refused: ${told}`, () => told.some((text) => /frame-ancestors 'none'/.test(text)));
      told.length = 0;
    }
    assert.ok(requests.length >= 8, JSON.stringify(requests));
    assert.deepEqual(await list(gateway), [['1', 'held'], ['2', 'held']]);
  });

  test('requests without the token, with another, of another Origin or Host, or by GET change nothing', async () => {
    const { gateway } = await startHeld('tokens', 1);
    const { token } = await (await fetch(address(gateway, '/status'))).json();
    const form = 'application/x-www-form-urlencoded';
    const act = (headers, method = 'POST', path = '/queue/discard') => new Promise((resolve, reject) => {
      const call = http.request({ ...gateway.admin, path, method, agent: false, headers: { 'content-type': form, ...headers } }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      call.on('error', reject).end(method === 'POST' ? 'message=1&receiver=pacs' : undefined);
    });
    const own = `http://127.0.0.1:${gateway.admin.port}`;
    for (const [headers, status] of [
      [{}, 403], [{ 'x-page-token': '' }, 403], [{ 'x-page-token': '0'.repeat(64) }, 403], [{ 'x-page-token': token.slice(1) }, 403],
      [{ 'x-page-token': token, origin: 'https://evil.example' }, 403], [{ 'x-page-token': token, origin: 'null' }, 403],
      [{ 'x-page-token': token, origin: own, 'sec-fetch-site': 'cross-site' }, 403],
      [{ 'x-page-token': token, host: 'evil.example' }, 421], [{ 'x-page-token': token, host: `evil.example:${gateway.admin.port}`, origin: `http://evil.example:${gateway.admin.port}` }, 421],
      [{ 'x-page-token': token, 'content-type': 'text/plain' }, 415],
    ]) assert.equal(await act(headers), status, JSON.stringify(headers));
    assert.equal(await act({ 'x-page-token': token }, 'GET', '/queue/discard?message=1&receiver=pacs'), 405);
    assert.deepEqual(await list(gateway), [['1', 'held']]);
    assert.equal(await act({ 'x-page-token': token, origin: own, 'sec-fetch-site': 'same-origin' }), 200);
    assert.deepEqual(await list(gateway), []);
    assert.ok(!gateway.log().includes(token));
  });
});
