import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { turn } from '../../package/fakes.mjs';
import { BLOCKS_PER_RETURN } from '../shared/protocol.ts';
import { BlockReceiver } from './block_receiver.ts';

const HEADER = 32;
const config = { sample_rate: 48_000, channels: 2, window: 4, hop: 4, consumer: 'tuner', flush: false };
const WHOLE = HEADER + 4 * config.channels * config.window;
const open = [];
afterEach(() => open.splice(0).forEach((port) => port.close()));

/** A receiver with the worklet's end of its port, and what its host was given. */
function receiver(t, { consumer = false, receiveHeader = () => {} } = {}) {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const calls = { headers: [], windows: 0, received: 0, failed: [], warnings: [] };
  t.mock.method(console, 'warn', (text) => calls.warnings.push(text));
  const host = {
    headerBytes: () => HEADER,
    headerAddress: () => 64,
    countBuffers: () => {},
    countObjects: () => {},
    receiveHeader: () => (calls.headers.push(new Uint8Array(memory.buffer)[64]), receiveHeader()),
    beginReceive: () => true,
    receiveAddress: (_, channel) => 1024 + 64 * channel,
    endReceive: () => (calls.windows += 1),
  };
  const [worklet, reader] = [new MessageChannel(), consumer ? new MessageChannel() : null];
  open.push(worklet.port1, worklet.port2, ...(reader ? [reader.port1, reader.port2] : []));
  const returned = [];
  worklet.port2.onmessage = ({ data }) => returned.push(data.map(({ byteLength }) => byteLength));
  const ports = { worklet: worklet.port1, consumer: reader && reader.port1 };
  const one = new BlockReceiver(host, memory, 3, config, ports, () => (calls.received += 1), (thrown) => calls.failed.push(thrown));
  return { receiver: one, worklet: worklet.port2, reader: reader?.port2, calls, returned, memory };
}

function block(mark, bytes = WHOLE) {
  const buffer = new ArrayBuffer(bytes);
  new Uint8Array(buffer)[0] = mark;
  if (bytes === WHOLE) new Float32Array(buffer, HEADER).forEach((_, at, samples) => (samples[at] = at));
  return buffer;
}

test('block of the tuner: its header and its samples reach the host', async (t) => {
  const { worklet, calls, memory } = receiver(t);
  worklet.postMessage(block(9));
  await turn();
  assert.deepEqual([calls.headers, calls.windows, calls.received], [[9], 1, 1]);
  assert.deepEqual([...new Float32Array(memory.buffer, 1024 + 64, 4)], [4, 5, 6, 7]);
});

test('blocks go back to the worklet many at a time, and at once if it has none left', async (t) => {
  const { receiver: one, worklet, returned } = receiver(t);
  for (let i = 0; i < BLOCKS_PER_RETURN - 1; i++) worklet.postMessage(block(i));
  await turn();
  assert.deepEqual(returned, []);
  worklet.postMessage(block(0));
  await turn();
  assert.deepEqual(returned, [Array(BLOCKS_PER_RETURN).fill(WHOLE)]);
  worklet.postMessage(block(0));
  worklet.postMessage(block(0, HEADER));
  await turn();
  assert.deepEqual(returned[1], [WHOLE, HEADER]);
  worklet.postMessage(block(0));
  await turn();
  one.returnAllBlocks();
  one.returnAllBlocks();
  await turn();
  assert.deepEqual(returned.slice(2), [[WHOLE]]);
});

test('message that is no block is refused, and reported once', async (t) => {
  const { worklet, calls } = receiver(t);
  for (const wrong of [new ArrayBuffer(0), new ArrayBuffer(HEADER - 1), new ArrayBuffer(WHOLE + 4), 'text', { length: WHOLE }, 5]) worklet.postMessage(wrong);
  worklet.postMessage(block(1));
  await turn();
  assert.deepEqual([calls.headers, calls.failed], [[1], []]);
  assert.equal(calls.warnings.length, 1);
  assert.match(calls.warnings[0], /blocks of stream 3 are refused: a block must be a buffer of 32 or 64 bytes \(got 0\)/);
});

test('header that the host refuses is reported, and its block goes on; a trap is a failure', async (t) => {
  let thrown = new Error('damaged');
  const { worklet, calls, returned } = receiver(t, { receiveHeader: () => { throw thrown; } });
  worklet.postMessage(block(1, HEADER));
  await turn();
  assert.deepEqual([calls.failed, calls.warnings.length, returned.length], [[], 1, 1]);
  thrown = new WebAssembly.RuntimeError('unreachable');
  worklet.postMessage(block(1, HEADER));
  await turn();
  assert.deepEqual(calls.failed, [thrown]);
});

test('stream has ended when every sender has sent its final message', async (t) => {
  const { receiver: one, worklet, reader } = receiver(t, { consumer: true });
  let ended = false;
  void one.ended.then(() => (ended = true));
  reader.postMessage(null);
  await turn();
  assert.deepEqual([ended, one.hasFinalMessage], [false, false]);
  worklet.postMessage(null);
  await turn();
  assert.deepEqual([ended, one.hasFinalMessage], [true, true]);
});
