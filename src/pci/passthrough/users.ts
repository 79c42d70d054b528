/** Who uses a device in dom0, beside its driver: interfaces that are up, disks that are mounted. */

import { readText, type Sysfs } from '../sysfs_files.js';

/** In a network interface's `flags`. */
const IFF_UP = 1;
/** How far below a function's folder its disks may be. */
const DEPTH = 8;

/**
 * What of a function is in use, in words.
 *
 * @param folder the function's, in sysfs
 * @param mounts text of `/proc/self/mountinfo`: which disks are mounted
 */
export function usersOf(sysfs: Sysfs, folder: string, mounts: string): string[] {
  const mounted = new Set(mounts.split('\n').map((line) => line.split(' ')[2] ?? ''));
  const users: string[] = [];
  const look = (path: string, depth: number): void => {
    for (const name of sysfs.folders(path)) {
      const below = `${path}/${name}`;
      const flags = readText(sysfs, `${below}/flags`);
      if (path.endsWith('/net') && flags !== undefined && (Number(flags) & IFF_UP) !== 0) {
        users.push(`its network interface ${name} is up`);
      }
      // a disk or partition has a device number, and what is made of it lists itself as a holder
      const number = readText(sysfs, `${below}/dev`);
      if (number !== undefined && mounted.has(number)) users.push(`its disk ${name} is mounted`);
      for (const holder of sysfs.list(`${below}/holders`)) users.push(`its disk ${name} is part of ${holder}`);
      if (depth > 1) look(below, depth - 1);
    }
  };
  look(folder, DEPTH);
  return users;
}
