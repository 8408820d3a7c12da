import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { withLocks } from '../../package/fakes.mjs';
import { HostWorker } from './host_worker.ts';

/** The page's end of a worker whose thread does what the test says. */
class FakeWorker {
  static last;
  received = [];
  terminated = false;

  constructor() {
    FakeWorker.last = this;
  }

  postMessage(message) {
    this.received.push(message);
    // It holds its lock as long as it lives.
    if (message.kind === 'boot') void globalThis.navigator?.locks?.request(message.lock, () => new Promise((die) => (this.die = die)));
  }

  terminate() {
    this.terminated = true;
  }

  say(message) {
    this.onmessage({ data: message });
  }

  /** Answers the last request. */
  answer(value) {
    this.say({ kind: 'answer', id: this.received.findLast(({ id }) => id).id, value });
  }
}

beforeEach(() => (globalThis.Worker = FakeWorker));
afterEach(() => delete globalThis.Worker);

const BOOT = { mode: 'transfer', reason: 'a test', module: null, profile: null, seed: 1, tracks: false };
const BOOTED = { memory: null, activity: 0, profileRefused: null, limits: {} };
const settled = () => new Promise((resume) => setImmediate(resume));

/** The outcome of a promise so far. */
async function outcome(promise) {
  await settled();
  return Promise.race([promise.then(() => 'done', ({ code, message }) => `${code}: ${message}`), 'pending']);
}

async function booted() {
  const host = new HostWorker();
  const booting = host.boot(BOOT);
  const worker = FakeWorker.last;
  worker.say({ kind: 'alive' });
  worker.answer(BOOTED);
  await booting;
  return { host, worker };
}

test('control worker that never starts is given up after a minute, with a typed error', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = new HostWorker();
  const crashes = [];
  host.onCrash = (message) => crashes.push(message);
  const booting = host.boot(BOOT);
  t.mock.timers.tick(59_999);
  assert.equal(await outcome(booting), 'pending');
  t.mock.timers.tick(1);
  await assert.rejects(booting, { code: 'host-failed', message: /did not start within 60 seconds: .* Try again, or reload the page\.$/ });
  assert.equal(crashes.length, 1);
  await assert.rejects(host.request({ kind: 'metrics' }), { code: 'host-failed' });
});

test('control worker that begins to boot and dies before its files are loaded is given up, too', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const booting = new HostWorker().boot(BOOT);
  FakeWorker.last.say({ kind: 'begun', id: 1 });
  t.mock.timers.tick(60_000);
  await assert.rejects(booting, { code: 'host-failed' });
});

test('control worker whose files are slow to load is waited for, and its boot is not limited by that', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const host = new HostWorker();
  const booting = host.boot(BOOT);
  t.mock.timers.tick(50_000);
  FakeWorker.last.say({ kind: 'alive' });
  for (let second = 0; second < 20; second++) {
    t.mock.timers.tick(1000);
    FakeWorker.last.say({ kind: 'begun', id: 1 });
  }
  await withLocks(async () => {
    FakeWorker.last.answer(BOOTED);
    assert.equal(await booting, BOOTED);
    host.terminate();
  });
});

test('control worker whose script fails is reported at once', async () => {
  const booting = new HostWorker().boot(BOOT);
  FakeWorker.last.onerror({ message: '' });
  await assert.rejects(booting, { code: 'host-failed', message: 'The control worker failed: its script did not load.' });
});

test('request is answered, or refused with the reason, by its number', async () => {
  await withLocks(async () => {
    const { host, worker } = await booted();
    const first = host.request({ kind: 'metrics' });
    const second = host.request({ kind: 'fault', name: 'x' });
    const [, one, two] = worker.received;
    worker.say({ kind: 'refusal', id: two.id, message: 'no such fault' });
    worker.say({ kind: 'answer', id: one.id, value: { snapshot: '{}' } });
    assert.deepEqual(await first, { snapshot: '{}' });
    await assert.rejects(second, { code: 'stream-refused', message: 'no such fault' });
    host.terminate();
  });
});

test('control worker that dies rejects every request, and is reported once', async () => {
  await withLocks(async () => {
    const { host, worker } = await booted();
    const crashes = [];
    host.onCrash = (message) => crashes.push(message);
    const waiting = host.request({ kind: 'metrics' });
    worker.say({ kind: 'crash', message: 'it trapped' });
    worker.say({ kind: 'crash', message: 'it trapped' });
    await assert.rejects(waiting, { code: 'host-failed', message: 'The control worker stopped: it trapped.' });
    assert.throws(() => host.check(), { code: 'host-failed' });
    assert.equal(crashes.length, 1);
  });
});

test('control worker whose lock becomes free is gone', async () => {
  await withLocks(async () => {
    const { host, worker } = await booted();
    const crashes = [];
    host.onCrash = (message) => crashes.push(message);
    await settled();
    assert.deepEqual(crashes, []);
    worker.die();
    await settled();
    assert.deepEqual(crashes, ['The control worker is gone.']);
  });
});

test('stuck control worker: requests are refused in the end, and a late answer is passed on', async (t) => {
  await withLocks(async () => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { host, worker } = await booted();
    const stuck = [];
    host.onStuck = (message, thread) => stuck.push([thread, message]);
    const late = [];
    const waiting = host.request({ kind: 'metrics' }, [], (answer) => late.push(answer));
    const { id } = worker.received.findLast(({ kind }) => kind === 'metrics');
    worker.say({ kind: 'begun', id });
    const rejected = assert.rejects(waiting, { code: 'host-stuck', message: /requests begun and not answered: metrics\. This call is not waited for/ });
    for (let look = 0; look < 60; look++) t.mock.timers.tick(100);
    await rejected;
    assert.equal(stuck.length, 1);
    assert.equal(stuck[0][0], 'control-worker');
    worker.say({ kind: 'answer', id, value: 'at last' });
    assert.deepEqual(late, ['at last']);
    host.terminate();
  });
});

test('terminated control worker rejects every request as closed, without a report of a crash', async () => {
  await withLocks(async () => {
    const { host, worker } = await booted();
    const crashes = [];
    host.onCrash = (message) => crashes.push(message);
    const waiting = host.request({ kind: 'metrics' });
    host.terminate();
    await assert.rejects(waiting, { code: 'closed' });
    assert.deepEqual([worker.terminated, crashes], [true, []]);
  });
});
