// Runs wasm-bindgen tests: `node wasm_tests.mjs node|chromium DIRECTORY`. DIRECTORY holds tests.js
// and tests_bg.wasm as made for target `web`, so that both hosts run the same files.
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [host, directory] = process.argv.slice(2);
const dir = resolve(directory);
const wasm = await readFile(join(dir, 'tests_bg.wasm'));
const names = WebAssembly.Module.exports(await WebAssembly.compile(wasm))
  .map((entry) => entry.name)
  .filter((name) => name.startsWith('__wbgt_'));
if (names.length === 0) {
  console.error('the module holds no wasm-bindgen test');
  process.exit(1);
}

// What wasm-bindgen-test's runtime expects around it. Runs in either host, so it must not close over anything.
async function runTests(glue, wasmSource, names) {
  const scope = globalThis;
  for (const method of ['debug', 'log', 'info', 'warn', 'error']) {
    const original = console[method].bind(console);
    scope[`__wbgtest_og_console_${method}`] = original;
    // What a test prints is kept by the runtime and shown when the test fails.
    console[method] = (...args) => glue[`__wbgtest_console_${method}`](args);
  }
  scope.__wbg_test_invoke = (test) => test();
  const exports = await glue.default({ module_or_path: wasmSource });
  const context = new glue.WasmBindgenTestContext(false);
  return context.run(names.map((name) => exports[name]));
}

async function inNode() {
  const glue = await import(pathToFileURL(join(dir, 'tests.js')).href);
  return runTests(glue, wasm, names);
}

async function inChromium() {
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // Chromium's sandbox refuses root.
    chromiumSandbox: process.getuid?.() !== 0,
  });
  try {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    page.on('crash', () => console.error('the page crashed'));
    // No server: requests to this made-up loopback address are answered from the directory.
    const origin = 'http://localhost:1';
    await page.route(`${origin}/**`, async (route) => {
      const name = new URL(route.request().url()).pathname.slice(1);
      if (name === '') await route.fulfill({ contentType: 'text/html', body: '<pre id="output"></pre>' });
      else await route.fulfill({ path: join(dir, name) });
    });
    await page.goto(origin);
    const ok = await page.evaluate(
      async ([run, names]) => {
        const glue = await import('/tests.js');
        return (0, eval)(`(${run})`)(glue, fetch('/tests_bg.wasm'), names);
      },
      [runTests.toString(), names],
    );
    console.log(await page.locator('#output').innerText());
    return ok;
  } finally {
    await browser.close();
  }
}

const ok = await (host === 'chromium' ? inChromium() : inNode());
process.exit(ok ? 0 : 1);
