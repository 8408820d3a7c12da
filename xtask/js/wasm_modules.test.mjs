// What both WebAssembly modules must be, whatever they export.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const load = async (build) => WebAssembly.compile(await readFile(`web/lib/wasm/${build}/wavepool_bg.wasm`));
/** As the linker left it: the module that is shipped has no names any more. */
const linked = async (build) =>
  WebAssembly.compile(await readFile(`target/wasm-${build}/wasm32-unknown-unknown/wasm/wavepool_web.wasm`));
const modules = { shared: await load('shared'), transfer: await load('transfer') };

// Unless the constructors are called by name, the linker wraps every export in a call of them,
// which takes longer than the work behind most exports. The wrappers' names tell.
function wrappers(module) {
  const sections = WebAssembly.Module.customSections(module, 'name');
  const exported = WebAssembly.Module.exports(module).map((entry) => entry.name);
  const text = [...sections.map((section) => Buffer.from(section).toString('latin1')), ...exported].join('\n');
  return text.match(/\w+[._]command_export/g) ?? [];
}

test('a wrapped export is recognised', () => {
  // One memory, exported as `a_command_export`.
  const name = Buffer.from('a_command_export');
  const memory = [5, 3, 1, 0, 0];
  const exports = [7, name.length + 4, 1, name.length, ...name, 2, 0];
  const module = new WebAssembly.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...memory, ...exports]));
  assert.deepEqual(wrappers(module), ['a_command_export']);
});

for (const [build, module] of Object.entries(modules)) {
  test(`${build}: exports are called directly`, async () => {
    const named = await linked(build);
    assert.deepEqual(wrappers(named), []);
    assert.notEqual(WebAssembly.Module.customSections(named, 'name').length, 0, 'no names to look at');
  });

  test(`${build}: instantiates, twice`, async () => {
    const glue = await import(`../../web/lib/wasm/${build}/wavepool.js`);
    const first = glue.initSync({ module });
    assert.ok(first.memory.buffer.byteLength > 0);
    const again = await import(`../../web/lib/wasm/${build}/wavepool.js?second`);
    const memory = build === 'shared' ? first.memory : undefined;
    const second = again.initSync({ module, memory, thread_stack_size: memory && 65536 });
    assert.equal(second.memory === first.memory, build === 'shared');
  });
}

test('shared: its memory is shared, imported and bounded', async () => {
  const { initSync } = await import('../../web/lib/wasm/shared/wavepool.js?memory');
  const { memory } = initSync({ module: modules.shared });
  assert.ok(memory.buffer instanceof SharedArrayBuffer);
  assert.throws(() => memory.grow(2 ** 15), RangeError);
});

test('transfer: its memory is its own', async () => {
  assert.deepEqual(
    WebAssembly.Module.imports(modules.transfer).filter((entry) => entry.kind === 'memory'),
    [],
  );
});
