/** Argo from dom0: exact bytes, every errno, rings on a PV dom0 (the model) and a PVH dom0 (scripted). */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { errno } from '#dist/abi/errno.js';
import {
  ArenaFullError,
  type ArgoState,
  argo_notify,
  argo_probe,
  argo_register_ring,
  argo_sendv,
  type XcInterface,
  XenError,
  xc_interface_open,
} from '#dist/index.js';
import type { ArgoMode } from '#dist/model/argo/argo.js';
import { ModelXen } from '#dist/model/index.js';
import { allocateRingMemory, type ProcessMemory } from '#dist/xc/argo_frames.js';
import { ANY, Party } from '../model/argo/party.js';
import { type Call, FakeXen } from './fake.js';

const PORT = 5;

function fake(answer: (call: Call) => number = () => 0): { xen: FakeXen; xch: ReturnType<typeof xc_interface_open> } {
  const xen = new FakeXen();
  xen.answer = answer;
  return { xen, xch: xc_interface_open({ hypervisor: xen }) };
}

function refused(body: () => unknown, code: string, hint?: RegExp): void {
  assert.throws(body, (error: unknown) => {
    assert.ok(error instanceof XenError, String(error));
    assert.equal(error.code, code);
    if (hint) assert.match(error.hint ?? '', hint);
    return true;
  });
}

