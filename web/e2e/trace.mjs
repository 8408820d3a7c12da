// What the audio thread really did, from Chromium's own trace of it.

// See `docs/decisions/0047-audio-thread-times-from-chromium-traces.md`.
/** `v8` and `devtools.timeline` bring the calls, `disabled-by-default-v8.gc` the collections, `__metadata` the names. */
const categories = ['v8', 'devtools.timeline', 'disabled-by-default-v8.gc', 'webaudio', '__metadata'];
const thread = 'Realtime AudioWorklet thread';
const bufferKb = 400 * 1024;

/** Begins to record; the answer ends the recording and says what the audio thread did. */
export async function record(browser) {
  const finish = await recordEvents(browser, categories);
  return async () => {
    const events = await finish();
    return events ? audioThread(events) : unknown('The trace did not fit into its buffer: measure for a shorter time.');
  };
}

/** Begins to record; the answer ends the recording and gives its events, or null when they did not fit. */
export async function recordEvents(browser, includedCategories) {
  const cdp = await browser.newBrowserCDPSession();
  await cdp.send('Tracing.start', {
    transferMode: 'ReturnAsStream',
    traceConfig: { recordMode: 'recordUntilFull', traceBufferSizeInKb: bufferKb, includedCategories, excludedCategories: ['*'] },
  });
  return async () => {
    const complete = new Promise((resolve) => cdp.once('Tracing.tracingComplete', resolve));
    await cdp.send('Tracing.end');
    const { stream, dataLossOccurred } = await complete;
    if (dataLossOccurred) return null;
    return JSON.parse(await readAll(cdp, stream)).traceEvents;
  };
}

async function readAll(cdp, handle) {
  const parts = [];
  for (;;) {
    const { data, base64Encoded, eof } = await cdp.send('IO.read', { handle, size: 1 << 20 });
    parts.push(Buffer.from(data, base64Encoded ? 'base64' : 'utf8'));
    if (eof) break;
  }
  await cdp.send('IO.close', { handle });
  return Buffer.concat(parts).toString('utf8');
}

/**
 * Times of `process`, the calls beside it (set-up, messages) and collections on the audio thread; null, with the reason,
 * where the trace does not have them.
 */
export function audioThread(events) {
  const threads = new Set();
  for (const { name, args, pid, tid } of events) {
    if (name === 'thread_name' && args.name === thread) threads.add(`${pid}/${tid}`);
  }
  if (threads.size === 0) return unknown(`The trace names no “${thread}”: this browser calls it otherwise, or no worklet ran.`);
  const callbacks = [];
  const others = [];
  const gc = { minor: 0, major: 0, freed_bytes: 0 };
  for (const { name, ph, dur, args, pid, tid } of events) {
    if (!threads.has(`${pid}/${tid}`)) continue;
    if (name === 'FunctionCall' && ph === 'X') (args?.data?.functionName === 'process' ? callbacks : others).push(dur);
    else if (name === 'MinorGC' || name === 'MajorGC') {
      // A pair of begin and end counts once, and has the heap before with the one and after with the other.
      if (ph !== 'E') gc[name === 'MinorGC' ? 'minor' : 'major'] += 1;
      gc.freed_bytes += (args?.usedHeapSizeBefore ?? 0) - (args?.usedHeapSizeAfter ?? 0);
    }
  }
  if (callbacks.length === 0) return unknown('The trace has the audio thread, but no call of process() on it.');
  return { callback_us: spread(callbacks), other_calls_us: others.length > 0 ? spread(others) : null, gc, trace_note: null };
}

function spread(times) {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)];
  return { count: times.length, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

function unknown(why) {
  return { callback_us: null, other_calls_us: null, gc: null, trace_note: why };
}
