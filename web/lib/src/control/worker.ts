/** The control worker: owns the registry, the pool's control half, the analysis and the dispatch of events. */
import { messageOf } from '../shared/errors.ts';
import { faultMessage } from '../shared/instance.ts';
import {
  THREAD_END,
  type FromHost,
  type Holder,
  type HostAnswers,
  type HostRequest,
  type ThreadEnd,
  type ToHost,
} from '../shared/protocol.ts';
import type { HostOptions, StreamLimits } from '../generated/messages.ts';
import type { Host, InitOutput } from '../../wasm/shared/wavepool.js';
import { BlockReceiver } from './block_receiver.ts';
import { Waiter } from '../shared/wake_counter.ts';
import { Tracks } from './tracks.ts';
import { Wakers } from '../shared/wake.ts';

/**
 * Shared mode: the time between two polls while a stream is open, within the 0.5 ms of the Critical lane. The worklet never wakes a
 * thread, because that is a system call.
 */
const POLL_MS = 0.2;
/**
 * The longest time without a return to the event loop. A thread that posts a message signals the wake counter, which ends the turn at
 * once; the browser does not, for example when it terminates the worker.
 */
// See `docs/decisions/0035-control-worker-sleeps-until-it-is-signalled.md`.
const LONGEST_TURN_MS = 30_000;
/** Transfer mode: blocks wake the worker; control steps and snapshots need a timer. */
const IDLE_TURN_MS = 20;
const SNAPSHOT_MS = 50;
/** A turn that takes longer sends the page a message between pieces of work, so that its watchdog sees progress. */
const LONGEST_SILENCE_MS = 200;
/** The most time that the close of a stream waits for the worklet's last block. */
const FINAL_MESSAGE_MS = 500;
/** Between the seeds of two participants' pools: 2^32 divided by the golden ratio, whose multiples stay far apart. */
const SEED_STEP = 0x9e3779b9;

let host: Host | null = null;
let wasm: InitOutput | null = null;
let polling = false;
let exercising = false;
/** The tracks of the performance timeline, if the page requested them. */
let tracks: Tracks | null = null;
let turnComing = false;
/** Where the generations of this pool's leases begin. */
let seed = 0;
let lastSnapshot = 0;
let lastSaid = 0;
const open = new Map<number, BlockReceiver | null>();
const participants = new Set<number>();
/** Sounds that are analysed. */
const sounds = new Set<number>();
/** Shared mode: the counter that the page signals after each message. */
let waiter: Waiter | null = null;
/** Shared mode: wakes readers that may not block. */
const wakers = new Wakers();
const windowsDelivered = (stream: number): number => host?.windowsDelivered(stream) ?? 0;
const turns = new MessageChannel();
turns.port1.onmessage = turn;

self.onmessage = async (event: MessageEvent<ToHost>) => {
  waiter?.receive();
  const request = event.data;
  if (request.kind === 'ping') return say({ kind: 'alive' });
  say({ kind: 'begun', id: request.id });
  try {
    say({ kind: 'answer', id: request.id, value: await answer(request) });
  } catch (thrown) {
    // After a trap the host may be in any state: not only this request has failed.
    if (thrown instanceof WebAssembly.RuntimeError) crash(thrown);
    else say({ kind: 'refusal', id: request.id, message: messageOf(thrown) });
  }
};

