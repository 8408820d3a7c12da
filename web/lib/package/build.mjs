// Makes web/lib/dist, what the npm package ships, packs it and has it checked: `node build.mjs TARBALL`.
// `cargo xtask package` runs it once the WebAssembly modules are built.
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build, transformWithOxc } from 'vite';
import { buildId } from './build_id.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const dist = path('../dist');
const tarball = resolve(process.argv[2]);
const run = promisify(execFile);

/** A tool of `node_modules`; what it says is shown when it is not content. */
async function tool(script, args) {
  try {
    await run(process.execPath, [path(`../../../node_modules/${script}`), ...args]);
  } catch ({ stdout, stderr }) {
    throw new Error(`${script} is not content:\n${stdout}${stderr}`);
  }
}

// `index.js` names the other files through `assets.js`, which stays a file of its own: a bundler of ours must not
// resolve those addresses, the user's does.
const assetsApart = {
  name: 'wavepool-assets-apart',
  enforce: 'pre',
  resolveId: (id) => (id.endsWith('/assets.ts') ? { id: './assets.js', external: true } : null),
};

// wasm-bindgen's glue can fetch the module from beside itself; here it is handed over, and every bundler would ask
// where that file is.
const noFetchInGlue = {
  name: 'wavepool-no-fetch-in-glue',
  enforce: 'pre',
  transform: (code, id) =>
    id.includes('/wasm/') ? code.replace(/new URL\('wavepool_bg\.wasm', import\.meta\.url\)/, 'undefined') : null,
};

/** Bundles a source into a file of the same name, which imports nothing but, on the page, `assets.js`. */
async function bundle(entry, plugins) {
  const file = `${basename(entry)}.js`;
  await build({
    configFile: false,
    root: path('..'),
    logLevel: 'warn',
    plugins,
    define: { WAVEPOOL_BUILD: JSON.stringify(buildId()) },
    build: {
      outDir: dist,
      emptyOutDir: false,
      target: 'es2022',
      lib: { entry: path(`../src/${entry}.ts`), formats: ['es'], fileName: () => file },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  });
}

await rm(dist, { recursive: true, force: true });
await mkdir(dirname(tarball), { recursive: true });
await bundle('index', [assetsApart]);
await bundle('consumer', []);
await bundle('control/worker', [noFetchInGlue]);
await bundle('worklet/worklet', []);
const assets = await transformWithOxc(await readFile(path('assets.ts'), 'utf8'), 'assets.ts');
await writeFile(`${dist}/assets.js`, assets.code);
for (const mode of ['shared', 'transfer']) await cp(path(`../wasm/${mode}/wavepool_bg.wasm`), `${dist}/${mode}.wasm`);
for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) await cp(path(`../../../${licence}`), path(`../${licence}`));
await tool('typescript/bin/tsc', ['--project', path('.')]);

const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', dirname(tarball)], { cwd: path('..') });
await rename(join(dirname(tarball), JSON.parse(stdout)[0].filename), tarball);
await tool('publint/src/cli.js', ['run', tarball, '--strict']);
// The files named have no types, because nobody imports them as code.
const files = ['worklet.js', 'shared.wasm', 'transfer.wasm', 'package.json'];
await tool('@arethetypeswrong/cli/dist/index.js', [tarball, '--profile', 'esm-only', '--exclude-entrypoints', ...files]);
