import { Wavepool } from '../../lib/src/index.ts';
import type { Mode, Tuner as Stream } from '../../lib/src/index.ts';
import { Charts } from './charts.ts';
import { Dashboard } from './dashboard.ts';
import { byId, Text } from './dom.ts';
import { FileSummary } from './file_summary.ts';
import { Keyboard } from './keyboard.ts';
import { Underruns } from './playback.ts';
import { Notice, Problem } from './problem.ts';
import { saveFile, SessionLog } from './report.ts';
import type { Report } from './report.ts';
import { analysis, Session } from './session.ts';
import type { State } from './session.ts';
import { openFile, openMicrophone, openTone } from './sources.ts';
import type { Source, SourceKind, Tone } from './sources.ts';
import { startTheme } from './theme.ts';
import { Tuner } from './tuner.ts';

/** For scripts that drive the page: the same report the button gives, and the faults the library can stage. */
interface WavepoolDemo {
  report(): Report | null;
  fault(name: 'leak-one' | 'spin'): Promise<void>;
  /** What the pool holds now, and the most that was in use at a time lately; null before it was inspected. */
  memory(): { readonly held: number; readonly peak: number } | null;
  /** Opens a second stream on the sound; `closeBeside` closes it. */
  openBeside(window: number, hop: number): Promise<void>;
  closeBeside(): Promise<void>;
  /** What leaving the page does; how many buffers did not come back. */
  close(): Promise<{ leaked: number }>;
}

declare global {
  interface Window {
    wavepoolDemo?: WavepoolDemo;
  }
}

const notice = new Notice(
  byId('notice', HTMLElement),
  byId('notice-text', HTMLElement),
  byId('notice-close', HTMLElement),
  byId('notice-restart', HTMLElement),
);
const charts = new Charts(byId('charts', HTMLElement));
let dashboard: Dashboard | null = null;
startTheme(byId('theme', HTMLButtonElement), byId('theme-name', HTMLElement), () => {
  charts.recolour();
  dashboard?.recolour();
});

try {
  const devtoolsTracks = new URLSearchParams(location.search).has('tracks');
  const wavepool = await Wavepool.create({ mode: requestedMode(), remember: 'tuner', devtoolsTracks });
  dashboard = new Dashboard(wavepool, (reason) => notice.show(reason));
  run(wavepool, dashboard);
} catch (error) {
  document.body.dataset['state'] = 'failed';
  byId('mode-name', HTMLElement).textContent = 'Not running';
  notice.show(error);
}

function requestedMode(): 'auto' | Mode {
  const mode = new URLSearchParams(location.search).get('mode') ?? 'auto';
  if (mode === 'auto' || mode === 'shared' || mode === 'transfer') return mode;
  throw new Problem(`There is no mode “${mode}”. Use ?mode=auto, ?mode=shared or ?mode=transfer.`);
}

