/** Running test cases on each adapter for a real Xen: privcmd, and libxen by koffi and by ffi-napi. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { loadFfi } from '#dist/hypervisor/libxen/ffi.js';
import { LibxenHypervisor } from '#dist/hypervisor/libxen/hypervisor.js';
import { declareLibraries } from '#dist/hypervisor/libxen/libraries.js';
import type { Hypervisor } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { type Case, ROOT } from '../native/harness.js';

export type AdapterName = 'privcmd' | 'koffi' | 'ffi-napi';

/** The cases, each on each of the adapters, which {@link openAdapter} opens in it. */
export function onAdapters(
  cases: Readonly<Record<string, Case>>,
  adapters: readonly AdapterName[] = ['privcmd', 'koffi', 'ffi-napi'],
): Record<string, Case> {
  const all = adapters.map((adapter) => {
    const { env, skip } = described(adapter);
    return Object.entries(cases).map(([title, one]) => [
      `${adapter}: ${title}`,
      { ...one, env: { ...one.env, ...env }, skip: skip || (one.skip ?? false) },
    ]);
  });
  return Object.fromEntries(all.flat());
}

/** The adapter of the case that this process runs. */
export function openAdapter(): Hypervisor {
  return adapterName() === 'privcmd' ? new PrivcmdHypervisor() : new LibxenHypervisor();
}

export function adapterName(): AdapterName {
  return process.env['XENCTRL_TEST_ADAPTER'] as AdapterName;
}

function described(adapter: AdapterName): { env: Record<string, string>; skip: string | false } {
  const env: Record<string, string> = { XENCTRL_TEST_ADAPTER: adapter };
  if (adapter === 'privcmd') return { env, skip: false };
  env['XENCTRL_FFI'] = adapter;
  const inChild = process.env['XENCTRL_TEST_CASES'] !== undefined;
  if (inChild) return { env, skip: false }; // the parent has looked
  const missing = librariesMissing();
  if (adapter === 'koffi') return { env, skip: missing };
  const { folder, skip } = ffiNapi();
  env['NODE_PATH'] = folder;
  return { env, skip: missing || skip };
}

/** The folder that has ffi-napi, or why there is none. */
function ffiNapi(): { folder: string; skip: string | false } {
  const env = { ...process.env, LD_PRELOAD: '' };
  const run = spawnSync(process.execPath, [join(ROOT, 'scripts', 'ffi-napi.mjs')], { encoding: 'utf8', env });
  return { folder: run.stdout.trim(), skip: run.status === 0 ? false : run.stderr.trim() };
}

function librariesMissing(): string | false {
  try {
    declareLibraries(loadFfi('koffi'));
    return false;
  } catch (error) {
    return String(error);
  }
}
