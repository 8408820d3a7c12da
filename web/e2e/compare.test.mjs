// The tuner beside one without a pool, in few seconds. WAVEPOOL_URL as for the page's tests.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { pianoFile } from './piano.mjs';

const url = process.env['WAVEPOOL_URL'] ?? 'http://127.0.0.1:4173/';
const mode = process.env['WAVEPOOL_MODE'] ?? 'shared';

test('the pool spares the audio thread the bytes that the unpooled way makes of the same sound', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['web/e2e/compare.mjs', '--url', url, '--seconds', '3', '--input', pianoFile('A4')]);
  assert.match(stdout, new RegExp(`pooled, ${mode} +unpooled`));
  assert.match(stdout, /^note +A4 in .+A4 in /m);
  const [, ours, theirs] = stdout.match(/^bytes of arrays +(\d+) +(\d+)$/m).map(Number);
  // A window for each 1024 frames.
  assert.ok(ours === 0 && theirs > 1_500_000, `${ours} and ${theirs} bytes`);
});
