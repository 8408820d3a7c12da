import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeContext } from '../../package/fakes.mjs';
import { whenContextCloses, whileContextRuns } from './lifetime.ts';

test('context that closes is reported once', () => {
  const context = new FakeContext();
  let closed = 0;
  whenContextCloses(context, () => (closed += 1));
  for (const state of ['suspended', 'running', 'closed', 'closed']) context.become(state);
  assert.equal(closed, 1);
});

test('context that is closed already is reported at once', () => {
  const context = new FakeContext();
  context.state = 'closed';
  let closed = 0;
  whenContextCloses(context, () => (closed += 1))();
  assert.equal(closed, 1);
});

test('context that is not watched any more is not reported', () => {
  const context = new FakeContext();
  whenContextCloses(context, () => assert.fail('reported'))();
  context.become('closed');
});

test('work on a context has its own outcome, unless the context closes first', async () => {
  const context = new FakeContext();
  assert.equal(await whileContextRuns(context, Promise.resolve(5)), 5);
  await assert.rejects(whileContextRuns(context, Promise.reject(new Error('own'))), /own/);
  const never = whileContextRuns(context, new Promise(() => {}));
  context.become('closed');
  await assert.rejects(never, { code: 'context-closed' });
});
