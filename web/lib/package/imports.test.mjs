// The sources of the package import each other without circles, and downwards only.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LAYERS, circles, folderImports, imports, sources, upwardImports } from './imports.mjs';

const graph = imports(sources(fileURLToPath(new URL('../src', import.meta.url))));

test('import circles: none between files, none between folders', (t) => {
  const edges = [...graph.values()].flat().length;
  t.diagnostic(`${graph.size} files, ${edges} imports`);
  assert.ok(graph.size > 50 && edges > 100, 'the imports were not found');
  assert.deepEqual(circles(graph), []);
  assert.deepEqual(circles(folderImports(graph)), []);
});

test('imports between folders are those that the layers allow', () => {
  assert.deepEqual([...folderImports(graph).keys()].filter((folder) => !(folder in LAYERS)), []);
  assert.deepEqual(upwardImports(graph), []);
});

test('import check trips on a circle of files, of folders, and on an upward import', () => {
  const files = new Map([
    ['page/a.ts', "import {\n  b,\n} from './b.ts';\nimport '../shared/low.ts';"],
    ['page/b.ts', "export type { C } from './c.ts';"],
    ['page/c.ts', "const a = await import('./a.ts');\nimport worklet from '../worklet/d.ts?worker&url';"],
    ['shared/low.ts', "import type { D } from '../worklet/d.ts';"],
    ['worklet/d.ts', "import { low } from '../shared/other.ts';\nnew URL('../page/a.ts', import.meta.url);"],
    ['shared/other.ts', ''],
  ]);
  const found = imports(files);
  assert.deepEqual(circles(found), ['page/a.ts, page/b.ts, page/c.ts']);
  assert.deepEqual(circles(folderImports(found)), ['shared, worklet']);
  assert.deepEqual(upwardImports(found), ['shared/low.ts imports worklet/d.ts']);
  assert.deepEqual(circles(imports(new Map([['shared/self.ts', "import './self.ts';"]]))), ['shared/self.ts']);
});
