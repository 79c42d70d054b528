/** Foreign mappings of the privcmd adapter on the stub kernel. */

import assert from 'node:assert/strict';
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '#dist/hypervisor/port.js';
import { PrivcmdHypervisor } from '#dist/hypervisor/privcmd/hypervisor.js';
import { inUse, stubbed, xenError } from '../native/harness.js';

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

/** The first 64-bit word of each page, in hex: domain and frame. */
function pageWords(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / PAGE }, (_, i) => view.getBigUint64(i * PAGE, true).toString(16));
}

stubbed(import.meta.url, {
  'mapForeign shows the frames in the order asked for, writable': {
    run() {
      using xen = new PrivcmdHypervisor();
      using mapping = xen.mapForeign(2, [7, 3, 5], RW);
      assert.deepEqual(pageWords(mapping.bytes), ['200000007', '200000003', '200000005']);
      assert.deepEqual([...mapping.errors], [0, 0, 0]);
      mapping.bytes[PAGE + 100] = 0xab;
      using again = xen.mapForeign(2, [3], PROT_READ);
      assert.equal(again.bytes[100], 0xab);
    },
  },

  'mapForeign tells errors page by page and maps the rest': {
    env: { STUB_PAGES: '4:22,6:16' },
    run() {
      using xen = new PrivcmdHypervisor();
      using mapping = xen.mapForeign(1, [3, 4, 5, 6, 5000], PROT_READ);
      assert.deepEqual([...mapping.errors], [0, -22, 0, -16, -22]);
      assert.equal(mapping.bytes[0], 3);
      assert.equal(mapping.bytes[2 * PAGE], 5);
      using none = xen.mapForeign(1, [4], PROT_READ);
      assert.deepEqual([...none.errors], [-22]);
    },
  },

  'mapForeign asks for pages that are paged out until they are there': {
    env: { STUB_PAGES: '4:2*3,5:2*1,8:2*6,9:22' },
    run() {
      using xen = new PrivcmdHypervisor();
      using mapping = xen.mapForeign(1, [3, 4, 5, 6, 8, 9], PROT_READ);
      assert.deepEqual([...mapping.errors], [0, 0, 0, 0, 0, -22]);
      assert.deepEqual(
        pageWords(mapping.bytes.subarray(0, 5 * PAGE)),
        [3, 4, 5, 6, 8].map((gfn) => `10000000${gfn}`),
      );
    },
  },

  'mapForeign of a domain that is not there throws ESRCH, and leaves nothing mapped': {
    run() {
      using xen = new PrivcmdHypervisor();
      assert.throws(() => xen.mapForeign(77, [0, 1], RW), xenError('ESRCH', { domid: 77 }));
      assert.throws(() => new PrivcmdHypervisor().mapForeign(1, [0], 8), RangeError);
      assert.equal(inUse().guest, 0);
    },
  },

  'mapForeign on a kernel without MMAPBATCH_V2 throws EINVAL and says so': {
    env: { STUB_NO_BATCH_V2: '1' },
    run() {
      using xen = new PrivcmdHypervisor();
      assert.throws(
        () => xen.mapForeign(1, [0], RW),
        (error) => {
          assert.match(String(error), /EINVAL.*MMAPBATCH_V2/);
          return true;
        },
      );
    },
  },

  'mapForeign refuses wrong arguments before anything is asked': {
    run() {
      using xen = new PrivcmdHypervisor();
      assert.throws(() => xen.mapForeign(1, [], RW), RangeError);
      assert.throws(() => xen.mapForeign(1, [0.5], RW), RangeError);
      assert.throws(() => xen.mapForeign(1, [-1], RW), RangeError);
      assert.throws(() => xen.mapForeign(-1, [0], RW), RangeError);
      assert.throws(() => xen.mapForeign(1, [0], PROT_EXEC), RangeError);
      assert.throws(() => xen.mapForeign(1, [0], 0), RangeError);
      assert.throws(() => xen.mapForeign(1, new Array(2 ** 18 + 1).fill(0), RW), RangeError);
    },
  },

  'close of a mapping cuts its views off, and is harmless twice': {
    run() {
      using xen = new PrivcmdHypervisor();
      const mapping = xen.mapForeign(1, [0], RW);
      const { bytes } = mapping;
      const view = new DataView(bytes.buffer);
      mapping.close();
      assert.equal(bytes.length, 0);
      assert.equal(bytes[0], undefined);
      assert.throws(() => view.getUint8(0), TypeError);
      assert.throws(() => mapping.bytes, new TypeError('this mapping is closed'));
      const other = xen.mapForeign(1, [1], RW);
      mapping.close();
      assert.equal(other.bytes[0], 1);
      other.close();
      assert.equal(inUse().guest, 0);
    },
  },

  'close of the hypervisor closes its mappings, too': {
    alone: true,
    run() {
      const xen = new PrivcmdHypervisor();
      const mapping = xen.mapForeign(1, [0], RW);
      xen.close();
      assert.throws(() => mapping.bytes, TypeError);
      mapping.close();
      assert.deepEqual(inUse(), { privcmd: 0, guest: 0, arena: 0 });
    },
  },

  'a mapping whose buffer was transferred away stays mapped until the collector has it': {
    flags: ['--expose-gc'],
    async run() {
      const xen = new PrivcmdHypervisor();
      const mapping = xen.mapForeign(1, [9], RW);
      let taken: ArrayBuffer | null = await takeOver(mapping.bytes);
      assert.throws(() => mapping.bytes, TypeError);
      mapping.close();
      xen.close();
      assert.equal(new Uint8Array(taken)[0], 9);
      assert.equal(inUse().guest, 1);
      taken = null;
      for (let i = 0; i < 20 && inUse().guest > 0; i++) {
        (globalThis as { gc?: () => void }).gc?.();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.equal(inUse().guest, 0);
    },
  },
});

/** Takes a buffer's memory away from it, as `buffer.transfer()` does, which Node 20 has not. */
async function takeOver(bytes: Uint8Array): Promise<ArrayBuffer> {
  const stream = new ReadableStream({
    type: 'bytes',
    pull(controller) {
      (controller as ReadableByteStreamController).byobRequest?.respond(PAGE);
    },
  });
  const { value } = await stream.getReader({ mode: 'byob' }).read(bytes);
  assert.ok(value);
  return value.buffer as ArrayBuffer;
}
