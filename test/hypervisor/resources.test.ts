/** Resources, device model operations and grants on the stub kernel's devices. */

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import type { GrantTable } from '#dist/hypervisor/grant_table.js';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '#dist/hypervisor/port.js';
import { type Case, inUse, logged, openDescriptors, stubbed, xenError } from '../native/harness.js';
import { adapterName, onAdapters, openAdapter } from './adapters.js';

const { E2BIG, EINVAL, EOPNOTSUPP, EPERM, ESRCH } = constants.errno;
const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;
const GRANT_TABLE = 1;
const VMTRACE = 2;
/** A call of the stub's own: how many pages are granted or mapped. */
const GRANTS_IN_USE = 1003;

/** The stub's frame number at a frame's start. */
function frameAt(bytes: Uint8Array, page: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(page * PAGE, true);
}

/** A device model operation: op and pad, then its arguments. */
function dmOp(op: number, ...words: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.of(op, 0, ...words).buffer);
}

function misuse(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError;
}

const resources: Record<string, Case> = {
  'mapResource maps the frames asked for, writable, until it is closed': {
    run() {
      using xen = openAdapter();
      for (let round = 0; round < 50; round++) {
        const mapping = xen.mapResource(1, GRANT_TABLE, 0, 1, 2, RW);
        const { bytes } = mapping;
        assert.deepEqual([...mapping.errors], [0, 0]);
        assert.deepEqual([frameAt(bytes, 0), frameAt(bytes, 1)], [513, 514]);
        bytes[PAGE + 100] = round;
        using again = xen.mapResource(1, GRANT_TABLE, 0, 2, 1, PROT_READ);
        assert.equal(again.bytes[100], round);
        mapping.close();
        mapping.close();
        assert.equal(bytes.length, 0);
        assert.throws(() => mapping.bytes, new TypeError('this mapping is closed'));
      }
      assert.equal(inUse().guest, 0);
    },
  },

  'resourceSize gives the number of frames, or -errno': {
    run() {
      using xen = openAdapter();
      assert.equal(xen.resourceSize(1, GRANT_TABLE, 0), 4);
      assert.equal(xen.resourceSize(77, GRANT_TABLE, 0), -ESRCH);
      assert.equal(xen.resourceSize(1, VMTRACE, 0), -EINVAL);
    },
  },

  'mapResource throws what Xen answers, and leaves nothing mapped': {
    run() {
      using xen = openAdapter();
      assert.throws(() => xen.mapResource(77, GRANT_TABLE, 0, 0, 1, RW), xenError('ESRCH', { domid: 77 }));
      assert.throws(() => xen.mapResource(1, GRANT_TABLE, 0, 3, 2, RW), xenError('EINVAL'));
      assert.throws(() => xen.mapResource(1, GRANT_TABLE, 0, 0xffff_ffff, 1, RW), xenError('EINVAL'));
      assert.equal(inUse().guest, 0);
    },
  },

  'mapResource and resourceSize refuse wrong arguments': {
    run() {
      using xen = openAdapter();
      for (const bad of [undefined, null, -1, 0.5, '1', 2 ** 32, Number.NaN, 1n] as unknown as number[]) {
        assert.throws(() => xen.mapResource(bad, 1, 0, 0, 1, RW), misuse);
        assert.throws(() => xen.mapResource(1, bad, 0, 0, 1, RW), misuse);
        assert.throws(() => xen.mapResource(1, 1, bad, 0, 1, RW), misuse);
        assert.throws(() => xen.mapResource(1, 1, 0, bad, 1, RW), misuse);
        assert.throws(() => xen.mapResource(1, 1, 0, 0, bad, RW), misuse);
        assert.throws(() => xen.resourceSize(1, bad, 0), misuse);
      }
      for (const count of [0, 2 ** 18 + 1]) assert.throws(() => xen.mapResource(1, 1, 0, 0, count, RW), RangeError);
      for (const prot of [0, PROT_EXEC, 8]) assert.throws(() => xen.mapResource(1, 1, 0, 0, 1, prot), RangeError);
    },
  },

  'dmOp sends the buffers, and Xen’s answer is written to them': {
    env: { STUB_LOG: '' },
    run() {
      using xen = openAdapter();
      const vcpus = dmOp(20, 0, 0);
      assert.equal(xen.dmOp(1, [vcpus]), 0);
      assert.equal(vcpus[8], 2);
      const bitmap = Uint8Array.of(0xaa, 0xbb);
      assert.equal(xen.dmOp(1, [dmOp(11, 1, 0), bitmap]), 0);
      assert.match(logged().at(-1) ?? '', /dm 1 0b000000000000000100000000000000 aabb$/);
      assert.equal(xen.dmOp(77, [vcpus]), -ESRCH);
      assert.equal(xen.dmOp(1, [dmOp(999, 0, 0)]), -EOPNOTSUPP);
    },
  },

  'dmOp keeps to the kernel’s limits': {
    run() {
      using xen = openAdapter();
      const op = dmOp(11, 0, 0);
      const many = Array.from({ length: 15 }, () => new Uint8Array(4096));
      assert.equal(xen.dmOp(1, [op, ...many]), 0);
      assert.equal(xen.dmOp(1, [op, ...many, new Uint8Array(1)]), -E2BIG);
      assert.equal(xen.dmOp(1, [op, new Uint8Array(4097)]), -E2BIG);
      const largest = xen.arena.largestFree;
      for (let round = 0; round < 20; round++) xen.dmOp(1, [op, ...many]);
      assert.equal(xen.arena.largestFree, largest);
    },
  },

  'dmOp refuses what is no list of buffers': {
    run() {
      using xen = openAdapter();
      const op = dmOp(11, 0, 0);
      for (const bad of [undefined, null, 5, op, {}, [], [undefined], [[1]], [op, 'x'], [op, new Uint16Array(2)]]) {
        assert.throws(() => xen.dmOp(1, bad as Uint8Array[]), TypeError);
      }
      assert.throws(() => xen.dmOp(1, [op, new Uint8Array(0)]), RangeError);
      assert.throws(() => xen.dmOp(65536, [op]), RangeError);
    },
  },

  'restrict leaves one domain’s resources': {
    run() {
      using xen = openAdapter();
      xen.restrict(1);
      assert.throws(() => xen.mapResource(2, GRANT_TABLE, 0, 0, 1, RW), xenError('EPERM', { domid: 2 }));
      assert.equal(xen.resourceSize(2, GRANT_TABLE, 0), -EPERM);
      assert.equal(xen.dmOp(2, [dmOp(20, 0, 0)]), -EPERM);
      assert.equal(xen.dmOp(1, [dmOp(20, 0, 0)]), adapterName() === 'privcmd' ? 0 : -EPERM);
      using mapping = xen.mapResource(1, GRANT_TABLE, 0, 0, 1, PROT_READ);
      assert.equal(frameAt(mapping.bytes, 0), 512);
    },
  },

  'close unmaps resources; any use after it is a TypeError': {
    run() {
      const xen = openAdapter();
      const { bytes } = xen.mapResource(1, GRANT_TABLE, 0, 0, 4, RW);
      xen.close();
      assert.equal(bytes.length, 0);
      assert.equal(inUse().guest, 0);
      assert.throws(() => xen.mapResource(1, GRANT_TABLE, 0, 0, 1, RW), TypeError);
      assert.throws(() => xen.resourceSize(1, GRANT_TABLE, 0), TypeError);
      assert.throws(() => xen.dmOp(1, [dmOp(20)]), TypeError);
      assert.throws(() => xen.grantTable(), TypeError);
      assert.throws(() => xen.eventChannels(), TypeError);
    },
  },
};

