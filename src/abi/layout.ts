/**
 * How a public Xen structure is written down here: its C name, the header that defines it, its size and, for each
 * field, the byte offset and size. Tables are plain data so that the ABI tests can walk them and compare every number
 * with what a C compiler says about the real headers.
 */

import { RELEASES, type Release, releaseIndex } from './release.js';

/** `[byte offset, byte size]` of one field. The key beside it is the field's path in C (`arch.emulation_flags`). */
export type Field = readonly [offset: number, size: number];

/** One structure as one range of releases lays it out. All structures are little-endian (x86-64 ABI). */
export interface Struct<Name extends string = string> {
  /** C name without `struct`. */
  readonly name: string;
  /** Path below `xen/include/public/`. */
  readonly header: string;
  /** `sizeof`. */
  readonly size: number;
  readonly fields: Readonly<Record<Name, Field>>;
  /** Byte offset of each field. */
  readonly at: Readonly<Record<Name, number>>;
}

/** Writes down a structure that has been the same in every supported release. */
export function struct<const Name extends string>(
  name: string,
  header: string,
  size: number,
  fields: Readonly<Record<Name, Field>>,
): Struct<Name> {
  const at = {} as Record<Name, number>;
  for (const key in fields) at[key] = fields[key][0];
  return { name, header, size, fields, at };
}

/** A structure whose fields moved: each layout holds from its release until the next one's. */
export interface VersionedStruct<Name extends string = string> {
  readonly name: string;
  readonly header: string;
  /** The layout that `release` uses. A field that the release does not have is absent from `at`. */
  for(release: Release): Struct<string> & { readonly at: Readonly<Partial<Record<Name, number>>> };
}

/** Writes down a structure whose layout changed: `[first release, sizeof, fields]`, oldest first. */
export function versionedStruct<const Name extends string>(
  name: string,
  header: string,
  layouts: readonly (readonly [since: Release, size: number, fields: Readonly<Partial<Record<Name, Field>>>])[],
): VersionedStruct<Name> {
  const byRelease = new Map<Release, Struct>();
  for (const release of RELEASES) {
    const layout = layouts.findLast(([since]) => releaseIndex(since) <= releaseIndex(release));
    if (layout) byRelease.set(release, struct(name, header, layout[1], layout[2] as Record<string, Field>));
  }
  return {
    name,
    header,
    for(release) {
      const layout = byRelease.get(release);
      if (!layout) throw new RangeError(`struct ${name} is not known for Xen ${release}`);
      return layout as ReturnType<VersionedStruct<Name>['for']>;
    },
  };
}
