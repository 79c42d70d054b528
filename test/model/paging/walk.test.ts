/** Guests with page tables: translation in every mode, page faults, and what agents are told of accesses and of walks. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { type ModelOptions, ModelXen, type PageTablesOptions } from '#dist/model/index.js';
import { RingAgent } from '../ring_agent.js';

const { XENMEM_access } = xc;
const BYTES = new Uint8Array([1, 2, 3, 4]);
type Levels = NonNullable<PageTablesOptions['levels']>;
/** A linear address that each mode can have, and that is not its physical one. */
const GLA: Readonly<Record<Levels, bigint>> = {
  2: 0xc040_0000n,
  3: 0xc040_0000n,
  4: 0xffff_8000_4000_0000n,
  5: 0xff00_0000_4000_0000n,
};
const MODES = [2, 3, 4, 5] as const;

function machine(levels: Levels, options: ModelOptions = {}) {
  const xen = new ModelXen(options);
  const guest = xen.createGuest({ memoryPages: 4096, pages: '4K', altp2m: 'external' });
  const tables = guest.pageTables({ levels, at: 0x80 });
  const [cpu] = guest.vcpus;
  tables.enter(cpu);
  const xch = xc.xc_interface_open({ hypervisor: xen });
  return { xen, xch, guest, domid: guest.domid, cpu, tables, gla: GLA[levels] };
}

/** As dom0 sees physical memory. */
function physical(xen: ModelXen, domid: number, gpa: number, length: number): number[] {
  using mapping = xen.mapForeign(domid, [Math.floor(gpa / 4096)], 3);
  return [...mapping.bytes.subarray(gpa % 4096, (gpa % 4096) + length)];
}

