// What a headless run must show: each broken bound as a sentence with the figure and the limit.

/** From this second on a stream's stated need has aged, and the pool must hold little more than it uses. */
const agedSeconds = 20;
/** The time that the memory of a closed stream may take to come back. */
const returnSeconds = 3;
const mostHeldPerPeak = 1.5;
const clear = 0.9;
const noteShare = 0.95;
const lateShare = 0.01;
/** In percent: what the story asks of the pool beside the unpooled way. */
const leastReduction = 10;
const criticalDeadlineNs = 500_000;

/**
 * The broken bounds of a run. `series` has a sample for each half second: `{ seconds, held, peak, youngest }`, where `youngest` is the
 * age in seconds of the stream that was opened last, and `closed` the seconds since one was closed, or null. `note` is the expected note;
 * without one it is the one that was named most often. `alone` says that no stream was opened or closed meanwhile, which makes garbage.
 */
export function broken(report, series, { note = null, alone = true } = {}) {
  const found = [];
  const bound = (holds, sentence) => {
    if (!holds) found.push(sentence);
  };
  const { pool, bus, tally, steady, gc } = report;

  const pitched = report.notes.filter(({ clarity }) => clarity >= clear);
  const named = note ?? mostNamed(pitched);
  const right = pitched.filter((one) => one.note === named).length;
  bound(pitched.length > 0, 'no window has a clear pitch');
  bound(right >= noteShare * pitched.length, `${named} is the note of ${right} of ${pitched.length} clear windows; it must be that of ${100 * noteShare} %`);

  bound(report.windows > 0, 'no window was analysed');
  bound(report.skipped_windows === 0, `${report.skipped_windows} windows were skipped; none may be`);
  bound(report.interrupted_windows === 0, `${report.interrupted_windows} windows were interrupted; none may be`);
  bound(report.allocator_calls === 0, `the audio thread called the allocator ${report.allocator_calls} times; it must not`);

  bound(steady !== null && steady.hit_rate_percentage === 100, `the hit rate after the first second is ${steady?.hit_rate_percentage ?? 'not measured'}; it must be 100 %`);
  bound(pool.exhausted === 0, `${pool.exhausted} requests were refused; none may be`);
  bound(report.leaked === 0, `${report.leaked} buffers leaked; none may`);
  bound(pool.leased === 0, `${pool.leased} buffers are in use after the stream was closed; none may be`);
  bound(tally.allocation_events === tally.allocations_counted, `${tally.allocation_events} allocations were published of ${tally.allocations_counted}`);
  bound(tally.recycling_events === tally.recyclings_counted, `${tally.recycling_events} recyclings were published of ${tally.recyclings_counted}`);

  for (const lane of ['critical', 'high', 'normal']) {
    const { published, delivered, dropped } = bus[lane];
    bound(delivered === published && dropped === 0, `the ${lane} lane delivered ${delivered} of ${published} events and dropped ${dropped}`);
  }
  const { delivered, latency } = bus.critical;
  if (report.mode === 'shared') {
    const [own, floor] = [lateByWork(report), lateBySleep(report)];
    bound(own <= lateShare * delivered, `${own} of ${delivered} Critical events were late because of what the control worker did; at most ${100 * lateShare} % may be`);
    // Where the machine wakes the worker too late for more than one event in a hundred, the percentile says nothing about the program.
    if (floor <= lateShare * delivered) {
      bound((latency?.p99_ns ?? 0) <= criticalDeadlineNs, `99 % of the Critical events took up to ${latency?.p99_ns / 1e6} ms; at most ${criticalDeadlineNs / 1e6} ms are allowed`);
    }
  }

  if (report.mode === 'shared') {
    bound(!alone || gc !== null && gc.minor + gc.major === 0, `the audio thread made ${gc ? gc.minor + gc.major : 'an unknown number of'} collections; none are allowed`);
    bound(report.memory.pages_grown === 0, `the memory grew by ${report.memory.pages_grown} pages; it must not`);
  }
  const copies = report.mode === 'shared' ? 1 : 3;
  const bytes = copies * report.window * report.channels * 4;
  bound(report.bytes_copied_per_window === bytes, `${report.bytes_copied_per_window} bytes were copied for each window; it must be ${bytes}`);

  const settled = series.filter(isSettled);
  for (const { seconds, held, peak } of settled) {
    bound(held <= mostHeldPerPeak * peak, `${seconds.toFixed(1)} s: ${held} bytes are held, ${(held / peak).toFixed(2)} times the peak of use; ${mostHeldPerPeak} are allowed`);
  }
  if (settled.length > 0) bound(bus.high.published > 0, 'no sizing plan was applied, though demand has aged');
  return found;
}

/** The events that were late because the machine let the control worker sleep longer than it had asked for: the floor of this run. */
export function lateBySleep({ dispatch_gaps: gaps }) {
  return gaps.filter(({ activity }) => activity === 'sleep').reduce((sum, { late_events }) => sum + late_events, 0);
}

/** The events that were late because of anything else. */
function lateByWork({ dispatch_gaps: gaps }) {
  return gaps.filter(({ activity }) => activity !== 'sleep').reduce((sum, { late_events }) => sum + late_events, 0);
}

/** The largest held ÷ peak of the samples that are checked; null without one. */
export function worstHeldPerPeak(series) {
  const ratios = series.filter((sample) => isSettled(sample) && sample.peak > 0).map(({ held, peak }) => held / peak);
  return ratios.length > 0 ? Math.max(...ratios) : null;
}

/** Whether the demand of every stream has aged, and closed streams had time to return their memory. */
function isSettled({ seconds, youngest, closed }) {
  return seconds >= agedSeconds && youngest >= agedSeconds && (closed === null || closed >= returnSeconds);
}

/** How many percent fewer bytes the pooled way makes on the audio thread than the unpooled one, and the broken bounds of that comparison. */
export function spared(ours, theirs) {
  const bytes = ({ heap_bytes: heap, content_bytes: content }) => heap + content;
  const collections = ({ minor_collections: minor, major_collections: major }) => minor + major;
  const reduction = 100 * (1 - bytes(ours) / bytes(theirs));
  const [ourNote, theirNote] = [ours, theirs].map(({ note }) => note.split(' ')[0]);
  const found = [];
  if (!(reduction >= leastReduction)) found.push(`The pool spares ${reduction.toFixed(1)} % of the bytes; it must be ${leastReduction} % or more.`);
  if (collections(ours) > collections(theirs)) found.push(`The pooled way made ${collections(ours)} collections, the unpooled one ${collections(theirs)}.`);
  if (ourNote !== theirNote) found.push(`The pooled way found ${ours.note}, the unpooled one ${theirs.note}.`);
  return { reduction, found };
}

/** The note named most often, how often, and the median of its distances. */
export function mainNote(notes) {
  const note = mostNamed(notes);
  if (note === null) return 'none';
  const cents = notes.filter((one) => one.note === note).map((one) => one.cents).sort((a, b) => a - b);
  return `${note} in ${cents.length} of ${notes.length} windows with a pitch, ${cents[Math.floor(cents.length / 2)].toFixed(1)} cents (median)`;
}

function mostNamed(notes) {
  const counts = new Map();
  for (const { note } of notes) counts.set(note, (counts.get(note) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
