import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { OfflinePacer } from './offline_pacer.ts';

/** A context that renders as far as the next suspension, each time that it is resumed. */
class FakeOfflineContext {
  sampleRate = 48_000;
  length = 128 * 100;
  at = 0;
  suspensions = new Map();

  get currentTime() {
    return this.at / this.sampleRate;
  }

  suspend(time) {
    const frame = 128 * Math.round((time * this.sampleRate) / 128);
    if (frame < this.at || this.suspensions.has(frame)) return Promise.reject(new Error('InvalidStateError'));
    return new Promise((reached) => this.suspensions.set(frame, reached));
  }

  /** Renders to the next suspension. */
  resume() {
    const next = Math.min(...this.suspensions.keys());
    this.at = Number.isFinite(next) ? next : this.length;
    this.suspensions.get(next)?.();
    this.suspensions.delete(next);
    return Promise.resolve();
  }

  /** Until everything is rendered. */
  async render() {
    await this.resume();
    while (this.at < this.length) await new Promise((turn) => setImmediate(turn));
  }
}

beforeEach(() => (globalThis.OfflineAudioContext = FakeOfflineContext));
afterEach(() => delete globalThis.OfflineAudioContext);

/** A stream that catches up at once, and logs where. */
function stream(context, framesAhead) {
  const caughtUpAt = [];
  return { framesAhead, caughtUpAt, catchUp: () => (caughtUpAt.push(context.at), Promise.resolve()) };
}

test('offline context never renders further ahead than its streams allow', async () => {
  const context = new FakeOfflineContext();
  const [slow, quick] = [stream(context, 1000), stream(context, 3000)];
  OfflinePacer.add(context, slow);
  OfflinePacer.add(context, quick);
  await context.render();
  for (const { caughtUpAt } of [slow, quick]) {
    const gaps = caughtUpAt.map((frame, i) => frame - (caughtUpAt[i - 1] ?? 0));
    assert.ok(Math.max(...gaps) <= 1000, `${gaps}`);
    assert.ok(context.length - caughtUpAt.at(-1) <= 1000);
  }
});

test('offline context waits until its streams have caught up', async () => {
  const context = new FakeOfflineContext();
  const paced = stream(context, 1024);
  let caughtUp;
  paced.catchUp = () => new Promise((resolve) => (caughtUp = resolve));
  OfflinePacer.add(context, paced);
  await context.resume();
  for (let i = 0; i < 5; i++) await new Promise((turn) => setImmediate(turn));
  assert.equal(context.at, 1024);
  OfflinePacer.delete(context, paced);
  caughtUp();
  for (let i = 0; i < 5; i++) await new Promise((turn) => setImmediate(turn));
  assert.equal(context.at, context.length, 'it does not wait for a stream that was closed');
});

test('suspension that the page asks for where one is scheduled is the page\'s, too', async () => {
  const context = new FakeOfflineContext();
  const paced = stream(context, 1024);
  OfflinePacer.add(context, paced);
  let reached = false;
  const own = context.suspend(1024 / context.sampleRate).then(() => (reached = true));
  await context.resume();
  await own;
  assert.deepEqual([reached, context.at, paced.caughtUpAt], [true, 1024, [1024]]);
  await new Promise((turn) => setImmediate(turn));
  assert.equal(context.at, 1024, 'the page resumes it');
});

test('context that is not offline is not paced', () => {
  OfflinePacer.add({ suspend: () => assert.fail('suspended') }, { framesAhead: 128 });
});
