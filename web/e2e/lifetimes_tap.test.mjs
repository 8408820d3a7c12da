// Taps and tuners, opened and ended in every way. Environment as for library.test.mjs.
import assert from 'node:assert/strict';
import { lifetime } from './lifetimes.mjs';

function judge({ leaked, reasons }, expected) {
  assert.equal(leaked, 0);
  assert.deepEqual(Object.keys(reasons).sort(), expected);
}

lifetime('taps', 'taps and tuners closed, forgotten, or without their reader or pool', (end) => judge(end, ['closed', 'reader-lost']), {
  // They are counted when the worklet's own collector has run, which nobody can ask for.
  leaky: ['AudioWorkletProcessors'],
});

// Chromium keeps the nodes of a context that closes, and their listeners: seen with a page that has no library.
lifetime('tapsOfContextsThatClose', 'taps and tuners of contexts that close', (end) => judge(end, ['context-closed']), {
  leaky: ['AudioHandlers', 'AudioWorkletProcessors', 'JSEventListeners'],
});
