/** Set by whoever bundles these sources: see `package/build_id.mjs`. */
declare const WAVEPOOL_BUILD: string;

/**
 * The build this script is from. Names of processors carry it, so that an audio context can load the worklet files of
 * several builds, and each page script finds its own.
 */
export const build = WAVEPOOL_BUILD;
