// A page of its own for one measurement: built by Vite from the library's sources, and served on loopback.
import { fileURLToPath } from 'node:url';
import { build, preview } from 'vite';

/** Builds and serves the page in `folder` of this directory, isolated; `extra` is for Vite. Close what it gives. */
export async function served(folder, extra = {}) {
  const root = fileURLToPath(new URL(`./${folder}/`, import.meta.url));
  const config = {
    configFile: false,
    root,
    base: './',
    logLevel: 'warn',
    define: { WAVEPOOL_BUILD: JSON.stringify(folder) },
    build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
    worker: { format: 'es' },
    preview: {
      host: '127.0.0.1',
      port: 0,
      headers: { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' },
    },
    ...extra,
  };
  await build(config);
  const server = await preview(config);
  return { url: server.resolvedUrls.local[0], close: () => server.close() };
}
