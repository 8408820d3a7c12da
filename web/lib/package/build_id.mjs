// Names a build of the package: its version, and a hash of everything that the page and the audio thread run.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const library = fileURLToPath(new URL('..', import.meta.url));
const modules = ['wasm/shared/wavepool_bg.wasm', 'wasm/transfer/wavepool_bg.wasm'];

/** The same for the same files; eight hexadecimal digits tell builds of one version apart. */
export function buildId() {
  const { version } = JSON.parse(readFileSync(join(library, 'package.json'), 'utf8'));
  const sources = readdirSync(join(library, 'src'), { recursive: true }).filter((name) => name.endsWith('.ts')).sort();
  const hash = createHash('sha256');
  for (const name of [...sources.map((name) => join('src', name)), ...modules]) hash.update(name).update(readFileSync(join(library, name)));
  return `${version}-${hash.digest('hex').slice(0, 8)}`;
}
