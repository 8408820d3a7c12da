// What a trace says of the worklet's thread between two marks.
import { quantile } from '../boundary/rows.mjs';

const thread = /AudioWorklet/;

/** `marks` are the texts that the page left at the beginning and at the end. */
export function workletThread(events, [from, to]) {
  const threads = new Set();
  for (const { name, args, pid, tid } of events) {
    if (name === 'thread_name' && thread.test(args.name)) threads.add(`${pid}/${tid}`);
  }
  if (threads.size === 0) throw new Error('the trace names no AudioWorklet thread');
  const stamps = events.filter(({ name }) => name === 'TimeStamp');
  const at = (text) => stamps.find(({ args }) => args.data.message === text)?.ts;
  const [start, end] = [at(from), at(to)];
  if (start === undefined || end === undefined) throw new Error('the trace has lost its marks');
  const within = ({ ts }) => ts >= start && ts <= end;

  const calls = [];
  const collections = [];
  for (const event of events) {
    if (!threads.has(`${event.pid}/${event.tid}`) || !within(event)) continue;
    if (event.name === 'FunctionCall' && event.ph === 'X' && event.args?.data?.functionName === 'process') calls.push(event);
    else if ((event.name === 'MinorGC' || event.name === 'MajorGC') && event.ph !== 'E') collections.push(event);
  }
  if (calls.length === 0) throw new Error('the trace has no call of process() on the worklet’s thread');
  calls.sort((a, b) => a.ts - b.ts);
  const windows = stamps.filter((event) => event.args.data.message === 'window' && within(event)).map(({ ts }) => ts);
  return {
    collections: collections.length,
    callbacks: calls.map(({ dur }) => dur),
    deliveries: delivery(calls, windows.sort((a, b) => a - b)),
  };
}

/** Figures of one implementation's runs, taken together. */
export function figuresOf(runs) {
  const all = (of) => runs.flatMap(of).sort((a, b) => a - b);
  const sum = (of) => runs.reduce((sum, run) => sum + of(run), 0);
  const callbacks = all(({ callbacks }) => callbacks);
  const deliveries = all(({ deliveries }) => deliveries);
  return {
    calls: callbacks.length,
    collections: sum(({ collections }) => collections),
    underruns: runs.some(({ underruns }) => underruns === null) ? null : sum(({ underruns }) => underruns),
    callback_us: { p50: quantile(callbacks, 0.5), p99: quantile(callbacks, 0.99), p999: quantile(callbacks, 0.999), max: callbacks.at(-1) },
    delivery_us: deliveries.length > 0 ? { p50: quantile(deliveries, 0.5), max: deliveries.at(-1) } : null,
  };
}

/**
 * Times from the end of the call that completed a window to the consumer's mark. Which call that was is not in the
 * trace: one in every `16`, counted from the latest one that lets no window arrive before it was complete.
 */
function delivery(calls, marks) {
  const perWindow = 16;
  if (marks.length < 2) return [];
  const ends = calls.map(({ ts, dur }) => ts + dur);
  const latencies = (first) => marks.map((mark, n) => mark - ends[first + n * perWindow]).filter((time) => !Number.isNaN(time));
  for (let first = ends.findLastIndex((end) => end <= marks[0]); first >= 0; first--) {
    const times = latencies(first);
    if (times.every((time) => time >= 0)) return times;
  }
  return [];
}
