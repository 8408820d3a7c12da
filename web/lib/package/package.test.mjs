// The npm package as its users get it: packed, installed into fresh projects, run in Chromium. WAVEPOOL_TARBALL names it,
// WAVEPOOL_PROCESSOR a processor written in Rust.
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { build, createServer } from 'vite';
import { launch } from '../../e2e/browser.mjs';
import { examples, isolation, project, run, serve } from './consumers.mjs';

const read = (name) => readFile(new URL(`../${name}`, import.meta.url), 'utf8');
const [manifest, budget] = await Promise.all(['package.json', 'package/size_budget.json'].map(async (name) => JSON.parse(await read(name))));
const [example, ...snippets] = examples(await read('README.md'), 'js');
const tsc = new URL('../../../node_modules/typescript/bin/tsc', import.meta.url).pathname;
const tarball = resolve(process.env['WAVEPOOL_TARBALL'] ?? 'target/npm/wavepool.tgz');

const script = '<script type="module" src="./main.js"></script>';
const importMap = '<script type="importmap">{"imports": {"wavepool": "/node_modules/wavepool/dist/index.js"}}</script>';
const page = (head) => `<!doctype html><link rel="icon" href="data:,">${head}${script}`;
/** The README's first example is a program; the others stand in one that has what they name, and ends what they began. */
const isWorker = (snippet) => snippet.startsWith('// reader.js');
const programs = snippets.filter((snippet) => !isWorker(snippet)).map((snippet) => `
import { Wavepool } from 'wavepool';
const context = new AudioContext();
const source = new OscillatorNode(context);
const node = source;
source.start();
const wavepool = await Wavepool.create();
let seen = 0;
const draw = (firstFrame: number, left: Float32Array, right: Float32Array): void => void (seen += left.length + right.length);
const record = (left: Float32Array, right: Float32Array, frames: number): void => void (seen += left.length + right.length - frames);
const synthesise = (samples: Float32Array, firstFrame: number): void => void (samples.fill(0), (seen += 1));
new BroadcastChannel('example').onmessage = () => (seen += 1);
setTimeout(async () => {
  const { total_allocations } = await wavepool.metrics();
  const { leaked } = await wavepool.close();
  console.log(\`\${seen} seen, \${total_allocations} allocated, \${leaked} leaked\`);
}, 1500);
${snippet.replace(/^import .*$/gm, '')}
`.replace(/^/, (snippet.match(/^import .*$/gm) ?? []).join('\n')));
const [reader] = snippets.filter(isWorker).map((snippet) => `${snippet}
const reported = new BroadcastChannel('example');
/** @param {number} firstFrame @param {Float32Array} samples */
const read = (firstFrame, samples) => reported.postMessage(samples.length);
`);
/** What each program has to say beside "0 leaked". */
const expected = [/^[1-9]\d+ seen/, /^[1-9]\d+ seen/, /^[1-9]\d+ seen/, /^0 seen/, /^[1-9]\d+ seen/, /^0 seen/, /^A4 in 11 of 11 windows, peak -?\d/, /^(not measured|\d+(\.\d+)?) 0 \d+/, / [12] allocated/, /^0 seen/];
/** As the package's README asks. */
const vite = { configFile: false, logLevel: 'warn', optimizeDeps: { exclude: ['wavepool'] } };

let folder, viteProject, plainProject, exampleProject, browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wavepool-package-'));
  viteProject = await project(join(folder, 'vite'), tarball, { 'index.html': page(''), 'main.js': example, 'main.ts': example });
  plainProject = await project(join(folder, 'plain'), tarball, { 'index.html': page(importMap), 'main.js': example, 'blank.html': '' });
  const files = Object.fromEntries(programs.map((program, i) => [`example${i}.ts`, program]));
  exampleProject = await project(join(folder, 'examples'), tarball, { 'index.html': '', 'reader.js': reader, ...files });
  await mkdir(join(exampleProject, 'public'));
  await cp(process.env['WAVEPOOL_PROCESSOR'], join(exampleProject, 'public/low_pass.wasm'));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** What the page at `url` says to the console until it has said its last word. */
async function loggedBy(url) {
  const page = await browser.newPage();
  const lines = [];
  const last = new Promise((resolve, reject) => {
    page.on('console', (message) => {
      lines.push(message.text());
      if (message.text().includes('leaked')) resolve();
    });
    page.on('pageerror', reject);
    setTimeout(() => reject(new Error(`the example did not end: ${lines.join(' | ')}`)), 30_000).unref();
  });
  try {
    await page.goto(url);
    await last;
  } finally {
    await page.close();
  }
  return lines;
}

async function hearsTheNote(url, mode) {
  const lines = await loggedBy(url);
  assert.ok(lines.filter((line) => /^A4 -?\d+\.\d \d+/.test(line)).length > 10, lines.join(' | '));
  assert.equal(lines.at(-1), `${mode}, 0 leaked`);
}

test('the package has the version of the crate', async () => {
  const cargo = await readFile(new URL('../../../Cargo.toml', import.meta.url), 'utf8');
  assert.equal(manifest.version, cargo.match(/^version = "(.+)"$/m)[1]);
});

