import { byId, make } from './dom.ts';

const names = ['C', 'C♯', 'D', 'D♯', 'E', 'F', 'F♯', 'G', 'G♯', 'A', 'A♯', 'B'];
const octaves = [1, 2, 3, 4, 5, 6, 7];

/**
 * Chooses the tone's note: one octave of piano keys and the octave's number.
 *
 * The keys are radio buttons, so that arrow keys, focus and screen readers work as they do everywhere.
 */
export class Keyboard {
  readonly #keys: readonly HTMLInputElement[];
  #checked: HTMLInputElement | null = null;
  readonly #octave = byId('octave', HTMLSelectElement);

  constructor(chosen: (midi: number) => void) {
    const parent = byId('keys', HTMLFieldSetElement);
    this.#keys = names.map((name, index) => {
      const input = make('input');
      input.type = 'radio';
      input.name = 'key';
      input.value = String(index);
      input.checked = name === 'A';
      input.addEventListener('change', () => {
        this.#checked = input;
        chosen(this.midi);
      });
      // A key that is checked already does not change, and is to sound all the same.
      input.addEventListener('click', () => {
        if (input === this.#checked) chosen(this.midi);
      });
      input.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        if (!event.repeat) input.click();
      });
      if (input.checked) this.#checked = input;
      parent.append(make('label', name.length > 1 ? 'key black' : 'key', input, make('span', '', name)));
      return input;
    });
    for (const octave of octaves) this.#octave.append(new Option(String(octave), String(octave), octave === 4, octave === 4));
    this.#octave.addEventListener('change', () => chosen(this.midi));
  }

  /** The chosen note's number; A4 is 69. */
  get midi(): number {
    const key = this.#keys.findIndex((input) => input.checked);
    return 12 * (Number(this.#octave.value) + 1) + key;
  }

  get name(): string {
    return `${names[this.midi % 12] ?? ''}${this.#octave.value}`;
  }
}
