import type { Level, Note, Snapshot } from '../../lib/src/index.ts';
import { byId, Text, Transform } from './dom.ts';
import { decibels, hertz, noteParts, percent, signed } from './format.ts';

/** Degrees of the dial for 50 cents to either side. */
const sweep = 58;
/** In tune, in cents: what a trained ear lets pass. */
const inTune = 5;
/** A note is dimmed, then taken away, when nothing new was detected for so long. */
const fadeAfterMs = 400;
const clearAfterMs = 3000;
/** A note is spoken when it has stood still for so long: a screen reader is not to chase a melody. */
const speakAfterMs = 700;
const floorDbfs = -60;

const centre = { x: 240, y: 244 };
const radius = 210;

/** The note, its needle and readings, and the level meter. */
export class Tuner {
  readonly #dial = byId('dial', HTMLElement);
  readonly #letter = new Text(byId('note-letter', HTMLElement));
  readonly #accidental = new Text(byId('note-accidental', HTMLElement));
  readonly #octave = new Text(byId('note-octave', HTMLElement));
  readonly #spoken = new Text(byId('note-spoken', HTMLElement));
  readonly #cents = new Text(byId('cents', HTMLElement));
  readonly #hz = new Text(byId('hz', HTMLElement));
  readonly #clarity = new Text(byId('clarity', HTMLElement));
  readonly #needle = new Transform(byId('needle', SVGGElement));
  readonly #meter = byId('level-track', HTMLElement);
  readonly #rmsText = new Text(byId('rms', HTMLElement));
  readonly #peakText = new Text(byId('peak', HTMLElement));
  readonly #cover = new Transform(byId('level-cover', HTMLElement));
  readonly #peak = new Transform(byId('level-peak', HTMLElement));
  #note = '';
  #detectedAt = -Infinity;
  #noteSince = 0;
  #saidNote = '';

  constructor() {
    drawDial();
    this.reset();
  }

  reset(): void {
    this.#clearNote();
    this.#level(null);
  }

  update(snapshot: Snapshot, nowMs: number): void {
    const detected = snapshot.notes.at(-1);
    if (detected) this.#show(detected, nowMs);
    else if (nowMs - this.#detectedAt > clearAfterMs) this.#clearNote();
    else if (nowMs - this.#detectedAt > fadeAfterMs) this.#dial.dataset['tuned'] = 'faded';
    this.#level(snapshot.level);
  }

  #show(detected: Note, nowMs: number): void {
    this.#detectedAt = nowMs;
    if (detected.note !== this.#note) {
      const parts = noteParts(detected.note);
      this.#note = detected.note;
      this.#noteSince = nowMs;
      this.#letter.set(parts.letter);
      this.#accidental.set(parts.accidental);
      this.#octave.set(parts.octave);
    } else if (this.#saidNote !== detected.note && nowMs - this.#noteSince > speakAfterMs) {
      this.#saidNote = detected.note;
      this.#spoken.set(noteParts(detected.note).spoken);
    }
    this.#cents.set(signed(detected.cents));
    this.#hz.set(hertz(detected.hz));
    this.#clarity.set(percent(100 * detected.clarity, 0));
    this.#needle.set(`rotate(${((sweep * detected.cents) / 50).toFixed(1)}deg)`);
    this.#dial.dataset['tuned'] = Math.abs(detected.cents) <= inTune ? 'in' : 'off';
  }

  #clearNote(): void {
    this.#note = '';
    this.#saidNote = '';
    this.#spoken.set('');
    this.#letter.set('');
    this.#accidental.set('');
    this.#octave.set('');
    this.#cents.set('—');
    this.#hz.set('—');
    this.#clarity.set('—');
    this.#needle.set('rotate(0deg)');
    this.#dial.dataset['tuned'] = 'none';
  }

  #level(level: Level | null): void {
    const rms = level?.rms_dbfs ?? null;
    const peak = level?.peak_dbfs ?? null;
    this.#rmsText.set(rms === null ? '—' : decibels(rms));
    this.#peakText.set(peak === null ? '—' : decibels(peak));
    this.#cover.set(`scaleX(${(1 - fill(rms)).toFixed(3)})`);
    this.#meter.classList.toggle('still', rms === null);
    this.#peak.set(`translateX(${(100 * fill(peak)).toFixed(1)}%)`);
  }
}

/** How much of the meter a level fills, 0 to 1; nothing if there is none. */
function fill(dbfs: number | null): number {
  return Math.min(1, Math.max(0, 1 - (dbfs ?? floorDbfs) / floorDbfs));
}

function drawDial(): void {
  const ticks = byId('ticks', SVGGElement);
  for (let cents = -50; cents <= 50; cents += 5) {
    const long = cents % 25 === 0;
    const line = svg('line', long ? 'tick long' : 'tick');
    const from = point(cents, radius - (long ? 18 : 9));
    const to = point(cents, radius);
    line.setAttribute('x1', from.x);
    line.setAttribute('y1', from.y);
    line.setAttribute('x2', to.x);
    line.setAttribute('y2', to.y);
    ticks.append(line);
    if (!long) continue;
    const label = svg('text', 'tick-label');
    const at = point(cents, radius + 14 + Math.abs(cents) / 6);
    label.setAttribute('x', at.x);
    label.setAttribute('y', at.y);
    label.textContent = cents === 0 ? '0' : signed(cents, 0);
    ticks.append(label);
  }
  byId('arc', SVGPathElement).setAttribute('d', arc(50));
  byId('in-tune', SVGPathElement).setAttribute('d', arc(inTune));
}

/** The dial's rim from so many cents flat to as many sharp. */
function arc(cents: number): string {
  const from = point(-cents, radius);
  const to = point(cents, radius);
  return `M${from.x} ${from.y}A${String(radius)} ${String(radius)} 0 0 1 ${to.x} ${to.y}`;
}

function svg<K extends keyof SVGElementTagNameMap>(tag: K, className: string): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  element.setAttribute('class', className);
  return element;
}

function point(cents: number, distance: number): { x: string; y: string } {
  const angle = ((sweep * cents) / 50 / 180) * Math.PI;
  return {
    x: (centre.x + distance * Math.sin(angle)).toFixed(1),
    y: (centre.y - distance * Math.cos(angle)).toFixed(1),
  };
}
