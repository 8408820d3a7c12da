// Starts Chromium on the page and feeds it sound the way a person does.
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { chromium } from 'playwright-core';

/** A job that could not be done, said plainly: no stack trace is of use to whoever reads it. */
export class Failure extends Error {}

/** `cargo xtask` looks for a browser and names it in CHROMIUM; without that, Debian's. */
function chromiumPath() {
  const path = process.env['CHROMIUM'] || '/usr/bin/chromium';
  if (existsSync(path)) return path;
  throw new Failure(`There is no Chromium at ${path}. Set CHROMIUM to the path of a Chromium or Chrome, or run \`cargo xtask setup\`.`);
}

/** Chromium without a window, and without everything that would take time from the audio thread. */
export async function launch(extra = []) {
  const args = ['--autoplay-policy=no-user-gesture-required', '--disable-component-update', '--disable-extensions', ...extra];
  try {
    // Playwright's own defaults already switch off background networking, throttling, sync and updates.
    return await chromium.launch({ executablePath: chromiumPath(), headless: true, chromiumSandbox: !isRoot(), args });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`Chromium did not start: ${firstLine(error)}`);
  }
}

/** Chromium refuses its sandbox to root, as in most containers. */
function isRoot() {
  return process.getuid?.() === 0;
}

/** The page, ready for a sound: the object that drives it, `ready`, is there. Its own complaint is the error when it is not. */
export async function openPage(browser, url, { ready = 'wavepoolDemo', ...options } = {}) {
  const page = await browser.newPage(options);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('crash', () => errors.push('The page crashed.'));
  try {
    await page.goto(url, { timeout: 30_000 });
  } catch (error) {
    throw new Failure(`Nothing answers at ${url} (${firstLine(error).replace(/^page.goto: /, '').replace(/ at http.*/, '')}). Start the server first, or check the address.`);
  }
  try {
    await page.waitForFunction((name) => name in window || document.body.dataset.state === 'failed', ready, { timeout: 30_000 });
  } catch {
    throw new Failure(`${url} does not become ready. ${errors.join(' ') || 'It may be another page than Wavepool.'}`);
  }
  if ((await state(page)) === 'failed') throw new Failure(await notice(page));
  return { page, errors };
}

/** Feeds a file through the page's own file input and waits until it sounds. */
export async function play(page, file) {
  if (!existsSync(file)) throw new Failure(`There is no file ${file}. Check the path.`);
  if (!statSync(file).isFile()) throw new Failure(`${file} is not a file. Name a sound file.`);
  await sounding(page, basename(file), () => page.setInputFiles('#file-input', file));
}

/** Presses one of the source buttons, `microphone` or `tone`, and waits until it sounds. */
export async function press(page, source) {
  await sounding(page, null, () => page.click(`#${source}`));
}

/** Does `act`, then waits for the sound called `label` (any, if null) or for the page's complaint, which is the error. */
async function sounding(page, label, act) {
  await page.evaluate(() => {
    document.querySelector('#notice').hidden = true;
    // So that the state seen next is not that of the sound before.
    document.body.dataset.state = 'asked';
  });
  await act();
  await page
    .waitForFunction(
      (wanted) => {
        if (!document.querySelector('#notice').hidden) return true;
        if (!['running', 'ended'].includes(document.body.dataset.state)) return false;
        const report = window.wavepoolDemo.report();
        return report !== null && report.source !== null && (wanted === null || report.source === wanted);
      },
      label,
      { timeout: 60_000 },
    )
    .catch(() => {
      throw new Failure(`${label ?? 'The sound'} was given to the page, and nothing sounds after a minute.`);
    });
  const complaint = await notice(page);
  if (complaint) throw new Failure(complaint);
}

/** Presses Stop and waits until everything was given back. */
export async function stop(page) {
  await page.click('#stop');
  await page.waitForFunction(() => document.body.dataset.state === 'idle', null, { timeout: 15_000 }).catch(() => {
    throw new Failure('The page did not stop within 15 seconds.');
  });
  return page.evaluate(() => window.wavepoolDemo.report());
}

export const state = (page) => page.evaluate(() => document.body.dataset.state);

/** What the page complains about; empty when it does not. */
export const notice = (page) =>
  page.evaluate(() => (document.querySelector('#notice').hidden ? '' : document.querySelector('#notice-text').textContent));

/** Command line: `--name value` pairs, `--name` alone where the default is `false`; all of them known. */
export function options(defaults, usage) {
  const given = { ...defaults };
  const words = process.argv.slice(2);
  while (words.length > 0) {
    const word = words.shift();
    const name = word.replace(/^--/, '');
    const value = defaults[name] === false || words.shift();
    if (!(name in defaults) || !word.startsWith('--') || value === undefined) {
      throw new Failure(`${word} is not understood. Usage: ${usage}`);
    }
    given[name] = value;
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) throw new Failure(`--${name} is missing. Usage: ${usage}`);
  }
  return given;
}

/** Runs a driver: a Failure is one line, anything else is a bug and keeps its trace. */
export async function main(job) {
  try {
    await job();
  } catch (error) {
    console.error(error instanceof Failure ? `error: ${error.message}` : error);
    process.exitCode = 1;
  }
}

export function firstLine(error) {
  return String(error instanceof Error ? error.message : error).split('\n')[0];
}