async function answer(request: HostRequest): Promise<HostAnswers[keyof HostAnswers]> {
  if (request.kind === 'boot') return boot(request);
  if (host === null || wasm === null) throw new Error('the host was not booted');
  switch (request.kind) {
    case 'open': {
      const stream = host.openStream(JSON.stringify(request.config));
      const receiver = request.ports
        ? new BlockReceiver(host, wasm.memory, stream, request.config, request.ports, pump, crash)
        : null;
      open.set(stream, receiver);
      if (request.wake) wakers.add(stream, request.wake);
      keepPolling();
      return {
        stream,
        tap: host.tapNumber(stream),
        tapThread: host.tapThread(stream),
        reader: host.readerNumber(stream),
        readerThread: host.readerThread(stream),
        headerBytes: host.headerBytes(),
        queueWindows: host.queueWindows(stream),
      };
    }
    case 'close': {
      const receiver = open.get(request.stream);
      // Blocks that are in transit count. A worklet that died sends no final message.
      if (receiver) await Promise.race([receiver.ended, pause(FINAL_MESSAGE_MS)]);
      receiver?.close();
      open.delete(request.stream);
      wakers.delete(request.stream);
      keepPolling();
      step(host);
      const worklet = receiver?.hasFinalMessage === false ? THREAD_END.gone : request.worklet;
      host.closeStream(request.stream, worklet, request.consumer);
      step(host);
      return { snapshot: report(host.snapshot()) };
    }
    case 'catchUp':
      // The loop ends, because the stream's context is suspended.
      while (host.pump() > 0);
      open.get(request.stream)?.returnAllBlocks();
      return { windows: windowsDelivered(request.stream) };
    case 'metrics':
      step(host);
      return { snapshot: report(host.snapshot()) };
    case 'openPool': {
      const participant = host.openParticipant();
      participants.add(participant);
      if (request.counts) receiveCounts(host, wasm, participant, request.counts);
      keepPolling();
      return {
        participant,
        number: host.participantNumber(participant),
        thread: host.participantThread(participant),
        holder: host.participantHolder(participant),
        seed: (seed + Math.imul(participant, SEED_STEP)) >>> 0,
      };
    }
    case 'closePool':
      closePool(host, request.participant, request.end);
      return null;
    case 'reclaim':
      return { leases: reclaim(host, request.holder) };
    case 'reportFeed': {
      const { sampleRate, channels, frames, latencyFrames, live } = request.format;
      host.reportFeed(request.feed, sampleRate, channels, frames, latencyFrames, live, request.underruns, request.lateFrames);
      return null;
    }
    case 'forgetFeed':
      host.forgetFeed(request.feed);
      return null;
    case 'openSound': {
      const sound = host.openSound(request.sampleRate, request.channels);
      sounds.add(sound);
      keepPolling();
      return { sound, window: host.soundWindow() };
    }
    case 'addSound':
      addSound(host, wasm.memory, request.sound, request.samples);
      return null;
    case 'closeSound':
      sounds.delete(request.sound);
      keepPolling();
      return { summary: host.closeSound(request.sound) };
    case 'fault':
      host.fault(request.name);
      return null;
    case 'exercise':
      host.exercise(request.on);
      exercising = request.on;
      keepPolling();
      return null;
    case 'pressure':
      host.setMemoryPressure(request.level);
      return null;
    case 'record':
      if (request.on) host.startRecording();
      return { trace: request.on ? null : (host.stopRecording() ?? null) };
    case 'shutdown':
      polling = false;
      return { leaked: Number(host.shutdown()) };
  }
}

async function boot(request: Extract<HostRequest, { kind: 'boot' }>): Promise<HostAnswers['boot']> {
  // Held until this worker dies: the page requests the same lock, and gets it then.
  await new Promise((held, refused) => {
    navigator.locks.request(request.lock, () => new Promise(() => held(null))).catch(refused);
  });
  const shared = request.mode === 'shared';
  const glue = shared ? await import('../../wasm/shared/wavepool.js') : await import('../../wasm/transfer/wavepool.js');
  // The files are loaded. From here on, the page's watchdog expects progress.
  say({ kind: 'alive' });
  wasm = glue.initSync({ module: request.module }) as InitOutput;
  const { mode, reason, profile } = request;
  seed = request.seed;
  host = new glue.Host(JSON.stringify({ mode, mode_reason: reason, profile, seed } satisfies HostOptions));
  if (request.tracks) tracks = new Tracks(host);
  if (request.wakeCounter) waiter = new Waiter(request.wakeCounter);
  return { memory: shared ? wasm.memory : null, activity: host.activityAddress(), profileRefused: host.profileRefused() ?? null, limits: JSON.parse(host.streamLimits()) as StreamLimits };
}

function closePool(host: Host, participant: number, end: ThreadEnd): void {
  participants.delete(participant);
  host.closeParticipant(participant, end);
  step(host);
  report(host.snapshot());
  keepPolling();
}

