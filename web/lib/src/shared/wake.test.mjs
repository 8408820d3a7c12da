import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { newWakeLanes, Sleeper, Wakers } from './wake.ts';

const open = [];
afterEach(() => open.splice(0).forEach((close) => close()));

function pair() {
  const [reader, host] = newWakeLanes();
  const sleeper = new Sleeper(reader);
  const wakers = new Wakers();
  wakers.add(1, host);
  open.push(() => sleeper.close(), () => wakers.delete(1));
  return { sleeper, wakers };
}

/** Whether the sleeper is woken within some turns of the event loop. */
async function wakes(sleeping) {
  let woken = false;
  void sleeping.then(() => (woken = true));
  for (let turn = 0; turn < 5 && !woken; turn++) await new Promise((resume) => setTimeout(resume, 1));
  return woken;
}

test('sleeping reader is woken by a further window only', async () => {
  const { sleeper, wakers } = pair();
  const sleeping = sleeper.sleep();
  sleeper.arm(3);
  wakers.poll(() => 3);
  assert.equal(await wakes(sleeping), false);
  wakers.poll(() => 4);
  assert.equal(await wakes(sleeping), true);
});

test('reader that does not wait is sent no message', async () => {
  const { sleeper, wakers } = pair();
  const sleeping = sleeper.sleep();
  wakers.poll(() => 10);
  assert.equal(await wakes(sleeping), false);
  sleeper.arm(3);
  sleeper.disarm();
  wakers.poll(() => 10);
  assert.equal(await wakes(sleeping), false);
});

test('reader is woken once for each time that it waits', async () => {
  const { sleeper, wakers } = pair();
  sleeper.arm(0);
  wakers.poll(() => 1);
  assert.equal(await wakes(sleeper.sleep()), true);
  const again = sleeper.sleep();
  wakers.poll(() => 2);
  assert.equal(await wakes(again), false);
});

test('window counts that wrap around wake the reader', async () => {
  for (const [taken, delivered] of [[2 ** 32 - 1, 0], [2 ** 31 - 1, 2 ** 31], [2 ** 31, 2 ** 31 + 1]]) {
    const { sleeper, wakers } = pair();
    const sleeping = sleeper.sleep();
    sleeper.arm(taken);
    wakers.poll(() => delivered);
    assert.equal(await wakes(sleeping), true, `${taken}, ${delivered}`);
  }
});

test('reader that is closed is woken', async () => {
  const { sleeper } = pair();
  const sleeping = sleeper.sleep();
  sleeper.close();
  assert.equal(await wakes(sleeping), true);
});
