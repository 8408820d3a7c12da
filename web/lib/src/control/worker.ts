/** The control side: owns the registry, the pool's control half, the analysis and the bus's dispatch. */
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
 * Shared mode: how long the worker sleeps between polls while a stream is open, within the Critical lane's 0.5 ms. The
 * worklet never wakes anyone: that is a system call.
 */
const POLL_MS = 0.2;
/**
 * Polls of one turn: between turns the browser may do other things, for milliseconds. Whoever posts wakeCounter, which ends a turn
 * at once; this is for the browser itself, which does not: it may want to end the worker.
 */
// See `docs/decisions/0035-control-worker-sleeps-until-it-is-signalled.md`.
const LONGEST_TURN_MS = 30_000;
/** Transfer mode is woken by blocks; this is for the pool's own step and the snapshots. */
const IDLE_TURN_MS = 20;
const SNAPSHOT_MS = 50;
/** Several long pieces of work in one turn are no reason for the page's watchdog to take this thread for stuck. */
const LONGEST_SILENCE_MS = 200;
/** How long a closing stream waits for the worklet's last block. */
const FINAL_MESSAGE_MS = 500;
/** Between the seeds of two participants' pools: 2^32 divided by the golden ratio, whose multiples stay far apart. */
const SEED_STEP = 0x9e3779b9;

let host: Host | null = null;
let wasm: InitOutput | null = null;
let polling = false;
let exercising = false;
/** The timeline's tracks, when they were asked for. */
let tracks: Tracks | null = null;
let turnComing = false;
/** Of this pool's leases. */
let seed = 0;
let lastSnapshot = 0;
let lastSaid = 0;
const open = new Map<number, BlockReceiver | null>();
const participants = new Set<number>();
/** Shared mode: where the page wakeCounter. */
let waiter: Waiter | null = null;
/** Shared mode: readers that may not block. */
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
    // A trap leaves the host in the middle of something: that is no refusal of this request alone.
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
      // Blocks still on their way count; a worklet that died never says its last word.
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
      // Its context waits, so the windows come to an end.
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
    case 'fault':
      host.fault(request.name);
      return null;
    case 'exercise':
      host.exercise(request.on);
      exercising = request.on;
      keepPolling();
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
  // Held for as long as this worker lives: the page waits for the lock, and so learns of its death.
  await new Promise((held, refused) => {
    navigator.locks.request(request.lock, () => new Promise(() => held(null))).catch(refused);
  });
  const shared = request.mode === 'shared';
  const glue = shared ? await import('../../wasm/shared/wavepool.js') : await import('../../wasm/transfer/wavepool.js');
  // Files are loaded: from here on it is this thread that takes its time.
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

/** Transfer mode: a thread with a pool of its own reports its counts now and then. */
function receiveCounts(host: Host, wasm: InitOutput, participant: number, counts: MessagePort): void {
  counts.onmessage = ({ data: header }: MessageEvent<ArrayBuffer>) => {
    const address = host.participantHeader(participant);
    // It may have closed meanwhile.
    if (address === 0) return counts.close();
    try {
      const bytes = host.headerBytes();
      if (!(header instanceof ArrayBuffer) || header.byteLength !== bytes) {
        throw new RangeError(`a header must be a buffer of ${bytes} bytes (got ${header?.byteLength ?? String(header)})`);
      }
      new Uint8Array(wasm.memory.buffer, address, bytes).set(new Uint8Array(header));
      host.receiveParticipant(participant);
    } catch (thrown) {
      // A trap leaves the host in the middle of something; anything else is that thread's fault alone.
      if (thrown instanceof WebAssembly.RuntimeError) return crash(thrown);
      counts.close();
      console.warn(`wavepool: the figures of participant ${participant} are not read any more: ${messageOf(thrown)}`);
    }
  };
}

/** Takes back what a dead thread held; returns how many leases that were. */
function reclaim(host: Host, holder: Holder): number {
  let leases = 0;
  if ('stream' in holder) leases = host.reclaimReader(holder.stream);
  else if (participants.delete(holder.participant)) leases = host.closeParticipant(holder.participant, THREAD_END.gone);
  step(host);
  keepPolling();
  return leases;
}

/** While there is something to do between requests. */
function keepPolling(): void {
  polling = open.size > 0 || participants.size > 0 || exercising;
  comeAgain();
}

function turn(): void {
  turnComing = false;
  if (!polling) return;
  const end = performance.now() + LONGEST_TURN_MS;
  do {
    pump();
  } while (waiter?.sleep(POLL_MS) && polling && performance.now() < end);
  comeAgain();
}

/** At most one turn waits, however often streams open and close. */
function comeAgain(): void {
  if (turnComing || !polling) return;
  turnComing = true;
  if (waiter) turns.port2.postMessage(0);
  else setTimeout(turn, IDLE_TURN_MS);
}

/** Runs a piece of work, then sends the page a sign of life if the last one was long ago. */
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

/** Sends each snapshot to the page's listener: notes and events are in one snapshot only. */
function report(json: string): string {
  say({ kind: 'snapshot', json });
  return json;
}

function say(message: FromHost): void {
  lastSaid = performance.now();
  self.postMessage(message);
}
