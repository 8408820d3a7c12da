/** Defined by the bundler: see `package/build_id.mjs`. */
declare const WAVEPOOL_BUILD: string;

/**
 * The build of this script. The names of processors contain it, so that an audio context can load the worklet files of several builds,
 * and each page script finds its own.
 */
export const build = WAVEPOOL_BUILD;
