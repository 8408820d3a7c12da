/** What the lifetime tests open and end by name (`../lifetimes.mjs`), and how a page counts what is in use. */
import type { Mode } from '../../lib/src/index.ts';
import * as feed from './lifetimes_feed.ts';
import * as pool from './lifetimes_pool.ts';
import * as processor from './lifetimes_processor.ts';
import * as tap from './lifetimes_tap.ts';

/** One kind of thing whose rounds of opening and ending leave nothing behind. */
export interface Lifetime {
  /** Opens and ends it; `from` to `to` number the rounds, so that each way of ending has its turn. */
  rounds(from: number, to: number): Promise<void>;
  /** What is in use now. */
  count(): Promise<Readonly<Record<string, number>>>;
  end(): Promise<unknown>;
}

export const lifetimes = { ...feed, ...pool, ...processor, ...tap } satisfies Record<string, (mode: Mode) => Promise<Lifetime>>;

/** Runs rounds, `abreast` of them at a time. */
export async function inTurn(from: number, to: number, abreast: number, round: (number: number) => Promise<void>): Promise<void> {
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) await round(next++);
  };
  await Promise.all(Array.from({ length: abreast }, lane));
}

/** Web Locks of this page that are held or waited for. */
export async function locks(): Promise<number> {
  const { held = [], pending = [] } = await navigator.locks.query();
  return held.length + pending.length;
}
