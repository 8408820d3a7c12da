// A page cannot say where its workers run. From outside it can be said, where the system has the command.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** What Chromium calls the threads of workers. */
const WORKER = 'DedicatedWorker';

/**
 * Has all workers of all pages stay on the last processor there is, so that what befalls one befalls the other; whether that
 * could be done.
 */
export async function keepWorkersTogether(browser) {
  const allowed = spawnSync('taskset', ['-cp', String(process.pid)], { encoding: 'utf8' });
  const last = /(\d+)\s*$/.exec(allowed.stdout ?? '')?.[1];
  if (last === undefined) return false;
  const threads = (await renderers(browser)).flatMap(workersOf);
  const kept = threads.map((thread) => spawnSync('taskset', ['-cp', last, thread]).status === 0);
  return kept.length > 0 && kept.every(Boolean);
}

async function renderers(browser) {
  const cdp = await browser.newBrowserCDPSession();
  const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

function workersOf(process) {
  const threads = `/proc/${process}/task`;
  return readdirSync(threads).filter((thread) => readFileSync(`${threads}/${thread}/comm`, 'utf8').trim() === WORKER);
}
