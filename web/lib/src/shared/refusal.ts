import { WavepoolError } from './errors.ts';

/** Words of a refusal in memory: its code, and three numbers. */
const REFUSAL_WORDS = 4;

/** The states of a lease and the moves it can make, by Rust's numbers. */
const STATES = ['given back', 'leased', 'in use'];
const MOVES = ['looking', 'ending a look', 'giving back', 'sharing', 'handing over'];

/** The last refusal at this address, as the error it stands for. */
export function refusalAt(memory: WebAssembly.Memory, address: number): WavepoolError {
  const [code = 0, a = 0, b = 0, c = 0] = new Uint32Array(memory.buffer, address, REFUSAL_WORDS);
  return refusal(code, a, b, c);
}

/** The codes are those of `refusal.rs`. */
function refusal(code: number, a: number, b: number, c: number): WavepoolError {
  switch (code) {
    case 1:
      return new StaleLeaseError(a);
    case 2:
      return new WrongParticipantError(a, b, c);
    case 3:
      return new IllegalMoveError(a, STATES[b] ?? 'unknown', MOVES[c] ?? 'unknown');
    case 4:
      return new PoolExhaustedError(a, b, c);
    case 5:
      return new TooLargeError(a, b);
    case 6:
      return new WavepoolError('bad-option', 'A buffer needs at least one sample.');
    case 7:
      return new LeasesUsedUpError(a);
    case 8:
      return new NoSuchChannelError(b, c);
    case 10:
      return new WavepoolError('closed', 'The pool was closed; its buffers are gone.');
    default:
      return new WavepoolError('host-failed', `The pool refused for a reason this library does not know: ${code}.`);
  }
}

/** The number names nothing that is leased: it was given back before, or made up. */
export class StaleLeaseError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number) {
    super('stale-lease', `Nothing is leased under ${hex(lease)}: it was given back, or never given out. Keep a block with \`keep()\` to use it longer.`);
    this.lease = lease;
  }
}

/** The lease is somebody else's: each thread has its own. */
export class WrongParticipantError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number, holder: number, asked: number) {
    super('wrong-participant', `The lease ${hex(lease)} belongs to participant ${holder}, not to ${asked}. Use it where it was given out.`);
    this.lease = lease;
  }
}

/** The lease is live, but not in a state in which this can be done. */
export class IllegalMoveError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number, state: string, move: string) {
    super('illegal-move', `The lease ${hex(lease)} is ${state}: ${move} is not possible now.`);
    this.lease = lease;
  }
}

/** All buffers of the class are in use; some will come back. */
export class PoolExhaustedError extends WavepoolError {
  readonly requested: number;
  readonly classSamples: number;
  readonly buffers: number;

  constructor(requested: number, classSamples: number, buffers: number) {
    super('exhausted', `No buffer for ${requested} samples is free: all ${buffers} of ${classSamples} samples are in use. Release some, or try again later.`);
    this.requested = requested;
    this.classSamples = classSamples;
    this.buffers = buffers;
  }
}

/** No buffer is as long. */
export class TooLargeError extends WavepoolError {
  readonly requested: number;
  readonly largest: number;

  constructor(requested: number, largest: number) {
    super('too-large', `${requested} samples were asked for; the largest buffer has ${largest}.`);
    this.requested = requested;
    this.largest = largest;
  }
}

/** This participant holds as many leases as it can. */
export class LeasesUsedUpError extends WavepoolError {
  readonly most: number;

  constructor(most: number) {
    super('leases-used-up', `All ${most} leases are in use. Release some first.`);
    this.most = most;
  }
}

/** The block has fewer channels. */
export class NoSuchChannelError extends WavepoolError {
  constructor(channel: number, channels: number) {
    super('no-such-channel', `There is no channel ${channel}: the block has ${channels}, counted from 0.`);
  }
}

function hex(lease: number): string {
  return Number.isInteger(lease) ? `0x${lease.toString(16)}` : String(lease);
}
