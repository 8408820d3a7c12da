// Buffers of the pool, in the page and in workers: every way in which their use begins and ends.
import assert from 'node:assert/strict';
import { lifetime, mode } from './lifetimes.mjs';

lifetime('poolOfAWorker', 'workers that die with buffers in use, or leave', ({ lost, dead, left, leaked }) => {
  // In transfer mode a worker tells four times a second what it has: these are dead before.
  assert.ok(dead > 0 && left > 0 && (lost > 0 || mode === 'transfer'), `${lost} lost of ${dead} dead, ${left} left`);
  assert.equal(leaked, 0);
});

lifetime('poolOfThePage', "the page's pool is closed and opened again", (seen) => assert.deepEqual(seen, { reused: 0, leaked: 0 }));

// Each starts a worker and a memory; a round in which the worker hangs takes most of a second.
lifetime('poolsThatClose', 'whole pools, closed, restarted, and stuck', (seen) => assert.deepEqual(seen, { leaks: [], held: 0, pending: 0 }), { per: 20 });
