import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile, keyedModule } from './wasm_source.ts';

const EMPTY = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
/** With a custom section, so that modules differ. */
const bytes = (number) => new Uint8Array([...EMPTY, 0, 2, 1, number]);
/** Imports its memory, as the shared build does. */
const withMemory = new Uint8Array([...EMPTY, 2, 8, 1, 1, 0x65, 1, 0x6d, 2, 0, 1]);

test('module of the same bytes is compiled once, whatever they come in', async () => {
  const first = await keyedModule(bytes(1));
  const again = await Promise.all([keyedModule(bytes(1)), keyedModule(bytes(1).buffer), keyedModule(new DataView(bytes(1).buffer))]);
  for (const keyed of again) assert.equal(keyed, first);
  assert.match(first.key, /^[0-9a-f]{32}$/);
  assert.notEqual((await keyedModule(bytes(2))).key, first.key);
});

test('module that is compiled already has one key', async () => {
  const module = await WebAssembly.compile(bytes(3));
  const [one, two] = [await keyedModule(module), await keyedModule(module)];
  assert.equal(one, two);
  assert.equal(one.module, module);
});

test('module that cannot be compiled is refused, and tried again the next time', async () => {
  for (const source of [new Uint8Array([1, 2, 3]), bytes(4).subarray(0, 9), null, 5, {}, () => 0]) {
    await assert.rejects(keyedModule(source), { code: 'wasm-unavailable' });
    await assert.rejects(keyedModule(source), { code: 'wasm-unavailable' });
  }
});

test('module of the other build is refused with the one that is needed', async () => {
  await assert.rejects(compile('shared', bytes(5)), { code: 'bad-option', message: /the transfer build, and this page runs in shared mode/ });
  await assert.rejects(compile('transfer', withMemory), { code: 'bad-option', message: /Pass "wavepool\/transfer\.wasm"/ });
  assert.ok((await compile('transfer', bytes(5))).module);
  assert.ok((await compile('shared', withMemory)).module);
});

test('modules: no more than 32 are kept', async () => {
  const oldest = await keyedModule(bytes(100));
  for (let i = 0; i < 40; i++) await keyedModule(new Uint8Array([...EMPTY, 0, 3, 1, 7, i]));
  assert.notEqual(await keyedModule(bytes(100)), oldest);
});
