// Stand-ins for what browsers have and Node has not, for the unit tests.

/** Runs `work` with Web Locks of this process; `held` lists the names of the locks that are held. */
export async function withLocks(work) {
  const queues = new Map();
  const held = [];
  const request = async (name, granted) => {
    const before = queues.get(name) ?? Promise.resolve();
    const holding = before.then(async () => {
      held.push(name);
      try {
        return await granted({ name });
      } finally {
        held.splice(held.indexOf(name), 1);
      }
    });
    queues.set(name, holding.catch(() => undefined));
    return holding;
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { locks: { request } }, configurable: true });
  try {
    return await work({ held });
  } finally {
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    else delete globalThis.navigator;
  }
}

/** An audio context without sound: its state, and the listeners of its changes. */
export class FakeContext extends EventTarget {
  state = 'running';
  sampleRate = 48_000;
  audioWorklet = { addModule: () => Promise.resolve() };

  become(state) {
    this.state = state;
    this.dispatchEvent(new Event('statechange'));
  }
}

/** Resolves when messages between this thread's ports have arrived, and those that they caused: after many turns of the event loop. */
export async function turn() {
  for (let i = 0; i < 50; i++) await new Promise((resume) => setImmediate(resume));
}