for (const levels of MODES) {
  describe(`${levels} levels`, () => {
    test('loads, stores and fetches go where the tables say, across pages', () => {
      const { xen, domid, cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300).map(gla + 0x1000n, 0x200);
      assert.equal(cpu.write(gla + 0xffen, BYTES).exception, null);
      assert.deepEqual(physical(xen, domid, 0x300ffe, 2), [1, 2]);
      assert.deepEqual(physical(xen, domid, 0x200000, 2), [3, 4]);
      assert.deepEqual([...cpu.read(gla + 0xffen, 4).bytes], [...BYTES]);
      assert.deepEqual([...cpu.execute(gla + 0xffen, 3).bytes], [1, 2, 3]);
      assert.equal(cpu.registers.get('rip'), gla + 0x1001n);
    });

    test('a read sets accessed bits on the way, a write the dirty bit, too', () => {
      const { xen, domid, cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300);
      const bits = (level: number): number => (physical(xen, domid, tables.entryAddress(gla, level), 1)[0] ?? 0) & 0x60;
      const marked = Array.from({ length: levels }, (_, i) => i + 1).filter((level) => levels !== 3 || level < 3);
      assert.ok(marked.every((level) => bits(level) === 0));
      cpu.read(gla, 1);
      assert.ok(marked.every((level) => bits(level) === 0x20));
      cpu.write(gla, BYTES);
      assert.deepEqual(marked.map(bits), [0x60, ...marked.slice(1).map(() => 0x20)]);
    });

    test('large pages', () => {
      const { xen, domid, cpu, tables, gla } = machine(levels);
      const size = levels === 2 ? '4M' : '2M';
      tables.map(gla, 0x400, { size });
      cpu.write(gla + 0x12_3456n, BYTES);
      assert.deepEqual(physical(xen, domid, 0x40_0000 + 0x12_3456, 4), [...BYTES]);
      if (levels >= 4) {
        tables.map(gla + 0x4000_0000n, 0, { size: '1G' });
        assert.deepEqual([...cpu.read(gla + 0x4000_0000n + 0x52_3456n, 4).bytes], [...BYTES]);
      }
    });

    test('what is not mapped is #PF, with the address in CR2', () => {
      const { cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300);
      const end = cpu.read(gla + 0x5123n, 4);
      assert.deepEqual([end.exception, end.errorCode, cpu.registers.get('cr2')], [14, 0, gla + 0x5123n]);
      // an access whose second page faults writes nothing
      assert.equal(cpu.write(gla + 0xffen, BYTES).errorCode, 2);
      assert.deepEqual([...cpu.read(gla + 0xffen, 2).bytes], [0, 0]);
    });

    test('rights: error codes tell write, user and fetch', () => {
      const { cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300, { writable: false, executable: false });
      tables.map(gla + 0x1000n, 0x301, { user: true });
      assert.equal(cpu.write(gla, BYTES).errorCode, 3);
      if (levels > 2) assert.equal(cpu.execute(gla).errorCode, 0x11);
      cpu.registers.set('cr0', cpu.registers.get('cr0') & ~(1n << 16n));
      assert.equal(cpu.write(gla, BYTES).exception, null, 'without CR0.WP the kernel writes anywhere');
      cpu.registers.set('ss_arbytes', 0xf3n);
      assert.equal(cpu.read(gla, 1).errorCode, 5);
      assert.equal(cpu.write(gla, BYTES).errorCode, 7);
      assert.equal(cpu.write(gla + 0x1000n, BYTES).exception, null);
    });

    test('SMEP and SMAP keep the kernel from programs’ pages; EFLAGS.AC lifts the second', () => {
      const { cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300, { user: true });
      assert.equal(cpu.execute(gla).exception, null);
      cpu.registers.set('cr4', cpu.registers.get('cr4') | (1n << 20n) | (1n << 21n));
      assert.equal(cpu.execute(gla).errorCode, 0x11);
      assert.equal(cpu.read(gla, 1).errorCode, 1);
      cpu.registers.set('rflags', 1n << 18n);
      assert.equal(cpu.read(gla, 1).exception, null);
    });

    test('a reserved bit is #PF, with the bit that says so', () => {
      const { xen, domid, cpu, tables, gla } = machine(levels);
      tables.map(gla, levels === 2 ? 0x400 : 0x300, levels === 2 ? { size: '4M' } : {});
      const at = tables.entryAddress(gla, levels === 2 ? 2 : 1);
      using mapping = xen.mapForeign(domid, [Math.floor(at / 4096)], 3);
      // bit 21 of a 4 MiB page; an address bit beyond the processor's
      const byte = (at % 4096) + (levels === 2 ? 2 : 6);
      mapping.bytes[byte] = (mapping.bytes[byte] ?? 0) | (levels === 2 ? 0x20 : 0x08);
      assert.equal(cpu.read(gla, 1).errorCode, 9);
    });

    test('a table outside of the guest’s memory is as one that maps nothing', () => {
      const { cpu, gla } = machine(levels);
      cpu.registers.set('cr3', 0x3fff_f000n);
      assert.equal(cpu.read(gla, 1).exception, 14);
    });

    test('a forbidden page is told with its linear address', () => {
      const { xen, xch, domid, cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300);
      const agent = new RingAgent(xen, domid);
      xc.xc_set_mem_access(xch, domid, XENMEM_access.r, 0x300, 1);
      cpu.write(gla + 0x18n, BYTES);
      const request = agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
      const told = ['gfn', 'offset', 'gla', 'flags'].map((name) => request.get(`u.mem_access.${name}`));
      assert.deepEqual(told, [0x300n, 0x18n, gla + 0x18n, 0b11011n]);
      assert.equal(cpu.retry()?.finished, true);
      assert.deepEqual(physical(xen, domid, 0x300018, 4), [...BYTES]);
      agent.close();
    });

    test('a forbidden table is told as a fault of the walk: its frame, the address that is walked for', () => {
      const { xen, xch, domid, cpu, tables, gla } = machine(levels);
      tables.map(gla, 0x300);
      const table = Math.floor(tables.entryAddress(gla) / 4096);
      const agent = new RingAgent(xen, domid);
      xc.xc_set_mem_access(xch, domid, XENMEM_access.n, table, 1);
      cpu.read(gla + 4n, 4);
      const read = agent.take();
      const told = ['gfn', 'gla', 'flags'].map((name) => read.get(`u.mem_access.${name}`));
      assert.deepEqual(told, [BigInt(table), gla + 4n, 0b101001n]);
      // readable: then the accessed bit cannot be set
      xc.xc_set_mem_access(xch, domid, XENMEM_access.r, table, 1);
      agent.put(read);
      agent.notify();
      assert.equal(cpu.retry()?.finished, false);
      assert.equal(agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE }).get('u.mem_access.flags'), 0b101011n);
      // the emulator walks through the host's tables, and sets it
      assert.equal(cpu.retry()?.finished, true);
      assert.equal((physical(xen, domid, tables.entryAddress(gla), 1)[0] ?? 0) & 0x20, 0x20);
      agent.close();
    });
  });
}

test('where faults of walks are not to be told, the walk goes on, and the access is told all the same', () => {
  const { xen, xch, domid, cpu, tables, gla } = machine(4);
  tables.map(gla, 0x300);
  const table = Math.floor(tables.entryAddress(gla) / 4096);
  const agent = new RingAgent(xen, domid);
  xc.xc_monitor_inguest_pagefault(xch, domid, true);
  xc.xc_set_mem_access(xch, domid, XENMEM_access.n, table, 1);
  assert.equal(cpu.read(gla, 1).finished, true);
  xc.xc_set_mem_access(xch, domid, XENMEM_access.n, 0x300, 1);
  assert.equal(cpu.read(gla, 1).finished, false);
  assert.equal(agent.take().get('u.mem_access.gfn'), 0x300n);
});

