// Buffers of the pool, in the page and in workers: every way in which their use begins and ends.
import assert from 'node:assert/strict';
import { lifetime, mode } from './lifetimes.mjs';

lifetime('poolOfAWorker', 'workers that die with buffers in use, or leave', ({ lost, dead, left, leaked }) => {
  // In transfer mode a worker tells four times a second what it has: these are dead before.
  assert.ok(dead > 0 && left > 0 && (lost > 0 || mode === 'transfer'), `${lost} lost of ${dead} dead, ${left} left`);
  assert.equal(leaked, 0);
});

lifetime('poolOfThePage', "the page's pool is closed and opened again", (seen) => assert.deepEqual(seen, { reused: 0, leaked: 0 }));

lifetime('poolsThatClose', 'whole pools, closed, restarted, and without their control worker', ({ leaks, dead, stuck }) => {
  assert.deepEqual(leaks, []);
  assert.ok(dead > 0 && stuck > 0, `${dead} dead, ${stuck} stuck`);
});
