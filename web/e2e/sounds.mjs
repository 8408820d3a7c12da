// WAV files made on the spot: what a test needs, nothing that has to be kept.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of its own for a test's files; `remove` when done. */
export function soundFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'wavepool-'));
  return {
    write(name, bytes) {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      return path;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** A 16-bit WAV file of a sine in every channel. */
export function wav({ hz = 440, seconds = 1, sampleRate = 48_000, channels = 1, gain = 0.5 }) {
  const frames = Math.round(seconds * sampleRate);
  const dataBytes = frames * channels * 2;
  const file = Buffer.alloc(44 + dataBytes);
  file.write('RIFF', 0);
  file.writeUInt32LE(36 + dataBytes, 4);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(channels, 22);
  file.writeUInt32LE(sampleRate, 24);
  file.writeUInt32LE(sampleRate * channels * 2, 28);
  file.writeUInt16LE(channels * 2, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(dataBytes, 40);
  for (let frame = 0; frame < frames; frame += 1) {
    const sample = Math.round(32_767 * gain * Math.sin((2 * Math.PI * hz * frame) / sampleRate));
    for (let channel = 0; channel < channels; channel += 1) file.writeInt16LE(sample, 44 + (frame * channels + channel) * 2);
  }
  return file;
}
