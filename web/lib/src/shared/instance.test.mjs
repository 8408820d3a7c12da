import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultMessage, instantiateBare } from './instance.ts';

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const section = (id, ...bytes) => [id, bytes.length, ...bytes];
const name = (text) => [text.length, ...Buffer.from(text)];
/** Imports `page.call`, and exports a `__wbindgen_start` that does nothing and a `run` that calls the import. */
const module = new WebAssembly.Module(
  new Uint8Array([
    ...header,
    ...section(1, 2, 0x60, 0, 0, 0x60, 1, 0x7f, 0),
    ...section(2, 1, ...name('page'), ...name('call'), 0, 0),
    ...section(3, 2, 1, 0),
    ...section(7, 2, ...name('__wbindgen_start'), 0, 1, ...name('run'), 0, 2),
    ...section(10, 2, 2, 0, 0x0b, 4, 0, 0x10, 0, 0x0b),
  ]),
);

test('import that a bare instance calls ends the call with its name', () => {
  const { run } = instantiateBare(module, null);
  assert.throws(run, /called the page function call/);
});

test('fault message is that of the panic, if the thread trapped after one', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const text = 'panicked at src/x.rs: no';
  new Uint8Array(memory.buffer).set(Buffer.from(text), 100);
  const exports = (bytes) => ({ panic_note: () => 100, panic_note_bytes: () => bytes });
  const trap = new WebAssembly.RuntimeError('unreachable');
  assert.equal(faultMessage(trap, exports(text.length), memory), text);
  assert.equal(faultMessage(trap, exports(0), memory), 'unreachable');
  assert.equal(faultMessage(new Error('other'), exports(text.length), memory), 'other');
  assert.equal(faultMessage('thrown text', exports(text.length), memory), 'thrown text');
});
