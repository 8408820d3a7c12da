// Buffers of a pool on this thread, with the WebAssembly module of transfer mode, and the protocol by which a thread joins.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, test } from 'node:test';
import { turn, withLocks } from '../../package/fakes.mjs';
import { BufferPool } from './buffer_pool.ts';

let module;
before(async () => {
  module = await WebAssembly.compile(await readFile(new URL('../../wasm/transfer/wavepool_bg.wasm', import.meta.url)));
});

/** Runs `work` with a pool of this thread's that a page has welcomed; `sent` is what the page received. */
async function withPool(work, { welcome = 'welcome', holder = 3 } = {}) {
  const [control, counts] = [new MessageChannel(), new MessageChannel()];
  const page = control.port1;
  const sent = [];
  page.onmessage = ({ data }) => {
    sent.push(data);
    if (data.kind === 'joining') page.postMessage({ kind: welcome });
    if (data.kind === 'left') page.postMessage({ kind: 'final' });
  };
  const reports = [];
  counts.port1.onmessage = ({ data }) => reports.push(data.byteLength);
  const ticket = { wasm: { module, memory: null }, participant: 0, thread: 0, holder, seed: 7, lock: 'pool', control: control.port2, counts: counts.port2, ports: [] };
  try {
    return await withLocks(async (locks) => {
      const pool = await BufferPool.open(ticket);
      try {
        return await work({ pool, sent, page, reports, locks });
      } finally {
        await pool.close();
      }
    });
  } finally {
    page.close();
    counts.port1.close();
  }
}

const NO_COUNTS = [-1, -0.5, 0, 0.5, 1.5, NaN, Infinity, -Infinity, 2 ** 30, 2 ** 31, 2 ** 32 + 64, 2 ** 53, 1e300, '64', null, undefined, true, 64n, [64], {}, () => 64];

function code(call) {
  try {
    call();
  } catch (thrown) {
    return thrown.code ?? String(thrown);
  }
  return 'accepted';
}

test('pool: numbers of samples that cannot be are refused, and nothing changes', () =>
  withPool(({ pool }) => {
    for (const samples of NO_COUNTS) {
      assert.equal(code(() => pool.acquire(samples)), 'bad-option', String(samples));
      assert.equal(code(() => pool.borrow(samples)), 'bad-option', String(samples));
    }
    for (const samples of [1 << 20, 2 ** 30 - 1]) assert.equal(code(() => pool.acquire(samples)), 'too-large');
    assert.equal(pool.live, 0);
  }));

test('pool: buffers are silent, at least as long as requested, and have one array each', () =>
  withPool(({ pool }) => {
    for (const samples of [1, 2, 63, 64, 65, 1023, 1024]) {
      const lease = pool.acquire(samples);
      const view = pool.view(lease);
      assert.ok(view.length >= samples && view.every((sample) => sample === 0));
      view.fill(1);
      pool.endView(lease);
      assert.equal(pool.view(lease), view);
      pool.release(lease);
    }
    assert.equal(pool.live, 0);
  }));

test('stale lease: numbers that name no lease of this pool are refused in every call', () =>
  withPool(({ pool }) => {
    const kept = pool.acquire(64);
    for (const lease of [...NO_COUNTS, kept + 0.5, kept + 2 ** 32, kept ^ (1 << 20), -kept]) {
      for (const call of ['view', 'endView', 'share', 'release']) {
        assert.ok(['stale-lease', 'wrong-participant'].includes(code(() => pool[call](lease))), `${call} ${String(lease)}`);
      }
    }
    assert.equal(code(() => pool.release(kept ^ (1 << 26))), 'wrong-participant');
    assert.equal(pool.live, 1);
    pool.release(kept);
    assert.equal(code(() => pool.release(kept)), 'stale-lease');
  }));

test('lease in a state that does not allow a call is refused', () =>
  withPool(({ pool }) => {
    const lease = pool.acquire(64);
    assert.equal(code(() => pool.endView(lease)), 'illegal-move');
    pool.view(lease);
    assert.equal(code(() => pool.view(lease)), 'illegal-move');
    assert.equal(code(() => pool.share(lease)), 'illegal-move');
    pool.endView(lease);
    const shared = pool.share(lease);
    pool.release(lease);
    assert.equal(pool.live, 1);
    pool.release(shared);
  }));

test('exhausted class is refused with its numbers, and serves again after a release', () =>
  withPool(({ pool }) => {
    const leases = [];
    let refused;
    while (!refused) {
      try {
        leases.push(pool.acquire(4096));
      } catch (thrown) {
        refused = thrown;
      }
    }
    assert.equal(refused.code, 'exhausted');
    assert.deepEqual([refused.requested, refused.buffers > 0], [4096, true]);
    pool.release(leases.pop());
    leases.push(pool.acquire(4096));
    for (const lease of leases) pool.release(lease);
  }));

test('closed pool refuses every call, and the page learns that it was left', async () => {
  await withPool(async ({ pool, sent, reports, locks }) => {
    const lease = pool.acquire(64);
    const borrowed = pool.borrow(64);
    assert.deepEqual(locks.held, ['pool']);
    await pool.close();
    await pool.close();
    const calls = [() => pool.acquire(64), () => pool.view(lease), () => pool.release(lease), () => borrowed.view(), () => borrowed.share(), () => borrowed.release()];
    assert.deepEqual(calls.map(code), Array(6).fill('closed'));
    assert.deepEqual([pool.closed, pool.live], [true, 0]);
    await turn();
    assert.deepEqual(sent.map(({ kind }) => kind), ['joining', 'left']);
    assert.deepEqual(reports, [4096], 'its last counts');
    assert.deepEqual(locks.held, []);
  });
});

test('pool of a page that asks it to leave closes, and answers a ping before', () =>
  withPool(async ({ pool, sent, page }) => {
    page.postMessage({ kind: 'ping' });
    page.postMessage({ kind: 'revoke' });
    await turn();
    assert.deepEqual(sent.map(({ kind }) => kind), ['joining', 'alive', 'left']);
    assert.equal(pool.closed, true);
  }));

test('ticket of what was closed is refused, and the lock is released', async () => {
  await assert.rejects(withPool(() => assert.fail('it was opened'), { welcome: 'refused' }), { code: 'closed' });
});
