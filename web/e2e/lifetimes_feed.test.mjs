// Feeds: every way in which one is opened, used and ended.
import assert from 'node:assert/strict';
import { lifetime } from './lifetimes.mjs';

lifetime('feeds', 'feeds that are closed, also twice and while they are written, ended, or forgotten, or whose worker dies', ({ deaths, leaked }, rounds) => {
  assert.ok(deaths >= Math.floor(rounds / 8), `${deaths} deaths`);
  assert.equal(leaked, 0);
});

// Chromium keeps every AudioWorkletNode whose processor still ran when its context closed, as lifetimes_processor.test.mjs says.
lifetime('feedsOfContextsThatClose', 'feeds of contexts that close', ({ faults, leaked }, rounds) => {
  assert.ok(faults >= rounds / 2, `${faults} faults`);
  assert.equal(leaked, 0);
}, { leaky: ['AudioHandlers', 'AudioWorkletProcessors', 'JSEventListeners'], perPage: 200 });
