// A control worker that hangs is noticed within a second; one that is slow, or has nothing to do, raises no alarm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mode, outcome as scenario } from './scenario.mjs';

/** In transfer mode nobody can look into the worker: only requests are known. */
const doing = { shared: /while running a control step of the pool/, transfer: /while (at work between requests|answering a request)/ }[mode];

/** The machine's own delay, measured beside it, is not the watchdog's. */
function assertWithinASecond(ms, lateMs) {
  assert.ok(ms - lateMs < 1000, `told after ${ms} ms, the machine's timers were ${lateMs} ms late`);
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

/** A page whose timers come once a second, as those of a hidden one. */
const hidden = (page) =>
  page.addInitScript(() => {
    const native = globalThis.setTimeout;
    globalThis.setTimeout = (call, ms, ...given) => native(call, Math.max(1000, ms ?? 0), ...given);
  });

test('watchdog: a control step that never ends is told within a second, everything open ends, and a restart is sound', { timeout: 60_000 }, async () => {
  const { message, failure, ms, lateMs, refused, after, leaked } = await scenario('hangs');
  assert.equal(failure, 'host-stuck');
  assert.match(message, /^The control worker is stuck: no progress for \d+ ms while /);
  assert.match(message, doing);
  assertWithinASecond(ms, lateMs);
  assert.deepEqual(refused, Array(3).fill('host-stuck'));
  assert.deepEqual([after, leaked], [{ blocks: 20, wrong: 0 }, 0]);
  console.log(`told after ${Math.round(ms)} ms: ${message}`);
});

test('watchdog: metrics() and close() of a worker that hangs are rejected within a second, with a typed error', { timeout: 60_000 }, async () => {
  const seen = await scenario('hangsAtARequest');
  for (const [request, { message, failure, ms, lateMs, code }] of Object.entries(seen)) {
    assert.deepEqual([failure, code], ['host-stuck', 'host-stuck']);
    const kind = { metrics: 'metrics', close: 'shutdown' }[request];
    assert.match(message, new RegExp(`requests begun and not answered: ${kind}`));
    assert.match(message, doing);
    assertWithinASecond(ms, lateMs);
  }
});

test('watchdog: restart() does not wait for a worker that hangs', { timeout: 60_000 }, async () => {
  const { code, ms, after, leaked } = await scenario('restartsWhileItHangs');
  assert.equal(code, 'closed');
  assert.ok(ms < 5000, `restarted after ${ms} ms`);
  assert.deepEqual([after, leaked], [{ blocks: 20, wrong: 0 }, 0]);
});

const slow = { 'whose every step stalls for 350 ms': slower(350) };
if (mode === 'shared') slow['that works for two seconds at a time'] = busier;
for (const [which, tamper] of Object.entries(slow)) {
  test(`watchdog: no alarm for a worker ${which}`, { timeout: 60_000 }, async () => {
    const { alarms, answers, snapshots, leaked } = await scenario('isSlow', tamper);
    assert.deepEqual([alarms, leaked], [[], 0]);
    assert.ok(answers > 0 && snapshots > 0, `${answers} answers, ${snapshots} snapshots`);
  });
}

test('watchdog: no alarm on a hidden page, whose timers are late, with a worker that stalls', { timeout: 60_000 }, async () => {
  const { alarms } = await scenario('isSlow', async (page) => {
    await hidden(page);
    await slower(350)(page);
  });
  assert.deepEqual(alarms, []);
});

test('watchdog: a worker that reads a tap and hangs is told within a second, once, and may go on', { timeout: 60_000 }, async () => {
  const { told, leaked } = await scenario('readerHangs');
  assert.equal(told.length, 1);
  assert.match(told[0].message, /^The worker that reads the tap of stream \d+ is stuck: it did not return to its event loop for \d+ ms\.$/);
  assert.ok(told[0].ms < 1000, `told after ${told[0].ms} ms`);
  assert.equal(leaked, 0);
});

test('watchdog: a page that is idle or suspended sets no timers', { timeout: 60_000 }, async () => {
  const { idle, pool, running, suspended, resumed, closed, over } = await scenario('timers');
  assert.deepEqual([idle, pool, suspended, closed, over], [0, 0, 0, 0, 0]);
  assert.ok(running > 1 && running < 10, `${running} timers in half a second`);
  assert.ok(resumed > 1, `${resumed} timers in half a second`);
});
