import type { Inspection, Wavepool } from '../../../lib/src/index.ts';
import { byId, Text } from '../dom.ts';
import { count, counted } from '../format.ts';
import { saveFile } from '../report.ts';

/** The two switches of the sizing part: a second user's demand, and the recording of all demand. */
export class SizingControls {
  readonly #status = new Text(byId('recording', HTMLElement));

  constructor(wavepool: Wavepool, failed: (reason: unknown) => void) {
    toggle('exercise', (on) => wavepool.exercise(on), failed);
    toggle(
      'record',
      async (on) => {
        if (on) {
          await wavepool.startRecording();
          this.#status.set('Recording …');
          return;
        }
        const trace = await wavepool.stopRecording();
        if (trace !== null) saveFile('demand', trace);
        this.#status.set('');
      },
      failed,
    );
  }

  update({ recording }: Inspection): void {
    if (!recording) return;
    const dropped = recording.dropped > 0 ? `, ${count(recording.dropped)} more did not fit` : '';
    this.#status.set(`Recording: ${counted(recording.requests, 'request')}${dropped}.`);
  }
}

/** A button that is on or off; a press while the last one is still under way waits for it. */
function toggle(id: string, turn: (on: boolean) => Promise<void>, failed: (reason: unknown) => void): void {
  const button = byId(id, HTMLButtonElement);
  let turning: Promise<void> = Promise.resolve();
  button.addEventListener('click', () => {
    turning = turning.then(async () => {
      const on = button.ariaPressed !== 'true';
      try {
        await turn(on);
        button.ariaPressed = String(on);
      } catch (reason) {
        failed(reason);
      }
    });
  });
}
