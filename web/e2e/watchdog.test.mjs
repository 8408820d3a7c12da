// A worker that hangs is noticed within a second, and ended by nobody but the page; one that is slow, or has nothing to do,
// raises no alarm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mode, outcome as scenario } from './scenario.mjs';

/** In transfer mode nobody can look into the worker: only requests are known. */
const doing = { shared: /while running a control step of the pool/, transfer: /while (at work between requests|answering a request)/ }[mode];
/** A machine whose timers are late by more than this in three seconds is busy with something else. */
const LATE_MS = 200;

/** The machine's own delay, measured beside it, is not the watchdog's. */
function assertWithinASecond(ms, lateMs) {
  assert.ok(ms - lateMs < 1000, `reported after ${ms} ms, the machine's timers were ${lateMs} ms late`);
}

/** On a machine that is late itself, half a second may become more: that is reported, and nothing comes of it. */
function assertNoAlarm({ alarms, crashes, leaked, lateMs }) {
  assert.deepEqual([crashes, leaked], [[], 0]);
  assert.ok(alarms.length === 0 || lateMs > LATE_MS, `${alarms} with a machine that was ${lateMs} ms late`);
}

/** A worker whose every step takes `ms` longer, in which it makes no progress. */
const slower = (ms) => (page) =>
  page.route('**/*.js', async (route) => {
    const response = await route.fetch();
    const shipped = await response.text();
    const waits = `((host)=>{const end=performance.now()+${ms};while(performance.now()<end);return host.pump()})`;
    await route.fulfill({ response, body: shipped.replace(/\b(\w+)\.pump\(\)/g, `${waits}($1)`) });
  });

/** Shared mode: a worker that makes progress, but does not return to its browser for two seconds at a time. */
const busier = (page) =>
  page.route('**/*.js', async (route) => {
    const response = await route.fetch();
    const shipped = await response.text();
    const goesOn = '((host)=>{const end=performance.now()+2000;while(performance.now()<end)host.pump()})';
    await route.fulfill({ response, body: shipped.replace(/\b(\w+)\.pump\(\)/g, `${goesOn}($1)`) });
  });

/** A worker that stalls for two seconds at its next step, instead of for ever, when it is asked to hang. */
const stalling = (page) =>
  page.route('**/*.js', async (route) => {
    const response = await route.fetch();
    const shipped = await response.text();
    const stalls = '((host)=>{const end=performance.now()+(self.stallMs??0);self.stallMs=0;while(performance.now()<end);return host.pump()})';
    const body = shipped.replace(/\b(\w+)\.pump\(\)/g, `${stalls}($1)`).replace(/\b\w+\.fault\(\w+\.name\)/g, '(self.stallMs=2000)');
    await route.fulfill({ response, body });
  });

/** A page that looks at its workers five times as often, so that a second of silence is five. */
const impatient = (page) =>
  page.addInitScript(() => {
    const native = globalThis.setTimeout;
    globalThis.setTimeout = (call, ms, ...given) => native(call, ms === 100 ? 20 : ms, ...given);
  });

/** A page whose timers come once a second, as those of a hidden one. */
const hidden = (page) =>
  page.addInitScript(() => {
    const native = globalThis.setTimeout;
    globalThis.setTimeout = (call, ms, ...given) => native(call, Math.max(1000, ms ?? 0), ...given);
  });

test('watchdog: a control step that never ends is reported within a second, ended by restart() only, which is sound', { timeout: 60_000 }, async () => {
  const { message, thread, ms, lateMs, waiting, reason, crashes, after, leaked } = await scenario('hangs');
  assert.equal(thread, 'control-worker');
  assert.match(message, /^The control worker is stuck: no progress for \d+ ms while /);
  assert.match(message, doing);
  assertWithinASecond(ms, lateMs);
  assert.deepEqual([waiting, reason, crashes], ['closed', 'host-failed', []]);
  assert.deepEqual([after, leaked], [{ blocks: 20, wrong: 0 }, 0]);
  console.log(`reported after ${Math.round(ms)} ms: ${message}`);
});

