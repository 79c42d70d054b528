/** The privcmd adapter on the stub kernel. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ArenaBuffer } from '#dist/hypervisor/arena.js';
import { BackendUnavailableError } from '#dist/hypervisor/error.js';
import { openHypervisor, registerAdapter } from '#dist/hypervisor/open.js';
import { PROT_READ, PROT_WRITE } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { privcmdAdapter } from '#dist/hypervisor/privcmd/index.js';
import { ADDON_ABI } from '#dist/native/addon.js';
import { xc_altp2m_set_visibility } from '#dist/xc/altp2m.js';
import { xc_interface_open } from '#dist/xc/interface.js';
import { inUse, logged, stubbed, xenError } from '../native/harness.js';

/** Calls of the stub's own. */
const ECHO = 1000;
const SLEEP_AND_SWAP = 1001;
const RW = PROT_READ | PROT_WRITE;

stubbed(import.meta.url, {
  'hypercall puts op and five 64-bit arguments into the slot': {
    env: { STUB_LOG: '' },
    run() {
      using xen = new PrivcmdHypervisor();
      xen.hypercall(99, 1, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER, 0x7fff_1234_5678);
      xen.hypercall(98);
      assert.deepEqual(logged(), ['63 1 ffffffff 100000000 1fffffffffffff 7fff12345678', '62 0 0 0 0 0']);
    },
  },

  'hypercall gives results of all sizes, and -errno': {
    run() {
      using xen = new PrivcmdHypervisor();
      for (const value of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_2345_6789, Number.MAX_SAFE_INTEGER]) {
        assert.equal(xen.hypercall(ECHO, value), value);
        assert.equal(xen.hypercall64(ECHO, value), BigInt(value));
      }
      assert.equal(xen.hypercall(99), -38);
      assert.equal(xen.hypercall64(99), -38n);
      assert.equal(xen.hypercall(17, 0), 0x40011);
    },
  },

  'hypercallBatch makes every call and leaves each result behind its call': {
    run() {
      using xen = new PrivcmdHypervisor();
      using slots = xen.arena.alloc(3 * 56);
      const { view } = xen.arena;
      for (const [i, op] of [ECHO, 99, ECHO].entries()) {
        view.setBigUint64(slots.offset + i * 56, BigInt(op), true);
        view.setBigUint64(slots.offset + i * 56 + 8, 0x1_2345_6789n + BigInt(i), true);
      }
      xen.hypercallBatch(slots);
      const results = [0, 1, 2].map((i) => view.getBigInt64(slots.offset + i * 56 + 48, true));
      assert.deepEqual(results, [0x1_2345_6789n, -38n, 0x1_2345_678bn]);
      using odd = xen.arena.alloc(57);
      assert.throws(() => xen.hypercallBatch(odd), RangeError);
    },
  },

  'xc_altp2m_set_visibility sends these 80 bytes exactly': {
    env: { STUB_LOG: '' },
    run() {
      using xen = new PrivcmdHypervisor();
      using xch = xc_interface_open({ hypervisor: xen });
      xc_altp2m_set_visibility(xch, 0x102, 3, true);
      const address = (xen.arena.base + 64).toString(16);
      const operation = '01000000100000000201000000000000'.padEnd(32, '0') + '03000100'.padEnd(128, '0');
      assert.equal(logged().at(-1), `22 19 ${address} 0 0 0 ${operation}`);
    },
  },

  'xc_altp2m_set_visibility throws what Xen answers': {
    env: { STUB_ALTP2M_ERRNO: '22' },
    run() {
      using xch = xc_interface_open({ hypervisor: new PrivcmdHypervisor() });
      assert.throws(() => xc_altp2m_set_visibility(xch, 1, 9, false), xenError('EINVAL', { errno: -22, domid: 1 }));
    },
  },

  'hypercallAsync gives the result, and synchronous calls go on meanwhile': {
    async run() {
      using xen = new PrivcmdHypervisor();
      using word = xen.arena.alloc(4);
      xen.arena.view.setUint32(word.offset, 7, true);
      let done = false;
      const sleeping = xen.hypercallAsync(SLEEP_AND_SWAP, 100, word.address, 8).finally(() => {
        done = true;
      });
      const others = [1, 2, 3].map((value) => xen.hypercallAsync(ECHO, value));
      assert.equal(xen.hypercall(ECHO, 5), 5);
      assert.equal(done, false);
      assert.deepEqual(await Promise.all([sleeping, ...others]), [7, 1, 2, 3]);
      assert.equal(xen.arena.view.getUint32(word.offset, true), 8);
      assert.equal(await xen.hypercallAsync(99), -38);
    },
  },

  'close with a call in flight: the call ends on memory that is still there, then all is freed': {
    async run() {
      const xen = new PrivcmdHypervisor();
      const word = xen.arena.alloc(4);
      xen.arena.view.setUint32(word.offset, 7, true);
      const sleeping = xen.hypercallAsync(SLEEP_AND_SWAP, 100, word.address, 8);
      const { view } = xen.arena;
      xen.close();
      assert.throws(() => view.getUint32(word.offset), TypeError);
      assert.deepEqual(inUse(), { privcmd: 1, guest: 0, arena: 1 });
      assert.equal(await sleeping, 7);
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
    },
  },

  'any use after close is a TypeError, closing again is not': {
    async run() {
      const xen = new PrivcmdHypervisor();
      const { arena } = xen;
      xen.close();
      assert.throws(() => xen.hypercall(17, 0), new TypeError('this hypervisor is closed'));
      assert.throws(() => xen.hypercall64(17, 0), TypeError);
      await assert.rejects(xen.hypercallAsync(17, 0), TypeError);
      assert.throws(() => xen.hypercallBatch({} as ArenaBuffer), TypeError);
      assert.throws(() => xen.mapForeign(1, [0], RW), TypeError);
      assert.throws(() => xen.restrict(1), TypeError);
      assert.throws(() => xen.arena, TypeError);
      assert.throws(() => arena.view.getUint8(0), TypeError);
      assert.equal(arena.bytes.length, 0);
      xen.close();
    },
  },

  'restrict leaves one domain: hypercalls and other domains’ frames give EPERM': {
    run() {
      using xen = new PrivcmdHypervisor();
      xen.restrict(1);
      assert.equal(xen.hypercall(17, 0), -1);
      assert.throws(() => xen.mapForeign(2, [0], RW), xenError('EPERM', { domid: 2 }));
      using mapping = xen.mapForeign(1, [4], PROT_READ);
      assert.equal(mapping.bytes[0], 4);
      assert.throws(() => xen.restrict(2), xenError('EINVAL'));
      assert.throws(() => xen.restrict(65536), RangeError);
    },
  },

  'without /dev/xen/hypercall the arena is locked memory that children do not get': {
    env: { STUB_NO_HYPERCALL: '1' },
    run() {
      using xen = new PrivcmdHypervisor();
      assert.equal(xen.hypercall(ECHO, 5), 5);
      const blocks = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
      const arena = blocks.find((block) => block.startsWith(xen.arena.base.toString(16)));
      const flags = /VmFlags:(.*)/.exec(arena ?? '')?.[1] ?? '';
      assert.match(flags, / dc /, 'not given to children');
      assert.match(arena ?? '', /Rss: +256 kB/);
    },
  },

  'two workers work at once, and terminating them frees what they had open': {
    async run() {
      using xen = new PrivcmdHypervisor();
      const before = inUse();
      const workers = [1, 2].map(() => new Worker(new URL('../native/worker.js', import.meta.url)));
      const answers = await Promise.all(
        workers.map(
          (worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject)),
        ),
      );
      const during = inUse();
      await Promise.all(workers.map((worker) => worker.terminate()));
      assert.deepEqual(
        answers,
        [1, 2].map(() => ({ sum: 6, echo: 42 })),
      );
      assert.deepEqual(during, { privcmd: before.privcmd + 2, guest: 6, arena: before.arena + 2 });
      assert.deepEqual(inUse(), before);
      assert.equal(xen.hypercall(ECHO, 5), 5);
    },
  },

  'terminating a worker in the middle of any call neither crashes nor leaks': {
    async run() {
      for (let round = 0; round < 15; round++) {
        const workers = [1, 2].map(() => new Worker(new URL('../native/busy_worker.js', import.meta.url)));
        await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
    },
  },

  'unavailable says null where the device can be opened, and openHypervisor opens it': {
    run() {
      registerAdapter('privcmd', privcmdAdapter);
      assert.equal(privcmdAdapter.unavailable(), null);
      using xen = openHypervisor('auto');
      assert.equal(xen.kind, 'privcmd');
    },
  },

  'a missing device is told with the module to load': {
    env: { STUB_OPEN_ERRNO: '2' },
    run() {
      registerAdapter('privcmd', privcmdAdapter);
      assert.throws(
        () => openHypervisor('privcmd'),
        (error) => {
          assert.ok(error instanceof BackendUnavailableError);
          assert.match(error.message, /there is no \/dev\/xen\/privcmd.*modprobe xen-privcmd/);
          return true;
        },
      );
      assert.throws(() => new PrivcmdHypervisor(), /modprobe xen-privcmd/);
    },
  },

  'a device without rights is told with sudo': {
    env: { STUB_OPEN_ERRNO: '13' },
    run() {
      assert.match(privcmdAdapter.unavailable() ?? '', /may not be opened \(EACCES\): run as root/);
      assert.throws(() => new PrivcmdHypervisor(), /run as root/);
    },
  },

  'an addon of another version is told with how to rebuild it': {
    alone: true,
    run() {
      using _ = pretendAddon(`exports.abi = 0;`);
      assert.match(
        privcmdAdapter.unavailable() ?? '',
        /another version of this package; rebuild it: npm run build:native/,
      );
      assert.throws(() => new PrivcmdHypervisor(), BackendUnavailableError);
    },
  },

  'a Node that forbids memory of others is told, not worked around': {
    alone: true,
    run() {
      using _ = pretendAddon(`exports.abi = ${ADDON_ABI}; exports.open = () => -95;`);
      assert.throws(() => new PrivcmdHypervisor(), /this build of Node forbids memory that is not its own/);
    },
  },
});

/** Puts a script in the addon's place. */
function pretendAddon(script: string): Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'xenctrl-test-'));
  const path = join(folder, 'addon.cjs');
  writeFileSync(path, script);
  process.env['XENCTRL_ADDON'] = path;
  return { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}
