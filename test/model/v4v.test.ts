/** V4V's hypercall on the model, beyond what the review is about (v4v-review.test.ts). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ModelXen, parseScenario } from '#dist/model/index.js';
import { machine, outcome, PAYLOAD, RING_FRAME, V4vControl, V4vGuest } from './v4v_guest.js';

const PAGE = 4096;
const END = 1024 * PAGE;
const bytes = (length: number, value = 0x61): Uint8Array => new Uint8Array(length).fill(value);

function pair() {
  const { xen, v4v, guests } = machine();
  const [owner, sender] = guests;
  assert.ok(owner && sender);
  return { xen, v4v, owner, sender, control: new V4vControl(xen), ring: { port: 80, domain: owner.domid } };
}

test('a machine has V4V only if it was made for it, and never Argo, too', () => {
  const xen = new ModelXen();
  assert.equal(xen.v4v, null);
  assert.equal(outcome(xen.hypercall(39, 6, xen.arena.operandAddress)), 'ENOSYS');
  assert.throws(() => xen.v4vPort(0, { gfn: 0, pages: 1 }), { code: 'ENOSYS' });
  assert.throws(() => new ModelXen({ v4v: true, argo: true }), /V4V or Argo, not both/);
  assert.match(new ModelXen({ v4v: true }).commandLine, /\bv4v=1\b/);
  assert.throws(() => parseScenario('{"v4v":true,"argo":true}'), /exclude each other/);
  assert.deepEqual(parseScenario('{"v4v":"v9"}').v4v, { abi: 'v9' });
  assert.throws(() => new ModelXen({ v4v: { abi: 'v8' as 'v9' } }), RangeError);
});

test('a snapshot makes a machine with V4V again; its rings are registered anew, as after a suspension', () => {
  const { xen, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(sender.send(ring, [bytes(10)]), 10);
  const again = ModelXen.restore(JSON.parse(JSON.stringify(xen.save())));
  assert.equal(again.v4v?.domain(owner.domid)?.ringCount, 0);
  const guest = again.guest(owner.domid);
  assert.equal(guest?.vcpus[0].hypercall(39, 1, RING_FRAME * PAGE, 0x5000, 1, 0), 0);
});

test('info: magics, the event channel, limits; V9 has no limits', () => {
  for (const abi of ['v9', 'v10'] as const) {
    const { v4v, guests } = machine({ abi });
    const [guest] = guests;
    assert.ok(guest);
    guest.write(0x100, bytes(48, 0xee));
    assert.equal(guest.call(6, 0x100), 0);
    const answer = guest.read(0x100, 48);
    const view = new DataView(answer.buffer);
    assert.equal(view.getBigUint64(0, true), 0xa822f72bb0b9d8ccn);
    assert.equal(view.getBigUint64(8, true), 0x45fe852220b801d4n);
    assert.equal(view.getUint32(16, true), v4v.domain(guest.domid)?.port);
    if (abi === 'v9') assert.deepEqual(answer.subarray(24), bytes(24, 0xee));
    else
      assert.deepEqual(
        [20, 24, 28, 32, 36].map((at) => view.getUint32(at, true)),
        [128, 128, 256, 0x200_0000, 0],
      );
    assert.equal(outcome(guest.call(6, END - 8)), 'EFAULT');
  }
});

test('V9: tables are 7, 8 and 9, and there is no config', () => {
  const { xen, guests } = machine({ abi: 'v9' });
  const control = new V4vControl(xen);
  assert.equal(control.add('reject *:* *:*', 0, 7), 0);
  const [owner, sender] = guests;
  assert.ok(owner && sender);
  assert.equal(owner.register(), 0);
  assert.equal(outcome(sender.send({ port: 80, domain: owner.domid }, [bytes(1)])), 'ECONNREFUSED');
  assert.equal(control.del(1, 8), 0);
  assert.equal(sender.send({ port: 80, domain: owner.domid }, [bytes(1)]), 1);
  assert.equal(outcome(control.add('reject *:* *:*', 0, 10)), 'ENOSYS');
});

test('operations that do not exist are ENOSYS', () => {
  const { sender } = pair();
  for (const cmd of [0, 3, 11, 100, -1, 2 ** 32 + 6])
    assert.equal(outcome(sender.call(cmd, 0x100)), 'ENOSYS', `${cmd}`);
});

test('whatever dom0 passes is answered with an integer', () => {
  const xen = new ModelXen({ v4v: true });
  xen.createGuest({ memoryPages: 64 });
  const { base, bytes: memory } = xen.arena;
  const word = fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    fc.integer({ min: -16, max: 64 }).map((near) => base + 4096 + near),
    fc.integer({ min: -16, max: 16 }).map((near) => base + memory.length + near),
    fc.constantFrom(0xffff_ffff, 2 ** 52, 2 ** 64, -1),
    fc.maxSafeNat(),
  );
  const contents = fc.array(fc.oneof(word, fc.constant(0xa822f72b)), { minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 11 }), word, word, word, word, contents, (cmd, a1, a2, a3, a4, words) => {
      words.forEach((value, i) => {
        xen.arena.view.setUint32(4096 + i * 4, value, true);
      });
      const rc = xen.hypercall(39, cmd, a1, a2, a3, a4);
      assert.ok(Number.isInteger(rc), `${rc}`);
    }),
    { numRuns: 3000 },
  );
});

test('limits that are none are refused', () => {
  assert.throws(() => machine({ limits: { maxRings: -1 } }), /v4v\.limits\.maxRings/);
  const { guests } = machine({ limits: { maxRings: 0 } });
  assert.equal(outcome(guests[0]?.register() ?? 0), 'EACCES');
});

test('register_ring: what is refused, and that nothing is kept then', () => {
  const { xen, v4v, owner } = pair();
  const free = xen.memory.freePages;
  const refusals: [options: Parameters<typeof owner.register>[0], errno: string][] = [
    [{ magic: 0xa822f72bb0b9d8cdn }, 'EINVAL'],
    [{ len: 32 }, 'EINVAL'],
    [{ len: 0 }, 'EINVAL'],
    [{ len: 4040 }, 'EINVAL'],
    [{ len: 0xffff_fff0, npage: 2 }, 'EINVAL'],
    [{ npage: 0 }, 'EINVAL'],
    [{ npage: 2 }, 'EINVAL'],
    [{ len: 8192, npage: 3, pfns: [64, 65, 5000] }, 'EINVAL'],
    [{ pfns: [2 ** 50] }, 'EINVAL'],
  ];
  for (const [options, errno] of refusals)
    assert.equal(outcome(owner.register(options)), errno, JSON.stringify(options, String));
  const header = owner.writeHeader();
  assert.equal(outcome(owner.call(1, header + 16, 0x5000, 1)), 'EINVAL', 'not at the start of a page');
  assert.equal(outcome(owner.call(1, END, 0x5000, 1)), 'EFAULT');
  assert.equal(outcome(owner.call(1, header, END, 1)), 'EFAULT');
  assert.equal(outcome(owner.call(1, 0, 0x5000, 1)), 'EFAULT', 'NULL');
  assert.equal(v4v.domain(owner.domid)?.ringCount, 0);
  assert.equal(xen.memory.freePages, free);
  owner.guest.domain.frameTypes.set(RING_FRAME, 'mmio_dm');
  assert.equal(outcome(owner.register()), 'EINVAL', 'no memory');
  owner.guest.domain.frameTypes.set(RING_FRAME, 'ram_rw');
  assert.equal(owner.register({ len: 48 }), 0, 'the smallest');
  assert.equal(owner.u32(RING_FRAME * PAGE + 12) & 0xffff, owner.domid, 'Xen writes whose it is');
});

test('register_ring: tx_ptr is kept when it is sound, else it becomes rx_ptr', () => {
  const { owner } = pair();
  const cases: [rx: number, tx: number, then: number][] = [
    [0, 4016, 4016],
    [16, 32, 32],
    [160, 4032, 160],
    [160, 8, 160],
    [160, 0xffff_fff0, 160],
  ];
  for (const [i, [rx, tx, then]] of cases.entries()) {
    const frame = RING_FRAME + i;
    assert.equal(owner.register({ port: 100 + i, frame, rx, tx }), 0);
    assert.equal(owner.u32(frame * PAGE + 28), then, `${rx} ${tx}`);
  }
});

test('a ring that sleeps through a suspension to disk keeps its messages', () => {
  const { xen, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  for (const value of [1, 2, 3]) assert.equal(sender.send(ring, [bytes(100, value)]), 100);
  assert.deepEqual(owner.receive()?.payload, bytes(100, 1));
  const image = owner.read(RING_FRAME * PAGE, PAGE);
  xen.destroy(owner.guest.domain);
  const heir = new V4vGuest(xen, xen.createGuest({ memoryPages: 1024, pages: '4K' }));
  heir.write(RING_FRAME * PAGE, image);
  heir.write(0x5000, new Uint8Array(BigUint64Array.of(BigInt(RING_FRAME)).buffer));
  assert.equal(heir.call(1, RING_FRAME * PAGE, 0x5000, 1, 0), 0);
  assert.equal(sender.send({ ...ring, domain: heir.domid }, [bytes(100, 4)]), 100);
  for (const value of [2, 3, 4]) assert.deepEqual(heir.receive()?.payload, bytes(100, value));
  assert.equal(heir.receive(), null);
});

test('unregister_ring: the ring is gone, its waiters are not told, its frames are free', () => {
  const { xen, v4v, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(sender.send(ring, [bytes(3900)]), 3900);
  sender.listen();
  assert.equal(outcome(sender.send(ring, [bytes(1000)])), 'EAGAIN');
  assert.equal(outcome(owner.unregister({ partner: 5 })), 'ENOENT');
  assert.equal(outcome(owner.unregister({ magic: 5n })), 'EINVAL');
  assert.equal(outcome(owner.call(2, END)), 'EFAULT');
  const mfn = owner.guest.domain.p2m.lookup(RING_FRAME).mfn;
  assert.equal(owner.unregister(), 0);
  assert.equal(outcome(owner.unregister()), 'ENOENT');
  assert.equal(sender.takeSignals(), 0);
  assert.equal(outcome(sender.send(ring, [bytes(1)])), 'ECONNREFUSED');
  assert.throws(() => xen.memory.letGo(mfn), /nobody holds/);
  assert.equal(v4v.domain(owner.domid)?.ringCount, 0);
});

test('a ring for one sender comes before one for all', () => {
  const { owner, sender } = pair();
  assert.equal(owner.register({ partner: sender.domid, frame: RING_FRAME }), 0);
  assert.equal(owner.register({ frame: RING_FRAME + 1 }), 0);
  const ring = { port: 80, domain: owner.domid };
  assert.equal(sender.send(ring, [bytes(1)]), 1);
  assert.equal(owner.send(ring, [bytes(2)]), 2, 'to itself');
  assert.equal(owner.receive(RING_FRAME)?.payload.length, 1);
  assert.equal(owner.receive(RING_FRAME + 1)?.payload.length, 2);
  assert.equal(owner.unregister({ partner: sender.domid }), 0);
  assert.equal(sender.send(ring, [bytes(3)]), 3);
  assert.equal(owner.receive(RING_FRAME + 1)?.payload.length, 3);
});

test('sendv: what is refused, and that nothing arrives then', () => {
  const { owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  owner.listen();
  const one = [{ base: PAYLOAD, length: 16 }];
  for (const domain of [77, 0x7ff0, 0x7ff4, 0xffff]) {
    assert.equal(outcome(sender.sendv({ ...ring, domain }, one)), 'EINVAL', `${domain}`);
  }
  assert.equal(outcome(sender.sendv({ port: 81, domain: owner.domid }, one)), 'ECONNREFUSED');
  assert.equal(outcome(sender.sendv({ port: 80, domain: 0 }, one)), 'ECONNREFUSED', 'dom0 has no ring');
  assert.equal(outcome(sender.sendv(ring, [{ base: PAYLOAD, length: 4001 }])), 'EMSGSIZE');
  assert.equal(outcome(sender.sendv(ring, [{ base: END, length: 16 }])), 'EFAULT');
  assert.equal(
    outcome(sender.sendv(ring, [...one, { base: END - 8, length: 16 }])),
    'EFAULT',
    'a hole in the second piece',
  );
  assert.equal(outcome(sender.sendv(ring, [{ base: 2 ** 60, length: 16 }])), 'EFAULT');
  assert.equal(outcome(sender.call(5, END, sender.iovs, 1, 1)), 'EFAULT');
  sender.sendv(ring, []);
  owner.receive();
  owner.takeSignals();
  assert.equal(outcome(sender.call(5, 0x100, END, 1, 1)), 'EFAULT');
  assert.equal(owner.receive(), null);
  assert.equal(owner.takeSignals(), 0);
  assert.equal(
    sender.sendv(ring, [...one, { base: 2 ** 60, length: 0 }]),
    16,
    'of no bytes the address does not matter',
  );
  assert.equal(owner.receive()?.payload.length, 16);
});

test('sendv: an empty message is one; type, port and domain arrive', () => {
  const { owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(sender.sendv(ring, [], { from: 0xdead_beef, type: 0xcafe_f00d }), 0);
  assert.deepEqual(owner.receive(), {
    port: 0xdead_beef,
    domain: sender.domid,
    type: 0xcafe_f00d,
    payload: new Uint8Array(0),
  });
});

test('sendv: pieces of every length, over the ends of pages and of the ring, arrive in order', () => {
  const { owner, sender, ring } = pair();
  const len = 3 * PAGE - 64;
  assert.equal(owner.register({ len }), 0);
  for (let i = 1; i < 200; i++) {
    const pieces = Array.from({ length: 1 + (i % 5) }, (_, k) =>
      Uint8Array.from({ length: (i * 37 + k * 411) % 1500 }, (_x, n) => i + k + n),
    );
    const whole = Buffer.concat(pieces);
    assert.equal(sender.send(ring, pieces), whole.length);
    assert.deepEqual(Buffer.from(owner.receive()?.payload ?? []), whole);
  }
});

test('signals: the receiver of a message, and who waits for room when there is', () => {
  const { owner, sender, ring } = pair();
  owner.listen();
  sender.listen();
  assert.equal(owner.register(), 0);
  assert.equal(sender.send(ring, [bytes(3900)]), 3900);
  assert.equal(owner.takeSignals(), 1);
  assert.equal(outcome(sender.send(ring, [bytes(3000)])), 'EAGAIN');
  assert.equal(owner.takeSignals(), 0);
  assert.equal(owner.notify(), 0);
  assert.equal(sender.takeSignals(), 0, 'nothing was read');
  owner.receive();
  assert.equal(sender.takeSignals(), 0, 'the owner has not told');
  assert.equal(owner.notify(), 0);
  assert.equal(sender.takeSignals(), 1);
  assert.equal(owner.notify(), 0);
  assert.equal(sender.takeSignals(), 0, 'once');
});

test('notify: the entries before a bad address are answered; own waiters are woken whatever follows', () => {
  const { owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(outcome(sender.notify([{ ...ring, space: 1 }], { magic: 1n })), 'EINVAL');
  assert.equal(outcome(sender.call(4, END - 8)), 'EFAULT');
  sender.listen();
  assert.equal(sender.send(ring, [bytes(3900)]), 3900);
  assert.equal(outcome(sender.send(ring, [bytes(3000)])), 'EAGAIN');
  owner.receive();
  assert.equal(outcome(owner.notify([], { nent: 1000 })), 'EACCES');
  assert.equal(sender.takeSignals(), 1);
});

test('notify: room that is there cancels the wait', () => {
  const { v4v, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(sender.send(ring, [bytes(3000)]), 3000);
  assert.equal(sender.ask(ring, 2000).flags, 2 | 4);
  const waiters = v4v.domain(owner.domid)?.ringFor(80, sender.domid)?.waiters;
  assert.deepEqual([...(waiters ?? [])], [[sender.domid, 2000]]);
  assert.equal(sender.ask(ring, 100).flags, 2 | 8);
  assert.equal(waiters?.size, 0);
});

test('notify: sufficient is what a send would take, to the byte', () => {
  const { owner, sender, ring } = pair();
  assert.equal(owner.register({ len: 256 }), 0);
  for (let used = 0; used <= 224; used += 16) {
    assert.equal(owner.unregister(), 0);
    assert.equal(owner.register({ len: 256 }), 0);
    if (used > 0) assert.equal(sender.send(ring, [bytes(used - 16)]), used - 16);
    for (const space of [0, 1, 200 - used, 208 - used, 224 - used, 225 - used]) {
      if (space < 0) continue;
      const sufficient = (sender.ask(ring, space).flags & 8) !== 0;
      const rc = sender.send(ring, [bytes(space)]);
      assert.equal(rc === space, sufficient, `${used} used, ${space} wanted`);
      if (rc >= 0) break;
    }
  }
});

test('a domain that dies: its rings, its waits and its frames go; who waited for it is refused', () => {
  const { xen, v4v, owner, sender, ring } = pair();
  const mine = { port: 81, domain: sender.domid };
  assert.equal(owner.register({ len: 8 * PAGE - 64 }), 0);
  assert.equal(sender.register({ port: 81 }), 0);
  assert.equal(owner.send(mine, [bytes(3900)]), 3900);
  assert.equal(outcome(owner.send(mine, [bytes(3000)])), 'EAGAIN');
  const before = xen.memory.freePages;
  xen.destroy(owner.guest.domain);
  assert.ok(xen.memory.freePages >= before + 1024, 'all its memory is free');
  assert.equal(xen.domains.has(owner.domid), false);
  assert.equal(v4v.domain(sender.domid)?.ringFor(81, owner.domid)?.waiters.size, 0);
  assert.equal(outcome(sender.send(ring, [bytes(1)])), 'EINVAL');
  assert.deepEqual(sender.ask(ring, 1), { flags: 0, max: 0 });
});

test('a frame that the owner gives away while it is part of a ring stays the ring', () => {
  const { xen, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  const mfn = owner.guest.domain.p2m.lookup(RING_FRAME).mfn;
  const free = xen.memory.freePages;
  assert.ok(owner.guest.domain.depopulate(RING_FRAME));
  assert.equal(xen.memory.freePages, free, 'not free yet');
  assert.equal(sender.send(ring, [bytes(5)]), 5);
  assert.equal(xen.memory.peek(mfn)[64 + 16], 0x61);
  assert.equal(owner.unregister(), 0);
  assert.equal(xen.memory.freePages, free + 1);
});

test('config: limits of one domain, before its first ring, by the control domain', () => {
  const { control, owner, sender, ring } = pair();
  assert.equal(control.config(owner.domid, [1, 1, 1, 1]), 0);
  assert.equal(owner.register(), 0);
  assert.equal(outcome(owner.register({ port: 81, frame: 65 })), 'EACCES');
  assert.equal(outcome(owner.send(ring, [bytes(2)])), 'EACCES');
  assert.equal(outcome(owner.send(ring, [bytes(1), bytes(0)])), 'EACCES');
  assert.equal(owner.send(ring, [bytes(1)]), 1);
  assert.equal(outcome(owner.notify([1, 2].map((space) => ({ ...ring, space })))), 'EACCES');
  assert.equal(sender.send(ring, [bytes(1), bytes(1)]), 2, 'others have their own');
  assert.equal(outcome(control.config(owner.domid, [9, 9, 9, 9])), 'EINVAL', 'it has a ring');
  for (const domid of [77, 0x7ff0, 0xffff]) assert.equal(outcome(control.config(domid, [1, 1, 1, 1])), 'EINVAL');
});

test('guests have no say in rules and limits', () => {
  const { sender } = pair();
  for (const cmd of [7, 8, 9, 10]) assert.equal(outcome(sender.call(cmd, 0x100, 0, 1)), 'EPERM', `${cmd}`);
});

test('rules: the first match decides, wildcards match all, dom0 is a domain like any other', () => {
  const { control, owner, sender, ring } = pair();
  assert.equal(owner.register(), 0);
  assert.equal(control.add(`reject *:* ${owner.domid}:80`), 0);
  assert.equal(outcome(sender.send(ring, [bytes(1)])), 'ECONNREFUSED');
  assert.equal(control.add(`accept ${sender.domid}:1025 *:*`, 1), 0, 'becomes the first');
  assert.equal(sender.send(ring, [bytes(1)]), 1);
  assert.equal(outcome(sender.send(ring, [bytes(1)], { from: 1026 })), 'ECONNREFUSED');
  assert.notEqual(sender.ask(ring, 1).flags, 0, 'from one of its ports it could');
  assert.deepEqual(owner.ask(ring, 1), { flags: 0, max: 0 }, 'the owner itself is not excepted');
});

test('the console gets the rejected, and is not filled by them', () => {
  const { v4v, control, sender, ring } = pair();
  assert.equal(control.add('reject *:* *:*'), 0);
  for (let i = 0; i < 1000; i++) sender.sendv(ring, []);
  assert.ok(v4v.console.length <= 256);
  assert.equal(v4v.console.at(-1), `v4vtables: rejected ${sender.domid}:1025 -> ${ring.domain}:80`);
});
