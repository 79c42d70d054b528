/** The addon itself, as an attacker in the same process would call it: wrong arguments are answered, never a crash. */

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import type { Addon, NativeHandle, NativeMapping } from '#dist/native/addon.js';
import { load, loadAddon } from '#dist/native/load.js';
import { inUse, openDescriptors, stubbed } from './harness.js';

const { EBADF, EINVAL, EMFILE, ENOENT, ENOSYS, ENOTTY, E2BIG } = constants.errno;
const PAGE = 4096;
const SLOT = 56;

function addon(): Addon {
  const loaded = loadAddon();
  assert.ok(loaded.addon, 'the addon is built');
  return loaded.addon;
}

function openHandle(pages = 2): NativeHandle {
  const handle = addon().open(null, pages);
  assert.ok(typeof handle === 'object', `open gives ${String(handle)}`);
  return handle;
}

function map(handle: NativeHandle, gfns: readonly bigint[] = [0n]): NativeMapping {
  const mapping = handle.mapForeign(1, BigUint64Array.from(gfns), 3, new Int32Array(gfns.length));
  assert.ok(typeof mapping === 'object', `mapForeign gives ${String(mapping)}`);
  return mapping;
}

/** Writes a slot of the stub's echo call. */
function putEcho(handle: NativeHandle, offset: number, value: bigint): void {
  const view = new DataView(handle.arena, offset, SLOT);
  view.setBigUint64(0, 1000n, true);
  view.setBigUint64(8, value, true);
}

/** The addon's functions, with no types to keep anything out. */
type Untyped = Record<string, (...args: unknown[]) => unknown>;
const untyped = (object: unknown): Untyped => object as Untyped;

const EVTCHN_FUNCTIONS = [
  ...[
    'bindVirq',
    'bindInterdomain',
    'bindUnbound',
    'unbind',
    'notify',
    'pending',
    'unmask',
    'restrict',
    'wait',
    'wake',
  ],
  ...['onPending', 'close'],
];

const NO_NUMBERS = [-1, -8, Number.NaN, Infinity, -Infinity, 1e300, 2 ** 53, 2 ** 64, 0.5, '0', null, {}, [], 8n, true];
const NO_OFFSETS = [...NO_NUMBERS, undefined, 1, 4, 12];

