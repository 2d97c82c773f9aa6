// The page itself. Text from outside is only ever set as text, never as HTML.
#include "gateway/admin_page.h"

namespace gateway {

const std::string_view admin_page = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'">
<title>modgate</title>
<style>
:root { color-scheme: light dark; --good: #1a7f37; --bad: #c62828; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --good: #57c878; --bad: #ff8a80; } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.5rem 0 .3rem; }
#verdict { font-size: 1.15rem; font-weight: 600; padding: .6rem .8rem; margin: .8rem 0; border-left: .4rem solid; }
.good { color: var(--good); }
.bad { color: var(--bad); }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: .35rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
li b { display: inline-block; min-width: 5.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .5rem; border-top: 1px solid var(--line); font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: 4rem; border: 1px solid var(--line); }
polyline { fill: none; stroke: currentColor; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
footer { margin-top: 2rem; font-size: .85rem; }
</style>
</head>
<body>
<h1>modgate</h1>
<p id="verdict" role="status" aria-live="polite">asking …</p>
<main>
<h2>Fronts and services</h2>
<ul id="services"></ul>
<h2>Transactions</h2>
<div class="wide" tabindex="0" role="region" aria-label="Transactions">
<table id="transactions"><thead><tr><th scope="col">from, to, what</th><th scope="col">since start</th><th scope="col">failed</th><th scope="col">a minute</th><th scope="col">ms each</th></tr></thead><tbody></tbody></table>
</div>
<div class="charts">
<figure><svg id="rate" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="Transactions a minute"><polyline/></svg><figcaption>a minute: <span id="rate-now">–</span></figcaption></figure>
<figure><svg id="latency" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="Milliseconds each"><polyline/></svg><figcaption>ms each: <span id="latency-now">–</span></figcaption></figure>
</div>
<section id="queue-section" hidden>
<h2>MPPS queue</h2>
<ul id="queue"></ul>
<p>To retry or discard messages: <code>modgate queue --help</code></p>
</section>
</main>
<footer><a href="readyz">/readyz</a> <a href="metrics">/metrics</a> <span id="when"></span></footer>
<script>
'use strict';
const byId = (id) => document.getElementById(id);
const make = (tag, text, style) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (style) element.className = style;
  return element;
};
// What to try, by what the cause says.
const advice = [
  [/refused/i, 'Is the program started there? Do host and port fit?'],
  [/unknown host/i, 'Correct the host name, or look at the name server.'],
  [/timed out|in time/i, 'Is the machine on? Is a firewall in the way?'],
  [/AE title/i, 'Correct ae_title, or make calling_ae_title known there.'],
  [/certificate|TLS|handshake/i, 'Look at tls_trusted, and at the certificate there.'],
];
// name{label="value",…} number → { name, labels, value }
function read(text) {
  const samples = [];
  for (const line of text.split('\n')) {
    const match = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] || '').matchAll(/([a-z]+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value.replace(/\\(.)/g, '$1');
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return samples;
}
const routeOf = ({ front, backend, operation }) => `${front} → ${backend}: ${operation}`;
function routes(samples) {
  const found = new Map();
  for (const { name, labels, value } of samples) {
    const key = routeOf(labels);
    const add = (field) => {
      if (!found.has(key)) found.set(key, { count: 0, failed: 0, seconds: 0 });
      found.get(key)[field] += value;
    };
    if (name === 'modgate_transactions_total' && labels.status === 'failure') add('failed');
    if (name === 'modgate_transaction_duration_seconds_count') add('count');
    if (name === 'modgate_transaction_duration_seconds_sum') add('seconds');
  }
  return found;
}
const shown = (number) => (number === undefined || !isFinite(number) ? '–' : number < 10 ? number.toFixed(1) : Math.round(number).toString());
function draw(id, values) {
  const most = Math.max(1, ...values);
  byId(id).firstElementChild.setAttribute('points', values.map((value, i) => `${(i * 100) / 59},${98 - (value * 96) / most}`).join(' '));
}
const rates = [], latencies = [];
let before;
function showReadiness(text) {
  const [, ...lines] = text.trimEnd().split('\n');
  byId('services').replaceChildren(...lines.map((line) => {
    const [, name, state, what] = line.match(/^(.*?): (ready|not ready): (.*)$/) || ['', line, 'not ready', ''];
    const item = make('li', '');
    const good = state === 'ready';
    item.append(make('b', good ? '✓ ready' : '✗ DOWN', good ? 'good' : 'bad'), ` ${name}: ${what}`);
    const hint = / does not answer/.test(what) && advice.find(([cause]) => cause.test(what));
    if (hint) item.append(make('div', `→ ${hint[1]} “modgate probe” says more.`));
    return item;
  }));
}
function showTransactions(samples) {
  const now = { at: performance.now(), routes: routes(samples) };
  const minutes = before && (now.at - before.at) / 60000;
  let count = 0, seconds = 0;
  byId('transactions').tBodies[0].replaceChildren(...[...now.routes].filter(([, route]) => route.count > 0).map(([key, route]) => {
    const past = (before && before.routes.get(key)) || { count: 0, seconds: 0 };
    const grown = before ? route.count - past.count : 0;
    count += grown;
    seconds += before ? route.seconds - past.seconds : 0;
    const row = make('tr', '');
    row.append(make('td', key), make('td', String(route.count)), make('td', String(route.failed), route.failed ? 'bad' : ''),
      make('td', before ? shown(grown / minutes) : '–'), make('td', shown((route.seconds / route.count) * 1000)));
    return row;
  }));
  if (before) {
    rates.push(count / minutes);
    latencies.push(count ? (seconds / count) * 1000 : 0);
    if (rates.length > 60) { rates.shift(); latencies.shift(); }
    draw('rate', rates);
    draw('latency', latencies);
    byId('rate-now').textContent = shown(rates.at(-1));
    byId('latency-now').textContent = count ? shown(latencies.at(-1)) : '–';
  }
  before = now;
}
function showQueue(samples) {
  byId('queue-section').hidden = !samples.some(({ name }) => name === 'modgate_queue_readable');
  const of = (name, receiver) => (samples.find((one) => one.name === name && one.labels.receiver === receiver) || {}).value || 0;
  const receivers = samples.filter(({ name }) => name === 'modgate_queue_messages');
  byId('queue').replaceChildren(...receivers.map(({ labels: { receiver }, value }) => {
    const held = of('modgate_queue_held', receiver);
    return make('li', `${receiver}: ${value} open, ${held} held, the oldest ${Math.round(of('modgate_queue_oldest_age_seconds', receiver))} s old`, held ? 'bad' : '');
  }), ...(receivers.length ? [] : [make('li', 'empty')]));
}
async function look() {
  const verdict = byId('verdict');
  try {
    const [ready, metrics] = await Promise.all(['readyz', 'metrics'].map((path) => fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(4000) })));
    const samples = read(await metrics.text());
    showReadiness(await ready.text());
    showTransactions(samples);
    showQueue(samples);
    verdict.textContent = ready.ok ? 'Everything answers.' : 'Something does not answer: see below.';
    verdict.className = ready.ok ? 'good' : 'bad';
    byId('when').textContent = `as of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    verdict.textContent = 'The gateway does not answer. Is modgate running?';
    verdict.className = 'bad';
  }
  setTimeout(look, 2000);
}
look();
</script>
</body>
</html>
)page";

}  // namespace gateway
