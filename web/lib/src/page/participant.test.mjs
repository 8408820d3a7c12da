import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { turn } from '../../package/fakes.mjs';
import { THREAD_END, TICKET_MS } from '../shared/protocol.ts';
import { Participant } from './participant.ts';

const open = [];
afterEach(() => open.splice(0).forEach((port) => port.close()));

/** A participant with the thread's end of its port, and what its host was asked for. */
function participant() {
  const calls = [];
  const host = {
    watch: () => calls.push('watch'),
    unwatch: () => calls.push('unwatch'),
    reclaim: () => (calls.push('reclaim'), Promise.resolve()),
  };
  const one = new Participant(host, { participant: 1 });
  const received = [];
  one.port.onmessage = ({ data }) => received.push(data.kind);
  open.push(one.port);
  return { participant: one, thread: one.port, received, calls };
}

const join = async ({ thread }) => {
  thread.postMessage({ kind: 'joining', page: false });
  await turn();
};

test('ticket of another thread lapses, and the thread is refused if it still comes', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const one = participant();
  one.participant.invite('other');
  t.mock.timers.tick(TICKET_MS);
  assert.deepEqual(one.calls, ['reclaim']);
  await join(one);
  assert.deepEqual(one.received, ['refused']);
});

test('ticket of the page itself does not lapse, however long the page is busy', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const one = participant();
  one.participant.invite('page');
  // Timers of a page that was busy come before the messages that waited.
  t.mock.timers.tick(100 * TICKET_MS);
  assert.deepEqual(one.calls, []);
  await join(one);
  assert.deepEqual([one.calls, one.received], [['watch'], ['welcome']]);
});

test('participant that joined is watched, and its ticket does not lapse', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const one = participant();
  one.participant.invite('other');
  await join(one);
  t.mock.timers.tick(TICKET_MS);
  assert.deepEqual([one.calls, one.received, one.participant.stopped], [['watch'], ['welcome'], false]);
});

test('participant that was asked to leave is waited for until it has left', async () => {
  const one = participant();
  one.participant.invite('other');
  await join(one);
  let left = false;
  one.participant.onLeft = () => (left = true);
  const leaving = one.participant.leave('leave', () => assert.fail('it was not late'));
  await turn();
  assert.deepEqual(one.received, ['welcome', 'leave']);
  one.thread.postMessage({ kind: 'left' });
  await leaving;
  await turn();
  assert.deepEqual([left, one.participant.end, one.calls, one.received], [true, THREAD_END.left, ['watch', 'unwatch'], ['welcome', 'leave', 'final']]);
});

test('participant that keeps something is not waited for, and its end is reported later', async () => {
  const one = participant();
  one.participant.invite('other');
  await join(one);
  let late = 0;
  const leaving = one.participant.leave('leave', () => (late += 1));
  one.thread.postMessage({ kind: 'leaving' });
  await leaving;
  assert.deepEqual([one.participant.stopped, late], [false, 0]);
  one.thread.postMessage({ kind: 'left' });
  await turn();
  assert.deepEqual([one.participant.stopped, late], [true, 1]);
});

test('participant whose thread died is reported with its leases, once', async () => {
  const one = participant();
  one.participant.invite('other');
  await join(one);
  const lost = [];
  one.participant.onLost = (leases) => lost.push(leases);
  one.participant.lost(5);
  one.participant.lost(5);
  assert.deepEqual([lost, one.participant.end], [[5], THREAD_END.gone]);
});

test('participant that catches up with so many windows says how many it has given back', async () => {
  const one = participant();
  one.participant.invite('other');
  await join(one);
  const caughtUp = one.participant.catchUp(7);
  await turn();
  assert.equal(one.received.at(-1), 'catchUp');
  one.thread.postMessage({ kind: 'caughtUp', released: 6 });
  assert.equal(await caughtUp, 6);
});

test('participant that never joins is not waited for by a context that renders offline', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const one = participant();
  const caughtUp = one.participant.catchUp(7);
  t.mock.timers.tick(10_000);
  assert.equal(await caughtUp, null);
  assert.equal(await one.participant.catchUp(8), null);
});

test('participant that closes before it was joined refuses its ticket', async () => {
  const one = participant();
  one.participant.invite('other');
  await one.participant.leave('leave', () => {});
  await turn();
  assert.deepEqual(one.received, ['refused']);
});
