/**
 * Hidden hooks in a guest that executes, reads and writes what is hooked. On real Xen this needs Intel's VMX: in the lab,
 * Bochs, where the hidden instruction is done by Xen's emulator.
 */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { StealthHooks } from '#dist/vmi/stealth/stealth_hooks.js';
import { openTarget } from './target.js';
import { at, CODE, endGuest, watchable } from './watched.js';
import type { WatchedGuest } from './watched_guest.js';

const target = openTarget();
const { xch } = target;
const skip = target.noAltp2m ?? false;
after(() => xch.close());

const EXTERNAL = 2;
/** `mov $0x12345678, %eax`, its first four bytes. */
const FIRST_BYTES = 0x3456_78b8;
const RETURNED = 0x1234_5678;

async function hooked(body: (guest: WatchedGuest, hooks: StealthHooks) => Promise<void>): Promise<void> {
  const guest = watchable(target, EXTERNAL);
  try {
    using hooks = StealthHooks.open(xch, guest.domid, { step: 'emulate' });
    const served = hooks.serve();
    served.catch(() => {}); // looked at below
    await body(guest, hooks);
    hooks.close();
    assert.deepEqual(await served, { cause: 'closed' });
    assert.equal((await guest.nop()).finished, true, 'the guest is free');
  } finally {
    endGuest(xch, guest);
  }
}

test('a breakpoint nobody sees: the agent is told, the guest gets its result and reads its own bytes', { skip }, () =>
  hooked(async (guest, hooks) => {
    const seen: bigint[] = [];
    const hook = hooks.add({ physical: at(CODE) }, ({ regs }) => {
      seen.push(regs.rip);
    });
    for (let i = 0; i < 3; i++) {
      const { finished, exception, value } = await guest.call(at(CODE));
      assert.deepEqual({ finished, exception }, { finished: true, exception: null });
      if (!target.model) assert.equal(value, RETURNED); // on the model nothing is computed
    }
    assert.deepEqual(seen, Array(3).fill(BigInt(at(CODE))));
    assert.equal(hook.hits, 3);
    assert.equal((await guest.read(at(CODE))).value, FIRST_BYTES);
    hook.remove();
    assert.equal((await guest.call(at(CODE))).exception, null);
    assert.equal(hook.hits, 3);
  }),
);

test('what the guest writes to a hooked page is there for it, and the hook stays', { skip }, () =>
  hooked(async (guest, hooks) => {
    const hook = hooks.add({ physical: at(CODE) }, () => {});
    assert.equal((await guest.write(at(CODE) + 0x100, 0x1122_3344)).finished, true);
    assert.equal((await guest.read(at(CODE) + 0x100)).value, 0x1122_3344);
    assert.equal((await guest.call(at(CODE))).exception, null);
    assert.equal(hook.hits, 1);
  }),
);

test('other code in the place of the guest’s: executed, and not read', { skip }, () =>
  hooked(async (guest, hooks) => {
    hooks.patch({ physical: at(CODE) }, Uint8Array.of(0xb8, 1, 2, 3, 4)); // mov $0x04030201, %eax
    const { finished, value } = await guest.call(at(CODE));
    assert.equal(finished, true);
    if (!target.model) assert.equal(value, 0x0403_0201);
    assert.equal((await guest.read(at(CODE))).value, FIRST_BYTES);
  }),
);

test('after the end there is no view, and no memory more than before', { skip }, async () => {
  const guest = watchable(target, EXTERNAL);
  try {
    const before = xc.xc_domain_getinfo_single(xch, guest.domid).tot_pages;
    const hooks = StealthHooks.open(xch, guest.domid, { step: 'emulate' });
    hooks.add({ physical: at(CODE) }, () => {});
    const served = hooks.serve();
    assert.equal((await guest.call(at(CODE))).finished, true);
    hooks.close();
    await served;
    assert.equal(xc.xc_domain_getinfo_single(xch, guest.domid).tot_pages, before - 1, "the ring's frame has left it");
    assert.equal((await guest.call(at(CODE))).exception, null);
  } finally {
    endGuest(xch, guest);
  }
});
