import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { chooseMode } from './mode.ts';

afterEach(() => delete globalThis.crossOriginIsolated);

test('mode auto is shared on an isolated page, and transfer elsewhere', () => {
  assert.equal(chooseMode('auto').mode, 'transfer');
  globalThis.crossOriginIsolated = true;
  assert.equal(chooseMode('auto').mode, 'shared');
});

test('mode transfer can be had everywhere, shared on an isolated page only', () => {
  assert.equal(chooseMode('transfer').mode, 'transfer');
  assert.throws(() => chooseMode('shared'), ({ code, message }) => code === 'not-isolated' && message.includes('Cross-Origin-Opener-Policy: same-origin'));
  globalThis.crossOriginIsolated = true;
  assert.equal(chooseMode('shared').mode, 'shared');
  assert.equal(chooseMode('transfer').mode, 'transfer');
});

test('mode: an isolated page without shared memory runs in transfer mode', () => {
  globalThis.crossOriginIsolated = true;
  const { SharedArrayBuffer } = globalThis;
  delete globalThis.SharedArrayBuffer;
  try {
    assert.equal(chooseMode('auto').mode, 'transfer');
    assert.throws(() => chooseMode('shared'), { code: 'not-isolated' });
  } finally {
    globalThis.SharedArrayBuffer = SharedArrayBuffer;
  }
});

test('mode that is none is refused with its value', () => {
  for (const mode of ['both', '', 1, null, undefined, true, {}, Symbol('shared')]) {
    assert.throws(() => chooseMode(mode), ({ code, message }) => code === 'bad-option' && message.startsWith('Invalid mode: must be "auto"'));
  }
});
