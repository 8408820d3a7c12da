// What the browser benchmark shows at length, held in short: no garbage on the audio thread, one copy per window.
// The modules and the package have been built: `cargo xtask test garbage`.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { quantum, window } from './format.mjs';
import { laboratory } from './runs.mjs';

const quanta = 8000;
/** Beyond the empty worklet's, in bytes per quantum: less than one object in sixty quanta. */
const noise = 1;
let lab, empty;

before(async () => {
  lab = await laboratory();
  empty = await lab.offline('baseline', { quanta });
});

after(() => lab?.close());

const isClean = (run) => run.collections === 0 && run.bytes_per_quantum <= empty.bytes_per_quantum + noise;

test('shared: every window arrives, and the audio thread makes no garbage', async () => {
  const run = await lab.offline('ours-shared', { quanta });
  assert.ok(isClean(run), JSON.stringify(run));
});

test('the check trips when a subarray is put into the worklet', async () => {
  const run = await lab.offline('ours-shared with subarray', { quanta });
  assert.ok(!isClean(run), JSON.stringify(run));
});

test('transfer: fewer bytes than a cloned and a freshly transferred message, on the audio thread and everywhere', async () => {
  const measured = async (name) => ({ ...(await lab.offline(name, { quanta })), made: await lab.made(name) });
  const ours = await measured('ours-transfer');
  assert.equal(ours.made, 0);
  for (const rival of ['post-message', 'post-message transferred']) {
    const theirs = await measured(rival);
    // 2048 samples of two channels every sixteenth quantum.
    assert.equal(theirs.made, 1024, rival);
    assert.ok(ours.bytes_per_quantum < theirs.bytes_per_quantum + theirs.made, rival);
    assert.ok(ours.bytes_everywhere_per_quantum < theirs.bytes_everywhere_per_quantum, rival);
  }
});

test('the page weighs objects as V8 does, within a fifth, and so what transfer mode leaves on the audio thread', async () => {
  const source = await readFile('web/host/src/shared/unit_costs.rs', 'utf8');
  const [view, message, array] = ['view', 'message', 'array'].map((kind) => Number(source.match(new RegExp(`${kind}_bytes: (\\d+),`))[1]));
  const perObject = async (kind) => (await lab.offline(`cost ${kind}`, { quanta })).bytes_per_quantum / 8;
  const near = (weighed, traced, what) => assert.ok(Math.abs(weighed - traced) <= 0.2 * traced, `${what}: ${weighed}, traced ${traced}`);
  near(view, await perObject('view'), 'a view');
  near(array, await perObject('array'), 'an array');
  // With the buffer that it brings: its object weighs what a small array does.
  near(message + array, await perObject('message'), 'a message');
  const { bytes_per_quantum: traced } = await lab.offline('ours-transfer', { quanta });
  // A view of the block that leaves, the object of one that comes back, and its part of the message that brings it.
  near(view + array + message / 8, (traced * window) / quantum, 'a window');
});

test('shared: a window is copied once, and what a worker writes into it the audio thread sees in place', async () => {
  assert.equal(await lab.copies(), 1);
});
