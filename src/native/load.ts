/** Finds the native addon: `XENCTRL_ADDON`, else what was built here, else what the package brought along. */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ADDON_ABI, type Addon } from './addon.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const require = createRequire(import.meta.url);

/** The addon, or why there is none and how to get it. */
export type LoadedAddon =
  | { readonly addon: Addon; readonly path: string }
  | { readonly addon: null; readonly reason: string };

let loaded: LoadedAddon | undefined;

/** Loads the addon; the first answer is kept. */
export function loadAddon(): LoadedAddon {
  loaded ??= load(process.env['XENCTRL_ADDON'], process.platform, process.arch);
  return loaded;
}

/**
 * As {@link loadAddon}, told instead of asking.
 *
 * @internal
 */
export function load(named: string | undefined, platform: string, arch: string): LoadedAddon {
  if (named !== undefined && named !== '') return loadFrom(named, 'correct or unset XENCTRL_ADDON');
  if (platform !== 'linux') {
    return {
      addon: null,
      reason: `the native addon is for Linux, this is ${platform}: only the software model runs here`,
    };
  }
  const built = join(ROOT, 'build', 'Release', 'xenctrl.node');
  if (existsSync(built)) return loadFrom(built, `rebuild it: ${buildCommand()}`);
  const prebuilt = join(ROOT, 'prebuilds', `${platform}-${arch}`, 'xenctrl.node');
  if (existsSync(prebuilt)) {
    return loadFrom(prebuilt, `it is made for glibc; on musl and very old systems build it: ${buildCommand()}`);
  }
  return { addon: null, reason: `there is no native addon for ${platform}-${arch}; build it: ${buildCommand()}` };
}

function loadFrom(path: string, mend: string): LoadedAddon {
  try {
    const addon = require(path) as Partial<Addon>;
    if (addon.abi === ADDON_ABI) return { addon: addon as Addon, path };
    return { addon: null, reason: `${path} is of another version of this package; rebuild it: ${buildCommand()}` };
  } catch (error) {
    const [why] = (error instanceof Error ? error.message : String(error)).split('\n');
    return { addon: null, reason: `${path} does not load (${why}); ${mend}` };
  }
}

/** What builds the addon: in a checkout, the script; in somebody's node_modules, with the tools that we do not bring. */
function buildCommand(): string {
  if (!ROOT.includes(`${sep}node_modules${sep}`)) return 'npm run build:native';
  return 'npm install --save-dev node-gyp@12 node-addon-api@8 && npm explore xenctrl -- npm run build:native';
}
