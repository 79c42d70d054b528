/** The other end of a veth pair, in whatever namespace it is: the guest's end, where containers play guests. */

import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { addonFor } from '../link/open.js';
import type { Device } from './switches.js';

const NETNS = '/run/netns';

/**
 * Finds it among the namespaces that have a name, and those of running processes.
 *
 * @returns null: the interface is no veth, or its other end is in none of them
 */
export function vethPeer({ name, netns }: Device): Device | null {
  const addon = addonFor(name);
  const peer = addon.vethPeerIndex(name, netns ?? null);
  if (peer < 0) return null;
  for (const place of namespaces(netns)) {
    // every namespace counts its interfaces from 1: the number alone would find others' cables
    if (addon.peerIsIn(name, netns ?? null, place ?? null) !== 1) continue;
    const found = addon.netInterfaceName(peer, place ?? null);
    if (typeof found === 'string') return place === undefined ? { name: found } : { name: found, netns: place };
  }
  return null;
}

/** Each namespace once, by a path; the caller's own without. */
function namespaces(first: string | undefined): (string | undefined)[] {
  const seen = new Set<string>();
  const places: (string | undefined)[] = [];
  const add = (path: string | undefined, id: string | null): void => {
    if (id === null || seen.has(id)) return;
    seen.add(id);
    places.push(path);
  };
  add(undefined, inode('/proc/self/ns/net'));
  if (first !== undefined) add(first, inode(first));
  for (const name of list(NETNS)) add(join(NETNS, name), inode(join(NETNS, name)));
  for (const pid of list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const path = `/proc/${pid}/ns/net`;
    add(path, linkInode(path));
  }
  return places;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function inode(path: string): string | null {
  try {
    return String(statSync(path).ino);
  } catch {
    return null;
  }
}

/** `net:[4026531840]`: the number without opening anything of the process's. */
function linkInode(path: string): string | null {
  try {
    return /\[(\d+)\]/.exec(readlinkSync(path))?.[1] ?? null;
  } catch {
    return null;
  }
}
