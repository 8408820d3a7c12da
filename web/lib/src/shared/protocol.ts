/**
 * Messages between the page, the control worker, the worklet and participants.
 * They are for set-up and tear-down; samples are in the shared memory, or in blocks of their own ports (transfer mode).
 */
import { build } from './build.ts';
import type { FeedFormat } from './feed_protocol.ts';
import type { MemoryPressure, StreamLimits, StreamOptions } from '../generated/messages.ts';
import type { Mode } from '../generated/snapshot.ts';
import type { WakeLane } from './wake.ts';

/** The name under which the worklet file registers its processor. */
export const TAP_PROCESSOR = `wavepool-tap ${build}`;

/** A ticket for another thread lapses after so long, because a worker that dies before it opens the ticket is not noticed otherwise. */
export const TICKET_MS = 10_000;

/** Number of 32-bit fields of a copy span: channel, slot, destination sample, source sample, count, address. */
export const SPAN_FIELDS = 6;

/** Transfer mode: the duration that a stream's transferable buffers have room for, and the least and the most of them. */
const SECONDS_IN_FLIGHT = 0.5;
const LEAST_IN_FLIGHT = 16;
const MOST_IN_FLIGHT = 64;

export interface StreamConfig extends StreamOptions {
  /** The last window is delivered although it is not full. */
  readonly flush: boolean;
}

// See `docs/decisions/0037-transfer-blocks-circulate-through-the-reader.md`.
/** Number of blocks that are returned to the worklet in one message. */
export const BLOCKS_PER_RETURN = 8;

/** Number of transferable buffers of a stream. A reader can have all but those that wait to be returned before windows are skipped. */
export function blocksInFlight({ sample_rate, hop }: StreamConfig): number {
  const wanted = Math.ceil((SECONDS_IN_FLIGHT * sample_rate) / hop);
  return Math.min(Math.max(wanted, LEAST_IN_FLIGHT), MOST_IN_FLIGHT) + BLOCKS_PER_RETURN;
}

/** Transfer mode: the host's ports for blocks. */
export interface HostPorts {
  /** From and to the worklet. */
  readonly worklet: MessagePort;
  /** From a JavaScript consumer, which has read them. */
  readonly consumer: MessagePort | null;
}

/** The object that a participant uses: the reader of a stream, or a pool. Neither number is used again. */
export type Holder = { readonly stream: number } | { readonly participant: number };

/** Whether a thread may still run, by the numbers of `ThreadState` in Rust. */
export const THREAD_END = {
  /** It may still run. */
  running: 0,
  /** It has reported that it stopped. In shared mode the host checks that in the memory. */
  left: 1,
  /** It was terminated, it trapped and is not called again, or it never started and never will. */
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
      /** Shared mode: the page signals it after each message, including this one. */
      wakeCounter: Int32Array | null;
      mode: Mode;
      reason: string;
      module: WebAssembly.Module;
      profile: string | null;
      /** Random, so that this pool's leases differ from those of other pools on the page. */
      seed: number;
      tracks: boolean;
    }
  | { kind: 'open'; config: StreamConfig; ports: HostPorts | null; wake: WakeLane | null }
  | CloseRequest
  /** Reads pending windows, and returns blocks to the worklet. */
  | { kind: 'catchUp'; stream: number }
  | { kind: 'metrics' }
  | { kind: 'openPool'; counts: MessagePort | null }
  | { kind: 'closePool'; participant: number; end: ThreadEnd }
  /** The thread of a participant is dead. */
  | { kind: 'reclaim'; holder: Holder }
  | { kind: 'reportFeed'; feed: number; format: FeedFormat; underruns: number; lateFrames: number }
  | { kind: 'forgetFeed'; feed: number }
  /** The analysis of a sound that is there already: begins, gets samples (one array per channel), ends. */
  | { kind: 'openSound'; sampleRate: number; channels: number }
  | { kind: 'addSound'; sound: number; samples: Float32Array[] }
  | { kind: 'closeSound'; sound: number }
  | { kind: 'fault'; name: string }
  | { kind: 'exercise'; on: boolean }
  | { kind: 'pressure'; level: MemoryPressure }
  | { kind: 'record'; on: boolean }
  | { kind: 'shutdown' };