const grants: Record<string, Case> = {
  'map shows what a domain granted, in the order asked for': {
    run() {
      using xen = openAdapter();
      using table = xen.grantTable();
      for (let round = 0; round < 50; round++) {
        using mapping = table.map(2, [7, 5], RW);
        assert.deepEqual([frameAt(mapping.bytes, 0), frameAt(mapping.bytes, 1)], [7, 5]);
        mapping.bytes[100] = round;
        using again = table.map(2, [7], PROT_READ);
        assert.equal(again.bytes[100], round);
        assert.equal(xen.hypercall(GRANTS_IN_USE), 3);
      }
      assert.equal(xen.hypercall(GRANTS_IN_USE), 0);
      assert.equal(inUse().guest, 0);
    },
  },

  'map is all or nothing, and throws what the kernel answers': {
    run() {
      using xen = openAdapter();
      using table = xen.grantTable();
      assert.throws(() => table.map(1, [5, 1000], RW), xenError('EINVAL', { domid: 1 }));
      assert.throws(() => table.map(1, new Array(65).fill(1), RW), xenError('EINVAL'));
      assert.equal(xen.hypercall(GRANTS_IN_USE), 0);
      assert.equal(inUse().guest, 0);
    },
  },

  'share gives fresh pages and their references; whoever maps them sees them': {
    run() {
      using xen = openAdapter();
      using table = xen.grantTable();
      const share = table.share(1, 2, true);
      const { bytes, refs } = share;
      assert.equal(refs.length, 2);
      bytes[PAGE] = 0xab;
      const seen = table.map(0, [refs[1] ?? -1], PROT_READ); // as the stub has it, domain 0's
      assert.equal(seen.bytes[0], 0xab);
      seen.close();
      assert.equal(xen.hypercall(GRANTS_IN_USE), 2);
      share.close();
      share.close();
      assert.equal(bytes.length, 0);
      assert.equal(xen.hypercall(GRANTS_IN_USE), 0);
      assert.throws(() => share.bytes, TypeError);
    },
  },

  'arguments out of range are refused': {
    run() {
      using xen = openAdapter();
      using table = xen.grantTable();
      for (const bad of [undefined, null, -1, 0.5, '1', 2 ** 32, Number.NaN] as unknown as number[]) {
        assert.throws(() => table.map(bad, [1], RW), misuse);
        assert.throws(() => table.map(1, [bad], RW), misuse);
        assert.throws(() => table.map(1, [1], bad), misuse);
        assert.throws(() => table.share(bad, 1, true), misuse);
        assert.throws(() => table.share(1, bad, true), misuse);
        assert.throws(() => table.share(1, 1, bad as unknown as boolean), misuse);
      }
      for (const refs of [[], new Array(1025).fill(1), 5, new Array(2)] as unknown as number[][]) {
        assert.throws(() => table.map(1, refs, RW), misuse);
      }
      assert.equal(xen.hypercall(GRANTS_IN_USE), 0);
    },
  },

  'close of the table, and of the hypervisor, takes all back': {
    run() {
      const before = openDescriptors();
      const xen = openAdapter();
      const use = (table: GrantTable): Uint8Array[] => [table.map(1, [1, 2], RW).bytes, table.share(1, 3, false).bytes];
      const first = xen.grantTable();
      const views = use(first);
      first.close();
      first.close();
      assert.equal(xen.hypercall(GRANTS_IN_USE), 0);
      assert.throws(() => first.map(1, [1], RW), new TypeError('this grant table is closed'));
      assert.throws(() => first.share(1, 1, true), TypeError);
      views.push(...use(xen.grantTable()));
      xen.close();
      assert.deepEqual(
        views.map(({ length }) => length),
        [0, 0, 0, 0],
      );
      assert.equal(openDescriptors(), before);
      assert.equal(inUse().guest, 0);
    },
  },

  'devices that are not there are told with the module to load': {
    env: { STUB_DEVICE_ERRNO: '2' },
    run() {
      using xen = openAdapter();
      const table = xen.grantTable();
      assert.throws(() => table.map(1, [1], RW), /no \/dev\/xen\/gntdev.*modprobe xen-gntdev/);
      assert.throws(() => table.share(1, 1, true), /no \/dev\/xen\/gntalloc.*modprobe xen-gntalloc/);
    },
  },
};

stubbed(import.meta.url, {
  ...onAdapters(resources),
  ...onAdapters(grants, ['privcmd', 'koffi']),
  ...onAdapters(
    {
      'grantTable says that koffi is needed': {
        run() {
          using xen = openAdapter();
          assert.throws(() => xen.grantTable(), xenError('EOPNOTSUPP'));
          assert.throws(() => xen.grantTable(), /install koffi/);
        },
      },
    },
    ['ffi-napi'],
  ),
});
