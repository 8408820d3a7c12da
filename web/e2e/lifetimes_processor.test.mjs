// Processors written in Rust: every way in which their use begins and ends.
import assert from 'node:assert/strict';
import { lifetime } from './lifetimes.mjs';

/** Instances that the worklet keeps for later processors at most, and processors open at a time. */
const MOST_INSTANCES = 16 + 8;

lifetime('processors', 'processors opened, closed (also twice), trapped', ({ others, instances }) => {
  assert.deepEqual(others, []);
  assert.ok(instances <= MOST_INSTANCES, `${instances} instances`);
});

// Chromium keeps every AudioWorkletNode whose processor still ran when its context closed, and each of an offline context, with
// their memories, as long as the page lives: seen with a page that has no library. It has room for some hundred.
lifetime('processorsOfContextsThatClose', 'processors of contexts that close', ({ faults }) => assert.deepEqual(faults, []), {
  leaky: ['AudioHandlers', 'AudioWorkletProcessors', 'JSEventListeners'],
  perPage: 100,
});
