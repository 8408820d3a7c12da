import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PooledArray } from './pooled_array.ts';

/** A pool that logs the calls, and views of which are new arrays. */
function pool() {
  const calls = [];
  const log = (name, returned) => (lease) => (calls.push(`${name} ${lease}`), returned?.(lease));
  return { calls, closed: false, view: log('view', () => new Float32Array(4)), endView: log('endView'), share: log('share', (lease) => lease + 1), release: log('release') };
}

test('pooled array views its buffer once', () => {
  const from = pool();
  const array = new PooledArray(from, 7, 3);
  assert.equal(array.view(), array.view());
  assert.deepEqual([from.calls, array.samples], [['view 7'], 3]);
});

test('pooled array ends its view before it shares, and views anew afterwards', () => {
  const from = pool();
  const array = new PooledArray(from, 7, 3);
  const first = array.view();
  const shared = array.share();
  assert.notEqual(array.view(), first);
  shared.release();
  assert.deepEqual(from.calls, ['view 7', 'endView 7', 'share 7', 'view 7', 'release 8']);
});

test('pooled array is released at the end of its scope, unless that was done or its pool was closed', () => {
  const from = pool();
  new PooledArray(from, 1, 1)[Symbol.dispose]();
  const released = new PooledArray(from, 2, 1);
  released.release();
  released[Symbol.dispose]();
  const late = new PooledArray(from, 3, 1);
  from.closed = true;
  late[Symbol.dispose]();
  assert.deepEqual(from.calls, ['release 1', 'release 2']);
});

test('pooled array asks its pool for a view after the release, which refuses', () => {
  const from = pool();
  const array = new PooledArray(from, 1, 1);
  array.view();
  array.release();
  from.view = () => {
    throw new Error('refused');
  };
  assert.throws(() => array.view(), /refused/);
});
