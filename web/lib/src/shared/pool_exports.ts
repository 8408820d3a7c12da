import type { PanicNote } from './tap_exports.ts';

/** A participant's face of its instance: numbers in, numbers out. `participant` and leases are numbers that are checked. */
export interface PoolExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /** Boots an instance of its own (transfer mode), whose leases carry the holder's number and begin where `seed` says; 0 if that fails. */
  participant_open(holder: number, seed: number): number;
  /** Leases a zeroed buffer; 0 if refused. */
  participant_acquire(participant: number, samples: number): number;
  /** Address of a leased buffer's samples, which are in use from now on; 0 if refused. */
  participant_view(participant: number, lease: number): number;
  /** Where the sizes of the buffer viewed last are: its samples, and those asked for. */
  participant_looked(participant: number): number;
  /** 0, or the refusal's code. */
  participant_end_view(participant: number, lease: number): number;
  /** A further lease on the same samples; 0 if refused. */
  participant_share(participant: number, lease: number): number;
  /** 0, or the refusal's code. */
  participant_release(participant: number, lease: number): number;
  /** Leases that are open. */
  participant_live(participant: number): number;
  /** Transfer mode: writes what this pool counts, and returns their address; 0 in shared mode. */
  participant_header(participant: number): number;
  /** The last call: the participant is not used again. */
  participant_leave(participant: number): void;
  tap_header_bytes(): number;
  /** Where the last refusal is: its code, and three numbers. */
  participant_refusal(participant: number): number;
}