/** The result of each request. */
export interface HostAnswers {
  /** `activity`: the address in the shared memory at which the worker writes its current activity. */
  boot: { memory: WebAssembly.Memory | null; activity: number; profileRefused: string | null; limits: StreamLimits };
  open: {
    stream: number;
    /** Shared mode: the numbers of tap and reader, and the addresses of their threads' stacks. 0 otherwise. */
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
  /** `participant` is the host's number of it, `number` (shared mode) the one that its thread uses. */
  openPool: { participant: number; number: number; thread: number; holder: number; seed: number };
  closePool: null;
  reclaim: { leases: number };
  reportFeed: null;
  forgetFeed: null;
  /** `window`: frames that are analysed at a time. */
  openSound: { sound: number; window: number };
  addSound: null;
  /** A `SoundSummary` as JSON. */
  closeSound: { summary: string };
  fault: null;
  exercise: null;
  pressure: null;
  /** The recording that ended, as JSON; `null` if one began, or none was running. */
  record: { trace: string | null };
  shutdown: { leaked: number };
}

export type ToHost = (HostRequest & { id: number }) | { kind: 'ping' };
export type FromHost =
  /** Sent after a ping, when the files are loaded, and between long pieces of work. */
  | { kind: 'alive' }
  /** The worker begins with the request. */
  | { kind: 'begun'; id: number }
  | { kind: 'answer'; id: number; value: HostAnswers[keyof HostAnswers] }
  | { kind: 'refusal'; id: number; message: string }
  | { kind: 'snapshot'; json: string }
  | { kind: 'crash'; message: string };

/** The options of the worklet's processor: an instance on the shared memory, with a tap of the host, or with a memory of its own. */
export interface TapOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
  /** Identifies the module, because the worklet gets a copy. */
  readonly key: string;
  readonly stream: number;
  /** Shared mode: the number of the tap, and the address of the thread's stack. */
  readonly number: number;
  readonly thread: number;
  readonly config: StreamConfig;
}

/** Transfer mode: blocks are sent to their reader by one port; counts are sent to the host, and blocks returned, by the other. */
export interface BlockPorts {
  readonly windows: MessagePort;
  readonly counts: MessagePort;
}

/** The progress of a stream's audio side: windows delivered so far, and in transfer mode blocks that are in transit. */
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
 * How a participant is to stop. `leave`: it leases no more, and releases what its user has not received. `finish`: it delivers queued
 * windows first. `revoke`: it also releases what its user has.
 */
export type Leave = 'leave' | 'finish' | 'revoke';

/**
 * The messages between the page and a participant's thread. The thread acquires its lock and sends `joining`. It does not use the pool
 * before `welcome`: the page has requested the same lock by then, so that it notices the thread's death from the first use on. A ticket
 * for what was closed is `refused`. The page sends a {@link Leave}; the thread answers `leaving` if its user still has leases, and `left`
 * when it does not use the pool any more. It releases its lock after `final`, or after `failed`.
 */
export type ToParticipant = { kind: Leave | 'welcome' | 'refused' | 'final' | 'ping' } | { kind: 'catchUp'; windows: number };
export type FromParticipant =
  /** `page`: the thread is that of a page. */
  | { kind: 'joining'; page: boolean }
  /** `alive`: the response to a ping, as soon as the thread returns to its event loop. */
  | { kind: 'alive' | 'failed' | 'leaving' | 'left' }
  /** It has read all windows up to the requested number, or no loop reads; `released` of them were released. */
  | { kind: 'caughtUp'; released: number };

/** The module of a participant's instance. `memory` is `null` in transfer mode: the instance has its own. */
export interface ParticipantWasm {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
}

/** A ticket for a participant's thread. Post it with its ports: `worker.postMessage(ticket, ticket.ports)`. */
export interface Ticket {
  readonly lock: string;
  readonly control: MessagePort;
  /** The list to transfer: mutable, since `postMessage` accepts no readonly array. */
  readonly ports: MessagePort[];
}

/** How a JavaScript consumer gets the windows. */
export type ConsumerLane =
  | {
      readonly mode: 'shared';
      readonly wasm: ParticipantWasm & { readonly memory: WebAssembly.Memory };
      readonly reader: number;
      readonly wake: WakeLane;
      readonly thread: number;
    }
  | { readonly mode: 'transfer'; readonly windows: MessagePort; readonly host: MessagePort; readonly headerBytes: number };

/** A ticket for the thread that is to read the tap: pass it to `openTap` there. */
export interface TapTicket extends Ticket {
  /** @internal */
  readonly config: StreamConfig;
  /** @internal */
  readonly lane: ConsumerLane;
}

/** A ticket for the thread that is to use buffers of the pool: pass it to `openPool` there. */
export interface PoolTicket extends Ticket {
  /** @internal */
  readonly wasm: ParticipantWasm;
  /** The participant's number; 0 if the thread makes its own. @internal */
  readonly participant: number;
  /** The address of the thread's stack; 0 if its instance has a memory of its own. @internal */
  readonly thread: number;
  /** The number in its leases, below 16, and where their generations begin. @internal */
  readonly holder: number;
  readonly seed: number;
  /** Transfer mode: the port to which it reports the counts of its pool. @internal */
  readonly counts: MessagePort | null;
}
