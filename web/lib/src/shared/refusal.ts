import {
  EXHAUSTED,
  ILLEGAL_MOVE,
  LEASES_USED_UP,
  LEASE_MOVES,
  LEASE_STATES,
  NO_BUFFERS,
  NO_SUCH_CHANNEL,
  REFUSALS,
  STALE_LEASE,
  TOO_LARGE,
  UNEXPECTED,
  WRONG_PARTICIPANT,
} from '../generated/refusals.ts';
import { WavepoolError, type WavepoolErrorCode } from './errors.ts';

/** Words of a refusal in memory: its number, and three numbers that it names. */
const REFUSAL_WORDS = 4;

/** The last refusal at this address, as the error it stands for. */
export function refusalAt(memory: WebAssembly.Memory, address: number): WavepoolError {
  const [number = 0, a = 0, b = 0, c = 0] = new Uint32Array(memory.buffer, address, REFUSAL_WORDS);
  switch (number) {
    case STALE_LEASE:
      return new StaleLeaseError(a);
    case WRONG_PARTICIPANT:
      return new WrongParticipantError(a, b, c);
    case ILLEGAL_MOVE:
      return new IllegalMoveError(a, LEASE_STATES[b] ?? 'in an unknown state', LEASE_MOVES[c] ?? 'an unknown operation');
    case EXHAUSTED:
    case NO_BUFFERS:
      return new PoolExhaustedError(a, b, c);
    case TOO_LARGE:
      return new TooLargeError(a, b);
    case LEASES_USED_UP:
      return new LeasesUsedUpError(a);
    case NO_SUCH_CHANNEL:
      return new NoSuchChannelError(a, b);
    default:
      return new WavepoolError(...refusal(number in REFUSALS ? number : UNEXPECTED));
  }
}

/** Code and message of a refusal that names these values. */
function refusal(number: number, ...named: readonly (number | string)[]): [WavepoolErrorCode, string] {
  const [code, message] = REFUSALS[number as keyof typeof REFUSALS];
  return [code, message.replace(/\{(\d)\}/g, (_, index: string) => String(named[Number(index)]))];
}

/** The number names no leased buffer: the lease was released before, or the number is made up. */
export class StaleLeaseError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number) {
    super(...refusal(STALE_LEASE, hex(lease)));
    this.lease = lease;
  }
}

/** The lease belongs to another participant: each thread has its own. */
export class WrongParticipantError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number, owner: number, asked: number) {
    super(...refusal(WRONG_PARTICIPANT, hex(lease), owner, asked));
    this.lease = lease;
  }
}

/** The lease is live, but its state does not allow the operation. */
export class IllegalMoveError extends WavepoolError {
  readonly lease: number;

  constructor(lease: number, state: string, move: string) {
    super(...refusal(ILLEGAL_MOVE, hex(lease), state, move));
    this.lease = lease;
  }
}

/** No buffer of the size class is free. */
export class PoolExhaustedError extends WavepoolError {
  readonly requested: number;
  readonly classSamples: number;
  /** Buffers of the size class, all of them in use. */
  readonly buffers: number;

  constructor(requested: number, classSamples: number, buffers: number) {
    super(...refusal(buffers === 0 ? NO_BUFFERS : EXHAUSTED, requested, classSamples, buffers));
    this.requested = requested;
    this.classSamples = classSamples;
    this.buffers = buffers;
  }
}

/** The largest buffer is shorter than the request. */
export class TooLargeError extends WavepoolError {
  readonly requested: number;
  readonly largest: number;

  constructor(requested: number, largest: number) {
    super(...refusal(TOO_LARGE, requested, largest));
    this.requested = requested;
    this.largest = largest;
  }
}

/** The participant has as many leases as it can. */
export class LeasesUsedUpError extends WavepoolError {
  readonly most: number;

  constructor(most: number) {
    super(...refusal(LEASES_USED_UP, most));
    this.most = most;
  }
}

/** The block has fewer channels. */
export class NoSuchChannelError extends WavepoolError {
  constructor(channel: number, channels: number) {
    super(...refusal(NO_SUCH_CHANNEL, channel, channels));
  }
}

function hex(lease: number): string {
  return Number.isInteger(lease) ? `0x${lease.toString(16)}` : String(lease);
}
