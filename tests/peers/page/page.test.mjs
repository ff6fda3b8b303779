// The status page of rank 0 in headless Chromium, over a coordinator and two shards under mpirun with transfers going through: what it shows is what /status said, nothing is
// asked of anybody else, no error is logged, it can be read and used by everybody, and it survives the node's death.
import assert from 'node:assert/strict';
import {spawn, spawnSync} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readFileSync, rmSync, openSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {setTimeout as sleep} from 'node:timers/promises';

const {COHORT, COHORT_CHROMIUM, COHORT_PORT, COHORT_PAGE_DEPS, COHORT_PICTURES} = process.env;
const require = createRequire(join(COHORT_PAGE_DEPS, 'package.json'));
const {chromium} = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const port = Number(COHORT_PORT);
const clients = ['--client-listen', `tcp://127.0.0.1:${port}`, '--client-publish', `tcp://127.0.0.1:${port + 1}`];
const origin = `http://127.0.0.1:${port + 2}`;
const work = mkdtempSync(join(tmpdir(), 'cohort-page.'));
const world = ['bench', 'transfers', '--accounts', '5000', '--seed', '11'];
const SAMPLES = 15;

let job, load, browser;

async function start() {
  const log = openSync(join(work, 'node.log'), 'a');
  job = spawn('mpirun', ['-n', '3', COHORT, 'node', '--data', join(work, 'data'), '--genesis', join(work, 'genesis.json'), '--verify-every', '1',
    '--status-listen', `127.0.0.1:${port + 2}`, ...clients], {stdio: ['ignore', log, log]});
  for (;;) {
    assert.equal(job.exitCode, null, readFileSync(join(work, 'node.log'), 'utf8').slice(-2000));
    if (await fetch(origin + '/readyz').then(r => r.ok, () => false)) return;
    await sleep(50);
  }
}
async function stop() {
  if (!job || job.exitCode !== null) return;
  const ended = once(job, 'exit');
  job.kill('SIGUSR1');
  await ended;
}

before(async () => {
  const made = spawnSync(COHORT, [...world, '--write-genesis', join(work, 'genesis.json')]);
  assert.equal(made.status, 0, String(made.stderr));
  await start();
  const log = openSync(join(work, 'bench.log'), 'w');
  load = spawn(COHORT, [...world, '--count', '250000', '--window', '256', '--batch', '64', '--cross', '30', '--sign-threads', '1', ...clients], {stdio: ['ignore', log, log]});
  while ((await status()).totals.tx === 0) {
    assert.equal(load.exitCode, null, readFileSync(join(work, 'bench.log'), 'utf8').slice(-2000));
    await sleep(100);
  }
  browser = await chromium.launch({executablePath: COHORT_CHROMIUM, args: ['--no-sandbox', '--disable-gpu']});
});
after(async () => {
  await browser?.close();
  if (load?.exitCode === null) load.kill();
  await stop();
  rmSync(work, {recursive: true});
});

const status = async () => (await fetch(origin + '/status')).json();

/* A page, with all that goes on around it written down. */
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = {page, context, complaints: [], urls: [], answers: [], pending: []};
  page.on('console', m => { if (m.type() === 'error' || m.type() === 'warning') seen.complaints.push(m.text()); });
  page.on('pageerror', e => seen.complaints.push(e.message));
  page.on('request', r => seen.urls.push(r.url()));
  page.on('response', r => { if (new URL(r.url()).pathname === '/status') seen.pending.push(r.text().then(t => seen.answers.push(JSON.parse(t)), () => {})); });
  await page.goto(origin + '/');
  return seen;
}

/* All that is shown, at one moment. */
const look = page => page.evaluate(() => {
  const texts = e => [...e.children].map(c => c.textContent.trim());
  return {
    shown: Number(document.body.dataset.shown), state: document.getElementById('state').textContent, title: document.title,
    figures: Object.fromEntries([...document.querySelectorAll('[data-figure]')].map(e => [e.dataset.figure, e.closest('[hidden]') ? null : e.textContent])),
    ranks: [...document.querySelectorAll('#ranks tr')].map(texts), blocks: [...document.querySelectorAll('#blocks tr')].map(texts),
    totals: Object.fromEntries([...document.querySelectorAll('#totals > div')].map(texts)),
    lines: [...document.querySelectorAll('.card path.line')].map(p => p.getAttribute('d')), bars: [...document.querySelectorAll('.card path.bar')].map(p => p.getAttribute('d')),
    labels: [...document.querySelectorAll('.card svg')].map(s => s.getAttribute('aria-label')), alerts: document.getElementById('alerts').textContent,
    width: document.documentElement.scrollWidth, numerals: getComputedStyle(document.body).fontVariantNumeric, back: getComputedStyle(document.body).backgroundColor,
  };
});

