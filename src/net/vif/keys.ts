/** What the two ends of a vif tell each other by xenstore. */

import { isXenstoreError } from '../../xenstore/error.js';
import type { XenstoreOperations } from '../../xenstore/operations.js';

/** The keys that are about offload. */
export const OFFLOAD_KEYS = [
  'feature-no-csum-offload',
  'feature-ipv6-csum-offload',
  'feature-sg',
  'feature-gso-tcpv4',
  'feature-gso-tcpv6',
] as const;

export interface VifKeys {
  readonly path: string;
  /** 4: connected. */
  readonly state: string | undefined;
  /** Of {@link OFFLOAD_KEYS}, those that are there. */
  readonly offload: Readonly<Record<string, string>>;
}

export interface XenVif {
  /** The backend's interface: `vif3.0`. */
  readonly name: string;
  readonly domid: number;
  readonly handle: number;
  readonly backend: VifKeys;
  readonly frontend: VifKeys;
}

/** All vifs whose backend is in the caller's domain. */
export async function listXenVifs(store: XenstoreOperations): Promise<XenVif[]> {
  const vifs: XenVif[] = [];
  for (const domid of await names(store, 'backend/vif')) {
    for (const handle of await names(store, `backend/vif/${domid}`)) {
      const vif = await readXenVif(store, Number(domid), Number(handle));
      if (vif) vifs.push(vif);
    }
  }
  return vifs;
}

/** One by its interface's name, `vif3.0` unless it was given another; null: there is none. */
export async function findXenVif(store: XenstoreOperations, name: string): Promise<XenVif | null> {
  const [, domid, handle] = /^vif(\d+)\.(\d+)$/.exec(name) ?? [];
  if (domid !== undefined && handle !== undefined) return await readXenVif(store, Number(domid), Number(handle));
  return (await listXenVifs(store)).find((vif) => vif.name === name) ?? null;
}

async function readXenVif(store: XenstoreOperations, domid: number, handle: number): Promise<XenVif | null> {
  const path = `backend/vif/${domid}/${handle}`;
  const frontend = await store.readIfThere(`${path}/frontend`);
  if (frontend === undefined) return null;
  const name = (await store.readIfThere(`${path}/vifname`)) ?? `vif${domid}.${handle}`;
  return { name, domid, handle, backend: await readKeys(store, path), frontend: await readKeys(store, frontend) };
}

async function readKeys(store: XenstoreOperations, path: string): Promise<VifKeys> {
  const values = await Promise.all(OFFLOAD_KEYS.map((key) => store.readIfThere(`${path}/${key}`)));
  const there = OFFLOAD_KEYS.flatMap((key, i) => (values[i] === undefined ? [] : [[key, values[i]] as const]));
  return { path, state: await store.readIfThere(`${path}/state`), offload: Object.fromEntries(there) };
}

async function names(store: XenstoreOperations, path: string): Promise<string[]> {
  try {
    return (await store.directory(path)).sort((a, b) => Number(a) - Number(b));
  } catch (error) {
    if (isXenstoreError(error, 'ENOENT')) return [];
    throw error;
  }
}
