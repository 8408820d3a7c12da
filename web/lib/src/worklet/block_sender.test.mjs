import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { turn } from '../../package/fakes.mjs';
import { blocksInFlight } from '../shared/protocol.ts';
import { BlockSender } from './block_sender.ts';

const HEADER = 32;
const config = { sample_rate: 48_000, channels: 2, window: 4, hop: 4096, consumer: 'reader', flush: false };
const WHOLE = HEADER + 4 * config.channels * config.window;
const BLOCKS = blocksInFlight(config);
const open = [];
afterEach(() => open.splice(0).forEach((port) => port.close()));

/** A sender of a tap that has so many finished windows, with what arrived by each port. */
function sender() {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const calls = { sent: 0, skipped: 0, objects: [] };
  let waiting = 0;
  const exports = {
    tap_header_bytes: () => HEADER,
    tap_header: () => 64,
    tap_take: () => (waiting > 0 ? (waiting -= 1, 1) : 0),
    tap_give_back: (_, sent) => (sent ? (calls.sent += 1) : (calls.skipped += 1)),
    tap_window_address: (_, channel) => 1024 + 16 * channel,
    tap_objects: (_, ...objects) => (calls.objects = objects),
    tap_write_header: () => (new Float32Array(memory.buffer, 64)[0] = calls.sent + calls.skipped),
    tap_close: () => (waiting += 1),
  };
  const [windows, counts] = [new MessageChannel(), new MessageChannel()];
  open.push(windows.port1, windows.port2, counts.port1, counts.port2);
  const arrived = { windows: [], counts: [] };
  windows.port2.onmessage = ({ data }) => arrived.windows.push(data);
  counts.port2.onmessage = ({ data }) => arrived.counts.push(data);
  const one = new BlockSender(exports, 1, memory, config, { windows: windows.port1, counts: counts.port1 }, () => {});
  new Float32Array(memory.buffer, 1024, 8).forEach((_, at, samples) => (samples[at] = at));
  return { sender: one, calls, arrived, host: counts.port2, send: (count) => ((waiting += count), one.send()) };
}

test('finished window is sent in a block, with its header and samples', async () => {
  const { arrived, calls, send } = sender();
  send(1);
  await turn();
  assert.equal(arrived.windows[0].byteLength, WHOLE);
  assert.deepEqual([...new Float32Array(arrived.windows[0], HEADER)], [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual([calls.sent, calls.skipped], [1, 0]);
});

test('window is skipped and counted while every block is away, and the counts are sent once', async () => {
  const { sender: one, arrived, calls, send, host } = sender();
  send(BLOCKS + 3);
  await turn();
  assert.deepEqual([arrived.windows.length, calls.sent, calls.skipped, one.out], [BLOCKS, BLOCKS, 3, BLOCKS]);
  assert.deepEqual(arrived.counts.map(({ byteLength }) => byteLength), [HEADER]);
  host.postMessage([arrived.windows.pop(), arrived.counts.pop()]);
  await turn();
  send(2);
  await turn();
  assert.deepEqual([calls.sent, calls.skipped, one.out], [BLOCKS + 1, 4, BLOCKS]);
  assert.deepEqual(arrived.counts.map(({ byteLength }) => byteLength), [HEADER]);
});

test('blocks that come back are used again: no more are made', async () => {
  const { arrived, send, host, sender: one } = sender();
  for (let round = 0; round < 5; round++) {
    send(BLOCKS);
    await turn();
    assert.equal(arrived.windows.length, BLOCKS);
    host.postMessage(arrived.windows.splice(0));
    await turn();
    assert.equal(one.out, 0);
  }
});

test('objects that were made are reported with the next header', async () => {
  const { arrived, calls, send, host } = sender();
  send(2);
  await turn();
  host.postMessage(arrived.windows.splice(0));
  await turn();
  send(1);
  const [views, messages, buffers] = calls.objects;
  // Three views and two of channels are kept; each block that left had a view and a message.
  assert.deepEqual([views, messages, buffers], [3 + 2 + 2, 2, 2]);
});

test('sender that finishes sends what is left, then its final counts, and ends both ways', async () => {
  const { sender: one, arrived } = sender();
  one.finish();
  one.close();
  await turn();
  assert.deepEqual(arrived.windows.map((block) => block?.byteLength), [WHOLE, undefined]);
  assert.deepEqual(arrived.counts.map((block) => block?.byteLength), [HEADER, undefined]);
});
