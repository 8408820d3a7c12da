// From marks in one trace to latencies: `quantum 7` on the audio thread, `critical 7` in the handler, `floor 7` in the bare poller.

export const LANES = ['critical', 'high', 'normal'];

/** Microseconds from each quantum's mark to those of the lanes and of the floor, sorted; `quanta` is how many there were. */
export function latencies(stamps, quanta) {
  const published = new Map();
  const seen = { critical: [], high: [], normal: [], floor: [] };
  const marks = stamps.map(({ args, ts }) => ({ words: String(args.data.message ?? args.data.name).split(' '), ts })).sort((a, b) => a.ts - b.ts);
  for (const { words: [what, number], ts } of marks) {
    const quantum = Number(number);
    if (what === 'quantum') published.set(quantum, ts);
    else if (what in seen) seen[what].push(ts - published.get(quantum));
  }
  for (const list of Object.values(seen)) list.sort((a, b) => a - b);
  return { ...seen, quanta };
}

/** The latency that this share of all attempts does not exceed. What never arrived is infinitely late. */
export function quantile(sorted, attempts, share) {
  return sorted[Math.ceil(attempts * share) - 1] ?? Infinity;
}