describe('argo_probe', () => {
  const modes: readonly [mode: ArgoMode, state: ArgoState, reason: RegExp][] = [
    ['mac-permissive', 'enabled', /takes Argo calls/],
    [true, 'enabled', /takes Argo calls/],
    [false, 'not-on-command-line', /without argo=1 \(the word argo alone/],
    ['not-compiled-in', 'not-compiled-in', /CONFIG_ARGO/],
    ['no-domain-state', 'no-domain-state', /no part in it/],
    ['denied', 'denied', /security policy/],
  ];
  for (const [argo, state, reason] of modes) {
    test(`argo: ${String(argo)} is ${state}`, () => {
      using xch = xc_interface_open({ hypervisor: new ModelXen({ argo }) });
      const probe = argo_probe(xch);
      assert.equal(probe.state, state);
      assert.match(probe.reason, reason);
    });
  }

  test('a restricted handle is denied, any other answer unknown and named', () => {
    const xen = new ModelXen({ argo: true });
    using xch = xc_interface_open({ hypervisor: xen });
    xen.restrict(1);
    assert.equal(argo_probe(xch).state, 'denied');
    const { xch: other } = fake(() => -errno.EIO);
    assert.deepEqual(argo_probe(other), { state: 'unknown', reason: 'Xen answers EIO, which is not known here' });
  });

  test('asks with a notify of nothing', () => {
    const { xen, xch } = fake();
    argo_probe(xch);
    assert.deepEqual([xen.call.op, ...xen.call.args], [39, 4, 0, 0, 0, 0]);
  });

  test('wakes those who wait for room in its rings, and does nothing else', () => {
    const xen = new ModelXen({ argo: true });
    using xch = xc_interface_open({ hypervisor: xen });
    const owner = new Party(xen, 0);
    const sender = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    owner.register(PORT, sender.domid);
    sender.send(0, PORT, 'x'.repeat(200));
    assert.equal(sender.send(0, PORT, 'x'.repeat(200)), -errno.EAGAIN);
    owner.setRing(224, 224);
    const before = JSON.stringify({ ...xen.save(), argo: null });
    argo_probe(xch);
    assert.ok(sender.signalled());
    assert.equal(JSON.stringify({ ...xen.save(), argo: null }), before);
  });
});

describe('argo_sendv', () => {
  test('puts addresses, one piece and the payload into the operand', () => {
    let sent: Buffer | null = null;
    const { xen, xch } = fake((call) => {
      const [, , iovs = 0, niov] = call.args;
      assert.equal(niov, 1);
      const iov = Buffer.from(call.at(iovs, 16));
      sent = Buffer.from(call.at(Number(iov.readBigUInt64LE(0)), iov.readUInt32LE(8)));
      assert.equal(iov.readUInt32LE(12), 0);
      return sent.length;
    });
    assert.equal(argo_sendv(xch, 9, { aport: PORT, domain_id: 3 }, Buffer.from('hello'), 0xffff_ffff), 5);
    assert.equal(String(sent), 'hello');
    const [cmd, address = 0, , , type] = xen.call.args;
    assert.deepEqual([xen.call.op, cmd, type], [39, 3, 0xffff_ffff]);
    assert.equal(Buffer.from(xen.call.at(address, 16)).toString('hex'), '09000000f47f00000500000003000000');
  });

  test('an empty message has no pieces: Xen would log a line for an empty one', () => {
    const { xen, xch } = fake();
    argo_sendv(xch, 0, { aport: 1, domain_id: 1 }, []);
    assert.equal(xen.call.args[3], 0);
  });

  test('pieces of any number and size arrive as one message', () => {
    const xen = new ModelXen({ argo: true });
    using xch = xc_interface_open({ hypervisor: xen });
    const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    guest.register(PORT, 0, { len: 4032 });
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }), (pieces) => {
        const whole = Buffer.concat(pieces);
        assert.equal(argo_sendv(xch, 1, { aport: PORT, domain_id: guest.domid }, pieces, 2), whole.length);
        const page = Buffer.from(guest.ringPage());
        const data = Buffer.concat([page.subarray(64 + page.readUInt32LE(0), 64 + 4032), page.subarray(64, 4096)]);
        assert.equal(data.readUInt32LE(0), 16 + whole.length);
        assert.deepEqual(data.subarray(16, 16 + whole.length), whole);
        guest.setRing(page.readUInt32LE(4), page.readUInt32LE(4));
      }),
      { numRuns: 40 },
    );
  });

  for (const [code, hint] of [
    ['EAGAIN', /VIRQ_ARGO/],
    ['EBUSY', /32 domains wait/],
    ['EMSGSIZE', /never fit/],
    ['ECONNREFUSED', /no ring/],
    ['ESRCH', /no such domain/],
    ['EACCES', /policy/],
    ['ENODEV', /no part/],
    ['EOPNOTSUPP', /argo=1/],
    ['ENOSYS', /CONFIG_ARGO/],
  ] as const) {
    test(`${code} as Xen leaves it, zero-extended or not, is an error with a hint`, () => {
      for (const rc of [-errno[code], 2 ** 32 - errno[code]]) {
        const { xch } = fake(() => rc);
        refused(() => argo_sendv(xch, 0, { aport: 1, domain_id: 1 }, Buffer.from('x')), code, hint);
      }
    });
  }

  test('a payload larger than the arena is refused before anything is sent, and leaks nothing', () => {
    const { xen, xch } = fake();
    const free = xen.arena.largestFree;
    assert.throws(() => argo_sendv(xch, 0, { aport: 1, domain_id: 1 }, new Uint8Array(2 ** 20)), ArenaFullError);
    assert.equal(xen.calls.length, 0);
    argo_sendv(xch, 0, { aport: 1, domain_id: 1 }, new Uint8Array(1000));
    assert.equal(xen.arena.largestFree, free);
  });
});

