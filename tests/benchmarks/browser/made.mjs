// Bytes that the audio thread has the browser set aside outside V8's heap: for the arrays it makes, and for what its
// messages copy. Counted where they are asked for, from within the worklet's global scope, before anything else runs there.
// (Chromium's memory trace shows the same: 16,384 bytes more for each array of that size, 20,480 for its copy in a message.)

/** Where the count goes; null until the page has given it. */
let made = null;

function count(bytes) {
  if (made !== null) Atomics.add(made, 0, bytes);
}

/** Arrays with memory of their own; views of memory that exists take none. */
function watched(Type) {
  const Watched = new Proxy(Type, {
    construct(target, given, newTarget) {
      const array = Reflect.construct(target, given, newTarget === Watched ? target : newTarget);
      if (!(given[0] instanceof Buffer || given[0] instanceof globalThis.SharedArrayBuffer)) count(array.byteLength);
      return array;
    },
  });
  // `slice` and its like make what the constructor here says.
  Type.prototype.constructor = Watched;
  return Watched;
}
const Buffer = ArrayBuffer;
for (const name of ['Float32Array', 'Uint8Array', 'Uint32Array', 'Int32Array']) globalThis[name] = watched(globalThis[name]);
globalThis.ArrayBuffer = watched(Buffer);

const post = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (message, transfer = []) {
  const buffer = ArrayBuffer.isView(message) ? message.buffer : message;
  if (buffer instanceof Buffer && !transfer.includes(buffer)) count(message.byteLength);
  return post.call(this, message, transfer);
};

class Made extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    made = new Int32Array(processorOptions.made);
  }

  process() {
    return true;
  }
}

registerProcessor('Made', Made);
