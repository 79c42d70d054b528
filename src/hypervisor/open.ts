/** Chooses an adapter. The table of adapters is filled by the front door, so that this floor knows none of them. */

import { existsSync, readFileSync } from 'node:fs';
import { BackendUnavailableError } from './error.js';
import type { Hypervisor } from './port.js';

export type BackendName = 'privcmd' | 'libxen' | 'model';

export interface Adapter {
  /** Why this adapter cannot work here, with the command that mends it; null when it can. Must not throw. */
  unavailable(): string | null;
  open(): Hypervisor;
}

const adapters = new Map<BackendName, Adapter>();

export function registerAdapter(name: BackendName, adapter: Adapter): void {
  adapters.set(name, adapter);
}

/** What the machine says about Xen; a parameter so that tests can say it instead. */
export interface Machine {
  readonly privcmd: string | null;
  readonly hypervisorType: string | null;
}

export const PRIVCMD_NODES = ['/dev/xen/privcmd', '/proc/xen/privcmd'] as const;

export function probeMachine(): Machine {
  let hypervisorType: string | null = null;
  try {
    hypervisorType = readFileSync('/sys/hypervisor/type', 'utf8').trim();
  } catch {
    // not virtualised, or not Linux
  }
  return { privcmd: PRIVCMD_NODES.find((path) => existsSync(path)) ?? null, hypervisorType };
}

/**
 * Opens a hypervisor.
 *
 * @param backend `'auto'`: privcmd, else libxen; the model only where there is no Xen at all. A Xen host whose device
 *   or addon cannot be used is an error, never a silent model. Default: `XENCTRL_BACKEND`, else `'auto'`.
 * @throws BackendUnavailableError with the reason and what mends it
 * @throws TypeError for a name that is no backend
 */
export function openHypervisor(
  backend: BackendName | 'auto' = environmentBackend(),
  machine: Machine = probeMachine(),
): Hypervisor {
  if (backend !== 'auto') return openNamed(backend);
  const onXen = machine.privcmd !== null || machine.hypervisorType === 'xen';
  if (!onXen) return openNamed('model');
  const reasons: string[] = [];
  for (const name of ['privcmd', 'libxen'] as const) {
    const reason = adapters.get(name)?.unavailable() ?? null;
    if (reason === null) return openNamed(name);
    reasons.push(`${name}: ${reason}`);
  }
  throw new BackendUnavailableError(
    'auto',
    `this machine runs on Xen, but it cannot be reached; ${reasons.join('; ')}. To use the software model all the same, set XENCTRL_BACKEND=model`,
  );
}

/** Why a backend cannot work here, with what mends it; null when it can. */
export function backendRefusal(name: BackendName): string | null {
  const adapter = adapters.get(name);
  return adapter ? adapter.unavailable() : 'this version of xenctrl does not have it';
}

function openNamed(name: BackendName): Hypervisor {
  const adapter = adapters.get(name);
  if (!adapter) throw new TypeError(`unknown backend '${name}': use auto, privcmd, libxen or model`);
  const reason = adapter.unavailable();
  if (reason !== null) throw new BackendUnavailableError(name, reason);
  return adapter.open();
}

function environmentBackend(): BackendName | 'auto' {
  const name = process.env['XENCTRL_BACKEND'];
  if (name === undefined || name === '') return 'auto';
  if (name === 'auto' || name === 'privcmd' || name === 'libxen' || name === 'model') return name;
  throw new TypeError(`XENCTRL_BACKEND=${name}: use auto, privcmd, libxen or model`);
}
