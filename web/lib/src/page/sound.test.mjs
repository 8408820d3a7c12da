import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyseSound } from './sound.ts';

const WINDOW = 4096;

/** A control worker that records the requests, and does `inAdd` with each block. */
function fakeHost(inAdd = () => null) {
  const requests = [];
  const request = async (message, transfer = []) => {
    requests.push({ ...message, transfer });
    switch (message.kind) {
      case 'openSound':
        return { sound: 7, window: WINDOW };
      case 'addSound':
        return inAdd(message);
      case 'closeSound':
        return { summary: '{"windows":1}' };
    }
  };
  return { requests, request };
}

/** Each sample is the number of its frame, in the second channel negative. */
function sound(length, numberOfChannels = 2) {
  const copyFromChannel = (part, channel, from) => part.forEach((_, at) => (part[at] = (from + at) * (channel === 1 ? -1 : 1)));
  return { length, numberOfChannels, sampleRate: 48_000, copyFromChannel };
}

test('sound is posted once, in blocks of whole windows, without a copy of the blocks', async () => {
  const host = fakeHost();
  const length = 20 * WINDOW + 10;
  assert.deepEqual(await analyseSound(host, sound(length)), { windows: 1 });
  const [opened, ...added] = host.requests;
  const closed = added.pop();
  assert.deepEqual([opened.sampleRate, opened.channels, closed.kind, closed.sound], [48_000, 2, 'closeSound', 7]);
  let frame = 0;
  for (const { samples, transfer } of added) {
    const [left, right] = samples;
    assert.deepEqual(transfer, [left.buffer, right.buffer]);
    assert.deepEqual([left[0], right.at(-1)], [frame, -(frame + left.length - 1)]);
    frame += left.length;
    assert.ok(left.length % WINDOW === 0 || frame === length);
  }
  assert.equal(frame, length);
  assert.equal(added.length, 2);
});

test('sound is closed when its analysis is aborted or fails', async () => {
  const abort = new AbortController();
  const aborted = fakeHost(() => abort.abort(new Error('another file')));
  await assert.rejects(analyseSound(aborted, sound(100 * WINDOW), abort.signal), /another file/);
  const failed = fakeHost(() => {
    throw new Error('no memory');
  });
  await assert.rejects(analyseSound(failed, sound(WINDOW)), /no memory/);
  for (const { requests } of [aborted, failed]) {
    assert.deepEqual(requests.map(({ kind }) => kind), ['openSound', 'addSound', 'closeSound']);
  }
});

test('what is no sound is refused', async () => {
  for (const given of [null, undefined, 5, 'sound', {}, { length: 1 }]) {
    await assert.rejects(analyseSound(fakeHost(), given), /Invalid sound: must be an AudioBuffer/);
  }
});
