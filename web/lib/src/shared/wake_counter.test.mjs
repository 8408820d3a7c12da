import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newWakeCounter, signal, Waiter } from './wake_counter.ts';

test('wake counter: a sleeper without pending messages sleeps for its time', () => {
  const counter = newWakeCounter();
  const waiter = new Waiter(counter);
  signal(counter);
  const begin = performance.now();
  assert.equal(waiter.sleep(20), true);
  assert.ok(performance.now() - begin > 15);
});

test('wake counter: a message that was signalled and not received is pending, whichever came first', () => {
  const counter = newWakeCounter();
  const waiter = new Waiter(counter);
  assert.equal(waiter.sleep(0), false, 'the message with the counter is not signalled yet');
  signal(counter);
  assert.equal(waiter.sleep(0), true);
  signal(counter);
  assert.equal(waiter.sleep(0), false);
  waiter.receive();
  assert.equal(waiter.sleep(0), true);
  waiter.receive();
  assert.equal(waiter.sleep(0), false, 'received before it was signalled');
  signal(counter);
  assert.equal(waiter.sleep(0), true);
});

test('wake counter: counts may wrap around', () => {
  const counter = newWakeCounter();
  const waiter = new Waiter(counter);
  for (const start of [2 ** 31 - 2, -1]) {
    counter[0] = start;
    waiter.received = start;
    for (let i = 0; i < 4; i++) {
      signal(counter);
      assert.equal(waiter.sleep(0), false);
      waiter.receive();
      assert.equal(waiter.sleep(0), true);
    }
  }
});
