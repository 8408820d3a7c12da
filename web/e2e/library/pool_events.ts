/** Events of the pool from real activity, beside figures that were counted another way. */
import type { BusEvent, Mode, Snapshot } from '../../lib/src/index.ts';
import { Wavepool } from '../../lib/src/index.ts';

const WINDOW = 4096;
/** Buffers that the page looks at, and their samples. A snapshot has room for the events of them all. */
const LOOKS = 10;
const SAMPLES = 1000;
/** Set in the number of a publisher in another instance, whose pool is its own. */
const FORWARDED = 2 ** 31;

/** A tuner whose buffers the optimizer plans, buffers that the page looks at, and an arena with gaps. */
export async function poolEvents(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const events: BusEvent[] = [];
  let last: Snapshot | null = null;
  let inspected: Snapshot['inspection'] = null;
  wavepool.onSnapshot((snapshot) => {
    last = snapshot;
    inspected = snapshot.inspection ?? inspected;
    events.push(...snapshot.events);
  });
  const newest = (name: string): BusEvent['data'] | null => events.findLast((event) => event.name === name)?.data ?? null;

  const context = new AudioContext();
  const source = new OscillatorNode(context);
  source.start();
  const tuner = await wavepool.tuner(source, { window: WINDOW, hop: 1024, channels: 1 });
  await until(() => newest('PoolOptimization') !== null);
  // In transfer mode the worklet's pool plans for itself, and its events are forwarded.
  const forwarded = events.findLast(({ name }) => name === 'PoolOptimization')!.publisher >= FORWARDED;
  const held = (): number => inspected!.accounts.filter(({ name }) => mode === 'shared' || name.endsWith('capture') === forwarded).reduce((sum, one) => sum + one.bytes_held, 0);
  const planned = (): boolean => held() === newest('PoolOptimization')!['bytes_held_expected'];
  const optimized = { agrees: await until(planned), held: held(), event: newest('PoolOptimization'), accounts: inspected!.accounts };
  await tuner.close();
  await context.close();
  await until(() => last?.closed_stream != null);
  const { windows } = last!.closed_stream!;

  const pool = await wavepool.pool();
  for (let look = 0; look < LOOKS; look++) {
    const lease = pool.acquire(SAMPLES);
    pool.view(lease);
    pool.release(lease);
  }
  // By the unit costs in `web/host/src/shared/unit_costs.rs`: what the same windows and buffers cost without a pool.
  const [message, array] = [100, 112];
  const tuned = mode === 'transfer' ? windows * (message + array + 4 * WINDOW) : 0;
  const unpooled = tuned + LOOKS * (array + 4 * SAMPLES);
  const weighed = await until(() => newest('JSGCPressureReduction')?.['bytes_unpooled'] === unpooled);
  const pressure = newest('JSGCPressureReduction');

  const fragmented = mode === 'shared' ? await gaps() : null;
  const frames = events.filter(({ name, data }) => name === 'BufferPoolAllocation' && data['requested'] === SAMPLES).map(({ data }) => data['first_frame']);
  const { leaked } = await wavepool.close();
  return { optimized, weighed, pressure, unpooled, fragmented, ended: newest('PoolAlertEnded'), frames: [...new Set(frames)], leaked, last: last !== null };

  /** Every other buffer is in use, and memory is short: the idle ones between are returned, and leave gaps. */
  async function gaps(): Promise<Readonly<Record<string, unknown>>> {
    const leases: number[] = [];
    for (const samples of [256, 512, 1024, 2048]) {
      try {
        for (;;) leases.push(pool.acquire(samples));
      } catch {
        // All of the class are leased.
      }
    }
    const places = leases.map((lease) => ({ lease, at: pool.view(lease).byteOffset })).sort((a, b) => a.at - b.at);
    const kept = places.filter(({ lease }, place) => {
      if (place % 2 === 1) pool.release(lease);
      return place % 2 === 0;
    });
    await wavepool.setMemoryPressure('critical');
    // A thread returns idle buffers when it asks for another one.
    const asking = setInterval(() => pool.release(pool.acquire(WINDOW)), 50);
    const reported = await until(() => newest('PoolFragmentation') !== null);
    await until(() => last!.inspection !== null);
    const { pool: counted, inspection } = last!;
    const { regions, spans } = inspection!.arena;
    const largest = Math.max(...counted.classes.filter(({ retired }) => !retired).map(({ samples }) => samples));
    const short = spans.filter(([, , samples, , state]) => state === 'free' && samples < largest).reduce((sum, [, , samples, count]) => sum + samples * count, 0);
    const drawn = (100 * short) / regions.reduce((sum, samples) => sum + samples, 0);
    for (const { lease } of kept) pool.release(lease);
    const ended = await until(() => newest('PoolAlertEnded')?.['kind'] === 'fragmentation');
    clearInterval(asking);
    return { reported, drawn, counted: counted.fragmentation_percentage, event: newest('PoolFragmentation'), ended };
  }
}

/** Waits until it holds; whether it did within twenty seconds. */
async function until(holds: () => boolean): Promise<boolean> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    if (holds()) return true;
    await new Promise((resume) => setTimeout(resume, 50));
  }
  return holds();
}
