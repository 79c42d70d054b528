/** Kernel modules in the order in which they can be loaded. */

import { basename } from 'node:path';
import { LabError } from './error.js';

/**
 * @param dep text of a `modules.dep`
 * @param wanted module names, as `xen-privcmd`
 * @returns paths relative to the folder of modules.dep, every module after those that it needs
 * @throws LabError for a module that this kernel has not
 */
export function modulesInOrder(dep: string, wanted: readonly string[]): readonly string[] {
  const needs = new Map<string, { readonly path: string; readonly needs: readonly string[] }>();
  for (const line of dep.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    needs.set(moduleName(path), {
      path,
      needs: line
        .slice(colon + 1)
        .split(' ')
        .filter(Boolean)
        .map(moduleName),
    });
  }
  const ordered = new Set<string>();
  const add = (name: string): void => {
    const module = needs.get(name);
    if (!module) throw new LabError(`the kernel has no module ${name}; remove the lab's cache to get another kernel`);
    if (ordered.has(module.path)) return;
    for (const needed of module.needs) add(needed);
    ordered.add(module.path);
  };
  for (const name of wanted) add(name);
  return [...ordered];
}

function moduleName(path: string): string {
  return basename(path, '.ko');
}

/** Stands at the end of a signed module; before it, a structure that ends with the signature's length. */
const SIGNATURE_MARK = '~Module signature appended~\n';
const SIGNATURE_INFO_BYTES = 12;

/**
 * A module as it was before it was signed. dom0 loads either, but checks a signature with long arithmetic on an
 * emulated processor: in Bochs that is two thirds of the time that loading takes.
 */
export function withoutSignature(module: Buffer): Buffer {
  const mark = module.length - SIGNATURE_MARK.length;
  if (mark < SIGNATURE_INFO_BYTES || module.toString('latin1', mark) !== SIGNATURE_MARK) return module;
  return module.subarray(0, mark - SIGNATURE_INFO_BYTES - module.readUInt32BE(mark - 4));
}
