/** Finds the daemon. */

import { statSync } from 'node:fs';
import { openDevice } from './device.js';
import { XenstoreError } from './error.js';
import { openSocket, type XenstoreTransport } from './transport.js';

const PLACES = ['/run/xenstored/socket', '/var/run/xenstored/socket', '/dev/xen/xenbus', '/proc/xen/xenbus'] as const;

/** @throws XenstoreError */
export async function openStore(path?: string): Promise<XenstoreTransport> {
  const named = path ?? process.env['XENSTORED_PATH'];
  if (named !== undefined && named !== '') return await openAt(named);
  let stale: unknown;
  for (const place of PLACES) {
    if (kindOf(place) === null) continue;
    try {
      return await openAt(place);
    } catch (error) {
      // the socket of a daemon that has gone: the device may still lead to one in another domain
      if (!(error instanceof XenstoreError) || error.code !== 'ECONNREFUSED') throw error;
      stale = error;
    }
  }
  throw (
    stale ?? new XenstoreError('open', 'ENOENT', { hint: `none of ${PLACES.join(', ')} is there: is this a Xen dom0?` })
  );
}

async function openAt(path: string): Promise<XenstoreTransport> {
  return kindOf(path) === 'device' ? openDevice(path) : await openSocket(path);
}

function kindOf(path: string): 'socket' | 'device' | null {
  try {
    const stat = statSync(path);
    return stat.isSocket() ? 'socket' : 'device';
  } catch {
    return null;
  }
}