/* The text is the number, as precisely as it is written, which is to three digits at least. */
function assertShows(text, value, what) {
  assert.ok(typeof value === 'number' && Number.isFinite(value), `${what}: no such figure in /status`);
  assert.match(text, /^[\d,]+(\.\d+)?( [kMG%]| %)?$/, `${what}: ${text}`);
  const scale = {k: 1e3, M: 1e6, G: 1e9, '%': .01}[text.at(-1)] ?? 1;
  const digits = text.replace(/[ ,kMG%]/g, '');
  const unit = scale * 10 ** -(digits.split('.')[1] ?? '').length;
  assert.ok(Math.abs(Number(digits) * scale - value) <= unit * .5000001, `${what}: ${text} is not ${value}`);
  assert.ok(unit <= Math.abs(value) / 100 || unit <= scale * .1 || Number.isInteger(value), `${what}: ${text} says too little of ${value}`);
}

const sum = list => list.reduce((a, b) => a + b, 0);

/* Holds what was shown against the answers that came until then. */
function assertEqual(shot, answers) {
  const docs = answers.filter(d => d.uptime_us <= shot.shown).sort((a, b) => a.uptime_us - b.uptime_us).filter((d, i, all) => i === 0 || d.uptime_us > all[i - 1].uptime_us);
  const now = docs.at(-1), old = docs.at(-2);
  assert.equal(now.uptime_us, shot.shown);
  const grown = name => now.totals[name] - old.totals[name], seconds = (now.uptime_us - old.uptime_us) / 1e6;
  const latency = now.recent.latency_us;
  /* The reports of a shard, in order. */
  const reports = rank => docs.map(d => d.ranks[rank]).filter((r, i, all) => r.at_us > 0 && (i === 0 || r.at_us > all[i - 1].at_us));
  const shards = now.ranks.filter(r => r.role === 'shard').map(({rank}) => {
    const all = reports(rank), [a, b] = all.slice(-2), first = all.at(-11) ?? all[0];
    const by = name => (b.metrics[name] - a.metrics[name]) * 1e6 / (b.at_us - a.at_us), lately = name => b.metrics[name] - first.metrics[name];
    return {rank, by, lately, tx: by('executor_tx'), m: b.metrics};
  });
  const load = sum(shards.map(s => s.tx));
  const expected = {
    tx_rate: grown('tx') / seconds, block_rate: grown('blocks') / seconds, gas_rate: grown('gas') / seconds / 1e6,
    p50: latency.tx.p50 / 1000, p99: latency.tx.p99 / 1000, recent_blocks: now.recent.blocks, tx_p99_all: now.latency_us.tx.p99 / 1000,
    commit_p50: latency.commit.p50 / 1000, commit_p99: latency.commit.p99 / 1000, inflight: now.inflight_blocks, aborted: now.totals.aborted,
    head: now.head.number, block_tx: sum(now.blocks.map(b => b.tx)) / now.blocks.length, block_gas: sum(now.blocks.map(b => b.gas_used)) / sum(now.blocks.map(b => b.gas_limit)),
    cross: grown('tx_cross') / grown('tx'), cross_all: now.totals.tx_cross / now.totals.tx,
    runs: sum(shards.map(s => s.lately('executor_incarnation'))) / sum(shards.map(s => s.lately('executor_tx'))),
    retracted: sum(shards.map(s => s.by('mvstore_retraction'))), retractions: now.totals.retractions,
    pool: now.pool.tx, pool_ready: now.pool.ready, pool_senders: now.pool.senders, pool_full: now.pool.tx / now.pool.tx_max,
    imbalance: Math.max(...shards.map(s => s.tx)) * shards.length / load, shards: shards.length,
  };
  for (const [name, metric] of [['moves', 'placement_moves'], ['apart', 'placement_override']]) {
    const value = now.ranks[0].metrics[metric];
    if (value === undefined) assert.equal(shot.figures[name], null); else expected[name] = value;
  }
  for (const [name, value] of Object.entries(expected)) assertShows(shot.figures[name], value, name);
  const shown = Object.keys(shot.figures).filter(n => shot.figures[n] !== null);
  assert.deepEqual(shown.sort(), Object.keys(expected).sort());

  assert.equal(shot.ranks.length, now.ranks.length);
  for (const s of shards) {
    const [name, tx, share, , runs, retracted, remote, cores, entries, memory] = shot.ranks[s.rank];
    assert.equal(name, `${s.rank} shard`);
    assertShows(tx, s.tx, 'tx/s of a shard');
    assertShows(share, s.tx / load, 'load');
    assertShows(runs, s.lately('executor_incarnation') / s.lately('executor_tx'), 'runs');
    assertShows(retracted, s.by('mvstore_retraction'), 'retractions of a shard');
    assertShows(remote, s.by('mvstore_write_remote'), 'remote effects');
    assertShows(cores, s.by('process_cpu') / 1e9, 'cores');
    assertShows(entries, s.m.mvstore_entry, 'entries');
    assertShows(memory.replace(' MiB', ''), s.m.process_resident / 2 ** 20, 'memory');
  }
  shot.blocks.forEach(([number, , tx, cross, gas, times], i) => {
    const b = now.blocks[i];
    assertShows(number, b.number, 'block');
    assertShows(tx, b.tx, 'transactions of a block');
    if (b.tx > 0) assertShows(cross, b.tx_cross / b.tx, 'cross-shard share of a block'); else assert.equal(cross, '–');
    assertShows(gas, b.gas_used, 'gas');
    const stages = [b.settle_us, b.prepare_us, b.decide_us];
    times.split(/ ms: |, /).forEach((t, k) => assertShows(t, [sum(stages), ...stages][k] / 1000, 'commit time'));
  });
  assert.equal(shot.blocks.length, Math.min(14, now.blocks.length));
  assertShows(shot.totals.transactions, now.totals.tx, 'total transactions');
  assert.equal(shot.state, now.state);
  return now;
}

