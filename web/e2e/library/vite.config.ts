import { defineConfig, mergeConfig } from 'vite';
import app from '../../../vite.config.ts';

/** The page on which the library's tests run: built and served like the app's, beside it. */
export default defineConfig((env) =>
  mergeConfig(app(env), {
    root: 'web/e2e/library',
    build: { outDir: '../../../target/library-page' },
  }),
);
