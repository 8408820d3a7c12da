// What both WebAssembly modules must be, whatever they export.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const load = async (build) => WebAssembly.compile(await readFile(`web/lib/wasm/${build}/wavepool_bg.wasm`));
const modules = { shared: await load('shared'), transfer: await load('transfer') };

for (const [build, module] of Object.entries(modules)) {
  const names = WebAssembly.Module.exports(module).map((entry) => entry.name);

  test(`${build}: exports are called directly`, () => {
    // The linker wraps every export in a call of the constructors unless they are called by name.
    assert.deepEqual(names.filter((name) => name.includes('command_export')), []);
    assert.ok(names.length > 1, `only ${names} is exported`);
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
