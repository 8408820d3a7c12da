import type { SoundSummary, Wavepool } from '../../lib/src/index.ts';
import { byId, Text } from './dom.ts';
import { counted, decibels, measured } from './format.ts';
import type { Source } from './sources.ts';

/** The notes that are named: a longer list is not read. */
const mostNotes = 3;

/** What the whole file is: the pool analyses it while it plays. */
export class FileSummary {
  readonly #wavepool: Wavepool;
  readonly #element = byId('file-summary', HTMLElement);
  readonly #text = new Text(this.#element);
  #source: Source | null = null;
  #analysis: AbortController | null = null;

  constructor(wavepool: Wavepool) {
    this.#wavepool = wavepool;
  }

  /** The sound that plays now; what was found of another one is history. */
  async follow(source: Source | null): Promise<void> {
    if (source === this.#source) return;
    this.#source = source;
    this.#analysis?.abort();
    this.#element.hidden = true;
    if (!source?.buffer) return;
    const analysis = new AbortController();
    this.#analysis = analysis;
    let text: string;
    try {
      text = describe(await this.#wavepool.analyse(source.buffer, analysis.signal), source.buffer.sampleRate);
    } catch (error) {
      text = `The whole file could not be analysed (${error instanceof Error ? error.message : String(error)}).`;
    }
    if (analysis.signal.aborted) return;
    this.#text.set(text);
    this.#element.hidden = false;
  }
}

function describe({ frames, peak_dbfs, rms_dbfs, windows, notes }: SoundSummary, rate: number): string {
  const named = notes.slice(0, mostNotes).map((one) => `${one.note} in ${String(one.windows)}`);
  const found = `${named.length === 0 ? 'no note in' : `${named.join(', ')} of`} ${counted(windows, 'window')}`;
  return `Whole file: ${(frames / rate).toFixed(1)} s, peak ${measured(peak_dbfs, decibels)}, level ${measured(rms_dbfs, decibels)}, ${found}.`;
}