test('it holds what it should and nothing else', async () => {
  const { stdout } = await run('tar', ['--list', '--file', tarball]);
  const names = stdout.trim().split('\n').map((name) => name.replace('package/', '')).filter((name) => !name.endsWith('.d.ts'));
  const code = ['assets.js', 'consumer.js', 'index.js', 'shared.wasm', 'transfer.wasm', 'worker.js', 'worklet.js'].map((name) => `dist/${name}`);
  assert.deepEqual(names.sort(), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', ...code, 'package.json']);
});

test('worklet and workers are one file each', async () => {
  for (const name of ['consumer', 'worklet', 'worker']) {
    const code = await readFile(join(plainProject, `node_modules/wavepool/dist/${name}.js`), 'utf8');
    assert.doesNotMatch(code, name === 'consumer' ? /\bimport\s*[({'"*]/ : /\bimport\s*[({'"*]|\bimport\.meta\b|\bexport\b/, name);
  }
});

for (const [name, most] of Object.entries(budget)) {
  test(`${name} is within its budget`, async (t) => {
    const bytes = await readFile(join(plainProject, 'node_modules/wavepool/dist', name));
    const size = { raw: bytes.length, brotli: brotliCompressSync(bytes).length };
    t.diagnostic(`${name}: ${size.raw} bytes, ${size.brotli} compressed`);
    assert.ok(size.raw <= most.raw && size.brotli <= most.brotli, `${JSON.stringify(size)} of ${JSON.stringify(most)}`);
  });
}

test('importing it touches no browser global', async () => {
  const program = "const [{ Wavepool }, { openTap }] = [await import('wavepool'), await import('wavepool/worker')]; console.log(typeof Wavepool.create, typeof openTap)";
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { cwd: plainProject });
  assert.equal(stdout.trim(), 'function function');
});

test('the examples are well typed, declarations included', async () => {
  const lib = 'es2023,esnext.disposable,dom,dom.iterable,dom.asynciterable';
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--lib', lib];
  await run(process.execPath, [tsc, ...options, 'main.ts'], { cwd: viteProject });
  const files = ['--allowJs', '--checkJs', 'reader.js', ...programs.map((_, i) => `example${i}.ts`)];
  await run(process.execPath, [tsc, ...options, ...files], { cwd: exampleProject }).catch(({ stdout }) => assert.fail(stdout));
});

// Each plays for a while.
describe('the README', { concurrency: 3 }, () => {
  for (const [i, words] of expected.entries()) {
    test(`example ${i + 2} of the README does what it says`, async () => {
      const html = `example${i}.html`;
      await writeFile(join(exampleProject, html), `<!doctype html><link rel="icon" href="data:,"><script type="module" src="./example${i}.ts"></script>`);
      const bundle = { target: 'esnext', outDir: `dist${i}`, rolldownOptions: { input: join(exampleProject, html) } };
      await build({ ...vite, root: exampleProject, build: bundle, worker: { format: 'es' } });
      const server = await serve(join(exampleProject, `dist${i}`), isolation);
      const lines = await loggedBy(`${server.url}${html}`).finally(server.close);
      assert.ok(lines.some((line) => words.test(line)), lines.join(' | '));
      assert.match(lines.at(-1), / 0 leaked$/);
    });
  }
});

test('every example of the README is run', () => assert.equal(expected.length, programs.length));

for (const [mode, headers] of [['shared', isolation], ['transfer', {}]]) {
  test(`without a bundler, ${mode}`, async () => {
    const server = await serve(plainProject, headers);
    await hearsTheNote(server.url, mode).finally(server.close);
  });

  test(`built by Vite, ${mode}`, async () => {
    await build({ ...vite, root: viteProject, build: { target: 'es2022' } });
    const server = await serve(join(viteProject, 'dist'), headers);
    await hearsTheNote(server.url, mode).finally(server.close);
  });

  test(`on Vite's development server, ${mode}`, async () => {
    const server = await createServer({ ...vite, root: viteProject, server: { host: '127.0.0.1', port: 0, headers } });
    await server.listen();
    await hearsTheNote(server.resolvedUrls.local[0], mode).finally(() => server.close());
  });
}

test('the module may come as an address, a response, bytes or compiled; the wrong build is refused', async () => {
  const server = await serve(plainProject);
  const page = await browser.newPage();
  try {
    await page.goto(`${server.url}blank.html`);
    const said = await page.evaluate(async () => {
      const dist = '/node_modules/wavepool/dist';
      const { Wavepool } = await import(`${dist}/index.js`);
      const url = `${dist}/transfer.wasm`;
      const sources = [
        url,
        new URL(url, location.href),
        await fetch(url),
        await (await fetch(url)).arrayBuffer(),
        new Uint8Array(await (await fetch(url)).arrayBuffer()),
        await WebAssembly.compileStreaming(fetch(url)),
        `${dist}/shared.wasm`,
        '/nowhere.wasm',
        new Uint8Array([1, 2, 3]),
      ];
      const workletUrl = new URL(`${dist}/worklet.js`, location.href);
      const attempt = async (wasm) => {
        const wavepool = await Wavepool.create({ mode: 'transfer', wasm, workletUrl });
        const context = new AudioContext();
        const source = new ConstantSourceNode(context);
        source.start();
        const tap = await wavepool.tap(source, { window: 256, hop: 256, channels: 1 });
        await tap.close();
        await context.close();
        return (await wavepool.close()).leaked;
      };
      const answers = [];
      for (const source of sources) answers.push(await attempt(source).catch((error) => error.code));
      return answers;
    });
    assert.deepEqual(said, [0, 0, 0, 0, 0, 0, 'bad-option', 'wasm-unavailable', 'wasm-unavailable']);
  } finally {
    await page.close();
    server.close();
  }
});