describe('argo_notify', () => {
  test('without queries it is a notify of nothing', () => {
    const { xen, xch } = fake();
    assert.deepEqual(argo_notify(xch), []);
    assert.deepEqual([...xen.call.args], [4, 0, 0, 0, 0]);
  });

  test('tells of rings what a sender may know', () => {
    const xen = new ModelXen({ argo: 'mac-permissive' });
    using xch = xc_interface_open({ hypervisor: xen });
    const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    guest.register(PORT, ANY);
    const at = { aport: PORT, domain_id: guest.domid };
    const [one, tooLarge, absent] = argo_notify(xch, [
      { ...at, space_required: 224 },
      { ...at, space_required: 225 },
      { aport: 99, domain_id: guest.domid },
    ]);
    const known = { ...at, exists: true, shared: true, empty: true, busy: false, max_message_size: 224 };
    assert.deepEqual(one, { ...known, sufficient: true, too_large: false });
    assert.deepEqual(tooLarge, { ...known, sufficient: false, too_large: true });
    assert.equal(absent?.exists, false);
    guest.signalled();
    assert.equal(argo_sendv(xch, 0, at, new Uint8Array(200)), 200);
    assert.equal(argo_notify(xch, [{ ...at, space_required: 100 }])[0]?.sufficient, false);
  });

  test('256 queries go in one call', () => {
    const xen = new ModelXen({ argo: true });
    using xch = xc_interface_open({ hypervisor: xen });
    const guest = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    guest.register(PORT, 0);
    const infos = argo_notify(
      xch,
      Array.from({ length: 256 }, (_, i) => ({ aport: i, domain_id: guest.domid })),
    );
    assert.deepEqual(
      infos.filter(({ exists }) => exists).map(({ aport }) => aport),
      [PORT],
    );
    assert.throws(() => argo_notify(xch, new Array(257).fill({ aport: 1, domain_id: 1 })), RangeError);
  });

  test('an answer that is an error is one', () => {
    refused(() => argo_notify(fake(() => -errno.EACCES).xch, []), 'EACCES', /policy/);
  });
});

describe('argo_register_ring on a PV dom0', () => {
  function machine(argo: ArgoMode = 'mac-permissive') {
    const xen = new ModelXen({ argo });
    const xch = xc_interface_open({ hypervisor: xen });
    return { xen, xch, guest: new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid) };
  }

  test('messages come into its memory, page by page; closing gives all of it back', () => {
    const { xen, xch, guest } = machine();
    const free = xen.memory.freePages;
    const pages = xen.dom0.totPages;
    const ring = argo_register_ring(xch, { aport: PORT, partner_id: guest.domid, len: 3 * 4096 });
    assert.equal(ring.memory.length, 64 + 3 * 4096);
    assert.ok(ring.memory.every((byte) => byte === 0));
    const text = 'far '.repeat(2000);
    assert.equal(guest.send(0, PORT, text.slice(0, 300)), 300);
    for (let i = 0; i < 8; i++) assert.equal(guest.send(0, PORT, text.slice(0, 1000)), 1000);
    const memory = Buffer.from(ring.memory);
    assert.equal(memory.readUInt32LE(4), 320 + 8 * 1024);
    assert.equal(memory.toString('latin1', 64 + 16, 64 + 316), text.slice(0, 300));
    assert.equal(
      memory.toString('latin1', 64 + 320 + 16 + 7 * 1024, 64 + 320 + 16 + 7 * 1024 + 1000),
      text.slice(0, 1000),
    );
    ring.close();
    ring.close();
    assert.equal(guest.send(0, PORT, 'x'), -errno.ECONNREFUSED);
    assert.equal(xen.memory.freePages, free);
    assert.equal(xen.dom0.totPages, pages);
    assert.equal(ring.memory.length, 0);
  });

  test('for any sender, where Xen allows it', () => {
    const { xch, guest } = machine();
    using ring = argo_register_ring(xch, { aport: PORT, len: 256 });
    assert.equal(ring.partner_id, ANY);
    assert.equal(guest.send(0, PORT, 'x'), 1);
    refused(() => argo_register_ring(machine(true).xch, { aport: PORT, len: 256 }), 'EPERM', /mac-permissive/);
  });

  test('what Xen refuses leaves no page behind', () => {
    const { xen, xch, guest } = machine();
    const free = xen.memory.freePages;
    const partner_id = guest.domid;
    using ring = argo_register_ring(xch, { aport: PORT, partner_id, len: 256 });
    refused(() => argo_register_ring(xch, { aport: PORT, partner_id, len: 256 }), 'EEXIST');
    refused(() => argo_register_ring(xch, { aport: PORT, partner_id: 999, len: 256 }), 'ESRCH');
    assert.equal(ring.len, 256);
    assert.equal(xen.memory.freePages, free - 1);
  });

  test('a partner that dies takes the ring with it; closing is fine', () => {
    const { xen, xch, guest } = machine();
    const pages = xen.dom0.totPages;
    const ring = argo_register_ring(xch, { aport: PORT, partner_id: guest.domid, len: 256 });
    const domain = xen.domains.get(guest.domid);
    if (domain) xen.destroy(domain);
    ring.close();
    assert.equal(xen.dom0.totPages, pages);
  });

  test('a dom0 that may have no more memory: ENOMEM, and what to do', () => {
    const { xen, xch } = machine();
    xen.dom0.maxPages = xen.dom0.totPages + 1;
    const free = xen.memory.freePages;
    refused(() => argo_register_ring(xch, { aport: PORT, len: 8192 }), 'ENOMEM', /dom0_mem=SIZE and no max/);
    assert.equal(xen.memory.freePages, free);
  });

  test('where Argo is off nothing is asked for at all', () => {
    const xen = new ModelXen({ argo: false });
    using xch = xc_interface_open({ hypervisor: xen });
    const free = xen.memory.freePages;
    refused(() => argo_register_ring(xch, { aport: PORT, len: 256 }), 'EOPNOTSUPP', /argo=1/);
    assert.equal(xen.memory.freePages, free);
  });

  test('lengths that Xen would refuse are refused first', () => {
    const { xch } = machine();
    for (const len of [0, 32, 47, 49, 2 ** 24 - 48, 2 ** 24, Number.NaN]) {
      assert.throws(() => argo_register_ring(xch, { aport: PORT, len }), RangeError);
    }
    argo_register_ring(xch, { aport: PORT, len: 48 }).close();
  });
});

