/** What the tests call by name: each scenario answers with plain figures, which the test judges. */
import * as blocks from './blocks.ts';
import * as crash from './crash.ts';
import * as entry from './entry.ts';
import * as feed from './feed.ts';
import * as feedClose from './feed_close.ts';
import * as feedLive from './feed_live.ts';
import * as feedRefusals from './feed_refusals.ts';
import * as feedSound from './feed_sound.ts';
import * as kills from './kills.ts';
import * as pool from './pool.ts';
import * as poolEvents from './pool_events.ts';
import { lifetimes, type Lifetime } from './lifetimes.ts';
import * as tapClose from './tap_close.ts';
import * as tapOffline from './tap_offline.ts';
import * as tapTiming from './tap_timing.ts';
import * as turns from './turns.ts';
import * as watchdog from './watchdog.ts';

const scenarios = {
  ...blocks,
  ...crash,
  ...entry,
  ...feed,
  ...feedClose,
  ...feedLive,
  ...feedRefusals,
  ...feedSound,
  ...kills,
  ...pool,
  ...poolEvents,
  ...tapClose,
  ...tapOffline,
  ...tapTiming,
  ...turns,
  ...watchdog,
};

declare global {
  interface Window {
    scenarios: typeof scenarios;
    lifetimes: typeof lifetimes;
    /** The one that runs. */
    lifetime: Lifetime;
  }
}

window.scenarios = scenarios;
window.lifetimes = lifetimes;
