import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as refusals from '../generated/refusals.ts';
import { WavepoolError } from './errors.ts';
import {
  IllegalMoveError,
  LeasesUsedUpError,
  NoSuchChannelError,
  PoolExhaustedError,
  refusalAt,
  StaleLeaseError,
  TooLargeError,
  WrongParticipantError,
} from './refusal.ts';

const { REFUSALS, LEASE_STATES, LEASE_MOVES } = refusals;

/** The error of a refusal as an export leaves it in memory. */
function refusal(...words) {
  const memory = { buffer: new ArrayBuffer(64) };
  new Uint32Array(memory.buffer, 16).set(words);
  return refusalAt(memory, 16);
}

test('refusal of every number becomes an error of its code, with its numbers in the message', () => {
  for (const [number, [code, message]] of Object.entries(REFUSALS)) {
    const error = refusal(Number(number), 0x2a, 1, 2);
    assert.ok(error instanceof WavepoolError);
    assert.equal(error.code, code);
    assert.doesNotMatch(error.message, /[{}]|undefined/, message);
  }
});

test('refusal of an unknown number is a typed error', () => {
  for (const number of [0, 12, 255, 2 ** 32 - 1]) {
    const { code, message } = refusal(number, 1, 2, 3);
    assert.equal(code, 'host-failed');
    assert.equal(message, REFUSALS[refusals.UNEXPECTED][1]);
  }
});

test('refusal errors have a class and fields of their own', () => {
  const of = (number, ...numbers) => refusal(number, ...numbers);
  assert.ok(of(refusals.STALE_LEASE, 7) instanceof StaleLeaseError);
  assert.equal(of(refusals.STALE_LEASE, 7).lease, 7);
  assert.ok(of(refusals.WRONG_PARTICIPANT, 7, 1, 2) instanceof WrongParticipantError);
  assert.ok(of(refusals.ILLEGAL_MOVE, 7, 1, 2) instanceof IllegalMoveError);
  assert.ok(of(refusals.NO_SUCH_CHANNEL, 9, 2) instanceof NoSuchChannelError);
  const { requested, largest } = of(refusals.TOO_LARGE, 5000, 4096);
  assert.deepEqual([requested, largest], [5000, 4096]);
  assert.ok(of(refusals.TOO_LARGE, 5000, 4096) instanceof TooLargeError);
  assert.equal(of(refusals.LEASES_USED_UP, 1024).most, 1024);
  assert.ok(of(refusals.LEASES_USED_UP, 1024) instanceof LeasesUsedUpError);
});

test('exhausted class without buffers is described as one that has none', () => {
  const used = refusal(refusals.EXHAUSTED, 50, 64, 32);
  const empty = refusal(refusals.NO_BUFFERS, 50, 64, 0);
  for (const error of [used, empty]) {
    assert.ok(error instanceof PoolExhaustedError);
    assert.deepEqual([error.code, error.requested, error.classSamples], ['exhausted', 50, 64]);
  }
  assert.deepEqual([used.buffers, empty.buffers], [32, 0]);
  assert.match(used.message, /all 32 of 64 samples are in use/);
  assert.match(empty.message, /has no buffer of 64 samples for the 50 requested/);
  assert.equal(new PoolExhaustedError(50, 64, 0).message, empty.message);
});

test('illegal move is described in words, also with numbers that are unknown', () => {
  for (const [state, name] of LEASE_STATES.entries()) {
    for (const [move, asked] of LEASE_MOVES.entries()) {
      const { message } = refusal(refusals.ILLEGAL_MOVE, 255, state, move);
      assert.ok(message.startsWith(`The lease 0xff is ${name}, which does not allow ${asked}. `), message);
    }
  }
  assert.match(refusal(refusals.ILLEGAL_MOVE, 255, 3, 5).message, /is in an unknown state, which does not allow an unknown operation/);
});

test('stale lease that is no whole number is shown as it was given', () => {
  for (const [lease, shown] of [[255, '0xff'], [0.5, '0.5'], [NaN, 'NaN'], ['a', 'a'], [undefined, 'undefined'], [null, 'null']]) {
    assert.match(new StaleLeaseError(lease).message, new RegExp(`under ${shown}:`));
  }
});