describe('argo_register_ring elsewhere', () => {
  const FEATURES = 6;
  const PVH_DOM0 = (1 << 11) | (1 << 2);

  /** A Xen that tells these features, and answers Argo as asked. */
  function machine(features: number, argo: (call: Call) => number = () => 0) {
    return fake((call) => {
      if (call.op !== 17) return argo(call);
      assert.equal(call.args[0], FEATURES);
      call.view(call.args[1] ?? 0, 8).setUint32(4, features, true);
      return 0;
    });
  }

  const own = (path: string, frame: (page: number) => bigint): ProcessMemory => ({
    maps: () =>
      `7f1234560000-7f1234600000 rw-s 00000000 00:05 12   ${path}\n7fff00000000-7fff00001000 r-xp 0 00:00 0\n`,
    pagemap: (first, count) => BigUint64Array.from({ length: count }, (_, i) => frame(first + i)),
  });
  const from = (xch: XcInterface, memory: ProcessMemory) => (pages: number) => allocateRingMemory(xch, pages, memory);
  const present = (page: number): bigint => (1n << 63n) | (1n << 55n) | BigInt(page % 0x1000);

  test('a PVH dom0 takes pages of the hypercall device and looks up their frames', () => {
    const listed: number[][] = [];
    const { xen, xch } = machine(PVH_DOM0, (call) => {
      const [cmd, , list = 0, npage = 0, flags] = call.args;
      if (cmd === 1) {
        assert.equal(flags, 1);
        const frames = Buffer.from(call.at(list, npage * 8));
        listed.push(Array.from({ length: npage }, (_, i) => Number(frames.readBigUInt64LE(i * 8))));
      }
      return 0;
    });
    const free = xen.arena.largestFree;
    const ring = argo_register_ring(xch, { aport: PORT, len: 8000 }, from(xch, own('/dev/xen/hypercall', present)));
    const address = xen.arena.base + ring.memory.byteOffset;
    assert.equal(address % 4096, 0);
    const first = address / 4096;
    assert.deepEqual(listed, [[first % 0x1000, (first + 1) % 0x1000]]);
    ring.close();
    assert.deepEqual(xen.calls.at(-1)?.args.slice(0, 1), [2]);
    assert.equal(xen.arena.largestFree, free);
  });

  const refusals: readonly [what: string, features: number, memory: ProcessMemory, hint: RegExp][] = [
    ['a PVH dom0 without /dev/xen/hypercall', PVH_DOM0, own('/dev/zero', present), /\/dev\/xen\/hypercall/],
    ['one that may not see frames', PVH_DOM0, own('/dev/xen/hypercall', () => 1n << 63n), /CAP_SYS_ADMIN/],
    ['one whose page is not there', PVH_DOM0, own('/dev/xen/hypercall', () => 5n), /CAP_SYS_ADMIN/],
    ['a domain that is not dom0', 1 << 2, own('/dev/xen/hypercall', present), /only dom0/],
  ];
  for (const [what, features, memory, hint] of refusals) {
    test(`${what} is refused with the reason, and nothing is registered`, () => {
      const { xen, xch } = machine(features);
      const free = xen.arena.largestFree;
      refused(() => argo_register_ring(xch, { aport: PORT, len: 256 }, from(xch, memory)), 'EOPNOTSUPP', hint);
      assert.deepEqual(
        xen.calls.filter(({ op, args }) => op === 39 && args[0] !== 4),
        [],
      );
      assert.equal(xen.arena.largestFree, free);
    });
  }

  test('a ring that cannot be unregistered keeps its memory: Xen still writes there', () => {
    const { xen, xch } = machine(PVH_DOM0, (call) => (call.args[0] === 2 ? -errno.EFAULT : 0));
    const ring = argo_register_ring(xch, { aport: PORT, len: 256 }, from(xch, own('/dev/xen/hypercall', present)));
    const free = xen.arena.largestFree;
    refused(() => ring.close(), 'EFAULT');
    assert.equal(xen.arena.largestFree, free);
  });
});

