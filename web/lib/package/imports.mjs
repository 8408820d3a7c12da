// Which files and folders of `web/lib/src` import each other, and what is wrong with that.
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** The folders, and those whose files each may import. `.` is the root, with the entry points of the package. */
export const LAYERS = {
  generated: [],
  shared: ['generated'],
  worklet: ['shared', 'generated'],
  control: ['shared', 'generated'],
  consumer: ['shared', 'generated'],
  // A page reads taps, writes feeds and uses buffers as any other thread does.
  page: ['consumer', 'shared', 'generated'],
  '.': ['page', 'consumer', 'shared', 'generated'],
};

/** Files below `root` that the package is made from. */
export function sources(root) {
  const names = readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.ts'));
  return new Map(names.map((name) => [name, readFileSync(join(root, name), 'utf8')]));
}

/**
 * What each file imports of the others, types included. A worker's file that is named by its address (`?worker&url`, `new URL`) is not
 * imported: another thread loads it.
 */
export function imports(files) {
  const statement = /^(?:import|export)\s(?:[^'";]*\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)/gm;
  const imported = (name, text) => [...text.matchAll(statement)].map(([, path, lazy]) => normalize(join(dirname(name), path ?? lazy)));
  return new Map([...files].map(([name, text]) => [name, imported(name, text).filter((path) => files.has(path))]));
}

/** The same for the folders of the files. */
export function folderImports(graph) {
  const folders = new Map([...graph.keys()].map((name) => [dirname(name), new Set()]));
  for (const [name, paths] of graph) {
    for (const path of paths) if (dirname(path) !== dirname(name)) folders.get(dirname(name)).add(dirname(path));
  }
  return folders;
}

/** Groups of nodes that all reach each other: each is at least one circle, and a graph without groups has no circle. */
export function circles(graph) {
  const reach = (from) => {
    const seen = new Set();
    const visit = (node) => {
      for (const next of graph.get(node) ?? []) if (!seen.has(next)) visit(seen.add(next) && next);
    };
    visit(from);
    return seen;
  };
  const reached = new Map([...graph.keys()].map((node) => [node, reach(node)]));
  const group = (node) => [...reached.get(node)].filter((other) => reached.get(other).has(node)).sort();
  const groups = [...graph.keys()].filter((node) => reached.get(node).has(node)).map((node) => group(node).join(', '));
  return [...new Set(groups)];
}

/** Imports between folders that `layers` does not allow. */
export function upwardImports(graph, layers = LAYERS) {
  const allowed = (from, to) => dirname(from) === dirname(to) || layers[dirname(from)]?.includes(dirname(to));
  return [...graph].flatMap(([name, paths]) => paths.filter((path) => !allowed(name, path)).map((path) => `${name} imports ${path}`));
}
