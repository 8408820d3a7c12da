// Each bound of a headless run trips.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { broken, spared, worstHeldPerPeak } from './checks.mjs';

const lane = { published: 5, delivered: 5, dropped: 0, late: 0, latency: { p99_ns: 300_000 } };
const good = {
  mode: 'shared',
  windows: 10,
  window: 4096,
  channels: 1,
  skipped_windows: 0,
  interrupted_windows: 0,
  allocator_calls: 0,
  bytes_copied_per_window: 16384,
  notes: Array.from({ length: 20 }, () => ({ note: 'A4', clarity: 0.99 })),
  pool: { exhausted: 0, leased: 0 },
  steady: { hit_rate_percentage: 100 },
  bus: { critical: lane, high: lane, normal: lane },
  tally: { allocation_events: 3, allocations_counted: 3, recycling_events: 3, recyclings_counted: 3 },
  memory: { pages_grown: 0 },
  gc: { minor: 0, major: 0 },
  leaked: 0,
  dispatch_gaps: [
    { activity: 'sleep', late_events: 0 },
    { activity: 'window', late_events: 0 },
  ],
};
const sample = { seconds: 30, held: 150, peak: 100, youngest: 30, closed: null };
const lanes = (name, change) => ({ bus: { ...good.bus, [name]: { ...lane, ...change } } });

test('run within all bounds breaks none', () => {
  assert.deepEqual(broken(good, [sample], { note: 'A4' }), []);
  assert.deepEqual(broken({ ...good, mode: 'transfer', bytes_copied_per_window: 49152, gc: { minor: 3, major: 0 } }, []), []);
  assert.equal(worstHeldPerPeak([sample, { ...sample, held: 900, youngest: 3 }]), 1.5);
});

const cases = {
  'another note': [{ notes: [...good.notes, { note: 'A#4', clarity: 0.95 }, { note: 'B4', clarity: 0.95 }] }, /A4 is the note of 20 of 22/],
  'no pitch': [{ notes: [] }, /no window has a clear pitch/],
  'skipped windows': [{ skipped_windows: 2 }, /2 windows were skipped/],
  'interrupted windows': [{ interrupted_windows: 1 }, /1 windows were interrupted/],
  'calls of the allocator': [{ allocator_calls: 7 }, /called the allocator 7 times/],
  'missed requests': [{ steady: { hit_rate_percentage: 99.9 } }, /is 99.9; it must be 100 %/],
  'no steady rate': [{ steady: null }, /is not measured/],
  'refused requests': [{ pool: { exhausted: 1, leased: 0 } }, /1 requests were refused/],
  leaks: [{ leaked: 1 }, /1 buffers leaked/],
  'buffers in use': [{ pool: { exhausted: 0, leased: 4 } }, /4 buffers are in use/],
  'unpublished allocations': [{ tally: { ...good.tally, allocation_events: 2 } }, /2 allocations were published of 3/],
  'unpublished recyclings': [{ tally: { ...good.tally, recycling_events: 2 } }, /2 recyclings were published of 3/],
  'undelivered events': [lanes('high', { delivered: 4 }), /the high lane delivered 4 of 5/],
  'dropped events': [lanes('normal', { dropped: 1 }), /dropped 1/],
  'late events': [
    { dispatch_gaps: [{ activity: 'window', late_events: 1 }, { activity: 'report', late_events: 1 }] },
    /2 of 5 Critical events were late because of what the control worker did; at most 1 % may be/,
  ],
  'slow events': [lanes('critical', { latency: { p99_ns: 600_000 } }), /took up to 0.6 ms; at most 0.5 ms/],
  collections: [{ gc: { minor: 1, major: 1 } }, /made 2 collections/],
  'unknown collections': [{ gc: null }, /an unknown number of collections/],
  growth: [{ memory: { pages_grown: 1 } }, /grew by 1 pages/],
  copies: [{ bytes_copied_per_window: 32768 }, /32768 bytes were copied for each window; it must be 16384/],
  'no plan': [lanes('high', { published: 0, delivered: 0 }), /no sizing plan was applied/],
};
for (const [name, [change, sentence]] of Object.entries(cases)) {
  test(`run with ${name} is refused`, () => {
    const found = broken({ ...good, ...change }, [sample]);
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(found[0], sentence);
  });
}

test('memory above the peak of use is refused once every stream has aged and closed ones had time', () => {
  const above = { ...sample, held: 151 };
  assert.match(broken(good, [above])[0], /151 bytes are held, 1.51 times the peak of use/);
  for (const excused of [{ seconds: 19 }, { youngest: 19 }, { closed: 2 }]) {
    assert.deepEqual(broken(good, [{ ...above, ...excused }]), []);
  }
  assert.equal(broken(good, [{ ...above, closed: 3 }]).length, 1);
});

test('events that the machine delays are excused, and the percentile only then', () => {
  const slow = { ...good, ...lanes('critical', { published: 100, delivered: 100, late: 20, latency: { p99_ns: 900_000 } }) };
  const asleep = (late_events) => ({ dispatch_gaps: [{ activity: 'sleep', late_events }] });
  assert.deepEqual(broken({ ...slow, ...asleep(20) }, []), []);
  assert.match(broken({ ...slow, ...asleep(1) }, [])[0], /took up to 0.9 ms/);
});

test('garbage of streams that open and close is not held against the run', () => {
  const report = { ...good, gc: { minor: 1, major: 2 } };
  assert.deepEqual(broken(report, [], { alone: false }), []);
});

test('expected note is checked', () => {
  assert.match(broken(good, [], { note: 'C4' })[0], /C4 is the note of 0 of 20/);
});

test('comparison fails unless the pool spares a tenth of the bytes, collects no more and finds the same note', () => {
  const unpooled = { note: 'A4 in 9 of 9', heap_bytes: 1000, content_bytes: 9000, minor_collections: 1, major_collections: 0 };
  const pooled = { ...unpooled, heap_bytes: 500, content_bytes: 0 };
  assert.deepEqual(spared(pooled, unpooled), { reduction: 95, found: [] });
  assert.match(spared(unpooled, unpooled).found[0], /spares 0.0 % of the bytes/);
  assert.match(spared({ ...pooled, heap_bytes: NaN }, unpooled).found[0], /spares NaN/);
  assert.match(spared({ ...pooled, major_collections: 1 }, unpooled).found[0], /made 2 collections, the unpooled one 1/);
  assert.match(spared({ ...pooled, note: 'A5 in 9 of 9' }, unpooled).found[0], /found A5 in 9 of 9, the unpooled one A4/);
});
