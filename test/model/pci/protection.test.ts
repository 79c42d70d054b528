/**
 * What the protection of MSI-X tables is for, after any sequence of operations: no domain can write a protected page by
 * any path, and nothing is protected that nobody uses. What should be protected is reckoned here, from the calls that
 * succeeded and where the devices' tables are by their options.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as xc from '#dist/index.js';
import type { Guest, ModelOptions, PciDeviceOptions } from '#dist/model/index.js';
import { dmaWrite } from '#dist/model/pci/dma.js';
import type { PvMapping } from '#dist/model/pci/pv_mappings.js';
import { type Machine, machine, outcome, protectedFrames, sbdfOf } from './machine.js';

/** Devices on frames 0xfea00 to 0xfea0f, some of which share pages. */
const DEVICES: readonly PciDeviceOptions[] = [
  {
    sbdf: '0000:00:10.0',
    multiFunction: true,
    bars: [{ index: 0, address: 0xfea0_0000, size: 0x4000 }],
    msix: { vectors: 100, table: { bir: 0, offset: 0x800 }, pba: { bir: 0, offset: 0x2ff8 } },
  },
  {
    sbdf: '0000:00:10.1',
    multiFunction: true,
    bars: [
      { index: 0, width: 64, address: 0xfea0_4000, size: 0x1000 },
      { index: 2, address: 0xfea0_5000, size: 0x400 },
    ],
    msix: { vectors: 200, table: { bir: 0, offset: 0 }, pba: { bir: 2, offset: 0 } },
  },
  {
    sbdf: '0001:00:10.0',
    bars: [{ index: 1, address: 0xfea0_5400, size: 0x400 }],
    msix: { vectors: 8, table: { bir: 1, offset: 0 }, pba: { bir: 1, offset: 0x200 } },
  },
  {
    sbdf: '0000:03:00.0',
    sriov: {
      vfs: 2,
      bars: [{ index: 0, width: 64, address: 0xfea0_8000, size: 0x800 }],
      msix: { vectors: 4, table: { bir: 0, offset: 0 }, pba: { bir: 0, offset: 0x400 } },
    },
  },
];

/** Frames that each device's use protects. */
const USED: readonly { readonly sbdf: number; readonly frames: readonly number[] }[] = [
  { sbdf: sbdfOf('0000:00:10.0'), frames: [0xfea00, 0xfea02, 0xfea03] },
  { sbdf: sbdfOf('0000:00:10.1'), frames: [0xfea04, 0xfea05] },
  { sbdf: sbdfOf('0001:00:10.0'), frames: [0xfea05] },
  { sbdf: sbdfOf('0000:03:10.0'), frames: [0xfea08] },
  { sbdf: sbdfOf('0000:03:10.2'), frames: [0xfea08] },
];

const FIRST = 0xfea00;
const FRAMES = 16;
const GFN = 0xf_0000;

const device = fc.nat(USED.length - 1);
/** A guest; 3 is dom0. */
const who = fc.nat(3);
const frame = fc.nat(FRAMES - 1);

