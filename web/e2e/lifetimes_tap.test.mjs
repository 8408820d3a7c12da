// Taps and tuners, opened and ended in every way. Environment as for library.test.mjs.
import assert from 'node:assert/strict';
import { lifetime, mode } from './lifetimes.mjs';

/** Open at a time, on all pools of the page; the audio thread keeps as many idle instances at most. */
const MOST_OPEN = 16;

function judge({ leaked, reasons }, expected) {
  assert.equal(leaked, 0);
  assert.deepEqual(Object.keys(reasons).sort(), expected);
}

lifetime('taps', 'taps and tuners closed, forgotten, or without their reader or pool', (end) => {
  judge(end, ['closed', 'reader-lost']);
  // In transfer mode each open tap has an instance, with a memory of its own, that serves another one afterwards.
  if (mode === 'transfer') assert.ok(end.made <= MOST_OPEN, `${end.made} instances`);
}, {
  // They are counted when the worklet's own collector has run, which nobody can ask for.
  leaky: ['AudioWorkletProcessors'],
});

// Chromium keeps the nodes of a context that closes, and their listeners, as long as the page lives: seen with a page that has no
// library.
lifetime('tapsOfContextsThatClose', 'taps and tuners of contexts that close', (end) => judge(end, ['context-closed']), {
  leaky: ['AudioHandlers', 'AudioWorkletProcessors', 'JSEventListeners'],
  perPage: 200,
});