test('watchdog: metrics() and close() of a worker that hangs are rejected in the end, with a typed error, and close() ends it', { timeout: 60_000 }, async () => {
  const { message, metrics, again, againMs, close, locksLeft } = await scenario('hangsAtARequest', impatient);
  assert.match(message, /requests begun and not answered: metrics/);
  assert.match(message, doing);
  assert.deepEqual([metrics, again, close, locksLeft], ['host-stuck', 'host-stuck', 'host-stuck', 0]);
  // It has waited long enough for this worker.
  assert.ok(againMs < 1000, `rejected after ${againMs} ms`);
});

test('watchdog: a worker that stalls for two seconds is reported within a second, and goes on with nothing lost but windows, which are counted', { timeout: 60_000 }, async () => {
  const { thread, ms, lateMs, answered, alarms, crashes, wrong, figures, leaked } = await scenario('stalls', stalling);
  assert.equal(thread, 'control-worker');
  assertWithinASecond(ms, lateMs);
  assert.deepEqual({ answered, alarms, crashes, wrong, leaked }, { answered: 'done', alarms: 0, crashes: [], wrong: 0, leaked: 0 });
  const { frames, window, hop, windows, skipped_windows: skipped, lost_frames: lost } = figures;
  assert.ok(skipped > 10, `${skipped} skipped`);
  assert.deepEqual([windows + skipped, lost], [Math.floor((frames - window) / hop) + 1, 0]);
});

test('watchdog: what was refused while the worker stalled leaves nothing behind when it comes back', { timeout: 60_000 }, async () => {
  const { refused, before, after, leaked } = await scenario('refusesAndComesBack', async (page) => {
    await impatient(page);
    await stalling(page);
  });
  assert.deepEqual(refused, Array(5).fill('host-stuck'));
  assert.deepEqual([after, leaked], [before, 0]);
});

test('watchdog: restart() does not wait for a worker that hangs', { timeout: 60_000 }, async () => {
  const { code, ms, after, leaked } = await scenario('restartsWhileItHangs');
  assert.equal(code, 'closed');
  assert.ok(ms < 5000, `restarted after ${ms} ms`);
  assert.deepEqual([after, leaked], [{ blocks: 20, wrong: 0 }, 0]);
});

const slow = { 'whose every step stalls for 500 ms': slower(500) };
if (mode === 'shared') slow['that works for two seconds at a time'] = busier;
for (const [which, tamper] of Object.entries(slow)) {
  test(`watchdog: no alarm for a worker ${which}`, { timeout: 60_000 }, async () => {
    const seen = await scenario('isSlow', tamper);
    assertNoAlarm(seen);
    assert.ok(seen.answers > 0 && seen.snapshots > 0, `${seen.answers} answers, ${seen.snapshots} snapshots`);
  });
}

test('watchdog: no alarm on a hidden page, whose timers are late, with a worker that stalls', { timeout: 60_000 }, async () => {
  const seen = await scenario('isSlow', async (page) => {
    await hidden(page);
    await slower(500)(page);
  });
  assertNoAlarm(seen);
});

test('watchdog: a worker that reads a tap and hangs is reported within a second, once, and may go on', { timeout: 60_000 }, async () => {
  const { reported, leaked } = await scenario('readerHangs');
  assert.equal(reported.length, 1);
  assert.match(reported[0].message, /^The worker that reads the tap of stream \d+ is stuck: it did not return to its event loop for \d+ ms\.$/);
  assert.equal(reported[0].thread, 'reader');
  assert.ok(reported[0].ms < 1000, `reported after ${reported[0].ms} ms`);
  assert.equal(leaked, 0);
});

test('watchdog: a page that is idle or suspended sets no timers', { timeout: 60_000 }, async () => {
  const { idle, pool, running, suspended, resumed, closed, over } = await scenario('timers');
  assert.deepEqual([idle, pool, suspended, closed, over], [0, 0, 0, 0, 0]);
  assert.ok(running > 1 && running < 10, `${running} timers in half a second`);
  assert.ok(resumed > 1, `${resumed} timers in half a second`);
});
