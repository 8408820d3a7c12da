// What both WebAssembly modules must be, whatever they export.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const load = async (build) => WebAssembly.compile(await readFile(`web/lib/wasm/${build}/wavepool_bg.wasm`));
/** As the linker left it: the module that is shipped has no names any more. */
const linked = async (build) =>
  WebAssembly.compile(await readFile(`target/wasm-${build}/wasm32-unknown-unknown/wasm/wavepool_host.wasm`));
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

// The host sets memory aside for the thread-locals of each thread that joins: LOCAL_BYTES of web/host/src/shared/thread_memory.rs.
test('shared: the thread-locals fit into what a thread is given', async () => {
  const module = await linked('shared');
  const imports = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    const value = kind === 'memory' ? new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true }) : () => 0;
    (imports[space] ??= {})[name] = value;
  }
  const { __tls_size: size, __tls_align: align } = (await WebAssembly.instantiate(module, imports)).exports;
  assert.ok(size.value > 0 && size.value <= 4096, `${size.value} bytes`);
  assert.ok(align.value <= 64, `aligned to ${align.value}`);
});

test('shared: a panic note belongs to the thread that panicked, which is taken over', async () => {
  const glue = await import('../../web/lib/wasm/shared/wavepool.js?panic');
  const own = glue.initSync({ module: modules.shared });
  const host = new glue.Host(JSON.stringify({ mode: 'shared', mode_reason: 'test', profile: null, seed: 1 }));
  const leased = () => JSON.parse(host.snapshot()).pool.leased;
  const thread = (stack) => {
    const imports = {};
    for (const { module: space, name, kind } of WebAssembly.Module.imports(modules.shared)) {
      (imports[space] ??= {})[name] = kind === 'memory' ? own.memory : () => {};
    }
    const { exports } = new WebAssembly.Instance(modules.shared, imports);
    exports.__stack_pointer.value = stack;
    exports.thread_begin(stack);
    return exports;
  };
  const said = ({ panic_note, panic_note_bytes }) =>
    Buffer.from(new Uint8Array(own.memory.buffer, panic_note(), panic_note_bytes())).toString();
  const config = { sample_rate: 48000, channels: 2, window: 1024, hop: 256, consumer: 'reader' };
  const [first, second] = [0, 1].map(() => host.openStream(JSON.stringify(config)));
  const [dying, living] = [first, second].map((stream) => thread(host.tapThread(stream)));
  const reader = thread(host.readerThread(first));
  dying.tap_silence(host.tapNumber(first), 2000);
  assert.notEqual(reader.reader_take(host.readerNumber(first)), 0);
  assert.ok(leased() > 0);
  assert.throws(() => dying.tap_panic(host.tapNumber(first)), WebAssembly.RuntimeError);
  assert.match(said(dying), /panicked at .*half \d+ panics for a test/s);
  assert.deepEqual([said(living), said(reader), said(own)], ['', '', '']);
  assert.equal(dying.tap_silence(host.tapNumber(first), 128), -1);
  // Nothing is freed on a word that the memory contradicts.
  host.closeStream(first, 1, 1);
  assert.ok(leased() > 0);
  host.closeStream(first, 2, 2);
  living.tap_silence(host.tapNumber(second), 128);
  host.closeStream(second, 2, 2);
  assert.equal(leased(), 0);
});