test('figures, pictures, and nobody else asked', async () => {
  const sizes = {desktop: {viewport: {width: 1440, height: 1000}}, phone: {viewport: {width: 390, height: 844}, deviceScaleFactor: 2, isMobile: true, hasTouch: true}};
  const pages = {};
  for (const [size, options] of Object.entries(sizes)) for (const colorScheme of ['light', 'dark']) pages[`${size}-${colorScheme}`] = await open({...options, colorScheme});
  const backs = {};
  for (const [name, seen] of Object.entries(pages)) {
    /* Any second may pass without a block, and then there are no shares of its transactions. */
    let shot;
    do {
      await sleep(200);
      shot = await look(seen.page);
    } while (seen.answers.length < SAMPLES || JSON.stringify([shot.figures, shot.ranks]).includes('–'));
    await seen.page.screenshot({path: join(COHORT_PICTURES, name + '.png'), fullPage: true});
    await Promise.all(seen.pending);
    const now = assertEqual(shot, seen.answers);
    assert.ok(now.totals.tx > 0 && now.blocks.length === 64, 'there was load');
    assert.match(shot.title, /^[\d,]+ tx\/s – Cohort$/);
    assert.equal(shot.alerts, '');
    assert.ok(shot.width <= sizes[name.split('-')[0]].viewport.width, `${name}: ${shot.width} px wide`);
    assert.match(shot.numerals, /tabular-nums/);
    backs[name] = shot.back;
    for (const d of shot.lines) assert.ok(d.match(/[ML]/g)?.length >= SAMPLES - 4, `a chart without points: ${d}`);
    assert.equal(shot.lines.length, 7);
    for (const d of shot.bars) assert.ok(d.match(/M/g)?.length >= 32, 'a chart without bars');
    assert.equal(shot.bars.length, 5);
    for (const label of shot.labels) assert.match(label, / to .*, last /);
  }
  assert.equal(backs['desktop-light'], backs['phone-light']);
  assert.notEqual(backs['desktop-light'], backs['desktop-dark']);
  for (const [name, seen] of Object.entries(pages)) {
    const audit = await seen.page.evaluate(axe + '; axe.run()');
    assert.deepEqual(audit.violations.map(v => `${v.id}: ${v.nodes.map(n => n.target).join(' ')}`), [], name);
    assert.ok(audit.passes.length > 15);
    assert.deepEqual(seen.complaints, [], name);
    for (const url of seen.urls) assert.ok(url === origin + '/' || url === origin + '/status' || url.startsWith('data:'), url);
    await seen.context.close();
  }
});

