/**
 * What crosses between the page, the control worker and the worklet.
 * Messages are for set-up and tear-down; sample blocks use the lanes (shared) or the block port (transfer).
 */
import type { ThreadMemory } from './instance.ts';
import type { Mode } from './mode.ts';

/** The name under which the worklet file registers its processor. */
export const TAP_PROCESSOR = 'wavepool-tap';

/** 32-bit fields of one copy span: channel, slot, destination sample, source sample, count, address. */
export const SPAN_FIELDS = 6;

/** Transferable buffers a stream circulates in transfer mode: enough for 340 ms of 4096-sample windows at hop 1024. */
export const BLOCKS_IN_FLIGHT = 16;

export interface StreamConfig {
  readonly sample_rate: number;
  readonly channels: number;
  readonly window: number;
  readonly hop: number;
}

export type HostRequest =
  | { kind: 'boot'; mode: Mode; reason: string; module: WebAssembly.Module; profile: string | null; tracks: boolean }
  | { kind: 'open'; config: StreamConfig; blocks?: MessagePort }
  | { kind: 'close'; stream: number; answered: boolean; thread: ThreadMemory | null }
  | { kind: 'fault'; name: string }
  | { kind: 'exercise'; on: boolean }
  | { kind: 'record'; on: boolean }
  | { kind: 'shutdown' };

/** What each request is answered with. */
export interface HostAnswers {
  boot: { memory: WebAssembly.Memory | null; profileRefused: string | null };
  open: { stream: number; address: number };
  close: { snapshot: string };
  fault: null;
  exercise: null;
  /** The recording that ended, as JSON; `null` when one began, or none was under way. */
  record: { trace: string | null };
  shutdown: { leaked: number };
}

export type ToHost = HostRequest & { id: number };
export type FromHost =
  | { kind: 'answer'; id: number; value: HostAnswers[keyof HostAnswers] }
  | { kind: 'refusal'; id: number; message: string }
  | { kind: 'snapshot'; json: string }
  | { kind: 'crash'; message: string };

/** How the worklet gets its instance: on the shared memory with a capture made by the host, or on one of its own. */
export interface TapOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory | null;
  readonly address: number;
  readonly config: StreamConfig;
}

export type ToTap = { kind: 'blocks'; port: MessagePort } | { kind: 'close' };
export type FromTap = { kind: 'ready'; thread: ThreadMemory | null } | { kind: 'closed' } | { kind: 'fault'; message: string };