type Step = readonly [name: keyof World, ...args: number[]];
const often = <T extends Step>(weight: number, arbitrary: fc.Arbitrary<T>): fc.WeightedArbitrary<Step> => ({
  weight,
  arbitrary,
});
const step = fc.oneof(
  often(12, fc.tuple(fc.constant('prepare' as const), device)),
  often(8, fc.tuple(fc.constant('release' as const), device)),
  often(6, fc.tuple(fc.constant('vector' as const), who, device, fc.nat(3))),
  often(6, fc.tuple(fc.constant('unmapVector' as const), fc.nat(3))),
  often(8, fc.tuple(fc.constant('assign' as const), who, device)),
  often(2, fc.tuple(fc.constant('deassign' as const), who, device)),
  often(12, fc.tuple(fc.constant('map' as const), who, frame, fc.integer({ min: 4, max: 16 }))),
  often(1, fc.tuple(fc.constant('unmap' as const), who, frame)),
  often(12, fc.tuple(fc.constant('pvMap' as const), fc.constantFrom(2, 3), frame)),
  often(3, fc.tuple(fc.constant('view' as const), frame)),
  often(3, fc.tuple(fc.constant('access' as const), frame)),
  often(1, fc.tuple(fc.constant('decoding' as const), device, fc.nat(1))),
  often(1, fc.tuple(fc.constant('forget' as const), device)),
  often(2, fc.tuple(fc.constant('tell' as const), device)),
  often(1, fc.tuple(fc.constant('unplug' as const), device)),
  often(1, fc.tuple(fc.constant('destroy' as const), fc.nat(2))),
);
/** A machine with guests that have devices, and a reckoning of what should be protected. */
class World {
  readonly #on: Machine;
  readonly #guests: (Guest | null)[];
  /** Users of each device: prepare, and vectors. */
  readonly #prepared = new Set<number>();
  readonly #vectors: { domid: number; pirq: number; device: number }[] = [];
  readonly #entries: { entry: PvMapping; mfn: number; excused: () => boolean }[] = [];
  #view = 0;

  constructor(options: ModelOptions, hap: boolean) {
    this.#on = machine(DEVICES, [], options);
    const { xen, xch } = this.#on;
    const altp2m = xen.altp2mSupported ? 'mixed' : 'disabled';
    const hvm = { memoryPages: 16, iommu: true, hap, altp2m: hap ? altp2m : 'disabled' } as const;
    this.#guests = [xen.createGuest(hvm), xen.createGuest(hvm), xen.createGuest({ type: 'pv', memoryPages: 16 })];
    const [first] = this.#guests;
    if (!first || hvm.altp2m !== 'mixed') return;
    xc.xc_altp2m_set_domain_state(xch, first.domid, true);
    this.#view = xc.xc_altp2m_create_view(xch, first.domid, xc.XENMEM_access.rwx);
  }

  #domid(who: number): number {
    return who === 3 ? 0 : (this.#guests[who]?.domid ?? 0x7000);
  }

