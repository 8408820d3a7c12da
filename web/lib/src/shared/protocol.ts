/**
 * What crosses between the page, the control worker and the worklet.
 * Messages are for set-up and tear-down; sample blocks use the lanes (shared) or the block port (transfer).
 */
import { build } from './build.ts';
import type { FeedFormat } from './feed_protocol.ts';
import type { StreamLimits, StreamOptions } from '../generated/messages.ts';
import type { Mode } from '../generated/snapshot.ts';
import type { WakeLane } from './wake.ts';

/** The name under which the worklet file registers its processor. */
export const TAP_PROCESSOR = `wavepool-tap ${build}`;

/** A ticket that nobody has opened for so long lapses: nothing else shows that its worker died before it came. */
export const TICKET_MS = 10_000;

/** 32-bit fields of one copy span: channel, slot, destination sample, source sample, count, address. */
export const SPAN_FIELDS = 6;

/** Transfer mode: how much sound a stream's transferable buffers hold, and how few or many of them there are. */
const SECONDS_IN_FLIGHT = 0.5;
const LEAST_IN_FLIGHT = 16;
const MOST_IN_FLIGHT = 64;

export interface StreamConfig extends StreamOptions {
  /** The last window is delivered although it is not full. */
  readonly flush: boolean;
}

// See `docs/decisions/0037-transfer-blocks-circulate-through-the-reader.md`.
/** Blocks that are returned to the worklet in one message. */
export const BLOCKS_PER_RETURN = 8;

/** Transferable buffers that a stream circulates: a reader may be so late, less those that wait to be returned, before windows are skipped. */
export function blocksInFlight({ sample_rate, hop }: StreamConfig): number {
  const wanted = Math.ceil((SECONDS_IN_FLIGHT * sample_rate) / hop);
  return Math.min(Math.max(wanted, LEAST_IN_FLIGHT), MOST_IN_FLIGHT) + BLOCKS_PER_RETURN;
}

/** Transfer mode: the host's ends of the ways that blocks take to it. */
export interface HostPorts {
  /** From the worklet and back to it. */
  readonly worklet: MessagePort;
  /** From a JavaScript consumer, which has read them. */
  readonly consumer: MessagePort | null;
}

/** Whose leases a thread holds: a tap's, or its own. Neither number is ever used again. */
export type Holder = { readonly stream: number } | { readonly participant: number };

/** What is known of the end of a thread, by Rust's numbers. */
export const THREAD_END = {
  /** It may still run. */
  running: 0,
  /** It said that it has stopped. In shared mode that is checked: it says so in the memory as well. */
  left: 1,
  /** The browser ended it, it trapped and is not called again, or it never began and never will. */
  gone: 2,
} as const;
export type ThreadEnd = (typeof THREAD_END)[keyof typeof THREAD_END];

export interface CloseRequest {
  readonly kind: 'close';
  readonly stream: number;
  readonly worklet: ThreadEnd;
  readonly consumer: ThreadEnd;
}

export type HostRequest =
  | {
      kind: 'boot';
      lock: string;
      /** Shared mode: where the page wakeCounter after each message, this one included. */
      wakeCounter: Int32Array | null;
      mode: Mode;
      reason: string;
      module: WebAssembly.Module;
      profile: string | null;
      /** Random: makes this pool's leases differ from those of others on the page. */
      seed: number;
      tracks: boolean;
    }
  | { kind: 'open'; config: StreamConfig; ports: HostPorts | null; wake: WakeLane | null }
  | CloseRequest
  /** Reads what waits, and sends blocks back to the worklet. */
  | { kind: 'catchUp'; stream: number }
  | { kind: 'metrics' }
  | { kind: 'openPool'; counts: MessagePort | null }
  | { kind: 'closePool'; participant: number; end: ThreadEnd }
  /** The holder's thread is dead. */
  | { kind: 'reclaim'; holder: Holder }
  | { kind: 'reportFeed'; feed: number; format: FeedFormat; underruns: number; lateFrames: number }
  | { kind: 'forgetFeed'; feed: number }
  | { kind: 'fault'; name: string }
  | { kind: 'exercise'; on: boolean }
  | { kind: 'record'; on: boolean }
  | { kind: 'shutdown' };

/** What each request is answered with. */
export interface HostAnswers {
  /** `activity` is where the worker writes what it does, in the shared memory. */
  boot: { memory: WebAssembly.Memory | null; activity: number; profileRefused: string | null; limits: StreamLimits };
  open: {
    stream: number;
    /** Shared mode: what worklet and reader are called by, and the memory that their instances run on. 0 otherwise. */
    tap: number;
    tapThread: number;
    reader: number;
    readerThread: number;
    headerBytes: number;
    queueWindows: number;
  };
  close: { snapshot: string };
  catchUp: { windows: number };
  metrics: { snapshot: string };
  /** `participant` is its number with the host, `number` (shared mode) what its thread calls it by. */
  openPool: { participant: number; number: number; thread: number; holder: number; seed: number };
  closePool: null;
  reclaim: { leases: number };
  reportFeed: null;
  forgetFeed: null;
  fault: null;
  exercise: null;
  /** The recording that ended, as JSON; `null` when one began, or none was under way. */
  record: { trace: string | null };
  shutdown: { leaked: number };
}