/** Transfer mode: reads the counts that a thread with a pool of its own sends from time to time. */
function receiveCounts(host: Host, wasm: InitOutput, participant: number, counts: MessagePort): void {
  counts.onmessage = ({ data: header }: MessageEvent<ArrayBuffer>) => {
    const address = host.participantHeader(participant);
    // The participant was closed meanwhile.
    if (address === 0) return counts.close();
    try {
      const bytes = host.headerBytes();
      if (!(header instanceof ArrayBuffer) || header.byteLength !== bytes) {
        throw new RangeError(`a header must be a buffer of ${bytes} bytes (got ${header?.byteLength ?? String(header)})`);
      }
      new Uint8Array(wasm.memory.buffer, address, bytes).set(new Uint8Array(header));
      host.receiveParticipant(participant);
    } catch (thrown) {
      // After a trap the host may be in any state; any other error is about this message only.
      if (thrown instanceof WebAssembly.RuntimeError) return crash(thrown);
      counts.close();
      console.warn(`wavepool: the figures of participant ${participant} are not read any more: ${messageOf(thrown)}`);
    }
  };
}

/** Copies samples into vectors of the pool and analyses them, window by window. */
function addSound(host: Host, memory: WebAssembly.Memory, sound: number, samples: Float32Array[]): void {
  const length = samples[0]?.length ?? 0;
  host.countSamples(samples.length, samples.length * length * Float32Array.BYTES_PER_ELEMENT);
  for (let at = 0; at < length; at += host.soundWindow()) {
    const part = samples.map((channel) => channel.subarray(at, at + host.soundWindow()));
    host.beginSound(sound, part[0]!.length);
    part.forEach((channel, index) => {
      new Float32Array(memory.buffer, host.soundAddress(sound, index), channel.length).set(channel);
    });
    host.endSound(sound);
    step(host);
  }
}

/** Reclaims the leases of a dead thread; returns their number. */
function reclaim(host: Host, holder: Holder): number {
  let leases = 0;
  if ('stream' in holder) leases = host.reclaimReader(holder.stream);
  else if (participants.delete(holder.participant)) leases = host.closeParticipant(holder.participant, THREAD_END.gone);
  step(host);
  keepPolling();
  return leases;
}

/** Polls as long as there is work between requests. */
function keepPolling(): void {
  polling = open.size > 0 || participants.size > 0 || sounds.size > 0 || exercising;
  comeAgain();
}

function turn(): void {
  turnComing = false;
  if (!polling) return;
  const end = performance.now() + LONGEST_TURN_MS;
  do {
    pump();
  } while (sleep() && polling && performance.now() < end);
  comeAgain();
}

/** Shared mode: sleeps until the next poll; returns whether the turn can go on. */
function sleep(): boolean {
  if (waiter === null) return false;
  host?.beginSleep();
  return waiter.sleep(POLL_MS);
}

/** Schedules the next turn, unless one is scheduled. */
function comeAgain(): void {
  if (turnComing || !polling) return;
  turnComing = true;
  if (waiter) turns.port2.postMessage(0);
  else setTimeout(turn, IDLE_TURN_MS);
}

/** Runs a piece of work, then sends the page a message if the last one was long ago. */
function step(host: Host): void {
  host.pump();
  if (performance.now() - lastSaid > LONGEST_SILENCE_MS) say({ kind: 'alive' });
}

function pump(): void {
  if (host === null) return;
  try {
    step(host);
    wakers.poll(windowsDelivered);
    tracks?.draw();
    const now = performance.now();
    if (now - lastSnapshot >= SNAPSHOT_MS) {
      lastSnapshot = now;
      report(host.snapshot());
    }
  } catch (thrown) {
    crash(thrown);
  }
}

function crash(thrown: unknown): void {
  polling = false;
  say({ kind: 'crash', message: wasm ? faultMessage(thrown, wasm, wasm.memory) : messageOf(thrown) });
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}

/** Sends a snapshot to the page's listener. Each has to be sent, because notes and events are in one snapshot only. */
function report(json: string): string {
  say({ kind: 'snapshot', json });
  return json;
}

function say(message: FromHost): void {
  lastSaid = performance.now();
  self.postMessage(message);
}
