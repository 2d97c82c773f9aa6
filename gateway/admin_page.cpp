// The page itself. Text from outside is only ever set as text, never as HTML.
#include "gateway/admin_page.h"

namespace gateway {

const std::string_view admin_page = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>modgate</title>
<style>
:root { color-scheme: light dark; --back: #ffffff; --text: #1b1f24; --soft: #59636e; --good: #176b33; --bad: #b3261e; --care: #7a4b00; --line: #8888; --card: #f4f5f7; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --text: #e8eaed; --soft: #a3adb8; --good: #6bd58a; --bad: #ff9a90; --care: #ffc266; --line: #8888; --card: #1f2428; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 64rem; background: var(--back); color: var(--text); overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
h2:focus { outline: none; }
:focus-visible { outline: 3px solid var(--good); outline-offset: 2px; }
a { color: inherit; }
.verdict { padding: .6rem .9rem; margin: .8rem 0; border-left: .4rem solid; background: var(--card); }
.verdict strong { font-size: 1.2rem; }
.verdict ul { margin: .3rem 0 0; padding: 0 0 0 1.2rem; color: var(--text); }
.good { color: var(--good); } .bad { color: var(--bad); } .care { color: var(--care); } .soft { color: var(--soft); }
.picture { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: .6rem 1.6rem; align-items: start; }
.picture h3 { font-size: .9rem; margin: 0; color: var(--soft); font-weight: 600; }
.cards { list-style: none; margin: .3rem 0 0; padding: 0; display: grid; gap: .5rem; }
.cards > li { background: var(--card); border-left: .3rem solid var(--line); padding: .5rem .7rem; }
.cards > li.good { border-color: var(--good); color: inherit; } .cards > li.bad { border-color: var(--bad); color: inherit; } .cards > li.care { border-color: var(--care); color: inherit; }
.cards p, #depths p { margin: .15rem 0 0; }
ul.lines { list-style: none; margin: .5rem 0 0; padding: 0 0 0 .7rem; }
.more { margin: .5rem 0 0; } .brief { white-space: nowrap; } #said:empty { display: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--card); padding: .6rem .7rem; }
figcaption { font-size: .9rem; }
svg { display: block; width: 100%; height: 5rem; margin-bottom: .3rem; }
svg rect { fill: var(--soft); } svg rect.bad { fill: var(--bad); } svg path { fill: none; stroke: var(--line); vector-effect: non-scaling-stroke; }
table { border-collapse: collapse; width: 100%; }
th { color: var(--soft); font-size: .85rem; font-weight: 600; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line); vertical-align: top; font-variant-numeric: tabular-nums; }
button { font: inherit; color: inherit; background: var(--back); border: 1px solid; border-radius: .3rem; padding: .35rem .8rem; min-height: 2.2rem; cursor: pointer; }
button.bad { color: var(--bad); }
.buttons { display: flex; gap: .6rem; margin-top: .4rem; flex-wrap: wrap; }
dialog { max-width: 30rem; width: calc(100% - 2rem); border: 2px solid var(--bad); background: var(--back); color: var(--text); }
dialog::backdrop { background: #000a; }
footer { margin-top: 2rem; font-size: .9rem; color: var(--soft); }
@media (max-width: 40rem) {
  .picture { grid-template-columns: minmax(0, 1fr); }
  table, tbody, tr { display: block; } thead { display: none; }
  tr { border-top: 1px solid var(--line); padding: .35rem 0; } td { display: inline-block; border: 0; padding: 0 .8rem 0 0; }
  td[data-of]::before { content: attr(data-of) " "; color: var(--soft); font-size: .85rem; }
}
</style>
</head>
<body>
<header><h1>modgate</h1></header>
<div id="verdict" class="verdict" role="status"><strong>asking …</strong></div>
<p id="said" role="status"></p>
<main>
<section id="queue-section" hidden>
<h2 id="queue-title" tabindex="-1">MPPS queue</h2>
<div id="queue"><div id="depths"></div><p id="held-means" class="soft" hidden>What is held is not tried again by itself. Mend the cause and retry it; what is discarded never gets there. “modgate queue show” tells all of one.</p><ul id="held" class="cards"></ul><div id="held-more"></div></div>
</section>
<section>
<h2>Who asks, who answers</h2>
<div class="picture">
<div><h3>Fronts: modalities and web clients come in here</h3><ul id="fronts" class="cards"></ul><ul id="services" class="lines"></ul><div id="services-more"></div></div>
<div><h3>Backends: these answer them</h3><ul id="backends" class="cards"></ul></div>
</div>
</section>
<section>
<h2>The last hour</h2>
<div class="charts">
<figure><svg id="rate" viewBox="0 0 60 20" preserveAspectRatio="none" role="img" aria-labelledby="rate-text"></svg><figcaption id="rate-text"></figcaption></figure>
<figure><svg id="latency" viewBox="0 0 60 20" preserveAspectRatio="none" role="img" aria-labelledby="latency-text"></svg><figcaption id="latency-text"></figcaption></figure>
</div>
</section>
<section>
<h2>Last transactions</h2>
<table id="recent"><thead><tr><th scope="col">time</th><th scope="col">what</th><th scope="col">asked by</th><th scope="col">result</th><th scope="col">ms</th></tr></thead><tbody></tbody></table>
<div id="recent-more"></div>
</section>
<section>
<h2>Since the start</h2>
<table id="routes"><thead><tr><th scope="col">what</th><th scope="col">all</th><th scope="col">failed</th><th scope="col">a minute now</th><th scope="col">ms each</th></tr></thead><tbody></tbody></table>
</section>
</main>
<dialog id="sure" aria-labelledby="sure-title" aria-describedby="sure-text">
<h2 id="sure-title"></h2>
<p id="sure-text"></p>
<div class="buttons"><button id="keep" type="button">Keep it</button><button id="discard" type="button" class="bad">Discard it for good</button></div>
</dialog>
<footer><p><a href="readyz">/readyz</a> · <a href="metrics">/metrics</a> · <span id="when"></span></p></footer>
<script>
'use strict';
const byId = (id) => document.getElementById(id);
const make = (tag, text, style, ...parts) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (style) element.className = style;
  element.append(...parts);
  return element;
};
const time = (at) => new Date(at).toLocaleTimeString([], { hour12: false });
const moment = (at) => (Date.now() - at < 20 * 3600e3 ? '' : `${new Date(at).toLocaleDateString()} `) + time(at);
const age = (seconds) => (seconds < 180 ? `${Math.round(seconds)} s` : seconds < 10800 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`);
const shown = (number) => (number === undefined || !isFinite(number) ? '–' : number < 10 ? number.toFixed(1) : String(Math.round(number)));
const cell = (text, of, style) => { const td = make('td', text, style); td.dataset.of = of; return td; };
const plural = (count, one, more) => `${count} ${count === 1 ? one : more}`;
// What is drawn anew only when it has changed: a person may be reading it, or have the focus in it.
const drawn = new Map();
function changed(name, value) {
  const text = JSON.stringify(value);
  if (drawn.get(name) === text) return false;
  drawn.set(name, text);
  return true;
}
// Text may be marked for copying, and the focus is somewhere: it stays there, or goes to that instead.
function redraw(element, parts, instead) {
  const { key } = element.contains(document.activeElement) ? document.activeElement.dataset : {};
  element.replaceChildren(...parts);
  if (key) (element.querySelector(`[data-key="${CSS.escape(key)}"]`) || instead || document.body).focus();
}
const whole = new Set(); // the lists that are shown to their end
const lists = { services: showServices, held: showQueue, recent: showRecent };
// The first of a long list, and under it the button for the others.
function few(name, list, most, note) {
  const all = whole.has(name);
  const button = make('button', all ? `Show the first ${most} only` : `Show all ${list.length}`, '');
  button.type = 'button';
  button.dataset.key = name;
  button.setAttribute('aria-expanded', all);
  button.onclick = () => { all ? whole.delete(name) : whole.add(name); drawn.delete(name); lists[name](last); };
  redraw(byId(`${name}-more`), list.length > most ? [make('p', '', 'more', button, note ? ` ${note}` : '')] : []);
  return all ? list : list.slice(0, most);
}
let token = '', last, counted, asked; // last: what is shown; counted: by the routes, when it was asked before

function showVerdict({ stopping, services, backends, refusals, queue }) {
  const held = queue ? queue.receivers.reduce((sum, receiver) => sum + receiver.held, 0) : 0;
  const down = backends.filter(({ state }) => state === 'down');
  const named = (those) => those.slice(0, 6).map(({ name }) => name).join(', ') + (those.length > 6 ? ` and ${those.length - 6} more` : '');
  const points = down.map(({ name, fault, since }) => {
    const hit = services.filter((service) => service.backends.includes(name));
    const kept = hit.filter(({ queued }) => queued.includes(name)), refused = hit.filter((one) => !kept.includes(one) && !one.works);
    const without = hit.filter((one) => !kept.includes(one) && one.works);
    return [refused.length ? 0 : 2, name, ` does not answer since ${moment(since)}: ${fault.why}. ${fault.try}`, refused.length && `Refused now: ${named(refused)}.`,
      kept.length && `Kept in the queue until it answers: ${named(kept)}.`, without.length && `Answered without it: ${named(without)}.`];
  });
  const disk = 'Is the disk of state_dir full, or broken?';
  if (queue && queue.fault) points.push([0, '', `The MPPS queue cannot be read: ${queue.fault}.`, disk]);
  if (queue && queue.write_fault) points.push([0, '', `The MPPS queue cannot be written, so that MPPS are refused: ${queue.write_fault}.`, disk]);
  for (const one of refusals) {
    if (down.some(({ name }) => name === one.backend)) continue;
    points.push([1, one.backend, ` answers, but refused the last ${one.operation}, of ${one.caller || one.address} at ${moment(one.at)}: ${one.words} (${one.status}). ${one.try}`]);
  }
  if (held) points.push([1, '', `${plural(held, 'MPPS message is', 'MPPS messages are')} held: a person has to decide, below.`]);
  points.sort(([one], [other]) => one - other);
  const bad = stopping || points.some(([rank]) => rank === 0) || services.some(({ works }) => !works);
  const waiting = backends.some(({ state }) => state === 'unknown');
  if (!changed('verdict', [bad, waiting, stopping, points])) return;
  const verdict = byId('verdict');
  verdict.className = `verdict ${bad ? 'bad' : points.length || waiting ? 'care' : 'good'}`;
  const headline = stopping ? 'The gateway is stopping.' : points.length ? (bad ? 'Something does not work.' : 'It works, but needs a look.') : bad || waiting ? 'Not everything has answered yet.' : 'Everything answers.';
  verdict.replaceChildren(make('strong', headline));
  if (points.length) verdict.append(make('ul', '', '', ...points.map(([, name, ...lines]) => make('li', '', '', name && make('b', name), lines.filter(Boolean).join(' ')))));
}
function showFronts({ fronts, services }) {
  if (!changed('fronts', [fronts, services])) return;
  byId('fronts').replaceChildren(...fronts.map(({ name, address, in_use, refused }) => {
    const what = name === 'dimse' ? ['association', 'associations'] : ['connection', 'connections'];
    const own = services.filter((one) => one.name.startsWith(`${name} `) || (name === 'dimse' && one.name.startsWith('modality ')));
    return make('li', '', own.every(({ works }) => works) ? 'good' : 'bad', make('b', `${name} front`), ` ${address}`, make('p', `${plural(in_use, ...what)} open, ${refused} refused since the start`));
  }));
}
function showServices({ services }) {
  if (!changed('services', services)) return;
  const sorted = [...services].sort((one, other) => one.works - other.works);
  redraw(byId('services'), few('services', sorted, 8).map(({ name, works, backends }) =>
    make('li', '', '', make('span', works ? '✓' : '✗', works ? 'good' : 'bad'), ` ${name} → ${backends.join(', ')}`)));
}
function showBackends({ backends, refusals }) {
  const refusing = refusals.map(({ backend }) => backend);
  const all = backends.map((one) => (one.state === 'up' && refusing.includes(one.name) ? { ...one, state: 'refuses' } : one));
  if (!changed('backends', all)) return;
  const words = { refuses: ['✗ answers, but refuses', 'care'], up: ['✓ answers', 'good'], own: ['✓ part of this gateway', 'good'], down: ['✗ DOWN', 'bad'], unknown: ['… not asked yet', 'care'] };
  const order = ['down', 'refuses', 'unknown', 'up', 'own'];
  const sorted = all.sort((one, other) => order.indexOf(one.state) - order.indexOf(other.state));
  byId('backends').replaceChildren(...sorted.map(({ name, state, since, fault, failure }) => {
    const [word, style] = words[state];
    const item = make('li', '', style, make('b', name), ' ', make('span', word, style));
    if (state === 'up' || state === 'refuses') item.append(make('span', ` since ${moment(since)}`, 'soft'));
    if (fault) item.append(make('p', `${state === 'down' ? `since ${moment(since)}` : `Last outage ${moment(fault.at)}`}: ${fault.why}`, state === 'down' ? 'bad' : 'soft'));
    if (fault && state === 'down') item.append(make('p', `→ ${fault.try} “modgate probe” says more.`));
    if (failure) item.append(make('p', `Last failure ${moment(failure.at)}: ${failure.operation} by ${failure.caller || failure.address}: ${failure.words} (${failure.status})`, 'soft'));
    if (failure && !(state === 'down' && failure.try === fault.try)) item.append(make('p', `→ ${failure.try}`, 'soft'));
    return item;
  }));
}
function chart(id, values, bad) {
  const most = Math.max(1e-9, ...values);
  const bar = (x, value, style) => {
    const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    const height = Math.max(value > 0 ? 0.6 : 0, (value * 19) / most);
    for (const [key, number] of Object.entries({ x: x + 0.1, y: 20 - height, width: 0.8, height })) rect.setAttribute(key, number);
    if (style) rect.setAttribute('class', style);
    return rect;
  };
  byId(id).replaceChildren(...values.map((value, x) => bar(x, value)), ...bad.map((value, x) => bar(x, value, 'bad')));
}
function showHour({ minutes }) {
  if (!changed('hour', minutes)) return;
  const counts = minutes.map(([count]) => count), failed = minutes.map((minute) => minute[1]), means = minutes.map((minute) => minute[2]);
  const all = counts.reduce((a, b) => a + b, 0), bad = failed.reduce((a, b) => a + b, 0);
  chart('rate', counts, failed);
  chart('latency', means, []);
  byId('rate-text').textContent = `Transactions a minute: ${counts[58]} in the last whole minute, at most ${Math.max(...counts)}; ${all} in the hour, ${bad} of them failed.`;
  const weighed = minutes.reduce((sum, [count, , mean]) => sum + count * mean, 0) / all;
  byId('latency-text').textContent = `Milliseconds each: ${shown(weighed)} on average, the slowest ${shown(Math.max(...minutes.map((minute) => minute[3])))}.`;
}
function showRecent({ recent }) {
  if (!changed('recent', recent)) return;
  const rows = few('recent', recent, 20).map((one) => make('tr', '', '',
    cell(moment(one.at), '', 'brief'), cell(`${one.operation} ${one.front} → ${one.backend}`, ''), cell(`${one.caller} ${one.address}`.trim(), 'by'),
    cell(one.failed ? `✗ ${one.words} (${one.status})` : `✓ ${one.words}`, '', one.failed ? 'bad' : ''), cell(shown(one.ms), 'ms', 'brief')));
  byId('recent').tBodies[0].replaceChildren(...(rows.length ? rows : [make('tr', '', '', make('td', 'none since the start'))]));
}
function showRoutes({ routes, now }) {
  const rows = routes.map(({ front, backend, operation, count, failed, seconds }) => {
    const what = `${front} → ${backend}: ${operation}`;
    const before = counted && counted.routes.get(what);
    const minute = counted ? shown((count - (before || 0)) / ((now - counted.now) / 60000)) : '–';
    return [what, count, failed, minute, shown((seconds / count) * 1000)];
  });
  counted = { now, routes: new Map(routes.map((one) => [`${one.front} → ${one.backend}: ${one.operation}`, one.count])) };
  if (!changed('routes', rows)) return;
  byId('routes').tBodies[0].replaceChildren(...rows.map(([what, count, failed, minute, each]) => make('tr', '', '', cell(what, ''),
    cell(String(count), 'all'), cell(String(failed), 'failed', failed ? 'bad' : ''), cell(minute, 'a minute now'), cell(each, 'ms each'))));
}
function showQueue({ queue, now }) {
  byId('queue-section').hidden = !queue;
  if (!queue) return;
  const depths = queue.fault ? [`It cannot be read: ${queue.fault}`] : queue.receivers.map(({ name, open, held, oldest }) => `${name}: ${open} not delivered${held ? `, ${held} of them held` : ''}${open ? `; the oldest is ${age((now - oldest) / 1000)} old` : ''}`);
  if (changed('depths', depths)) byId('depths').replaceChildren(...(depths.length ? depths : ['Empty: everything is delivered.']).map((line) => make('p', line)));
  const all = queue.receivers.reduce((sum, { held }) => sum + held, 0);
  if (!changed('held', [all, queue.held, Boolean(token)])) return;
  byId('held-means').hidden = all === 0;
  const note = all > queue.held.length ? `The oldest ${queue.held.length} of ${all}: “modgate queue list --state held” lists them.` : '';
  redraw(byId('held'), few('held', queue.held, 5, note).map((held) => {
    const name = `message ${held.message} for ${held.receiver}`;
    const button = (word, act, style) => {
      const element = make('button', word, style);
      element.type = 'button';
      element.dataset.key = `${word} ${name}`;
      element.setAttribute('aria-label', `${word} ${name}`);
      element.onclick = () => act(held, name);
      return element;
    };
    const item = make('li', '', 'bad', make('b', name), ` ${held.operation} of ${held.caller || 'a web client'}, accepted ${moment(held.accepted)}, ${plural(held.attempts, 'attempt', 'attempts')}`,
      make('p', `Held: ${held.reason} (${held.status})`, 'bad'));
    item.append(token ? make('div', '', 'buttons', button('Retry', (one) => act('retry', one)), button('Discard', ask, 'bad'))
      : make('p', 'This port is open to other machines and asks nobody who he is: set users in [admin], or use “modgate queue”.', 'soft'));
    return item;
  }), byId('queue-title'));
}
function say(text, bad) {
  const said = byId('said');
  said.className = bad ? 'bad' : 'good';
  said.textContent = text;
}
async function act(verb, { message, receiver }) {
  try {
    const answer = await fetch(`queue/${verb}`, { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'X-Page-Token': token }, body: `message=${message}&receiver=${encodeURIComponent(receiver)}`, signal: AbortSignal.timeout(15000) });
    const told = await answer.json();
    say(told.says || told.detail, !answer.ok);
  } catch (error) {
    say('The gateway did not answer: look again whether it was done.', true);
  }
  await look();
}
function ask(held, name) {
  asked = held;
  byId('sure-title').textContent = `Discard ${name}?`;
  byId('sure-text').textContent = `${held.receiver} will never get it: what it says of the step of ${held.caller || 'a web client'} is lost there. What waits behind it goes on. Later messages of the step are judged as if it had arrived.`;
  byId('sure').showModal();
  byId('keep').focus();
}
// What it was asked about may have been drawn anew meanwhile.
byId('sure').onclose = () => ((asked && byId('held').querySelector(`[data-key="${CSS.escape(`Discard message ${asked.message} for ${asked.receiver}`)}"]`)) || byId('queue-title')).focus();
byId('keep').onclick = () => byId('sure').close();
byId('discard').onclick = () => { const held = asked; asked = undefined; byId('sure').close(); act('discard', held); };
function show(now) {
  last = now;
  token = now.token;
  for (const part of [showVerdict, showQueue, showFronts, showServices, showBackends, showHour, showRecent, showRoutes]) part(now);
  byId('when').textContent = `as of ${time(now.now)}`;
}
async function look() {
  try {
    const answer = await fetch('status', { cache: 'no-store', signal: AbortSignal.timeout(4000) });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch (error) {
    if (!changed('verdict', String(error))) return;
    byId('verdict').className = 'verdict bad';
    byId('verdict').replaceChildren(make('strong', 'The gateway does not answer.'), make('ul', '', '', make('li', 'What stands below is old. Is modgate running? “systemctl status modgate”, “journalctl -u modgate”.')));
  }
}
(async () => { for (;;) { await look(); await new Promise((resolve) => setTimeout(resolve, 1000)); } })();
</script>
</body>
</html>
)page";

}  // namespace gateway
