/** Configuration space of the devices of this Linux, as sysfs has it. */

import { closeSync, openSync, readSync } from 'node:fs';
import { PCI_CFG_SPACE_EXP_SIZE } from '../abi/pci/config.js';
import { formatSbdf } from '../abi/pci/sbdf.js';

/**
 * Reads a function's configuration space.
 *
 * @returns up to 4096 bytes, for an ordinary user the first 64; null: there is no such function
 * @throws the system's error when it cannot be read
 */
export function sysfsPciConfig(sbdf: number): Uint8Array | null {
  let fd: number;
  try {
    fd = openSync(`/sys/bus/pci/devices/${formatSbdf(sbdf)}/config`, 'r');
  } catch (error) {
    if (Object(error)['code'] === 'ENOENT') return null;
    throw error;
  }
  try {
    const bytes = new Uint8Array(PCI_CFG_SPACE_EXP_SIZE);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}
