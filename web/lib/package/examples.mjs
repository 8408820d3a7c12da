// The examples in the documentation of the package's functions, checked by the TypeScript compiler.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const SOURCES = 'web/lib/src';
const COMPILER = 'node_modules/typescript/bin/tsc';
/** Where the examples are written as modules. */
const FOLDER = 'target/examples-of-docs';
/** What an example may use without saying where it comes from. */
const GIVEN = `import { openProcessor, Wavepool, type BufferPool, type Feed, type PooledArray, type Tap } from 'wavepool';
import type { Block } from 'wavepool/worker';
declare const wavepool: Wavepool, tap: Tap, feed: Feed, block: Block, pool: BufferPool, samples: PooledArray, lease: number;
declare const context: AudioContext, source: AudioNode, microphone: AudioNode, worker: Worker;
`;

/** The examples of the sources, each with its file and line. */
export function examples() {
  const files = readdirSync(SOURCES, { recursive: true }).filter((name) => name.endsWith('.ts'));
  return files.flatMap((name) => examplesOf(`${SOURCES}/${name}`, readFileSync(`${SOURCES}/${name}`, 'utf8')));
}

export function examplesOf(file, text) {
  return [...text.matchAll(/@example\s*\n\s*\* ```ts\n(.*?)\n\s*\* ```/gs)].map((found) => ({
    where: `${file}:${text.slice(0, found.index).split('\n').length}`,
    code: found[1].replaceAll(/^\s*\* ?/gm, ''),
  }));
}

/** What the compiler says against the examples. */
export function mistakes(all) {
  const sources = `../../${SOURCES}`;
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: {
      noUnusedLocals: false,
      noUnusedParameters: false,
      paths: { wavepool: [`${sources}/index.ts`], 'wavepool/worker': [`${sources}/consumer.ts`] },
    },
    include: ['*.ts', `${sources}/../package/*.ts`],
  };
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}/tsconfig.json`, JSON.stringify(config));
  all.forEach(({ code }, at) => writeFileSync(`${FOLDER}/example_${at}.ts`, module(code)));
  const { status, stdout } = spawnSync(process.execPath, [COMPILER, '--noEmit', '--pretty', 'false', '-p', FOLDER], { encoding: 'utf8' });
  const lines = stdout.split('\n').filter((line) => line.includes(' error '));
  if (status !== 0 && lines.length === 0) throw new Error(`the compiler failed: ${stdout}`);
  return lines.map((line) => line.replace(/^.*example_(\d+)\.ts\(\d+,\d+\)/, (_, at) => all[at].where));
}

/** An example as a module: its imports first, the rest in a function, where it may wait. */
function module(code) {
  const imports = code.match(/^import .*$/gm) ?? [];
  return `${GIVEN}${imports.join('\n')}\nexport async function example() {\n${code.replaceAll(/^import .*$/gm, '')}\n}\n`;
}
