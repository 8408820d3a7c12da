import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { ProfileStore } from './profile_store.ts';

afterEach(() => delete globalThis.localStorage);

/** A storage of the browser's; `full`: it accepts nothing. */
function storage({ full = false } = {}) {
  const kept = new Map();
  globalThis.localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => {
      if (full) throw new Error('QuotaExceededError');
      kept.set(key, value);
    },
    removeItem: (key) => kept.delete(key),
  };
  return kept;
}

test('profile is kept under its name until it is forgotten', () => {
  const kept = storage();
  const store = new ProfileStore('tuner');
  assert.equal(store.profile, null);
  store.keep('{"a":1}');
  assert.deepEqual([...kept], [['wavepool.profile.tuner', '{"a":1}']]);
  const next = new ProfileStore('tuner');
  assert.equal(next.profile, '{"a":1}');
  assert.equal(new ProfileStore('other').profile, null);
  next.forget();
  assert.deepEqual([next.profile, kept.size], [null, 0]);
});

test('profile that is the same is not written again', () => {
  storage();
  const store = new ProfileStore('tuner');
  store.keep('x');
  globalThis.localStorage.setItem = () => assert.fail('written again');
  store.keep('x');
});

test('storage that is switched off or full keeps nothing, and throws nothing', () => {
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, get: () => { throw new Error('SecurityError'); } });
  const off = new ProfileStore('tuner');
  off.keep('x');
  off.forget();
  assert.equal(off.profile, null);
  delete globalThis.localStorage;
  const kept = storage({ full: true });
  new ProfileStore('tuner').keep('x');
  assert.equal(kept.size, 0);
});
