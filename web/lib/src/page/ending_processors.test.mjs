import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeContext, turn } from '../../package/fakes.mjs';
import { countEnding, END_MS, fewAreEnding, MOST_ENDING } from './ending_processors.ts';

/** A context with so many closed processors that have not ended; each function ends one. */
function closed(count) {
  const context = new FakeContext();
  const ends = Array.from({ length: count }, () => {
    let end;
    countEnding(context, new Promise((resolve) => (end = resolve)));
    return end;
  });
  return { context, ends };
}

async function isOpenedAt(context, change) {
  let opened = false;
  const opening = fewAreEnding(context).then(() => (opened = true));
  await turn();
  const before = opened;
  await change();
  await turn();
  return { opening, before, after: opened };
}

test('processor is opened at once while few are ending', async () => {
  const { before } = await isOpenedAt(closed(MOST_ENDING - 1).context, () => {});
  assert.equal(before, true);
  assert.equal((await isOpenedAt(new FakeContext(), () => {})).before, true);
});

test('processor waits for one of many that are ending', async () => {
  const { context, ends } = closed(MOST_ENDING);
  const { before, after } = await isOpenedAt(context, () => ends[0]());
  assert.deepEqual([before, after], [false, true]);
});

test('audio thread that reports no end delays each closed processor once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { context } = closed(MOST_ENDING);
  const { before, after } = await isOpenedAt(context, () => t.mock.timers.tick(END_MS));
  assert.deepEqual([before, after], [false, true]);
  assert.equal((await isOpenedAt(context, () => {})).before, true);
});