test('bad input is refused before anything is sent', () => {
  const { xen, xch } = fake();
  const bad: (() => unknown)[] = [
    () => argo_sendv(xch, -1, { aport: 1, domain_id: 1 }, []),
    () => argo_sendv(xch, 1, { aport: 2 ** 32, domain_id: 1 }, []),
    () => argo_sendv(xch, 1, { aport: 1, domain_id: 0x1_0000 }, []),
    () => argo_sendv(xch, 1, null as never, []),
    () => argo_sendv(xch, 1, { aport: 1, domain_id: 1 }, 'text' as never),
    () => argo_sendv(xch, 1, { aport: 1, domain_id: 1 }, ['text'] as never),
    () => argo_sendv(xch, 1, { aport: 1, domain_id: 1 }, [], 1.5),
    () => argo_notify(xch, 5 as never),
    () => argo_notify(xch, new Array(3) as never),
    () => argo_notify(xch, [{ aport: 1, domain_id: 1, space_required: -1 }]),
    () => argo_register_ring(xch, null as never),
    () => argo_register_ring(xch, { aport: 1, len: 256, partner_id: -1 }),
    () => argo_register_ring(xch, { aport: 1n as never, len: 256 }),
    () => argo_probe({} as never),
    () => argo_sendv({} as never, 1, { aport: 1, domain_id: 1 }, []),
    () => argo_notify({} as never),
    () => argo_register_ring({} as never, { aport: 1, len: 256 }),
  ];
  for (const call of bad) {
    assert.throws(call, (error) => error instanceof TypeError || error instanceof RangeError, String(call));
  }
  assert.equal(xen.calls.length, 0);
});