test('keys: reading a chart, and standing still', async () => {
  const {page, context, answers, urls} = await open({viewport: {width: 1000, height: 800}});
  while (answers.length < 6) await sleep(200);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'pause');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.closest('section').getAttribute('aria-label')), 'Throughput');
  const readout = page.locator('.card figcaption > span:last-child').first();
  assert.equal(await readout.isVisible(), false);
  await page.keyboard.press('ArrowLeft');
  assert.match(await readout.innerText(), /: [\d.,]+( k)? tx\/s$/);
  const first = await readout.innerText();
  await page.keyboard.press('Home');
  assert.match(await readout.innerText(), /: – tx\/s$/);   // one answer makes no rate
  assert.notEqual(await readout.innerText(), first);
  await page.keyboard.press('Escape');
  assert.equal(await readout.isVisible(), false);

  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Space');
  assert.equal(await page.locator('#pause').getAttribute('aria-pressed'), 'true');
  await sleep(500);   // an answer that was on its way
  const asked = urls.length, shown = (await look(page)).shown;
  await sleep(2500);
  assert.equal(urls.length, asked);
  assert.equal((await look(page)).shown, shown);
  for (let i = 0; i < 5; i++) await page.keyboard.press('Enter');   // ends resumed, with one series of questions
  assert.equal(await page.locator('#pause').getAttribute('aria-pressed'), 'false');
  await page.waitForFunction(old => Number(document.body.dataset.shown) > old, shown);
  const from = urls.length;
  await sleep(4000);
  assert.ok(urls.length - from <= 6, `${urls.length - from} questions in 4 s`);
  await context.close();
});

test('the policy lets nothing else run or be asked', async () => {
  const {page, context, complaints} = await open({});
  const got = await page.evaluate(async other => {
    const broken = [];
    document.addEventListener('securitypolicyviolation', e => broken.push(e.effectiveDirective));
    const attempt = f => { try { f(); } catch (e) { broken.push(e.name); } };
    attempt(() => { document.body.innerHTML = '<img src=x onerror="window.ran = 1">'; });
    attempt(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); });
    const reached = await fetch(other).then(() => true, () => false);
    const image = document.createElement('img');
    image.src = '/metrics';
    document.body.append(image);
    const form = document.createElement('form');
    form.action = '/status';
    document.body.append(form);
    form.submit();
    for (let i = 0; i < 200 && !broken.includes('form-action'); i++) await new Promise(r => setTimeout(r, 50));
    return {broken, reached, ran: window.ran};
  }, `http://localhost:${port + 2}/status`);
  assert.equal(got.ran, undefined);
  assert.equal(got.reached, false);
  assert.equal(got.broken.filter(b => b === 'TypeError').length, 2);
  for (const directive of ['require-trusted-types-for', 'connect-src', 'img-src', 'form-action']) assert.ok(got.broken.includes(directive), directive);
  assert.ok(complaints.length > 0);
  await context.close();
});

/* Answers of a cluster that is not well: those of the real one, changed by change(answer, how many before). */
async function openChanged(options, change) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  let cnt = 0;
  await page.route('**/status', async route => {
    const r = await route.fetch(), doc = await r.json();
    change(doc, cnt++);
    await route.fulfill({response: r, json: doc});
  });
  await page.goto(origin + '/');
  return {page, context};
}