stubbed(import.meta.url, {
  'open with a path that is not there gives -ENOENT': {
    run() {
      assert.equal(addon().open('/nonexistent', 1), -ENOENT);
    },
  },

  'open with anything but a path and a number of pages gives -EINVAL': {
    run() {
      for (const path of [undefined, 0, {}, '', '/dev/xen/privcmd\0', Symbol('x')]) {
        assert.equal(untyped(addon())['open']?.(path, 1), -EINVAL);
      }
      for (const pages of [0, 1025, undefined, ...NO_NUMBERS]) {
        assert.equal(untyped(addon())['open']?.(null, pages), -EINVAL, String(pages));
      }
      assert.equal(untyped(addon())['open']?.(), -EINVAL);
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
    },
  },

  'hypercallBatch runs all slots, results in place': {
    run() {
      const handle = openHandle();
      putEcho(handle, 512, 0x1_2345_6789n);
      putEcho(handle, 512 + SLOT, 5n);
      new DataView(handle.arena).setBigUint64(512 + 2 * SLOT, 99n, true);
      assert.equal(handle.hypercallBatch(512, 3), 0);
      const results = [0, 1, 2].map((i) => new DataView(handle.arena).getBigInt64(512 + i * SLOT + 48, true));
      assert.deepEqual(results, [0x1_2345_6789n, 5n, BigInt(-ENOSYS)]);
      assert.equal(handle.hypercallBatch(0, 0), 0);
    },
  },

  'hypercallBatch up to the arena’s last byte runs, one slot further gives -EINVAL and runs none': {
    run() {
      const handle = openHandle(1);
      const first = PAGE % SLOT;
      const count = (PAGE - first) / SLOT;
      assert.equal(first % 8, 0);
      putEcho(handle, first, 7n);
      assert.equal(handle.hypercallBatch(first + 8, count), -EINVAL);
      assert.equal(handle.hypercallBatch(first, count + 1), -EINVAL);
      assert.equal(new DataView(handle.arena).getBigInt64(first + 48, true), 0n);
      assert.equal(handle.hypercallBatch(first, count), 0);
      assert.equal(new DataView(handle.arena).getBigInt64(first + 48, true), 7n);
      assert.equal(handle.hypercallBatch(PAGE, 0), 0);
      assert.equal(handle.hypercallBatch(PAGE + 8, 0), -EINVAL);
      assert.equal(handle.hypercallBatch(0, 2 ** 53 - 1), -EINVAL);
    },
  },

  'offsets and counts that are none give -EINVAL': {
    run() {
      const handle = openHandle(1);
      for (const wrong of NO_OFFSETS) {
        assert.equal(untyped(handle)['hypercallBatch']?.(wrong, 1), -EINVAL, String(wrong));
        assert.equal(untyped(handle)['hypercallAsync']?.(wrong), -EINVAL, String(wrong));
        assert.equal(untyped(handle)['unmap']?.(wrong), -EINVAL, String(wrong));
      }
      for (const wrong of [...NO_NUMBERS, undefined, 65536]) {
        assert.equal(untyped(handle)['hypercallBatch']?.(0, wrong), -EINVAL, String(wrong));
        assert.equal(untyped(handle)['restrict']?.(wrong), -EINVAL, String(wrong));
      }
      assert.equal(handle.hypercallAsync(PAGE - 48), -EINVAL);
    },
  },

  'mapForeign with the wrong arrays, rights or domain gives -EINVAL': {
    run() {
      const mapForeign = untyped(openHandle())['mapForeign'];
      const gfns = BigUint64Array.of(1n);
      const errors = new Int32Array(1);
      assert.equal(mapForeign?.(1, gfns, 3, new Int32Array(2)), -EINVAL);
      assert.equal(mapForeign?.(1, gfns, 3, new Uint32Array(1)), -EINVAL);
      assert.equal(mapForeign?.(1, new Float64Array(1), 3, errors), -EINVAL);
      assert.equal(mapForeign?.(1, [1n], 3, errors), -EINVAL);
      assert.equal(mapForeign?.(1, new BigUint64Array(0), 3, new Int32Array(0)), -EINVAL);
      for (const prot of [0, 4, 7, 8, -1, 1.5, 'rw', null]) assert.equal(mapForeign?.(1, gfns, prot, errors), -EINVAL);
      for (const domid of [-1, 65536, 0.5, '1']) assert.equal(mapForeign?.(domid, gfns, 3, errors), -EINVAL);
      const many = 2 ** 18 + 1;
      assert.equal(mapForeign?.(1, new BigUint64Array(many), 3, new Int32Array(many)), -E2BIG);
      structuredClone(gfns.buffer, { transfer: [gfns.buffer] });
      assert.equal(mapForeign?.(1, gfns, 3, errors), -EINVAL);
    },
  },

  'unmap unmaps once: later, and with any other number, it gives -EINVAL': {
    run() {
      const handle = openHandle();
      const first = map(handle);
      assert.equal(handle.unmap(first.id), 0);
      assert.equal(first.buffer.byteLength, 0);
      assert.equal(handle.unmap(first.id), -EINVAL);
      const second = map(handle); // in the first one's place, by another number
      assert.notEqual(second.id, first.id);
      assert.equal(handle.unmap(first.id), -EINVAL);
      assert.equal(handle.unmap(second.id + 1), -EINVAL);
      assert.equal(new Uint8Array(second.buffer).length, PAGE);
      assert.equal(openHandle().unmap(second.id), -EINVAL, 'another handle');
      assert.equal(handle.unmap(second.id), 0);
      assert.equal(inUse().guest, 0);
    },
  },

  'mapForeign beyond 16384 open mappings gives -EMFILE': {
    run() {
      const handle = openHandle();
      const mappings = Array.from({ length: 1 << 14 }, () => map(handle));
      assert.equal(handle.mapForeign(1, BigUint64Array.of(0n), 3, new Int32Array(1)), -EMFILE);
      assert.equal(handle.unmap(mappings[77]?.id ?? -1), 0);
      map(handle);
      handle.close();
      assert.equal(inUse().guest, 0);
    },
  },

  'every function after close gives -EBADF, and hypercall does nothing': {
    alone: true,
    run() {
      const handle = openHandle();
      const { arena } = handle;
      const mapping = map(handle);
      assert.equal(handle.close(), 0);
      assert.equal(arena.byteLength, 0);
      assert.equal(mapping.buffer.byteLength, 0);
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
      handle.hypercall();
      assert.equal(handle.hypercallBatch(0, 1), -EBADF);
      assert.equal(handle.hypercallAsync(0), -EBADF);
      assert.equal(handle.mapForeign(1, BigUint64Array.of(0n), 3, new Int32Array(1)), -EBADF);
      assert.equal(handle.restrict(1), -EBADF);
      assert.equal(handle.unmap(mapping.id), -EINVAL);
      assert.equal(handle.close(), 0);
    },
  },

  'mapResource, resourceSize and dmOp with wrong arguments give -EINVAL, beyond the limits -E2BIG': {
    run() {
      const handle = untyped(openHandle());
      const bytes = new Uint8Array(16);
      for (const wrong of [...NO_NUMBERS, undefined]) {
        assert.equal(handle['mapResource']?.(wrong, 1, 0, 0, 1, 3), -EINVAL);
        assert.equal(handle['mapResource']?.(1, wrong, 0, 0, 1, 3), -EINVAL);
        assert.equal(handle['mapResource']?.(1, 1, wrong, 0, 1, 3), -EINVAL);
        assert.equal(handle['mapResource']?.(1, 1, 0, wrong, 1, 3), -EINVAL);
        assert.equal(handle['mapResource']?.(1, 1, 0, 0, wrong, 3), -EINVAL);
        assert.equal(handle['mapResource']?.(1, 1, 0, 0, 1, wrong), -EINVAL);
        assert.equal(handle['resourceSize']?.(1, 1, wrong), -EINVAL);
        assert.equal(handle['dmOp']?.(wrong, bytes), -EINVAL);
        assert.equal(handle['dmOp']?.(1, bytes, wrong), -EINVAL);
      }
      assert.equal(handle['mapResource']?.(1, 1, 0, 0, 0, 3), -EINVAL);
      assert.equal(handle['mapResource']?.(1, 1, 0, 0, 1, 7), -EINVAL);
      assert.equal(handle['mapResource']?.(1, 1, 0, 0, 2 ** 18 + 1, 3), -E2BIG);
      assert.equal(handle['dmOp']?.(1), -EINVAL);
      assert.equal(handle['dmOp']?.(1, new Uint16Array(8)), -EINVAL);
      assert.equal(handle['dmOp']?.(1, ...Array(17).fill(bytes)), -E2BIG);
      assert.equal(handle['dmOp']?.(1, bytes, new Uint8Array(4097)), -E2BIG);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      assert.equal(handle['dmOp']?.(1, bytes), -EINVAL);
      handle['close']?.();
      assert.equal(handle['mapResource']?.(1, 1, 0, 0, 1, 3), -EBADF);
      assert.equal(handle['resourceSize']?.(1, 1, 0), -EBADF);
      assert.equal(handle['dmOp']?.(1, new Uint8Array(16)), -EBADF);
      assert.equal(inUse().guest, 0);
    },
  },

  'grants with wrong arguments give -EINVAL, beyond the limits -E2BIG, after close -EBADF': {
    run() {
      const grants = untyped(addon().openGrants());
      const refs = Uint32Array.of(1, 2);
      for (const wrong of [...NO_NUMBERS, undefined, 65536]) {
        assert.equal(grants['map']?.(wrong, refs, 3), -EINVAL);
        assert.equal(grants['share']?.(wrong, true, refs), -EINVAL);
        assert.equal(grants['unmap']?.(wrong), -EINVAL);
      }
      for (const wrong of [undefined, [1], new Int32Array(2), new Uint32Array(0), 5]) {
        assert.equal(grants['map']?.(1, wrong, 3), -EINVAL);
        assert.equal(grants['share']?.(1, true, wrong), -EINVAL);
      }
      for (const prot of [0, 4, 7, -1, 0.5, undefined]) assert.equal(grants['map']?.(1, refs, prot), -EINVAL);
      assert.equal(grants['share']?.(1, 1, refs), -EINVAL);
      assert.equal(grants['map']?.(1, new Uint32Array(1025), 3), -E2BIG);
      assert.equal(grants['share']?.(1, true, new Uint32Array(1025)), -E2BIG);
      grants['close']?.();
      grants['close']?.();
      assert.equal(grants['map']?.(1, refs, 3), -EBADF);
      assert.equal(grants['share']?.(1, true, refs), -EBADF);
    },
  },

  'openEvtchn with anything but a path or descriptors gives -EINVAL': {
    run() {
      const before = openDescriptors();
      for (const path of [
        undefined,
        {},
        '',
        '/dev/xen/evtchn\0',
        Symbol('x'),
        true,
        8n,
        -1,
        0.5,
        Number.NaN,
        2 ** 31,
      ]) {
        assert.equal(untyped(addon())['openEvtchn']?.(path), -EINVAL);
      }
      for (const wake of [undefined, {}, '', -1, 0.5, 2 ** 31, true]) {
        assert.equal(untyped(addon())['openEvtchn']?.(0, wake), -EINVAL);
      }
      assert.equal(addon().openEvtchn('/nonexistent'), -ENOENT);
      assert.equal(addon().openEvtchn(4000, null), -EBADF);
      assert.equal(addon().openEvtchn(0, null), -ENOTTY);
      assert.equal(openDescriptors(), before);
    },
  },

  'every function of event channels gives -EBADF after close': {
    run() {
      const events = addon().openEvtchn(null);
      assert.ok(typeof events === 'object');
      assert.equal(
        events.onPending(() => {}),
        0,
      );
      assert.equal(events.close(), 0);
      for (const name of EVTCHN_FUNCTIONS.filter((one) => one !== 'close')) {
        assert.equal(untyped(events)[name]?.(1, 1), -EBADF, name);
      }
      assert.equal(events.close(), 0);
    },
  },

  'functions taken off their handle go on working on it': {
    run() {
      const handle = openHandle();
      const { hypercall, close } = handle;
      putEcho(handle, 0, 3n);
      hypercall.call(undefined);
      assert.equal(new DataView(handle.arena).getBigInt64(48, true), 3n);
      Reflect.apply(close, { not: 'a handle' }, []);
      assert.equal(handle.arena.byteLength, 0);
    },
  },

  'a handle and a mapping that nobody closed are closed by the collector': {
    flags: ['--expose-gc'],
    async run() {
      let handle: NativeHandle | null = openHandle();
      map(handle);
      handle.hypercall();
      handle = null;
      for (let i = 0; i < 20 && inUse().privcmd + inUse().guest + inUse().arena > 0; i++) {
        (globalThis as { gc?: () => void }).gc?.();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
    },
  },

  'a mapping outlives its forgotten handle, and a forgotten mapping makes room': {
    flags: ['--expose-gc'],
    async run() {
      let handle: NativeHandle | null = openHandle();
      const kept = map(handle, [5n]);
      for (let i = 0; i < 100; i++) map(handle);
      handle = null;
      for (let i = 0; i < 20 && inUse().guest + inUse().privcmd > 1; i++) {
        (globalThis as { gc?: () => void }).gc?.();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.deepEqual(inUse(), { privcmd: 0, guest: 1, arena: 0 });
      assert.equal(new BigUint64Array(kept.buffer)[0], 0x1_0000_0005n);
    },
  },

  'no sequence of calls with any arguments crashes or leaks': {
    async run() {
      const { default: fc } = await import('fast-check'); // slow to load, and every case is a process
      const anything = fc.oneof(
        fc.constantFrom(0, 8, 56, 64, 512, PAGE, -1, 1, 3),
        fc.double(),
        fc.integer(),
        fc.bigInt(),
        fc.string(),
        fc.anything(),
        fc.constantFrom(
          null,
          undefined,
          new Int32Array(1),
          new BigUint64Array(1),
          new BigUint64Array(2),
          new Int32Array(2),
          new Uint8Array(16),
          Uint32Array.of(1, 2),
        ),
      );
      const names = [
        ...['hypercall', 'hypercallBatch', 'hypercallAsync', 'mapForeign', 'unmap', 'restrict', 'close'],
        ...['mapResource', 'resourceSize', 'dmOp'],
      ];
      const call = fc.tuple(fc.constantFrom(...names), fc.array(anything, { maxLength: 5 }));
      fc.assert(
        fc.property(
          fc.array(call, { maxLength: 30 }),
          fc.uint8Array({ minLength: 64, maxLength: 64 }),
          (calls, noise) => {
            const handle = openHandle(1);
            new Uint8Array(handle.arena).set(noise);
            new DataView(handle.arena).setBigUint64(0, 1000n, true); // the stub would follow other calls' pointers
            for (const [name, args] of calls) {
              const result = untyped(handle)[name]?.(...args);
              if (result instanceof Promise) result.catch(() => {});
            }
            handle.close();
          },
        ),
        { numRuns: 2000 },
      );
      assert.equal(inUse().guest, 0);
      const before = openDescriptors();
      const eventCall = fc.tuple(fc.constantFrom(...EVTCHN_FUNCTIONS), fc.array(anything, { maxLength: 3 }));
      fc.assert(
        fc.property(fc.array(eventCall, { maxLength: 30 }), (calls) => {
          const events = addon().openEvtchn(null);
          assert.ok(typeof events === 'object');
          events.wake(); // for a wait that would be long
          for (const [name, args] of calls) {
            if (name === 'wait' && typeof args[0] === 'number' && args[0] > 8) continue;
            untyped(events)[name]?.(...args);
          }
          events.close();
        }),
      );
      const grantCall = fc.tuple(
        fc.constantFrom('map', 'share', 'unmap', 'close'),
        fc.array(anything, { maxLength: 4 }),
      );
      fc.assert(
        fc.property(fc.array(grantCall, { maxLength: 20 }), (calls) => {
          const grants = addon().openGrants();
          for (const [name, args] of calls) untyped(grants)[name]?.(...args);
          grants.close();
        }),
      );
      assert.equal(openDescriptors(), before);
      assert.equal(inUse().guest, 0);
    },
  },
});

if (process.env['XENCTRL_TEST_CASES'] === undefined) {
  test('load on another system says that only the model runs there', () => {
    const loaded = load(undefined, 'darwin', 'arm64');
    assert.equal(loaded.addon, null);
    assert.match(loaded.addon === null ? loaded.reason : '', /is for Linux, this is darwin: only the software model/);
  });

  test('load of a named addon that is not there says so', () => {
    const loaded = load('/nonexistent.node', 'linux', 'x64');
    assert.match(
      loaded.addon === null ? loaded.reason : '',
      /nonexistent\.node does not load.*correct or unset XENCTRL_ADDON/,
    );
  });

  test('load of an addon of another version says how to rebuild', () => {
    const loaded = load('node:os', 'linux', 'x64'); // a module without an abi
    assert.match(loaded.addon === null ? loaded.reason : '', /another version of this package.*npm run build:native/);
  });
}
