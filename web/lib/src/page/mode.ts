import { WavepoolError } from '../shared/errors.ts';
import { shown } from './options.ts';
import type { Mode } from '../generated/snapshot.ts';

export type { Mode } from '../generated/snapshot.ts';
export type ModeRequest = Mode | 'auto';

export interface ModeChoice {
  readonly mode: Mode;
  readonly reason: string;
}

/** Chooses the mode. Throws `not-isolated` if `shared` was requested on a page that is not isolated. */
export function chooseMode(requested: ModeRequest): ModeChoice {
  const isolated = globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer === 'function';
  switch (requested) {
    case 'transfer':
      return { mode: 'transfer', reason: 'requested by the page' };
    case 'shared':
      if (isolated) return { mode: 'shared', reason: 'requested by the page, which is cross-origin isolated' };
      throw new WavepoolError(
        'not-isolated',
        'Shared memory needs a cross-origin isolated page. Serve it with the headers ' +
          '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp", ' +
          'or leave the mode at "auto" to use transferred buffers instead.',
      );
    case 'auto':
      return isolated
        ? { mode: 'shared', reason: 'the page is cross-origin isolated, so one memory can be shared' }
        : { mode: 'transfer', reason: 'the page is not cross-origin isolated, so memory cannot be shared' };
    default:
      throw new WavepoolError(
        'bad-option',
        `Invalid mode: must be "auto", "shared" or "transfer" (got ${shown(requested)}).`,
      );
  }
}
