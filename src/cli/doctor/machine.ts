/** What this machine is, read from its files. Nothing is opened that opening would change. */

import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { firstLine } from '../../hypervisor/libxen/ffi.js';
import { loadLibraries } from '../../hypervisor/libxen/libraries.js';
import { type LoadedAddon, loadAddon } from '../../native/load.js';

/** Whether a device is there for us. */
export type Device = 'ok' | 'absent' | 'denied';

export interface MachineFacts {
  readonly node: string;
  /** `linux-x64`. */
  readonly platform: string;
  readonly libc: 'glibc' | 'musl' | null;
  /** Whether this is a domain of a Xen. */
  readonly onXen: boolean;
  /** Whether this is its control domain; null: it cannot be told. */
  readonly dom0: boolean | null;
  readonly devices: Readonly<Record<string, Device>>;
  readonly addon: LoadedAddon;
  /** FFI packages that are installed. */
  readonly ffi: readonly string[];
  /** Why Xen's own libraries do not load; null: they do. */
  readonly libraries: string | null;
}

export const DEVICES: Readonly<Record<string, string>> = {
  '/dev/xen/privcmd': 'hypercalls and foreign memory',
  '/dev/xen/hypercall': 'memory for hypercalls that is never moved',
  '/dev/xen/evtchn': 'event channels',
};

const FFI = ['koffi', 'ffi-napi'];

export function probe(): MachineFacts {
  const capabilities = read('/proc/xen/capabilities');
  const type = read('/sys/hypervisor/type');
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    libc: libc(),
    onXen: type === 'xen' || capabilities !== null || existsSync('/dev/xen/privcmd') || existsSync('/proc/xen/privcmd'),
    dom0: capabilities === null ? null : capabilities.includes('control_d'),
    devices: Object.fromEntries(Object.keys(DEVICES).map((path) => [path, device(path)])),
    addon: loadAddon(),
    ffi: FFI.filter(isInstalled),
    libraries: libraryRefusal(),
  };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function device(path: string): Device {
  if (!existsSync(path)) return 'absent';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return 'ok';
  } catch {
    return 'denied';
  }
}

function libc(): MachineFacts['libc'] {
  if (process.platform !== 'linux') return null;
  try {
    return readdirSync('/lib').some((name) => name.startsWith('ld-musl-')) ? 'musl' : 'glibc';
  } catch {
    return null;
  }
}

function libraryRefusal(): string | null {
  try {
    loadLibraries();
    return null;
  } catch (error) {
    return firstLine(error);
  }
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
