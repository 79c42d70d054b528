/** Writes to a device's configuration space, as dom0's kernel makes them. */

import { closeSync, openSync, writeSync } from 'node:fs';
import { formatSbdf } from '#dist/abi/pci/sbdf.js';
import type { Target } from './target.js';

export function writePciConfig({ model }: Target, sbdf: number, offset: number, bytes: Uint8Array): void {
  if (model) {
    model.pci.writeConfig(sbdf, offset, bytes);
    return;
  }
  const fd = openSync(`/sys/bus/pci/devices/${formatSbdf(sbdf)}/config`, 'r+');
  try {
    writeSync(fd, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(fd);
  }
}
