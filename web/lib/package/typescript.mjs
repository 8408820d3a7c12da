// Hooks by which Node imports the package's TypeScript, for tests without a browser: `register` of `node:module`.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transformWithOxc } from 'vite';

const assets = new URL('./assets.ts', import.meta.url).href;

/** The files beside the script are those of the package, not Vite's. */
export async function resolve(specifier, context, next) {
  return specifier.endsWith('/assets.ts') ? { url: assets, shortCircuit: true } : next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const { code } = await transformWithOxc(await readFile(fileURLToPath(url), 'utf8'), url);
  return { format: 'module', source: code, shortCircuit: true };
}
