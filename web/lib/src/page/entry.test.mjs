// What the entry points of the package make of options and arguments that cannot be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openProcessor, Wavepool } from '../index.ts';

const NO_COUNTS = [-1, -0.5, 0, 0.5, 1.5, NaN, Infinity, -Infinity, 2 ** 30, 2 ** 31, 2 ** 32 + 64, 2 ** 53, 1e300, '64', null, true, 64n, [64], {}, () => 64];

async function refused(name, call, codes = ['bad-option']) {
  try {
    await call();
  } catch ({ code, message }) {
    assert.ok(codes.includes(code), `${name}: ${code} ${message}`);
    assert.match(message.toLowerCase(), new RegExp(name.toLowerCase()));
    return;
  }
  assert.fail(`${name} was accepted`);
}

test('options of Wavepool.create that cannot be are refused with their name', async () => {
  const bad = {
    mode: ['both', '', 1, null, true, {}],
    workletUrl: [5, null, true, {}, []],
    remember: [5, null, true, {}, Symbol('name')],
    devtoolsTracks: [5, null, 'yes', {}],
  };
  for (const options of [null, 5, 'shared', true]) await refused('options', () => Wavepool.create(options));
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) await refused(name, () => Wavepool.create({ [name]: value }));
  }
  for (const wasm of [5, null, true, {}, 'http://[', () => 0]) await refused('wasm', () => Wavepool.create({ wasm }), ['bad-option', 'wasm-unavailable']);
});

test('arguments of openProcessor that cannot be are refused', async () => {
  const context = { audioWorklet: { addModule: () => Promise.resolve() }, state: 'running', addEventListener: () => {}, removeEventListener: () => {} };
  const wasm = new Uint8Array([0]);
  for (const given of [null, 5, 'context', undefined]) await refused('context', () => openProcessor(given, { wasm }));
  await refused('AudioWorklet', () => openProcessor({}, { wasm }), ['no-audio-worklet']);
  for (const given of [null, 5, 'config', undefined]) await refused('options', () => openProcessor(context, given));
  for (const given of [5, null, true, {}, undefined, 'http://[', []]) await refused('WebAssembly module', () => openProcessor(context, { wasm: given }), ['wasm-unavailable']);
  for (const channels of [...NO_COUNTS, 17, 32, 33]) await refused('channels', () => openProcessor(context, { wasm, channels }));
  for (const workletUrl of [5, null, {}]) await refused('workletUrl', () => openProcessor(context, { wasm, workletUrl }));
});

test('module that is no processor is refused with the reason', async () => {
  const context = { audioWorklet: { addModule: () => Promise.resolve() }, state: 'running', addEventListener: () => {}, removeEventListener: () => {} };
  const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  await refused('not made by export_processor', () => openProcessor(context, { wasm: empty }));
  const imports = new Uint8Array([...empty, 1, 4, 1, 0x60, 0, 0, 2, 7, 1, 1, 0x65, 1, 0x66, 0, 0]);
  await refused('it imports "f"', () => openProcessor(context, { wasm: imports }));
});
