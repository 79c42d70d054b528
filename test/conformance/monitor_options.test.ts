/**
 * Options of monitoring that change how others are told: walks of the guest's page tables, repeated string instructions,
 * every exit of a vCPU, the next interrupt.
 */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as xc from '#dist/index.js';
import { load, store } from './hvm.js';
import { openTarget } from './target.js';
import { A, at, B, CODE, watch } from './watched.js';
import type { WatchedGuest } from './watched_guest.js';

const target = openTarget();
const { xch } = target;
const { XENMEM_access } = xc;
after(() => xch.close());

/** Memory access and exits are told of where EPT is. */
const noEpt = target.noAltp2m ?? false;
const runsNoCode = target.model ? 'the model runs no code' : noEpt;
const UD = 6;
const HW_EXCEPTION = 3;
const EXIT_CPUID = 10;

/** A frame for a page directory. */
const TABLE = 0x50;
const CR0_PG = 2 ** 31;
const CR4_PSE = 0x10;
/** Present, writable, 4 MiB. */
const LARGE = 0x83;

/** Where {@link READ_ON} writes what it read, and what it makes CR3. */
const OUT = at(B) + 4;
const NEXT_CR3 = at(TABLE) | 8;
/** Makes a guest request, copies A to OUT, writes CR3, returns A: between the two events all of it is what Xen can emulate. */
const READ_ON = Uint8Array.of(
  ...[0xb8, ...word(34), 0xbb, ...word(24), 0x31, 0xc9], // mov $34, %eax: hvm_op; mov $24, %ebx; xor %ecx, %ecx
  ...[0x0f, 0x01, 0xc1], //                                 vmcall
  ...[0xa1, ...word(at(A)), 0xa3, ...word(OUT)], //         mov A, %eax; mov %eax, OUT
  ...[0xb9, ...word(NEXT_CR3), 0x0f, 0x22, 0xd9], //        mov $NEXT_CR3, %ecx; mov %ecx, %cr3
  ...[0xa1, ...word(at(A)), 0xc3], //                       mov A, %eax; ret
);

function word(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer);
}

describe("walks of the guest's page tables", { skip: noEpt }, () => {
  /** Its first 4 MiB where they are. */
  async function page(guest: WatchedGuest): Promise<void> {
    store(xch, guest.domid, TABLE, new Uint8Array(new Uint32Array([LARGE]).buffer));
    await guest.writeCr(3, at(TABLE));
    await guest.writeCr(4, (await guest.readCr(4)).value | CR4_PSE);
    assert.equal((await guest.writeCr(0, ((await guest.readCr(0)).value | CR0_PG) >>> 0)).exception, null);
    assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
  }

  test('a table that may not be touched is told of, as a fault in the guest’s tables', () =>
    watch(
      target,
      {
        sources: {},
        answer: ({ domid }) => xc.xc_set_mem_access(xch, domid, XENMEM_access.rwx, TABLE, 1),
      },
      async ({ guest, seen }) => {
        await page(guest);
        xc.xc_set_mem_access(xch, guest.domid, XENMEM_access.n, TABLE, 1);
        await guest.writeCr(3, at(TABLE)); // forgets what was kept of the tables
        assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
        const { reason, gfn, faultInGpt } = seen[0] ?? {};
        assert.deepEqual({ reason, gfn, faultInGpt }, { reason: 'mem_access', gfn: TABLE, faultInGpt: true });
      },
    ));

  test(
    'with inguestPagefault: false it is not: Xen does the instruction',
    {
      skip: target.model ? false : 'the program of a real guest waits by a hypercall, which Xen does not emulate',
    },
    () =>
      watch(target, { sources: { inguestPagefault: false } }, async ({ guest, seen }) => {
        await page(guest);
        xc.xc_set_mem_access(xch, guest.domid, XENMEM_access.n, TABLE, 1);
        await guest.writeCr(3, at(TABLE));
        assert.equal((await guest.read(at(A))).value, 0xaaaa_0001);
        assert.deepEqual(seen, []);
      }),
  );

  test('with inguestPagefault: false it is not: Xen does one instruction after the other', { skip: runsNoCode }, () =>
    watch(
      target,
      {
        sources: { inguestPagefault: false, guestRequest: true, cr: { cr3: true } },
        answer: ({ domid, reason }) => {
          const access = reason === 'guest_request' ? XENMEM_access.n : XENMEM_access.rwx;
          xc.xc_set_mem_access(xch, domid, access, TABLE, 1);
        },
      },
      async ({ guest, seen }) => {
        await page(guest);
        store(xch, guest.domid, CODE, READ_ON);
        const before = seen.length;
        assert.deepEqual(await guest.call(at(CODE)), { finished: true, exception: null, value: 0xaaaa_0001 });
        assert.deepEqual(
          seen.slice(before).map(({ reason }) => reason),
          ['guest_request', 'write_ctrlreg'],
        );
        assert.deepEqual(load(xch, guest.domid, B, 4, 4), word(0xaaaa_0001));
      },
    ),
  );
});

