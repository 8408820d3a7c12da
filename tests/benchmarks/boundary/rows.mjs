// Figures as rows: an array of {bench, case, value, unit, baseline, ratio} for machines, a table for people.
import { writeFileSync } from 'node:fs';
import os from 'node:os';

const rounded = (figure) => (figure === null ? null : Math.round(figure * 1000) / 1000);

/** ratio = baseline ÷ value, null against nothing and where either is 0. */
export function row(bench, name, unit, value, baseline = null) {
  const ratio = value && baseline ? baseline / value : null;
  return { bench, case: name, value: rounded(value), unit, baseline: rounded(baseline), ratio: rounded(ratio) };
}

export function print(rows) {
  const figure = (value) => (value === null ? '-' : value.toFixed(2));
  const header = ['bench', 'case', 'value', 'unit', 'baseline', 'ratio'];
  const lines = rows.map((row) => [row.bench, row.case, figure(row.value), row.unit, figure(row.baseline), figure(row.ratio)]);
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map((line) => line[column].length)));
  for (const line of [header, ...lines]) {
    const cells = line.map((cell, column) => (column < 2 || column === 3 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])));
    console.log(cells.join('  ').trimEnd());
  }
}

export function write(file, rows) {
  writeFileSync(file, `${JSON.stringify(rows, null, 2)}\n`);
}

/** Keeps a run beside the native ones: figures as CSV, and what they were measured on, `made` with which program. */
export function record(rows, name, made) {
  const processor = os.cpus()[0].model.trim();
  const words = processor.toLowerCase().match(/[a-z0-9]+/g);
  const stem = `tests/benchmarks/record/${new Date().toISOString().slice(0, 10)}-${words.join('-')}-${os.cpus().length}-cores-${name}`;
  const columns = ['bench', 'case', 'value', 'unit', 'baseline', 'ratio'];
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ''))];
  writeFileSync(`${stem}.csv`, lines.map((line) => `${line.join(',')}\n`).join(''));
  const machine = { processor, cores: os.cpus().length, kernel: `${os.platform()} ${os.release()}`, architecture: os.arch(), ...made };
  writeFileSync(`${stem}.machine.txt`, Object.entries(machine).map(([what, is]) => `${what}: ${is}\n`).join(''));
}

/** The `share` quantile of sorted figures. */
export const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
