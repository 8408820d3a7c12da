/** What stands where no figure is: nothing was measured, which is not zero. */
export const notMeasured = 'not measured';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const minus = '\u2212';

/** `value` as `show` writes it, where it was measured. */
export function measured(value: number | null, show: (value: number) => string): string {
  return value === null ? notMeasured : show(value);
}

export function count(value: number): string {
  return whole.format(value);
}

/** `1 buffer`, `2 buffers`. */
export function counted(number: number, one: string, several = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : several}`;
}

export function percent(value: number | null, digits = 1): string {
  return measured(value, (share) => `${share === 100 || share === 0 ? String(share) : share.toFixed(digits)} %`);
}

export function bytes(value: number): string {
  if (value < 1024) return `${count(value)} B`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / (1024 * 1024)).toFixed(2)} MiB`;
}

/** With a sign, always: `+3.2`, `−0.4`. */
export function signed(value: number, digits = 1): string {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? minus : '+') + text;
}

export function decibels(value: number): string {
  return value <= -120 ? `${minus}∞ dBFS` : `${value.toFixed(1).replace('-', minus)} dBFS`;
}

export function duration(nanoseconds: number): string {
  if (nanoseconds < 1000) return '< 1 µs';
  return nanoseconds < 1e6 ? `${count(nanoseconds / 1000)} µs` : `${(nanoseconds / 1e6).toFixed(1)} ms`;
}

export function hertz(value: number): string {
  return `${value.toFixed(value < 1000 ? 2 : 1)} Hz`;
}

export function rate(sampleRate: number): string {
  return `${String(sampleRate / 1000)} kHz`;
}

export interface NoteParts {
  readonly letter: string;
  readonly accidental: string;
  readonly octave: string;
  /** As a person would say it. */
  readonly spoken: string;
}

/** `C#5` in the pieces that are set differently. */
export function noteParts(name: string): NoteParts {
  const letter = name.slice(0, 1);
  const sharp = name.charAt(1) === '#';
  const octave = name.slice(sharp ? 2 : 1).replace('-', minus);
  return {
    letter,
    accidental: sharp ? '♯' : '',
    octave,
    spoken: `${letter}${sharp ? ' sharp' : ''} ${octave}`,
  };
}