/** `mov $4, %ecx; mov $A, %edi; xor %eax, %eax; rep stosl; ret` */
const FILL = Uint8Array.of(0xb9, 4, 0, 0, 0, 0xbf, 0, 0, 4, 0, 0x31, 0xc0, 0xf3, 0xab, 0xc3);

describe('repeated string instructions', {
  skip: runsNoCode,
}, () => {
  for (const [emulateEachRep, told] of [
    [false, 1],
    [true, 4],
  ] as const) {
    test(`four stores by one instruction are told ${told === 1 ? 'once' : 'one by one'}, with emulateEachRep ${emulateEachRep}`, () =>
      watch(
        target,
        {
          sources: { emulateEachRep, access: [{ gfns: [A], access: XENMEM_access.rx }] },
          answer: (event) => event.respond({ emulate: true }),
        },
        async ({ guest, seen }) => {
          store(xch, guest.domid, CODE, FILL);
          assert.equal((await guest.call(at(CODE))).exception, null);
          assert.deepEqual(
            seen.map(({ gfn }) => gfn),
            Array(told).fill(A),
          );
        },
      ));
  }
});

describe('exits', { skip: noEpt }, () => {
  test('every exit is told, with its reason, and the guest does not wait', () =>
    watch(target, { sources: { vmexit: true } }, async ({ guest, seen }) => {
      assert.equal((await guest.cpuid(0)).finished, true);
      for (let i = 0; i < 100 && !seen.some(({ exitReason }) => exitReason === EXIT_CPUID); i++) await sleep(1);
      const { reason, paused } = seen.find(({ exitReason }) => exitReason === EXIT_CPUID) ?? {};
      assert.deepEqual({ reason, paused }, { reason: 'vmexit', paused: false });
    }));

  test('with sync the same exit comes again until it is switched off', () =>
    watch(target, { sources: {} }, async ({ guest, session, seen }) => {
      session.enable({ vmexit: { sync: true } });
      const asked = guest.cpuid(0);
      for (let i = 0; i < 1000 && seen.length < 3; i++) await sleep(1);
      session.close();
      assert.ok(seen.length >= 3);
      assert.equal(seen[0]?.['paused'], true);
      await asked;
      assert.equal((await guest.nop()).finished, true);
    }));
});

test('the next interrupt: an exception that is given to the guest is told before it gets it, once', () =>
  watch(
    target,
    {
      sources: { guestRequest: true },
      answer: (event, count) => {
        if (count !== 1) return;
        xc.xc_hvm_inject_trap(xch, event.domid, event.vcpu, UD, HW_EXCEPTION, 0xffff_ffff, 0, 0n);
        event.respond({ nextInterrupt: true });
      },
    },
    async ({ guest, seen, session }) => {
      const { exception } = await guest.request();
      assert.equal(session.end, null);
      assert.deepEqual(
        seen.map(({ reason, vector, type }) => [reason, vector, type]),
        [
          ['guest_request', undefined, undefined],
          ['interrupt', UD, HW_EXCEPTION],
        ],
      );
      assert.equal(exception, UD);
      await guest.nop();
      assert.equal(seen.length, 2);
    },
  ));
