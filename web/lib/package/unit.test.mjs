// Runs the unit tests of the package, `src/**/*.test.mjs`, which need no browser, in one process.
import { readdirSync } from 'node:fs';
import { register } from 'node:module';

register('./typescript.mjs', import.meta.url);
globalThis.WAVEPOOL_BUILD = 'test';

const sources = new URL('../src/', import.meta.url);
const tests = readdirSync(sources, { recursive: true }).filter((name) => name.endsWith('.test.mjs')).sort();
if (tests.length === 0) throw new Error('there are no unit tests');
for (const name of tests) await import(new URL(name, sources));
