/** Collects every table and every number that the modules below src/abi export, so that none escapes the tests. */

import { readdirSync } from 'node:fs';
import type { Struct, VersionedStruct } from '#dist/abi/layout.js';
import type { Release } from '#dist/abi/release.js';

export interface Tables {
  readonly structs: readonly Struct[];
  readonly versioned: readonly VersionedStruct[];
  /** Name and value of each number that stands for a C macro or enumerator, with its module. */
  readonly constants: readonly { readonly name: string; readonly value: bigint; readonly module: string }[];
}

/**
 * What Xen's headers do not have. V4V never was in a Xen: test/abi/v4v.test.ts compares it with docs/v4v.h. PCI's
 * registers are Linux's to name: test/abi/pci/registers.test.ts compares them with pci_regs.h.
 */
const NOT_XEN = /^(v4v|v4v_rules|pci\/\w+)\.js$/;

const ABI = new URL('../../../dist/abi/', import.meta.url);

function isVersioned(value: unknown): value is VersionedStruct {
  return typeof value === 'object' && value !== null && 'header' in value && 'for' in value;
}

function isStruct(value: unknown): value is Struct {
  return typeof value === 'object' && value !== null && 'header' in value && 'size' in value && 'at' in value;
}

export async function loadTables(): Promise<Tables> {
  const structs: Struct[] = [];
  const versioned: VersionedStruct[] = [];
  const constants: { name: string; value: bigint; module: string }[] = [];
  const modules = readdirSync(ABI, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'));
  for (const module of modules.sort()) {
    if (NOT_XEN.test(module)) continue;
    const exported = (await import(new URL(module, ABI).href)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(exported)) {
      if (isVersioned(value)) versioned.push(value);
      else if (isStruct(value)) structs.push(value);
      else if (typeof value === 'number' || typeof value === 'bigint') {
        constants.push({ name, value: BigInt(value), module });
      }
    }
  }
  return { structs, versioned, constants };
}

/** The layout that a release uses, or null when the release does not have the structure. */
export function layoutOf(table: Struct | VersionedStruct, release: Release): Struct | null {
  if (isStruct(table)) return table;
  try {
    return table.for(release);
  } catch {
    return null;
  }
}