test('r_pw: walks may write the table, the guest itself may not', () => {
  const { xen, xch, domid, cpu, tables, gla } = machine(4, { release: '4.20' });
  tables.map(gla, 0x300);
  const table = Math.floor(tables.entryAddress(gla) / 4096);
  tables.map(gla + 0x1000n, table);
  const agent = new RingAgent(xen, domid);
  xc.xc_set_mem_access(xch, domid, XENMEM_access.r_pw, table, 1);
  assert.equal(cpu.write(gla, BYTES).finished, true);
  assert.equal(cpu.write(gla + 0x1000n, BYTES).finished, false);
  assert.equal(agent.take().get('u.mem_access.flags'), 0b11011n);
});

test('an address that is not canonical is #GP', () => {
  const four = machine(4);
  assert.equal(four.cpu.read(0x8000_0000_0000n, 1).exception, 13);
  assert.equal(four.cpu.read(0xff00_0000_4000_0000n, 1).exception, 13);
  const five = machine(5);
  assert.equal(five.cpu.read(0x8000_0000_0000n, 1).exception, 14);
  assert.equal(five.cpu.read(0x0100_0000_0000_0000n, 1).exception, 13);
});

test('outside long mode addresses have 32 bits', () => {
  const { cpu, tables, gla } = machine(3);
  tables.map(gla, 0x300);
  cpu.write(gla, BYTES);
  assert.deepEqual([...cpu.read((1n << 32n) + gla, 4).bytes], [...BYTES]);
});

test('breakpoints are told with the frame that the tables show', () => {
  const { xen, xch, domid, cpu, tables, gla } = machine(4);
  tables.map(gla, 0x300);
  cpu.write(gla + 0x20n, new Uint8Array([0xcc]));
  const agent = new RingAgent(xen, domid);
  xc.xc_monitor_software_breakpoint(xch, domid, true);
  cpu.execute(gla + 0x20n);
  const request = agent.take();
  assert.deepEqual([request.get('u.software_breakpoint.gfn'), request.reg('rip')], [0x300n, gla + 0x20n]);
});

test('in an altp2m view the walk goes through the view', () => {
  const { xch, domid, cpu, tables, gla } = machine(4);
  tables.map(gla, 0x300);
  cpu.write(gla, BYTES);
  // a second set of tables in other frames, shown in the place of the first ones' root
  xc.xc_altp2m_set_domain_state(xch, domid, true);
  const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
  xc.xc_altp2m_change_gfn(xch, domid, view, 0x300, 0x301);
  xc.xc_altp2m_switch_to_view(xch, domid, view);
  assert.equal(cpu.read(gla, 4).value, 0n);
  xc.xc_altp2m_change_gfn(xch, domid, view, Number(tables.cr3) / 4096, 0x700);
  assert.equal(cpu.read(gla, 4).exception, 14);
});

test('mistakes in making tables are named', () => {
  const { guest, tables } = machine(4);
  assert.throws(() => tables.map(0x1234, 1), /begins at a multiple/);
  assert.throws(() => tables.map(0x20_0000, 1, { size: '2M' }), /begins at a multiple/);
  assert.throws(() => tables.map(0, 0, { size: '4M' }), /have no pages of 4M/);
  assert.throws(() => guest.pageTables({ levels: 3 }).map(0, 0, { size: '1G' }), /have no pages of 1G/);
  assert.throws(() => guest.pageTables({ at: 0x10_0000 }), /no memory/);
  assert.throws(() => tables.entryAddress(0x7000_0000), /is not mapped/);
});

test('random tables, with loops, reserved bits and frames out of range: an end, and no exception of ours', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...MODES),
      fc.uint8Array({ minLength: 4096, maxLength: 4096 }),
      fc.array(fc.tuple(fc.nat(511), fc.constantFrom(0x80, 0x81, 0xfff, 0x1000, 0xf_ffff), fc.nat(0xfff)), {
        maxLength: 40,
      }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      fc.constantFrom('read', 'write', 'execute'),
      fc.nat(9000),
      (levels, garbage, entries, address, kind, length) => {
        const { xen, domid, cpu } = machine(levels);
        {
          using mapping = xen.mapForeign(domid, [0x80, 0x81], 3);
          mapping.bytes.set(garbage);
          const view = new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset);
          for (const [index, frame, bits] of entries) {
            view.setBigUint64(index * 8, (BigInt(frame) << 12n) | BigInt(bits) | 1n, true);
          }
        }
        const size = length + 1;
        const end =
          kind === 'write'
            ? cpu.write(address, new Uint8Array(size))
            : kind === 'read'
              ? cpu.read(address, size)
              : cpu.execute(address, size);
        assert.ok(end.finished || end.exception === null);
        assert.ok(end.exception === null || [3, 13, 14].includes(end.exception), `${end.exception}`);
      },
    ),
    { numRuns: 300 },
  );
});
