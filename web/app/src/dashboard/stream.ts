import type { Snapshot } from '../../../lib/src/index.ts';
import type { Panel } from '../dashboard.ts';
import { byId, make, Text } from '../dom.ts';
import { bytes, count, measured, rate } from '../format.ts';

type Fact = readonly [label: string, value: (snapshot: Snapshot) => string];

const facts: readonly Fact[] = [
  ['Sample rate', ({ stream }) => (stream ? rate(stream.sample_rate) : '—')],
  ['Quantum', ({ stream }) => (stream ? measured(stream.quantum_frames, (frames) => `${count(frames)} frames`) : '—')],
  ['Window, hop', ({ stream }) => (stream ? `${count(stream.window)}, ${count(stream.hop)} frames` : '—')],
  ['Windows', ({ stream }) => (stream ? count(stream.windows) : '—')],
  ['Skipped', ({ stream }) => (stream ? count(stream.skipped_windows) : '—')],
  ['Interrupted', ({ stream }) => (stream ? count(stream.interrupted_windows) : '—')],
  ['Lost frames', ({ stream }) => (stream ? count(stream.lost_frames) : '—')],
  ['Copied per window', ({ stream }) => (stream ? measured(stream.bytes_copied_per_window, bytes) : '—')],
  ['Modules', ({ modules }) => modules.map(({ name, state }) => `${name.replaceAll('_', ' ')} ${state}`).join(', ') || '—'],
];

/** What runs through the pool at the moment. */
export class StreamFacts implements Panel {
  readonly #values = facts.map(([label, value]) => {
    const text = make('dd', 'num', '—');
    byId('stream', HTMLElement).append(make('div', '', make('dt', '', label), text));
    return { value, text: new Text(text) };
  });

  update(snapshot: Snapshot): void {
    for (const { value, text } of this.#values) text.set(value(snapshot));
  }
}