  #try(act: () => unknown): boolean {
    return outcome(act) === 'ok';
  }

  readonly #sbdf = (index: number): number => USED[index]?.sbdf ?? 0;

  prepare(index: number): void {
    if (this.#try(() => xc.xc_physdev_prepare_msix(this.#on.xch, this.#sbdf(index)))) this.#prepared.add(index);
  }

  release(index: number): void {
    if (this.#try(() => xc.xc_physdev_release_msix(this.#on.xch, this.#sbdf(index)))) this.#prepared.delete(index);
  }

  vector(who: number, index: number, entry: number): void {
    const domid = this.#domid(who);
    const sbdf = this.#sbdf(index);
    this.#try(() => {
      const bus = ((sbdf >>> 16) << 16) | ((sbdf >> 8) & 0xff);
      const pirq = xc.xc_physdev_map_pirq_msi(this.#on.xch, domid, -1, -1, sbdf & 0xff, bus, entry, FIRST * 4096);
      this.#vectors.push({ domid, pirq, device: index });
    });
  }

  unmapVector(nth: number): void {
    const vector = this.#vectors[nth];
    if (!vector) return;
    xc.xc_physdev_unmap_pirq(this.#on.xch, vector.domid, vector.pirq);
    this.#vectors.splice(nth, 1);
  }

  assign(who: number, index: number): void {
    this.#try(() => xc.xc_assign_device(this.#on.xch, this.#domid(who), this.#sbdf(index), 0));
  }

  deassign(who: number, index: number): void {
    this.#try(() => xc.xc_deassign_device(this.#on.xch, this.#domid(who), this.#sbdf(index)));
  }

  map(who: number, at: number, count: number): void {
    const domid = this.#domid(who);
    const frames = Math.min(count, FRAMES - at);
    this.#try(() => {
      xc.xc_domain_iomem_permission(this.#on.xch, domid, FIRST + at, frames, true);
      xc.xc_domain_memory_mapping(this.#on.xch, domid, GFN + at, FIRST + at, frames, true);
    });
  }

  unmap(who: number, at: number): void {
    this.#try(() => xc.xc_domain_memory_mapping(this.#on.xch, this.#domid(who), GFN + at, FIRST + at, 1, false));
  }

  /** A PV domain, or dom0, maps a frame in its page tables. */
  pvMap(who: number, at: number): void {
    const { xen } = this.#on;
    const domain = who === 3 ? xen.dom0 : this.#guests[2]?.domain;
    // what dom0 mapped for writing before, it goes on to write, as on a real Xen
    const open = who === 3 && !protectedFrames(this.#on).includes(FIRST + at);
    const entry = domain?.io.pv.map(FIRST + at, { write: true });
    if (!entry || typeof entry === 'number') return;
    this.#entries.push({ entry, mfn: FIRST + at, excused: () => open });
  }

  /** A view of the first guest shows a device's frame somewhere else. */
  view(at: number): void {
    const [first] = this.#guests;
    if (!first || this.#view === 0) return;
    this.#try(() => xc.xc_altp2m_change_gfn(this.#on.xch, first.domid, this.#view, 3, GFN + at));
  }

  /** Somebody gives the frame all rights of access. */
  access(at: number): void {
    const [first] = this.#guests;
    if (!first || this.#view === 0) return;
    this.#try(() => xc.xc_altp2m_set_mem_access(this.#on.xch, first.domid, 0, GFN + at, xc.XENMEM_access.rwx));
    this.#try(() => xc.xc_altp2m_set_mem_access(this.#on.xch, first.domid, this.#view, GFN + at, xc.XENMEM_access.rwx));
  }

  decoding(index: number, on: number): void {
    this.#on.xen.pci.writeConfig(this.#sbdf(index), 4, Uint8Array.of(on ? 6 : 0, 0));
  }

  /** dom0 has Xen forget a device. */
  forget(index: number): void {
    if (this.#on.xen.pci.remove(this.#sbdf(index)) !== 0) return;
    this.#prepared.delete(index);
    for (const vector of this.#vectors.filter((one) => one.device === index)) {
      this.#vectors.splice(this.#vectors.indexOf(vector), 1);
    }
  }

  tell(index: number): void {
    this.#on.xen.pci.add(this.#sbdf(index), index >= 3 ? sbdfOf('0000:03:00.0') : null);
  }

  unplug(index: number): void {
    this.#on.xen.pci.unplug(this.#sbdf(index));
  }

  destroy(who: number): void {
    const guest = this.#guests[who];
    if (!guest) return;
    xc.xc_domain_destroy(this.#on.xch, guest.domid);
    this.#guests[who] = null;
    for (const vector of this.#vectors.filter((one) => one.domid === guest.domid)) {
      this.#vectors.splice(this.#vectors.indexOf(vector), 1);
    }
  }

  check(): void {
    const used = USED.filter(
      (_, index) => this.#prepared.has(index) || this.#vectors.some((vector) => vector.device === index),
    );
    const expected = [...new Set(used.flatMap(({ frames }) => frames))].sort((a, b) => a - b);
    assert.deepEqual(protectedFrames(this.#on), expected);
    this.#checkUnwritable(expected);
    for (let mfn = FIRST; mfn < FIRST + FRAMES; mfn++) if (!expected.includes(mfn)) this.#checkWritable(mfn);
  }

  /** Everybody writes everywhere, by every way there is, and the protected pages stay as they are. */
  #checkUnwritable(mfns: readonly number[]): void {
    if (mfns.length === 0) return;
    const before = mfns.map((mfn) => this.#page(mfn));
    for (const [what, write] of this.#ways(mfns)) {
      write(Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
      for (const [i, mfn] of mfns.entries()) {
        const written = Buffer.compare(this.#on.xen.memory.peek(mfn), before[i] ?? new Uint8Array(0)) !== 0;
        assert.ok(!written, `frame 0x${mfn.toString(16)} was written by ${what}`);
      }
    }
  }

  /** A page that nobody protects is written by guests that have it. */
  #checkWritable(mfn: number): void {
    const [first] = this.#guests;
    const at = GFN + mfn - FIRST;
    if (!first?.domain.p2m.lookup(at).present) return;
    const value = this.#page(mfn)[0] === 1 ? 2 : 1;
    first.vcpus[0].write(at * 4096, Uint8Array.of(value));
    assert.equal(this.#page(mfn)[0], value);
  }

  #page(mfn: number): Uint8Array {
    return this.#on.xen.memory.peek(mfn).slice();
  }

  *#ways(mfns: readonly number[]): Generator<readonly [what: string, write: (bytes: Uint8Array) => unknown]> {
    const { xen, xch } = this.#on;
    for (const [who, guest] of this.#guests.slice(0, 2).entries()) {
      if (!guest) continue;
      const [vcpu] = guest.vcpus;
      for (const view of who === 0 && this.#view > 0 ? [0, this.#view] : [0]) {
        if (this.#view > 0 && who === 0) xc.xc_altp2m_switch_to_view(xch, guest.domid, view);
        for (const gfn of [3, ...Array.from({ length: FRAMES }, (_, i) => GFN + i)]) {
          if (view === 0 && !guest.domain.p2m.lookup(gfn).present) continue;
          yield [`guest ${who} in view ${view}`, (bytes) => vcpu.write(gfn * 4096 + 0x10, bytes)];
          yield [`guest ${who} across pages`, (bytes) => vcpu.write(gfn * 4096 - 2, bytes)];
          for (const { sbdf } of USED) yield ['a device', (bytes) => dmaWrite(xen, sbdf, gfn * 4096, bytes)];
          yield ["a mapping of a guest's frame", (bytes) => this.#mapped(guest.domid, gfn, bytes)];
        }
      }
    }
    for (const { entry, mfn, excused } of this.#entries) {
      if (!mfns.includes(mfn) || excused()) continue;
      yield ['a PV program', (bytes) => entry.write(0, bytes)];
      yield ['a PV kernel', (bytes) => entry.write(0, bytes, 'kernel')];
    }
    for (const mfn of mfns) {
      yield ['a mapping of the frame', (bytes) => this.#mapped(0x7ff1, mfn, bytes)];
      yield ["a mapping of dom0's own", (bytes) => this.#mapped(0x7ff0, mfn, bytes)];
    }
  }

  /** dom0 maps a frame, now, and writes it. */
  #mapped(domid: number, gfn: number, bytes: Uint8Array): void {
    using mapping = this.#on.xen.mapForeign(domid, [gfn], 3);
    if (mapping.errors[0] === 0) mapping.bytes.set(bytes);
  }

  close(): void {
    this.#on.xen.close();
  }
}

const MACHINES: readonly [name: string, options: ModelOptions, hap: boolean][] = [
  ['EPT', { release: '4.20' }, true],
  ['NPT', { cpu: { vendor: 'amd' } }, true],
  ['shadow page tables', { shadow: true }, false],
];

for (const [name, options, hap] of MACHINES) {
  test(`${name}: nobody writes a protected page, and nothing is protected that nobody uses`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 40 }), (steps) => {
        const world = new World(options, hap);
        for (const [name, ...args] of steps) {
          (world[name] as (...args: number[]) => void).apply(world, args);
          world.check();
        }
        for (let who = 0; who < 3; who++) world.destroy(who);
        for (let nth = 0; nth < 40; nth++) world.unmapVector(0);
        for (let index = 0; index < USED.length; index++) world.release(index);
        for (let index = 0; index < USED.length; index++) world.forget(index);
        world.check();
        world.close();
      }),
      { numRuns: 25 },
    );
  });
}
