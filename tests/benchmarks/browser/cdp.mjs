// Chromium over its debugging pipe. Worklets are targets of their own, with a heap of their own: sessions are nested.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const flags = [
  '--headless',
  '--remote-debugging-pipe',
  '--autoplay-policy=no-user-gesture-required',
  '--disable-background-networking',
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-component-update',
  '--disable-extensions',
  '--disable-renderer-backgrounding',
  '--mute-audio',
  '--no-first-run',
];

/** Starts a browser; the answer sends commands, tells of events, and ends it. */
export async function chromium(path) {
  const profile = await mkdtemp(join(tmpdir(), 'wavepool-chromium-'));
  // Chromium's sandbox refuses root.
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  const child = spawn(path, [...flags, ...sandbox, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const waiting = new Map();
  const listeners = new Set();
  let lastId = 0;
  let rest = '';
  child.stdio[4].setEncoding('utf8').on('data', (text) => {
    const messages = (rest + text).split('\0');
    rest = messages.pop();
    for (const message of messages.map((json) => JSON.parse(json))) {
      const asked = waiting.get(message.id);
      waiting.delete(message.id);
      if (!asked) for (const listener of [...listeners]) listener(message);
      else if (message.error) asked.reject(new Error(`${asked.method}: ${message.error.message}`));
      else asked.resolve(message.result);
    }
  });
  ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error('Chromium has ended'));
  });
  const send = (method, params = {}, sessionId = undefined) => {
    const id = ++lastId;
    child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject, method }));
  };
  return {
    send,
    version: (await send('Browser.getVersion')).product,
    /** Calls `listener` with every event until the answer is called. */
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    /** Of the page of this session, or of the browser itself. */
    once(method, sessionId = undefined) {
      return new Promise((resolve) => {
        const off = this.on((event) => {
          if (event.method !== method || event.sessionId !== sessionId) return;
          off();
          resolve(event.params);
        });
      });
    },
    async close() {
      await this.send('Browser.close').catch(() => {});
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A new page at `url`; `worklet` asks the worklet that it has started. */
export async function openPage(browser, url) {
  const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await browser.send('Target.attachToTarget', { targetId, flatten: true });
  const worklets = [];
  const workers = [];
  const off = browser.on(({ method, params, sessionId: of }) => {
    if (method !== 'Target.attachedToTarget' || of !== sessionId) return;
    if (params.targetInfo.type.includes('worklet')) worklets.push(params.sessionId);
    else if (params.targetInfo.type === 'worker') workers.push(params.sessionId);
  });
  const send = (method, params) => browser.send(method, params, sessionId);
  await send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: true });
  await send('Page.enable');
  const loaded = browser.once('Page.loadEventFired', sessionId);
  await send('Page.navigate', { url });
  await loaded;
  return {
    async evaluate(expression) {
      const answer = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
      const { exceptionDetails, result } = answer;
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    },
    worklet(method, params) {
      if (worklets.length === 0) throw new Error('the page has started no worklet');
      return browser.send(method, params, worklets.at(-1));
    },
    /** The answers of all its workers. */
    workers: (method, params) => Promise.all(workers.map((worker) => browser.send(method, params, worker))),
    async close() {
      off();
      await browser.send('Target.closeTarget', { targetId });
    },
  };
}

const categories = ['v8', 'devtools.timeline', 'disabled-by-default-v8.gc', 'blink.console', '__metadata'];

/** Records a trace; the answer ends it and gives its events. */
export async function trace(browser) {
  await browser.send('Tracing.start', {
    transferMode: 'ReturnAsStream',
    traceConfig: { recordMode: 'recordUntilFull', traceBufferSizeInKb: 400 * 1024, includedCategories: categories, excludedCategories: ['*'] },
  });
  return async () => {
    const complete = browser.once('Tracing.tracingComplete');
    await browser.send('Tracing.end');
    const { stream, dataLossOccurred } = await complete;
    if (dataLossOccurred) throw new Error('the trace did not fit into its buffer: measure for a shorter time');
    const parts = [];
    for (let eof = false; !eof; ) {
      const part = await browser.send('IO.read', { handle: stream, size: 4 << 20 });
      parts.push(Buffer.from(part.data, part.base64Encoded ? 'base64' : 'utf8'));
      eof = part.eof;
    }
    await browser.send('IO.close', { handle: stream });
    return JSON.parse(Buffer.concat(parts).toString('utf8')).traceEvents;
  };
}
