/** The kind of an error. Stable: compare these codes, not the messages. */
export type WavepoolErrorCode =
  | 'not-isolated'
  | 'no-audio-worklet'
  | 'no-webassembly'
  | 'wasm-unavailable'
  | 'boot-failed'
  | 'host-failed'
  | 'host-stuck'
  | 'bad-option'
  | 'stream-refused'
  | 'tap-taken'
  | 'stale-lease'
  | 'wrong-participant'
  | 'illegal-move'
  | 'no-such-channel'
  | 'exhausted'
  | 'too-large'
  | 'leases-used-up'
  | 'out-of-memory'
  | 'worklet-failed'
  | 'context-closed'
  | 'closed';

/** The errors of this library: a stable code, and a message with the cause and what to do. */
export class WavepoolError extends Error {
  readonly code: WavepoolErrorCode;

  constructor(code: WavepoolErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'WavepoolError';
    this.code = code;
  }
}

/** The message of a thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
