// What the boundary benchmark's figures must keep to.

/** The story's target: at 1024 samples so many times as fast as wasm-bindgen's `Vec<f32>`. */
const least = 5;
const target = 'wasm-bindgen-vec 1024';

/** The figures beyond their limits, as sentences. */
export function shortcomings(rows) {
  const found = [];
  const round = rows.find(({ bench, case: name }) => bench === 'round_trip' && name === target);
  if (!(round?.ratio >= least)) found.push(`round_trip ${target}: ${round?.ratio ?? 'not measured'} times as fast, at least ${least}`);
  for (const { bench, case: name, value } of rows) {
    if (bench === 'collections' && value !== 0) found.push(`collections ${name}: ${value} with the pool, none are allowed`);
  }
  return found;
}
