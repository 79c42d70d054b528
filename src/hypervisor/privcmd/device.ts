/** Whether the privcmd device can be opened, and if not, what mends it. Both real backends need it. */

import { closeSync, openSync } from 'node:fs';
import { basename } from 'node:path';
import { PRIVCMD_NODES } from '../open.js';

/** Why the device cannot be opened; null when it can. Opens it to see, which changes nothing. */
export function deviceRefusal(): string | null {
  for (const path of PRIVCMD_NODES) {
    try {
      closeSync(openSync(path, 'r+'));
      return null;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      if (code !== 'ENOENT') return refusal(path, code);
    }
  }
  return refusal(PRIVCMD_NODES[0], 'ENOENT');
}

/** Explains a failure to open one of Xen's devices. */
export function refusal(path: string, code: string): string {
  const load = `modprobe xen-${basename(path)}`;
  switch (code) {
    case 'ENOENT':
      return `there is no ${path}: run on a Xen dom0, with the module loaded (${load})`;
    case 'EACCES':
    case 'EPERM':
      return `${path} may not be opened (${code}): run as root (sudo)`;
    case 'ENODEV':
    case 'ENXIO':
      return `${path} has no driver (${code}): run on a Xen dom0, with the module loaded (${load})`;
    default:
      return `${path} cannot be opened (${code})`;
  }
}