export type ToHost = (HostRequest & { id: number }) | { kind: 'ping' };
export type FromHost =
  /** In answer to a ping, when its files are loaded, and between long pieces of work. */
  | { kind: 'alive' }
  /** The request was taken up. */
  | { kind: 'begun'; id: number }
  | { kind: 'answer'; id: number; value: HostAnswers[keyof HostAnswers] }
  | { kind: 'refusal'; id: number; message: string }
  | { kind: 'snapshot'; json: string }
  | { kind: 'crash'; message: string };

/** How the worklet gets its instance: on the shared memory with a capture made by the host, or on one of its own. */
export interface TapOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
  /** Stands for the module, of which the worklet gets a copy. */
  readonly key: string;
  readonly stream: number;
  /** Shared mode: what the tap is called by, and the memory that the instance runs on. */
  readonly number: number;
  readonly thread: number;
  readonly config: StreamConfig;
}

/** Transfer mode: blocks leave for their reader by one port; counts leave for the host, and blocks come back, by another. */
export interface BlockPorts {
  readonly windows: MessagePort;
  readonly counts: MessagePort;
}

/** How far the audio side of a stream is: windows delivered so far, and in transfer mode blocks that are out. */
export interface Progress {
  readonly windows: number;
  readonly out: number;
}

export type ToTap = { kind: 'blocks'; ports: BlockPorts } | { kind: 'close' | 'report' };
export type FromTap =
  | { kind: 'ready' }
  | { kind: 'closed' }
  | ({ kind: 'progress' } & Progress)
  | { kind: 'fault'; message: string };

/**
 * How a thread that takes part in the pool is asked to stop. `leave`: it takes nothing more, and gives back what its user does
 * not have. `finish`: it first delivers what waits. `revoke`: it gives back what its user has, too.
 */
export type Leave = 'leave' | 'finish' | 'revoke';

/**
 * What the page and a thread that takes part in the pool say to each other. The thread holds its lock and asks to join, and
 * touches nothing of the pool's before it is welcome: by then the page waits for the lock, so that it learns of the thread's
 * death from the first use of the pool on. A ticket to what has been closed is refused. The page asks it to stop; it says that
 * it is leaving while its user still has something, and that it has left when it uses the pool no more. It releases its lock
 * when the page sends its final message, or when it failed to begin.
 */
export type ToParticipant = { kind: Leave | 'welcome' | 'refused' | 'final' | 'ping' } | { kind: 'catchUp'; windows: number };
export type FromParticipant =
  /** `page`: on a page's own thread. */
  | { kind: 'joining'; page: boolean }
  /** `alive` in answer to a ping, as soon as it is back in its event loop. */
  | { kind: 'alive' | 'failed' | 'leaving' | 'left' }
  /** It has seen so many windows as it was to catch up with, or nobody reads; so many of them it has given back. */
  | { kind: 'caughtUp'; released: number };

/** What a thread instantiates that takes part. `memory` is `null` in transfer mode: it gets its own. */
export interface ParticipantWasm {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
}

/** A place in the pool on its way to a thread. Post it with its ports: `worker.postMessage(ticket, [...ticket.ports])`. */
export interface Ticket {
  readonly lock: string;
  readonly control: MessagePort;
  readonly ports: readonly MessagePort[];
}

/** The way of the windows to a JavaScript consumer. */
export type ConsumerLane =
  | {
      readonly mode: 'shared';
      readonly wasm: ParticipantWasm & { readonly memory: WebAssembly.Memory };
      readonly reader: number;
      readonly wake: WakeLane;
      readonly thread: number;
    }
  | { readonly mode: 'transfer'; readonly windows: MessagePort; readonly host: MessagePort; readonly headerBytes: number };

/** A tap on its way to the thread that will read it: give it to `openTap` there. */
export interface TapTicket extends Ticket {
  /** @internal */
  readonly config: StreamConfig;
  /** @internal */
  readonly lane: ConsumerLane;
}

/** Buffers of the pool on their way to the thread that will use them: give it to `openPool` there. */
export interface PoolTicket extends Ticket {
  /** @internal */
  readonly wasm: ParticipantWasm;
  /** What the participant is called by; 0 if the thread makes its own. @internal */
  readonly participant: number;
  /** The memory that the thread's instance runs on; 0 if it has one of its own. @internal */
  readonly thread: number;
  /** The number its leases carry, below 16, and where their generations begin. @internal */
  readonly holder: number;
  readonly seed: number;
  /** Transfer mode: where it reports its pool's counts. @internal */
  readonly counts: MessagePort | null;
}
