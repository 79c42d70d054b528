/**
 * Compares every table with what the public headers of each release say.
 *
 * facts.json holds, for each structure and each range of releases, its size and the offset and size of its fields. It
 * was made by compiling, at the tip of each stable branch, the program that headers.test.ts makes for the headers at
 * hand. A structure that a new table describes is added the same way: size and fields from the branch's headers, with
 * one entry for each layout and the releases that share it.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Struct } from '#dist/abi/layout.js';
import { RELEASES, releaseAbi } from '#dist/abi/release.js';
import { VM_EVENT_ABIS, vmEventLayout, vmEventLayoutOf } from '#dist/abi/vm_event.js';
import { layoutOf, loadTables } from './tables.js';

interface Fact {
  readonly releases: readonly string[];
  readonly size: number;
  readonly fields: Readonly<Record<string, readonly [offset: number, size: number]>>;
}

const facts = JSON.parse(readFileSync(new URL('../../../test/abi/facts.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, readonly Fact[]>
>;

/** Structures that headers.test.ts alone can vouch for: the facts were not made from their headers. */
const NO_FACTS: readonly string[] = ['hvm_save_descriptor', 'vm_event_sring', 'xsd_sockmsg'].concat([
  'netif_tx_request',
  'netif_rx_response',
]);

/** Fields whose C name changed though place, size and meaning did not: table's name to a release's. */
const RENAMED: Readonly<Record<string, Readonly<Record<string, string>>>> = {};

/** Fields that are bit-fields or members of unnamed unions, which the facts do not list. */
const NOT_LISTED: readonly string[] = [
  'hvm_hw_cpu.pending_vector',
  ...['cs', 'ss', 'ds', 'es', 'fs', 'gs'].map((segment) => `vm_event_regs_x86.${segment}`),
];

function compare(layout: Struct, release: string): string[] {
  const where = `${layout.name} at ${release}`;
  const fact = facts[layout.name]?.find((one) => one.releases.includes(release));
  if (!fact) return [`${where}: the release has no such structure, or test/abi/facts.json does not know it`];
  const wrong: string[] = [];
  if (fact.size !== layout.size) wrong.push(`${where}: size ${layout.size}, really ${fact.size}`);
  for (const [field, [offset, size]] of Object.entries(layout.fields)) {
    if (NOT_LISTED.includes(`${layout.name}.${field}`)) continue;
    const real = fact.fields[RENAMED[layout.name]?.[field] ?? field] ?? unionAt(fact, field);
    if (!real) wrong.push(`${where}: no field ${field}`);
    else if (real[0] !== offset || real[1] > size)
      wrong.push(`${where}: ${field} [${offset}, ${size}], really [${real}]`);
    else if (real[1] < size && !isUnion(fact, field))
      wrong.push(`${where}: ${field} has ${size} bytes, really ${real[1]}`);
  }
  return wrong;
}

function membersOf(fact: Fact, field: string): readonly (readonly [number, number])[] {
  return Object.entries(fact.fields)
    .filter(([name]) => name.startsWith(`${field}.`))
    .map(([, place]) => place);
}

function isUnion(fact: Fact, field: string): boolean {
  return membersOf(fact, field).length > 0;
}

/** A union is in the facts only by its members: where they begin, and how far those that are listed reach. */
function unionAt(fact: Fact, field: string): readonly [number, number] | undefined {
  const members = membersOf(fact, field);
  if (members.length === 0) return undefined;
  const start = Math.min(...members.map(([offset]) => offset));
  return [start, Math.max(...members.map(([offset, size]) => offset + size)) - start];
}

const { structs, versioned } = await loadTables();

for (const release of RELEASES) {
  test(`every structure lies as in the headers of Xen ${release}`, () => {
    const wrong: string[] = [];
    let compared = 0;
    for (const table of [...structs, ...versioned]) {
      const layout = layoutOf(table, release);
      if (layout === null) {
        const fact = facts[table.name]?.find((one) => one.releases.includes(release));
        if (fact) wrong.push(`${table.name}: ${release} has it, the table does not`);
      } else if (!NO_FACTS.includes(table.name)) {
        wrong.push(...compare(layout, release));
        compared++;
      }
    }
    assert.deepEqual(wrong, []);
    assert.ok(compared >= structs.length - NO_FACTS.length, `only ${compared} structures were compared`);
  });
}

/** The release whose headers each vm_event ABI's layouts are compared with: the newest of it. */
const VM_EVENT_RELEASES = { 3: '4.11', 4: '4.12', 5: '4.13', 6: '4.14', 7: '4.22' };

test('the layouts of every vm_event ABI lie as in the headers of its releases', () => {
  for (const abi of VM_EVENT_ABIS) {
    const { event, regs } = vmEventLayout(abi);
    assert.deepEqual([...compare(event, VM_EVENT_RELEASES[abi]), ...compare(regs, VM_EVENT_RELEASES[abi])], []);
    assert.deepEqual(event.fields['data'], [event.size - regs.size, regs.size]);
  }
  for (const release of RELEASES) assert.equal(vmEventLayoutOf(release).abi, releaseAbi(release).vmEvent);
});

test('no two fields of a structure overlap unless they are a union', () => {
  const unions = ['hvm_hw_cpu.pending_event'];
  const wrong: string[] = [];
  for (const table of [...structs, ...versioned]) {
    for (const release of RELEASES) {
      const layout = layoutOf(table, release);
      if (!layout) continue;
      const fields = Object.entries(layout.fields).sort(([, a], [, b]) => a[0] - b[0] || b[1] - a[1]);
      let end = 0;
      let last = '';
      for (const [name, [offset, size]] of fields) {
        const inUnion = name.startsWith('u.') || unions.includes(`${layout.name}.${last}`);
        if (offset < end && !inUnion) wrong.push(`${layout.name}: ${name} overlaps ${last}`);
        if (offset + size > layout.size) wrong.push(`${layout.name}: ${name} ends after the structure`);
        if (offset + size > end) {
          end = offset + size;
          last = name;
        }
      }
    }
  }
  assert.deepEqual([...new Set(wrong)], []);
});

test('a table refuses releases that do not have the structure', () => {
  const mempool = versioned.find((table) => table.name === 'xen_domctl_paging_mempool');
  assert.ok(mempool);
  assert.throws(() => mempool.for('4.16'), RangeError);
  assert.equal(mempool.for('4.17').size, 8);
});
