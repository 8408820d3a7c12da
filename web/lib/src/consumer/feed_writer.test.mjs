import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { turn, withLocks } from '../../package/fakes.mjs';
import { RING, ringBytes } from '../shared/feed_protocol.ts';
import { openOutlet } from './feed_outlet.ts';
import { FeedWriter } from './feed_writer.ts';

const format = { sampleRate: 48_000, channels: 2, frames: 128, latencyFrames: 512, live: false };
const ports = [];
afterEach(() => ports.splice(0).forEach((port) => port.close()));

function ring() {
  return new SharedArrayBuffer(ringBytes(format));
}

/** A ticket, and what its writer sent the page. */
function ticket(changes = {}) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const sent = [];
  port1.onmessage = ({ data }) => sent.push(data);
  return { ticket: { format, lane: { mode: 'shared', ring: ring() }, lock: 'lock', control: port2, ports: [port2], ...changes }, page: port1, sent };
}

const CLOSED = { code: 'closed' };
const TAKEN = { code: 'tap-taken' };

test('feed writer gets blocks one after the other, and each is sent when the next is asked for', async () => {
  const shared = ring();
  const writer = FeedWriter.here(format, openOutlet({ mode: 'shared', ring: shared }, format));
  const blocks = writer.blocks();
  const first = (await blocks.next()).value;
  assert.deepEqual([first.firstFrame, first.frames, first.channelCount], [0, 128, 2]);
  for (const channel of [-1, 2, 0.5, NaN, Infinity, 2 ** 32, '0', 'length', undefined, null]) {
    assert.throws(() => first.channel(channel), { code: 'no-such-channel' }, String(channel));
  }
  first.channel(1).fill(0.5);
  assert.equal(writer.bufferedFrames, 0);
  const second = (await blocks.next()).value;
  assert.deepEqual([second.firstFrame, writer.bufferedFrames], [128, 128]);
  assert.throws(() => first.channel(0), { code: 'stale-lease' });
  await blocks.return();
  assert.throws(() => second.channel(0), { code: 'stale-lease' });
  assert.equal(new Int32Array(shared)[RING.written], 1, 'the block that was being written when the loop ended is not played');
});

test('feed writer: one loop at a time, none after the end', async () => {
  const writer = FeedWriter.here(format, openOutlet({ mode: 'shared', ring: ring() }, format));
  const blocks = writer.blocks();
  await blocks.next();
  await assert.rejects(writer.blocks().next(), TAKEN);
  await blocks.return();
  await writer.blocks().return();
  writer.end();
  writer.end();
  await assert.rejects(writer.blocks().next(), CLOSED);
});

test('feed ticket that is none is refused', () => {
  const { ticket: good } = ticket();
  for (const wrong of [undefined, null, 3, {}, { format }, { ...good, control: null }, { ...good, lane: { mode: 'shared', ring: new SharedArrayBuffer(8) } }, { ...good, lane: { mode: 'transfer', port: null } }]) {
    assert.throws(() => FeedWriter.open(wrong), { code: 'bad-option' });
  }
});

test('feed ticket is opened once, and the page learns of it when the lock is held', async () => {
  await withLocks(async (locks) => {
    const { ticket: good, sent, page } = ticket();
    const writer = FeedWriter.open(good);
    assert.throws(() => FeedWriter.open(good), TAKEN);
    await turn();
    assert.deepEqual([sent, locks.held], [['opened'], ['lock']]);
    writer.end();
    await turn();
    assert.deepEqual(sent, ['opened', 'ended']);
    page.postMessage('closed');
    await turn();
    assert.deepEqual(locks.held, []);
  });
});

test('feed writer without Web Locks writes, and the page learns that it is not watched', async () => {
  const { ticket: good, sent } = ticket();
  const writer = FeedWriter.open(good);
  const { value } = await writer.blocks().next();
  assert.equal(value.firstFrame, 0);
  await turn();
  assert.deepEqual(sent, ['unwatched']);
});

test('loop that writes ends when the page closes the feed', async () => {
  await withLocks(async () => {
    const { ticket: good, page } = ticket();
    const writer = FeedWriter.open(good);
    let written = 0;
    const loop = (async () => {
      for await (const block of writer.blocks()) written += block.frames;
    })();
    await turn();
    page.postMessage('closed');
    await loop;
    assert.ok(written >= format.latencyFrames);
    await assert.rejects(writer.blocks().next(), CLOSED);
  });
});
