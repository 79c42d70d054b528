/** The libxen adapter: Debian's libxencall and libxenforeignmemory on the stub kernel, by koffi and by ffi-napi. */

import assert from 'node:assert/strict';
import { XenError } from '#dist/hypervisor/error.js';
import type { Ffi } from '#dist/hypervisor/libxen/ffi.js';
import { loadFfi } from '#dist/hypervisor/libxen/ffi.js';
import { LibxenHypervisor } from '#dist/hypervisor/libxen/hypervisor.js';
import { libxenAdapter } from '#dist/hypervisor/libxen/index.js';
import { declareLibraries } from '#dist/hypervisor/libxen/libraries.js';
import { openHypervisor, registerAdapter } from '#dist/hypervisor/open.js';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '#dist/hypervisor/port.js';
import { xc_altp2m_set_visibility } from '#dist/xc/altp2m.js';
import { xc_interface_open } from '#dist/xc/interface.js';
import { type Case, inUse, logged, stubbed } from '../native/harness.js';
import { onAdapters } from './adapters.js';

const ECHO = 1000;
const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

function code(wanted: string) {
  return (error: unknown): boolean => error instanceof XenError && error.code === wanted;
}

const cases: Record<string, Case> = {
  'hypercall passes five 64-bit arguments and gives results and -errno': {
    env: { STUB_LOG: '' },
    run() {
      using xen = new LibxenHypervisor();
      assert.equal(xen.hypercall(17, 0), 0x40011);
      assert.equal(xen.hypercall(ECHO, 0x7fff_ffff), 0x7fff_ffff);
      assert.equal(xen.hypercall(99, 1, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER, 5), -38);
      assert.equal(logged().at(-1), '63 1 ffffffff 100000000 1fffffffffffff 5');
    },
  },

  'hypercall64 gives all 64 bits, where libxencall would cut them': {
    run() {
      using xen = new LibxenHypervisor();
      assert.equal(xen.hypercall64(ECHO, 0x1_2345_6789), 0x1_2345_6789n);
      assert.equal(xen.hypercall64(ECHO, Number.MAX_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER));
      assert.equal(xen.hypercall64(99), -38n);
      assert.equal(xen.hypercall(12, 77), -38, 'a memory operation goes the same way');
    },
  },

  'hypercallAsync gives the result and -errno': {
    async run() {
      using xen = new LibxenHypervisor();
      assert.deepEqual(await Promise.all([xen.hypercallAsync(ECHO, 3), xen.hypercallAsync(99)]), [3, -38]);
    },
  },

  'xc_altp2m_set_visibility sends these 80 bytes exactly': {
    env: { STUB_LOG: '' },
    run() {
      using xen = new LibxenHypervisor();
      using xch = xc_interface_open({ hypervisor: xen });
      xc_altp2m_set_visibility(xch, 0x102, 3, true);
      const operation = '01000000100000000201000000000000'.padEnd(32, '0') + '03000100'.padEnd(128, '0');
      assert.equal(logged().at(-1), `22 19 ${(xen.arena.base + 64).toString(16)} 0 0 0 ${operation}`);
    },
  },

  'mapForeign shows the frames, writable, and tells errors page by page': {
    env: { STUB_PAGES: '4:22,5:2*3' },
    run() {
      using xen = new LibxenHypervisor();
      using mapping = xen.mapForeign(1, [3, 4, 5], RW);
      assert.deepEqual([...mapping.errors], [0, -22, 0]);
      assert.equal(mapping.bytes.length, 3 * PAGE);
      assert.deepEqual([mapping.bytes[0], mapping.bytes[2 * PAGE]], [3, 5]);
      mapping.bytes[100] = 0xab;
      using again = xen.mapForeign(1, [3], PROT_READ);
      assert.equal(again.bytes[100], 0xab);
    },
  },

  'mapForeign of a domain that is not there throws ESRCH; wrong arguments RangeError': {
    run() {
      using xen = new LibxenHypervisor();
      assert.throws(() => xen.mapForeign(77, [0], RW), code('ESRCH'));
      assert.throws(() => xen.mapForeign(1, [], RW), RangeError);
      assert.throws(() => xen.mapForeign(1, [-1], RW), RangeError);
      assert.throws(() => xen.mapForeign(1, [0], PROT_EXEC), RangeError);
      assert.equal(inUse().guest, 0);
    },
  },

  'close of a mapping cuts its views off; its place is used again': {
    run() {
      using xen = new LibxenHypervisor();
      for (let round = 0; round < 200; round++) {
        const mapping = xen.mapForeign(1, [round, round + 1], RW);
        const { bytes } = mapping;
        assert.equal(bytes[PAGE], (round + 1) % 256);
        mapping.close();
        mapping.close();
        assert.equal(bytes.length, 0);
        assert.throws(() => mapping.bytes, new TypeError('this mapping is closed'));
      }
      assert.equal(inUse().guest, 0);
    },
  },

  'restrict leaves one domain': {
    run() {
      using xen = new LibxenHypervisor();
      xen.restrict(1);
      assert.equal(xen.hypercall(17, 0), -1);
      assert.throws(() => xen.mapForeign(2, [0], RW), code('EPERM'));
      using mapping = xen.mapForeign(1, [4], PROT_READ);
      assert.equal(mapping.bytes[0], 4);
    },
  },

  'close frees all; any use after it is a TypeError; it can be opened again': {
    async run() {
      for (let round = 0; round < 3; round++) {
        const xen = new LibxenHypervisor();
        const mapping = xen.mapForeign(1, [9], PROT_READ);
        assert.equal(xen.hypercall(ECHO, round), round);
        xen.close();
        xen.close();
        assert.deepEqual(inUse().privcmd + inUse().guest, 0);
        assert.throws(() => mapping.bytes, TypeError);
        assert.throws(() => xen.arena, TypeError);
        assert.throws(() => xen.hypercall(17, 0), TypeError);
        assert.throws(() => xen.hypercall64(17, 0), TypeError);
        await assert.rejects(xen.hypercallAsync(17, 0), TypeError);
        assert.throws(() => xen.mapForeign(1, [0], RW), TypeError);
        assert.throws(() => xen.restrict(1), TypeError);
      }
    },
  },

  'openHypervisor opens it by name': {
    run() {
      registerAdapter('libxen', libxenAdapter);
      using xen = openHypervisor('libxen');
      assert.equal(xen.kind, 'libxen');
    },
  },
};

stubbed(import.meta.url, {
  ...onAdapters(cases, ['koffi', 'ffi-napi']),

  'a missing device is told without a word from libxencall': {
    env: { STUB_OPEN_ERRNO: '2' },
    silent: true,
    run() {
      assert.match(libxenAdapter.unavailable() ?? '', /modprobe xen-privcmd/);
    },
  },

  'an interface that is not installed is told with the command that installs it': {
    run() {
      assert.throws(() => loadFfi('ffi-napi'), /ffi-napi: Cannot find module.*npm install ffi-napi/);
      assert.throws(() => loadFfi('dlopen'), /XENCTRL_FFI=dlopen: use koffi or ffi-napi/);
      assert.equal(loadFfi().name, 'koffi');
    },
  },

  'libraries that are not installed are told with the command that installs them': {
    run() {
      const koffi: Ffi = loadFfi('koffi');
      const without = { ...koffi, load: (name: string | null) => koffi.load(name === null ? null : `no-${name}`) };
      assert.throws(() => declareLibraries(without), /libxencall\.so\.1 does not load.*apt install libxencall1/);
    },
  },
});
