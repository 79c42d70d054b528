/** Ours against what lspci itself says of the same bytes (`lspci -F FILE -vv`), where it is installed. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { inspectAll } from '#dist/pci/inspect.js';
import { parseLspci } from '#dist/pci/lspci.js';
import { configBytes, msixBody } from '../abi/pci/bytes.js';
import { scratchFolder } from '../scratch.js';
import { dump, lspciText } from './dumps.js';

const missing = spawnSync('lspci', ['--version']).error !== undefined && 'lspci is not installed';
const folder = scratchFolder();

/** What lspci makes of a dump. */
function decode(text: string): string {
  const file = join(folder, 'dump.txt');
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync('lspci', ['-D', '-F', file, '-vv'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** A function as both can tell it. */
interface Told {
  readonly msix: unknown;
  readonly bars: unknown;
}

/** From lspci's words alone: no bytes of ours are involved. */
function theirs(text: string): Map<string, Told> {
  const told = new Map<string, Told>();
  for (const block of text.split('\n\n')) {
    const [sbdf = ''] = block.split(' ', 1);
    const msix =
      /MSI-X: Enable([+-]) Count=(\d+) Masked([+-])\n\t\tVector table: BAR=(\d) offset=(\w+)\n\t\tPBA: BAR=(\d) offset=(\w+)/.exec(
        block,
      );
    const [, enabled, vectors, masked, table, tableAt = '', pba, pbaAt = ''] = msix ?? [];
    told.set(sbdf, {
      msix: msix && [
        enabled === '+',
        Number(vectors),
        masked === '+',
        Number(table),
        Number.parseInt(tableAt, 16),
        Number(pba),
        Number.parseInt(pbaAt, 16),
      ],
      bars: regions(block),
    });
  }
  told.delete('');
  return told;
}

function regions(block: string): unknown[] {
  const found: unknown[] = [];
  let upper = -1;
  for (const [, index, kind, at, rest] of block.matchAll(/^\tRegion (\d): (Memory|I\/O ports) at ([0-9a-f]+)(.*)$/gm)) {
    // of a dump, lspci shows the upper half of a 64-bit BAR as one of its own where it looks like ports
    if (Number(index) === upper) continue;
    if (rest?.includes('64-bit')) upper = Number(index) + 1;
    found.push([Number(index), kind === 'Memory' ? 'memory' : 'io', BigInt(`0x${at}`)]);
  }
  return found;
}

function ours(text: string): Map<string, Told> {
  return new Map(
    inspectAll(parseLspci(text)).map(({ sbdf, msix, bars }) => [
      sbdf,
      {
        msix: msix && [
          msix.enabled,
          msix.vectors,
          msix.maskAll,
          msix.table.bir,
          msix.table.offset,
          msix.pba.bir,
          msix.pba.offset,
        ],
        bars: bars.flatMap(({ index, kind, address }) => (address === null ? [] : [[index, kind, address]])),
      },
    ]),
  );
}

test('lspci and we decode the dumps of real machines alike', { skip: missing }, () => {
  for (const name of ['q35-xxxx.txt', 'q35-vvxxx.txt', 'pc-vvxxx.txt']) {
    const bytes = dump(name).replace(/^\t.*\n/gm, '');
    const told = ours(bytes);
    for (const virtual of ['0000:01:00.1', '0000:01:00.2']) {
      // whose BARs lspci takes from their own registers, which are empty
      const one = told.get(virtual);
      if (one) told.set(virtual, { ...one, bars: [] });
    }
    assert.deepEqual(told, theirs(decode(bytes)), name);
  }
});

/** A function with BARs of all kinds and some capabilities before and after MSI-X. */
const config = fc
  .record({
    kinds: fc.array(fc.constantFrom('none', 'io', 'memory', 'prefetch', 'wide'), { minLength: 6, maxLength: 6 }),
    addresses: fc.array(fc.integer({ min: 0x100, max: 0xefff }), { minLength: 6, maxLength: 6 }),
    ids: fc.array(fc.constantFrom<number>(0x01, 0x05, 0x09, 0x0d), { maxLength: 3 }),
    place: fc.nat(3),
    present: fc.boolean(),
    control: fc.nat(0xffff),
    table: fc.nat(0xffff),
    pba: fc.nat(0xffff),
    bridge: fc.boolean(),
  })
  .map(({ kinds, addresses, ids, place, present, control, table, pba, bridge }) => {
    const count = bridge ? 2 : 6;
    const bars: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = addresses[i] ?? 0;
      const kind = kinds[i];
      if (kind === 'io') bars.push((at & ~3) | 1);
      else if (kind === 'memory') bars.push(at << 16);
      else if (kind === 'prefetch') bars.push((at << 16) | 8);
      else if (kind === 'wide' && i + 1 < count) {
        bars.push((at << 16) | 4, at & 0xf);
        i++;
      } else bars.push(0);
    }
    const body = (id: number): number[] => (id === 0x11 ? msixBody(control, table & ~7, pba & ~7) : [0, 0, 0, 0]);
    const chain = [...ids];
    if (present) chain.splice(Math.min(place, chain.length), 0, 0x11);
    return configBytes({
      bars,
      headerType: bridge ? 1 : 0,
      command: 7,
      capabilities: chain.map((id, i) => ({ id, offset: 0x40 + i * 0x20, body: body(id) })),
    });
  });

test('property: lspci and we decode any valid function alike', { skip: missing }, () => {
  fc.assert(
    fc.property(fc.array(config, { minLength: 40, maxLength: 40 }), (configs) => {
      const text = lspciText(new Map(configs.map((one, i) => [i << 8, one])));
      assert.deepEqual(ours(text), theirs(decode(text)));
    }),
    { numRuns: 12, endOnFailure: true },
  );
});
