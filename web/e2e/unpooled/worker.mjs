// The worker of the unpooled tuner: finds the notes of the windows that are posted to it, and says on request what it found.
import { initSync, Notes } from './wasm/wavepool.js';

const found = [];
let windows = 0;
let windowBytes = 0;

function start({ module, window, sampleRate, port }) {
  initSync({ module });
  const notes = new Notes(sampleRate, window);
  port.onmessage = ({ data }) => {
    windows += 1;
    windowBytes = data.byteLength;
    const note = notes.of(data);
    if (note === undefined) return;
    found.push({ note: note.note, cents: note.cents, clarity: note.clarity });
    note.free();
  };
}

onmessage = ({ data }) => {
  if (data === null) postMessage({ windows, windowBytes, notes: found });
  else start(data);
};