function run(wavepool: Wavepool, dashboard: Dashboard): void {
  showMode(wavepool);
  const tuner = new Tuner();
  const log = new SessionLog();
  const underruns = new Underruns();
  const summary = new FileSummary(wavepool);
  const keyboard = new Keyboard(playTone);
  const status = new Text(byId('status', HTMLElement));
  const stop = byId('stop', HTMLButtonElement);
  const input = byId('file-input', HTMLInputElement);
  const buttons: Record<SourceKind, HTMLButtonElement> = {
    microphone: byId('microphone', HTMLButtonElement),
    file: byId('file', HTMLButtonElement),
    tone: byId('tone', HTMLButtonElement),
  };

  const session = new Session(wavepool, {
    state: showState,
    opening(context) {
      log.open();
      charts.clear();
      underruns.mark(context);
      notice.clear();
    },
    closed(last) {
      log.close(last);
      dashboard.show(last, underruns.count);
      tuner.reset();
    },
    problem: (reason) => notice.show(reason),
  });

  wavepool.onCrash((message) => void startAnew(message));
  wavepool.onStuck((message) => {
    const offer = new Problem(`${message} It may go on by itself. A restart ends it and starts another one.`);
    notice.offerRestart(offer, () => void startAnew(message));
  });
  wavepool.onSnapshot((snapshot) => {
    notice.withdrawRestart();
    log.add(snapshot);
    // A tab in the background keeps its log and paints nothing.
    if (document.hidden) return;
    const now = performance.now();
    tuner.update(snapshot, now);
    charts.update(snapshot, now);
    dashboard.update(snapshot, underruns.count, now);
  });

  async function startAnew(message: string): Promise<void> {
    try {
      await wavepool.restart();
      await session.retune();
      notice.show(new Problem(`${message} Another one was started, and the sound goes on.`));
    } catch {
      notice.show(new Problem(`${message} Reload the page to go on.`));
    }
  }

  function showState(state: State, source: Source | null): void {
    document.body.dataset['state'] = state;
    stop.disabled = source === null && state !== 'starting';
    if (state !== 'starting') {
      void summary.follow(source);
      for (const [kind, button] of Object.entries(buttons)) button.ariaPressed = String(source?.kind === kind);
    }
    if (state === 'running' && source) log.name(source.label);
    status.set(describe(state, source));
  }

  function describe(state: State, source: Source | null): string {
    if (state === 'starting') return 'Starting …';
    if (!source) return 'Choose a sound, or drop a file anywhere.';
    if (state === 'waiting') return 'The browser waits for a key or a click before it plays.';
    if (state === 'ended') return `${source.label} is over.`;
    if (source.kind === 'microphone') return `Listening to ${source.label}`;
    return source.kind === 'tone' ? `Playing ${keyboard.name}` : `Playing ${source.label}`;
  }

  function playTone(midi: number): void {
    const playing = session.source;
    if (playing?.kind === 'tone') {
      (playing as Tone).tune(midi);
      status.set(describe('running', playing));
    } else {
      void session.listen((context) => openTone(context, midi));
    }
  }

  function playFile(file: File | undefined): void {
    if (file) void session.listen((context) => openFile(context, file, analysis.window));
  }

  buttons.microphone.addEventListener('click', () => void session.listen(openMicrophone));
  buttons.file.addEventListener('click', () => input.click());
  buttons.tone.addEventListener('click', () => playTone(keyboard.midi));
  stop.addEventListener('click', () => void session.stop());
  input.addEventListener('change', () => {
    playFile(input.files?.[0]);
    // The same file can then be chosen again.
    input.value = '';
  });
  acceptDrops(playFile);

  const report = (): Report | null => log.report(underruns.count);
  byId('download', HTMLButtonElement).addEventListener('click', () => {
    const made = report();
    if (made) saveFile('report', JSON.stringify(made, null, 2));
    else notice.show(new Problem('There is nothing to report yet: choose a sound first.'));
  });
  const close = (): Promise<{ leaked: number }> => wavepool.close();
  let beside: Stream | null = null;
  window.wavepoolDemo = {
    report,
    fault: (name) => wavepool.fault(name),
    memory: () => log.memory,
    openBeside: async (window, hop) => {
      beside = await session.tuneBeside(window, hop);
    },
    closeBeside: async () => {
      await beside?.close();
      beside = null;
    },
    close,
  };
  for (const gesture of ['pointerdown', 'keydown']) document.addEventListener(gesture, () => session.wake());
  // Gives everything back while the worker still runs. A page kept for the back button starts anew.
  window.addEventListener('pagehide', () => void close());
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
}

function showMode({ mode, modeReason, profileRefused }: Wavepool): void {
  const names: Record<Mode, string> = { shared: 'Shared memory', transfer: 'Transfer' };
  byId('mode-name', HTMLElement).textContent = names[mode];
  const start = profileRefused ? ` What an earlier visit had learned could not be used: ${profileRefused}.` : '';
  byId('mode-reason', HTMLElement).textContent = `Running in ${mode} mode: ${modeReason}.${start}`;
  document.body.dataset['mode'] = mode;
}

function acceptDrops(accept: (file: File | undefined) => void): void {
  const veil = byId('drop', HTMLElement);
  const hasFile = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragover', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    veil.classList.add('over');
  });
  document.addEventListener('dragleave', (event) => {
    // Null when the pointer leaves the window, not just an element.
    if (event.relatedTarget === null) veil.classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    veil.classList.remove('over');
    accept(event.dataTransfer?.files[0]);
  });
}
