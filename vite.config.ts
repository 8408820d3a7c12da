import { defineConfig, loadEnv } from 'vite';
import { buildId } from './web/lib/package/build_id.mjs';

// WebAssembly has to be compiled; nothing else is let in. Once here, for the page's meta tag and for the header.
const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

// Without these two headers the browser gives no shared memory, and the page runs in transfer mode.
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default defineConfig(({ mode }) => {
  const isolated = loadEnv(mode, false, 'WAVEPOOL_')['WAVEPOOL_ISOLATED'] !== '0';
  const headers: Record<string, string> = isolated ? isolation : {};
  return {
    root: 'web/app',
    base: './',
    define: { WAVEPOOL_BUILD: JSON.stringify(buildId()) },
    build: {
      outDir: '../dist',
      emptyOutDir: true,
      target: 'es2022',
      // A worklet or a module inlined as a data: URL would break the policy.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
    worker: { format: 'es' },
    server: { host: '127.0.0.1', strictPort: true, headers },
    preview: {
      host: '127.0.0.1',
      strictPort: true,
      headers: { ...headers, 'Content-Security-Policy': policy },
    },
    plugins: [
      {
        name: 'wavepool-policy',
        apply: 'build',
        transformIndexHtml: () => [
          {
            tag: 'meta',
            attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
            injectTo: 'head-prepend',
          },
        ],
      },
    ],
  };
});
