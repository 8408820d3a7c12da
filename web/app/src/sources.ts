import { Problem } from './problem.ts';

export type SourceKind = 'microphone' | 'file' | 'tone';

/** A sound that can be started once and released once. */
export interface Source {
  readonly kind: SourceKind;
  readonly label: string;
  readonly node: AudioNode;
  /** The samples of a file. */
  readonly buffer?: AudioBuffer;
  /** Begins; `ended` is called when the sound is over by itself. */
  start(ended: (why: string) => void): void;
  /** Stops the sound and gives tracks and nodes back. */
  release(): void;
}

/** Largest file that is decoded: compressed sound grows about tenfold in memory. */
const largestFile = 200 * 1024 * 1024;
/** Below this every sample is silence: -90 dBFS. */
const silence = 10 ** (-90 / 20);

export async function openMicrophone(context: AudioContext): Promise<Source> {
  // Absent on pages without a secure context, whatever the types say.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) {
    throw new Problem('This page may not use the microphone because it was not loaded securely. Open it over https or from localhost.');
  }
  let stream: MediaStream;
  try {
    stream = await devices.getUserMedia({
      // What makes speech clear bends pitch and level.
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    throw new Problem(microphoneText(error));
  }
  const track = stream.getAudioTracks()[0];
  const node = context.createMediaStreamSource(stream);
  return {
    kind: 'microphone',
    label: track?.label || 'Microphone',
    node,
    start(ended) {
      if (track) track.onended = () => ended('The microphone was disconnected. Connect it again, or choose another sound.');
    },
    release() {
      if (track) track.onended = null;
      node.disconnect();
      for (const each of stream.getTracks()) each.stop();
    },
  };
}

function microphoneText(error: unknown): string {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return 'The microphone was refused. Allow it for this site beside the address, then press Microphone again; a file or the tone work without it.';
    case 'NotFoundError':
      return 'No microphone was found. Connect one and press Microphone again; a file or the tone work without it.';
    case 'NotReadableError':
      return 'The microphone is busy or switched off. Close the program that uses it, then press Microphone again.';
    default:
      return `The microphone could not be opened (${String(error)}). Choose a file or the tone instead.`;
  }
}

/** `shortest`: frames that one window of the analysis needs. */
export async function openFile(context: AudioContext, file: File, shortest: number): Promise<Source> {
  const buffer = await decode(context, file);
  if (buffer.length < shortest) {
    const has = Math.round((1000 * buffer.length) / buffer.sampleRate);
    const needs = Math.ceil((1000 * shortest) / buffer.sampleRate);
    throw new Problem(`“${file.name}” lasts ${String(has)} ms; finding a pitch takes at least ${String(needs)} ms. Choose a longer recording.`);
  }
  if (isSilent(buffer)) {
    throw new Problem(`“${file.name}” holds only silence. Choose a recording with sound in it.`);
  }
  const node = new AudioBufferSourceNode(context, { buffer });
  return {
    kind: 'file',
    label: file.name,
    node,
    buffer,
    start(ended) {
      node.onended = () => ended('');
      node.connect(context.destination);
      node.start();
    },
    release() {
      node.onended = null;
      node.disconnect();
      node.buffer = null;
    },
  };
}

async function decode(context: AudioContext, file: File): Promise<AudioBuffer> {
  if (file.size === 0) throw new Problem(`“${file.name}” is empty (0 bytes). Choose another file.`);
  if (file.size > largestFile) {
    throw new Problem(`“${file.name}” is larger than 200 MiB, more than this page decodes at once. Cut out the part you want to look at.`);
  }
  let data: ArrayBuffer;
  try {
    data = await file.arrayBuffer();
  } catch {
    throw new Problem(`“${file.name}” could not be read. It may have been moved, or it is a folder: choose the file again.`);
  }
  try {
    return await context.decodeAudioData(data);
  } catch {
    throw new Problem(
      /^(audio|video)\//.test(file.type)
        ? `“${file.name}” could not be decoded: it is damaged, or this browser does not know its format. Convert it to WAV, FLAC, Ogg or MP3.`
        : `“${file.name}” is not a sound file that this browser knows. Choose WAV, FLAC, Ogg or MP3.`,
    );
  }
}

function isSilent(buffer: AudioBuffer): boolean {
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    if (buffer.getChannelData(channel).some((sample) => sample > silence || sample < -silence)) return false;
  }
  return true;
}

export interface Tone extends Source {
  /** Glides to another note of the equal-tempered scale (A4 = 69 = 440 Hz). */
  tune(midi: number): void;
}

export function openTone(context: AudioContext, midi: number): Tone {
  const node = new GainNode(context, { gain: 0 });
  // A few falling harmonics, so that low notes are audible on small loudspeakers too.
  const wave = context.createPeriodicWave([0, 0, 0, 0, 0], [0, 1, 0.4, 0.2, 0.1]);
  const oscillator = new OscillatorNode(context, { frequency: frequency(midi), periodicWave: wave });
  oscillator.connect(node);
  return {
    kind: 'tone',
    label: 'Tone',
    node,
    tune(next) {
      oscillator.frequency.setTargetAtTime(frequency(next), context.currentTime, 0.005);
    },
    start() {
      node.connect(context.destination);
      oscillator.start();
      node.gain.setTargetAtTime(0.25, context.currentTime, 0.01);
    },
    release() {
      oscillator.stop();
      oscillator.disconnect();
      node.disconnect();
    },
  };
}

function frequency(midi: number): number {
  return 440 * 2 ** ((midi - 69) / 12);
}