test('what is wrong is said', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const {page, context} = await openChanged({colorScheme, viewport: {width: 390, height: 844}}, (doc, cnt) => {
      if (cnt === 0) return;
      doc.state = 'draining';
      doc.pool.tx = doc.pool.tx_max * .95;
      doc.totals.aborted += 2;
      doc.ranks[0].metrics.verify_mismatch = 1;
      doc.ranks[1].metrics.disk_error = 1;
      Object.assign(doc.ranks[2].metrics, {disk_free: 5, disk_size: 100});
      doc.version = '<img src=x onerror=alert(1)>';
    });
    await page.waitForFunction(() => document.querySelectorAll('#alerts p').length === 6);
    assert.deepEqual(await page.locator('#alerts b').allInnerTexts(), ['Not ready', 'Self-check', 'Disk', 'Disk', 'Pool', 'Aborted']);
    const words = await page.locator('#alerts').innerText();
    for (const part of ['draining', 'comes to: 1.', 'failed on rank 1', 'is free on rank 2', '95.0 %', 'prepare: 2.']) assert.ok(words.includes(part), part);
    assert.match(await page.locator('#facts').innerText(), /version\s*<img src=x onerror=alert\(1\)>/);
    assert.equal(await page.locator('#facts img').count(), 0);
    const audit = await page.evaluate(axe + '; axe.run()');
    assert.deepEqual(audit.violations.map(v => v.id), []);
    await page.screenshot({path: join(COHORT_PICTURES, `phone-trouble-${colorScheme}.png`)});
    await context.close();
  }
});

test('moves of accounts are shown where there are any', async () => {
  const {page, context} = await openChanged({viewport: {width: 1440, height: 1000}}, (doc, cnt) => {
    Object.assign(doc.ranks[0].metrics, {placement_moves: 40 * (cnt >> 1), placement_override: 7});
  });
  await page.waitForFunction(() => document.querySelector('[data-figure=moves]').textContent === '160');
  const card = page.locator('.card[aria-label="Busiest shard"]');
  assert.match(await card.innerText(), /160 placement moves\s+7 apart[\s\S]*moves/);
  assert.equal((await card.locator('.ticks').getAttribute('d')).match(/M/g).length, 4);
  await card.locator('svg').focus();
  await page.keyboard.press('End');
  assert.match(await card.locator('figcaption').innerText(), /busiest shard .*, moves [\d.]+\/s/);
  await page.screenshot({path: join(COHORT_PICTURES, 'desktop-moves.png'), fullPage: true});
  await context.close();
});

test('the node goes away and comes back', async () => {
  load.kill();
  const {page, context, answers, pending, complaints} = await open({colorScheme: 'light', viewport: {width: 390, height: 844}});
  await page.waitForFunction(() => document.getElementById('state').textContent === 'running' && document.querySelector('[data-figure=tx_rate]').textContent === '0'
    && document.querySelector('[data-figure=pool_ready]').textContent === '0');
  const quiet = await status(), shot = await look(page);
  assertShows(shot.figures.head, quiet.head.number, 'head of a quiet cluster');
  assertShows(shot.totals.transactions, quiet.totals.tx, 'its transactions');
  assert.equal(shot.totals['head hash'], quiet.head.hash.slice(0, 12) + '…');
  assert.equal(shot.figures.tx_rate, '0');

  await stop();
  await page.waitForFunction(() => document.getElementById('state').textContent === 'not answering');
  const gone = await look(page);
  assert.match(gone.alerts, /^Not answering.*does not answer since/);
  assert.equal(gone.figures.head, shot.figures.head);
  await page.screenshot({path: join(COHORT_PICTURES, 'phone-gone.png')});

  const last = answers.at(-1).uptime_us, cnt = answers.length;
  await start();
  await page.waitForFunction(old => document.getElementById('state').textContent === 'running' && Number(document.body.dataset.shown) < old
    && document.querySelector('[data-figure=tx_rate]').textContent === '0', last);
  const back = await look(page);
  await Promise.all(pending);
  assert.ok(answers.length > cnt);
  assert.equal(back.alerts, '');
  assertShows(back.figures.head, quiet.head.number, 'head after the restart');
  assert.equal(back.figures.aborted, '0');
  assert.ok(complaints.every(c => /Failed to load resource/.test(c)), complaints.join());
  await context.close();
});
