/**
 * The review of V4V's ninth posting, comment by comment, and the faults found since (docs/v4v-review.md). What has a
 * behaviour is shown from both sides: as it is, and as it was posted.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as abi from '#dist/abi/v4v.js';
import { rulesAccept } from '#dist/abi/v4v_rules.js';
import { XenError, xc_interface_open } from '#dist/index.js';
import { type AsPosted, ModelXen, type OnFetch, V4v, V4vHang } from '#dist/model/index.js';
import { v4v_sendv, v4v_set_config, v4v_tables_del } from '#dist/v4v/index.js';
import { machine, outcome, PAYLOAD, pagesFor, RING_FRAME, V4vControl, type V4vGuest } from './v4v_guest.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const HEADER = readFileSync(`${ROOT}docs/v4v.h`, 'utf8');
/** The header's comments as running text. */
const TEXT = HEADER.replace(/\n \* ?/g, ' ').replace(/\s+/g, ' ');

const EMPTY = abi.V4V_RING_DATA_F_EMPTY;
const EXISTS = abi.V4V_RING_DATA_F_EXISTS;
const PENDING = abi.V4V_RING_DATA_F_PENDING;
const SUFFICIENT = abi.V4V_RING_DATA_F_SUFFICIENT;

interface Setting {
  readonly v4v: V4v;
  readonly xen: ReturnType<typeof machine>['xen'];
  readonly control: V4vControl;
  /** Domain 1, which owns the rings. */
  readonly owner: V4vGuest;
  /** Domain 2. */
  readonly sender: V4vGuest;
  readonly third: V4vGuest;
  /** Where the owner's ring on port 80 is. */
  readonly ring: { readonly port: number; readonly domain: number };
}

function setting(asPosted: readonly AsPosted[], onFetch?: OnFetch): Setting {
  const { v4v, xen, guests } = machine(new V4v({ asPosted, ...(onFetch ? { onFetch } : {}) }), 3);
  const [owner, sender, third] = guests;
  assert.ok(owner && sender && third);
  return { v4v, xen, control: new V4vControl(xen), owner, sender, third, ring: { port: 80, domain: owner.domid } };
}

interface Sides {
  readonly fixed: (setting: Setting) => void;
  readonly posted: (setting: Setting) => void;
  /** Posted along with the item, where the item alone would not show. */
  readonly along?: readonly AsPosted[];
}

/** A test of both sides of one item. */
function both(item: AsPosted, gist: string, { fixed, posted, along = [] }: Sides): void {
  test(`${item}. ${gist}`, () => {
    fixed(setting(along));
    posted(setting([item, ...along]));
  });
}

const bytes = (length: number, value = 0x61): Uint8Array => new Uint8Array(length).fill(value);

/** Registers the owner's ring on port 80 and leaves so many bytes of it free. */
function ringWithFree({ owner, sender, ring }: Setting, free: number): void {
  assert.equal(owner.register(), 0);
  const space = 4032 - free;
  assert.equal(sender.send(ring, [bytes(space - 16)]), space - 16);
}

// --- the 32 comments, in the review's order

both(1, 'a domain cannot register rings, or pages, without end', {
  fixed: ({ owner }) => {
    for (let port = 1; port <= 128; port++) assert.equal(owner.register({ port }), 0);
    assert.equal(outcome(owner.register({ port: 129 })), 'EACCES');
    assert.equal(owner.unregister({ port: 1 }), 0);
    assert.equal(outcome(owner.register({ port: 130, len: 4097 * 4096 - 64 })), 'EACCES');
    assert.equal(owner.register({ port: 130 }), 0, 'one went, one may come');
  },
  posted: ({ owner }) => {
    for (let port = 1; port <= 200; port++) assert.equal(owner.register({ port }), 0);
    assert.equal(owner.register({ port: 201, len: 4097 * 4096 - 64 }), 0);
  },
});

both(2, 'a vector has a limited number of pieces and of bytes', {
  fixed: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    const pieces = (count: number): Uint8Array[] => Array.from({ length: count }, () => bytes(1));
    assert.equal(sender.send(ring, pieces(128)), 128);
    assert.equal(outcome(sender.send(ring, pieces(129))), 'EACCES');
    assert.equal(outcome(sender.sendv(ring, [], { niov: 2 ** 31 })), 'EACCES');
    const half = { base: PAYLOAD, length: 0x100_0000 };
    assert.equal(
      outcome(sender.sendv(ring, [half, half])),
      'EMSGSIZE',
      '32 MiB are not too many, but this ring is small',
    );
    assert.equal(outcome(sender.sendv(ring, [half, half, { base: PAYLOAD, length: 1 }])), 'EACCES');
  },
  posted: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    const iovs = Array.from({ length: 200 }, () => ({ base: PAYLOAD, length: 1 }));
    assert.equal(sender.sendv(ring, iovs), 200);
    const half = { base: PAYLOAD, length: 0x4000_0000 };
    assert.equal(outcome(sender.sendv(ring, [half, half])), 'EMSGSIZE', 'up to 2 GiB only the ring matters');
  },
});

test('2. ... and a vector of 2^31 pieces is refused before any of it is read', () => {
  const read: string[] = [];
  const { owner, sender, ring } = setting([], (domid, kind) => read.push(`${domid} ${kind}`));
  assert.equal(owner.register(), 0);
  read.length = 0;
  assert.equal(outcome(sender.sendv(ring, [], { niov: 2 ** 31 })), 'EACCES');
  assert.deepEqual(read, []);
});

both(3, 'notify has a limited number of entries', {
  fixed: ({ sender, ring }) => {
    const entries = Array.from({ length: 256 }, () => ({ ...ring, space: 1 }));
    assert.equal(sender.notify(entries), 0);
    assert.equal(outcome(sender.notify([...entries, { ...ring, space: 1 }])), 'EACCES');
    assert.equal(outcome(sender.notify([], { nent: 2 ** 32 - 1 })), 'EACCES');
  },
  posted: ({ sender, ring }) => {
    assert.equal(sender.notify(Array.from({ length: 1000 }, () => ({ ...ring, space: 1 }))), 0);
  },
});

both(4, 'rounding up to 16 cuts no high bits', {
  fixed: (all) => {
    assert.equal(outcome(sendNearly4GiB(all)), 'EMSGSIZE');
    assert.equal(all.owner.u32(RING_FRAME * 4096 + 64 + 16), 0, 'nothing was written');
    assert.equal(abi.V4V_ROUNDUP(2 ** 32 - 8), 2 ** 32);
    assert.equal(abi.V4V_ROUNDUP(2 ** 32 + 1), 2 ** 32 + 16);
  },
  posted: (all) => {
    assert.equal(outcome(sendNearly4GiB(all)), 'EFAULT', 'it passes for a message of 0 bytes, until the memory ends');
    assert.notEqual(all.owner.u32(RING_FRAME * 4096 + 64 + 16), 0, 'and the ring is full of it');
  },
});

/** A message whose length rounds up to 2^32, by a domain that may send so much. */
function sendNearly4GiB({ control, owner, sender, ring }: Setting): number {
  assert.equal(control.config(sender.domid, [1, 8, 1, 0xffff_ffff]), 0);
  assert.equal(owner.register(), 0);
  sender.write(PAYLOAD, bytes(1024 * 4096 - PAYLOAD));
  return sender.sendv(ring, [{ base: PAYLOAD, length: 0xffff_fff8 }]);
}

test('5. the rules are called v4vtables everywhere', () => {
  assert.ok('v4vtables_rule' in abi && 'v4vtables_list' in abi);
  for (const folder of ['src/model/v4v', 'src/v4v', 'src/cli/v4v']) {
    for (const file of readdirSync(ROOT + folder)) {
      assert.doesNotMatch(readFileSync(`${ROOT}${folder}/${file}`, 'utf8'), /viptables/i, file);
    }
  }
  assert.doesNotMatch(HEADER, /viptables/i);
});

test('6. an error names the call that failed', () => {
  using xch = xc_interface_open({ hypervisor: new ModelXen({ v4v: true }) });
  const syscall = (call: () => unknown): string => {
    try {
      call();
    } catch (error) {
      if (error instanceof XenError) return error.syscall;
    }
    return 'nothing failed';
  };
  assert.equal(
    syscall(() => v4v_tables_del(xch, 1)),
    'v4v_tables_del',
  );
  assert.equal(
    syscall(() => v4v_sendv(xch, 1, { domain: 9, port: 9 }, new Uint8Array(1))),
    'v4v_sendv',
  );
  assert.equal(
    syscall(() => v4v_set_config(xch, 9, { maxRings: 1, maxSendv: 1, maxNotify: 1, maxSendSize: 1 })),
    'v4v_set_config',
  );
});

both(7, 'rx_ptr, which guest and hypervisor share, is read atomically; the header tells guests to do so, too', {
  fixed: () => assert.equal(askWhileRxMoves([]), EXISTS | SUFFICIENT),
  posted: () => assert.equal(askWhileRxMoves([7]), EXISTS | PENDING, 'a value that was never there'),
});

test('7. ... the header tells guests to use atomic operations on both pointers', () => {
  assert.match(TEXT, /Use atomic operations on rx_ptr and on tx_ptr/);
});

/** Asks for room in a ring whose owner moves rx_ptr from 0xfff0 to 0x10000 at the worst time. */
function askWhileRxMoves(asPosted: readonly AsPosted[]): number {
  let move = (): void => {};
  const { owner, sender, ring } = setting(asPosted, (_domid, kind) => {
    if (kind === 'ring') move();
  });
  const len = 24 * 4096 - 64;
  assert.equal(owner.register({ len, rx: 0xfff0, tx: 0x8000 }), 0);
  move = () => owner.poke32(RING_FRAME * 4096 + 24, 0x1_0000);
  return sender.ask(ring, 0xfff0 - 0x8000 - 32).flags;
}

test('8. a full barrier stands behind the read of rx_ptr', () => {
  // Atomics.load is sequentially consistent: no access moves across it
  const source = readFileSync(`${ROOT}src/model/v4v/ring.ts`, 'utf8');
  assert.match(source, /return Atomics\.load\(words, RX_PTR \/ 4\)/);
  assert.match(TEXT, /loads rx_ptr once, atomically, for each operation that needs it, with a full barrier behind it/);
});

both(9, 'an rx_ptr that cannot be one leaves no room', {
  fixed: (all) => {
    ringWithFree(all, 112);
    for (const rx of [0x7fff_fff0, 0xffff_fff0, 4032, 8, 4031]) {
      all.owner.poke32(RING_FRAME * 4096 + 24, rx);
      assert.equal(all.sender.ask(all.ring, 0).flags, EXISTS | PENDING, `${rx}`);
      assert.equal(outcome(all.sender.send(all.ring, [bytes(200)])), 'EAGAIN', `${rx}`);
    }
    all.owner.poke32(RING_FRAME * 4096 + 24, 0);
    assert.equal(all.owner.receive()?.payload.length, 3904, 'what was there is whole');
  },
  posted: (all) => {
    ringWithFree(all, 112);
    all.owner.poke32(RING_FRAME * 4096 + 24, 0x7fff_fff0);
    assert.equal(all.sender.ask(all.ring, 4000).flags, EXISTS | SUFFICIENT);
    assert.equal(all.sender.send(all.ring, [bytes(200, 0x62)]), 200);
    assert.equal(all.owner.u32(RING_FRAME * 4096 + 64), 0x6262_6262, 'the first message is overwritten');
  },
});

both(10, 'a send reads rx_ptr of the ring, and nothing else of it', {
  fixed: () => assert.deepEqual(ringReads([]), ['24+4']),
  posted: () => assert.deepEqual(ringReads([10]), ['0+64']),
});

function ringReads(asPosted: readonly AsPosted[]): string[] {
  const reads: string[] = [];
  const { owner, sender, ring } = setting(asPosted, (domid, kind, address, length) => {
    if (kind === 'ring' && domid === 1) reads.push(`${address}+${length}`);
  });
  assert.equal(owner.register(), 0);
  reads.length = 0;
  assert.equal(sender.send(ring, [bytes(16)]), 16);
  return reads;
}

test('11. a message header fits one slot of the ring, and so never wraps', () => {
  assert.ok(abi.v4v_ring_message_header.size <= abi.V4V_ROUNDUP(1));
  const source = readFileSync(`${ROOT}src/abi/v4v.ts`, 'utf8');
  assert.match(source, /if \(v4v_ring_message_header\.size > V4V_ROUNDUP\(1\)\) throw/, 'checked when it is loaded');
});

both(12, 'the vector is read once: what was checked is what is sent', {
  fixed: () => {
    const { all, rc } = sendWhileVectorGrows([]);
    assert.equal(rc, 16);
    assert.equal(all.owner.receive()?.payload.length, 3904);
    assert.deepEqual(all.owner.receive()?.payload, bytes(16, 0x62));
  },
  posted: () => {
    const { all, rc } = sendWhileVectorGrows([12]);
    assert.equal(rc, 16);
    assert.equal(all.owner.u32(RING_FRAME * 4096 + 64), 0x6262_6262, 'past rx_ptr, over what nobody has read yet');
  },
});

/** Sends 16 bytes whose iov says 1000 from the moment that it was first read. */
function sendWhileVectorGrows(asPosted: readonly AsPosted[]): { all: Setting; rc: number } {
  let grow = (_address: number): void => {};
  const all = setting(asPosted, (_domid, kind, address) => {
    if (kind === 'argument') grow(address);
  });
  ringWithFree(all, 112);
  const { sender, ring } = all;
  sender.write(PAYLOAD, bytes(1000, 0x62));
  grow = (address) => {
    if (address === sender.iovs) sender.writeIov(0, PAYLOAD, 1000);
  };
  return { all, rc: sender.sendv(ring, [{ base: PAYLOAD, length: 16 }]) };
}

both(13, 'the last request for room is the one that counts, also when it is for less', {
  fixed: (all) => assert.equal(signalsAfterSmallerRequest(all), 1),
  posted: (all) => assert.equal(signalsAfterSmallerRequest(all), 0, 'it waits for the largest'),
});

function signalsAfterSmallerRequest(all: Setting): number {
  const { owner, sender, ring } = all;
  assert.equal(owner.register(), 0);
  for (let i = 0; i < 3; i++) assert.equal(sender.send(ring, [bytes(1200)]), 1200);
  sender.listen();
  assert.equal(sender.ask(ring, 3000).flags, EXISTS | PENDING);
  assert.equal(sender.ask(ring, 1000).flags, EXISTS | PENDING);
  assert.ok(owner.receive());
  assert.equal(owner.notify(), 0);
  return sender.takeSignals();
}

both(14, 'notify shows a ring that a rule forbids exactly like one that does not exist', {
  fixed: ({ control, owner, sender, third, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(control.add(`reject ${sender.domid}:* ${owner.domid}:80`), 0);
    const missing = sender.ask({ ...ring, port: 81 }, 16);
    assert.deepEqual(missing, { flags: 0, max: 0 });
    assert.deepEqual(sender.ask(ring, 16), missing);
    assert.equal(outcome(sender.send(ring, [bytes(1)])), outcome(sender.send({ ...ring, port: 81 }, [bytes(1)])));
    assert.equal(third.ask(ring, 16).flags, EXISTS | EMPTY | SUFFICIENT);
  },
  posted: ({ control, owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(control.add(`reject ${sender.domid}:* ${owner.domid}:80`), 0);
    assert.deepEqual(sender.ask(ring, 16), { flags: EXISTS | EMPTY | SUFFICIENT, max: 4000 });
  },
});

both(15, 'frame number 0 is a frame like any other; no frame is INVALID_MFN', {
  fixed: (all) => {
    registerOnMachineFrame0(all);
    assert.throws(() => all.xen.memory.letGo(0), /nobody holds/);
  },
  posted: (all) => {
    registerOnMachineFrame0(all);
    all.xen.memory.letGo(0); // still held
  },
});

/** Registers and unregisters a ring in machine frame 0, which other architectures give to domains. */
function registerOnMachineFrame0({ owner }: Setting): void {
  owner.guest.domain.p2m.set(RING_FRAME, 0, 7, null);
  assert.equal(owner.register(), 0);
  assert.equal(owner.unregister(), 0);
}

both(16, 'a registration with an rx_ptr that cannot be one is refused', {
  fixed: ({ owner }) => {
    for (const rx of [8, 4031, 4032, 4048, 0xffff_fff0])
      assert.equal(outcome(owner.register({ rx })), 'EINVAL', `${rx}`);
    assert.equal(owner.register({ rx: 4016 }), 0);
  },
  posted: ({ owner, sender, ring }) => {
    assert.equal(owner.register({ rx: 8, tx: 8 }), 0);
    assert.equal(outcome(sender.send(ring, [bytes(4000)])), 4000);
    assert.equal(owner.u32(RING_FRAME * 4096 + 64 + 8), 4016, 'a header out of its slot');
    assert.ok(owner.receive());
    const [rx, tx] = [24, 28].map((at) => owner.u32(RING_FRAME * 4096 + at));
    assert.notEqual(rx, tx, 'all is read, and the ring is not empty');
  },
});

both(17, 'a ring that exists is refused first, and the lock is released', {
  fixed: ({ owner }) => {
    assert.equal(owner.register({ rx: 16, tx: 16 }), 0);
    assert.equal(outcome(owner.register({ rx: 32, tx: 8 })), 'EEXIST');
    assert.equal(owner.u32(RING_FRAME * 4096 + 28), 8, 'the refused call has written nothing');
    assert.equal(owner.unregister(), 0);
  },
  posted: ({ owner }) => {
    assert.equal(owner.register({ rx: 16, tx: 16 }), 0);
    assert.equal(outcome(owner.register({ rx: 32, tx: 8 })), 'EEXIST');
    assert.equal(owner.u32(RING_FRAME * 4096 + 28), 32);
    assert.throws(() => owner.unregister(), V4vHang);
  },
});

test('18. the address that a ring was registered with is not kept', () => {
  const { owner, sender, ring } = setting([]);
  owner.writeHeader({ frame: 14 });
  owner.write(0x5000, new Uint8Array(BigUint64Array.of(BigInt(RING_FRAME)).buffer));
  assert.equal(owner.call(1, 14 * 4096, 0x5000, 1, 0), 0);
  owner.writeHeader(); // the pages are the ring; the copy of its header is gone
  owner.write(14 * 4096, bytes(64, 0xff));
  assert.equal(sender.send(ring, [bytes(5)]), 5);
  assert.deepEqual(owner.receive()?.payload, bytes(5));
  assert.deepEqual(owner.read(14 * 4096, 64), bytes(64, 0xff));
});

both(19, 'any accept but 0 is printed as ACCEPT', {
  fixed: (all) => assert.match(printed(all), /1: 2:\d+ -> 1:0 ACCEPT/),
  posted: (all) => assert.match(printed(all), /1: 2:\d+ -> 1:0 REJECT/, 'though it accepts'),
});

/** A rule whose accept is 2, before one that rejects all. */
function printed({ control, v4v, owner, sender, ring }: Setting): string {
  assert.equal(owner.register(), 0);
  assert.equal(control.add('2 2:* 1:*'), 0);
  assert.equal(control.add('reject *:* *:*'), 0);
  assert.equal(sender.send(ring, [bytes(1)]), 1);
  return v4v.dump().join('\n');
}

const RULES = ['accept 1:* 2:*', 'accept 2:* 3:*', 'reject *:* *:*'];

function withRules({ control }: Setting): V4vControl {
  for (const rule of RULES) assert.equal(control.add(rule), 0);
  return control;
}

both(20, 'tables_del counts from 1, as tables_add does', {
  fixed: (all) => {
    const control = withRules(all);
    for (const position of [0, 4, 1000]) assert.equal(outcome(control.del(position)), 'ENOENT');
    assert.deepEqual(control.list(), RULES, 'nothing was deleted');
    assert.equal(control.del(1), 0);
    assert.deepEqual(control.list(), RULES.slice(1));
    assert.equal(control.del(2), 0);
    assert.equal(control.del(1), 0, 'of a single rule');
    assert.deepEqual(control.list(), []);
  },
  posted: (all) => {
    const control = withRules(all);
    assert.equal(control.del(1), 0);
    assert.deepEqual(control.list(), [RULES[0], RULES[2]], 'the second');
    assert.equal(control.del(1000), 0, 'without a word');
    assert.equal(control.del(0), 0);
    assert.equal(control.del(1), 0);
    assert.deepEqual(control.list(), [], 'of a single rule: the first');
  },
});

both(21, 'tables_del by rule compares what the rule says, too', {
  fixed: ({ control }) => {
    for (const rule of ['accept 1:5 2:*', 'reject 1:5 2:*']) assert.equal(control.add(rule), 0);
    assert.equal(control.del('reject 1:5 2:*'), 0);
    assert.deepEqual(control.list(), ['accept 1:5 2:*']);
    assert.equal(outcome(control.del('reject 1:5 2:*')), 'ENOENT');
    assert.equal(control.del('7 1:5 2:*'), 0, 'any accept but 0 is the same');
    assert.match(TEXT, /source, destination and whether it accepts are compared/);
  },
  posted: ({ control }) => {
    for (const rule of ['accept 1:5 2:*', 'reject 1:5 2:*']) assert.equal(control.add(rule), 0);
    assert.equal(control.del('reject 1:5 2:*'), 0);
    assert.deepEqual(control.list(), ['reject 1:5 2:*'], 'the other one went');
    assert.equal(control.del('reject 9:9 9:9'), 0, 'without a word');
  },
});

both(22, 'tables_list counts from 1, as tables_add does', {
  fixed: (all) => {
    const control = withRules(all);
    assert.deepEqual(control.list(1), RULES);
    assert.deepEqual(control.list(3), RULES.slice(2));
    assert.deepEqual(control.list(2, 1), RULES.slice(1, 2));
    assert.equal(control.list(0), 'EINVAL');
    assert.equal(control.list(1, 0), 'EINVAL');
  },
  posted: (all) => {
    const control = withRules(all);
    assert.deepEqual(control.list(0), RULES);
    assert.deepEqual(control.list(1), RULES.slice(1));
  },
});

both(23, 'tables_list from beyond the end lists nothing', {
  fixed: (all) => assert.deepEqual(withRules(all).list(4), []),
  posted: (all) => assert.deepEqual(withRules(all).list(4), RULES.slice(2), 'the last rule'),
});

both(24, 'tables_list that cannot copy a rule out says so', {
  fixed: (all) => assert.equal(listAtTheEnd(all), 'EFAULT'),
  posted: (all) => assert.deepEqual(listAtTheEnd(all), RULES.slice(0, 1), 'a short list, as if there were no more'),
});

/** Lists three rules where the caller's memory ends after one. */
function listAtTheEnd(all: Setting): string | string[] {
  const { arena } = all.xen;
  return withRules(all).list(1, 3, arena.base + arena.bytes.length - 8 - 20);
}

test('25. the check of a message is a boolean, and true is accept', () => {
  const rule = { src: { port: 0, domain: 1 }, dst: { port: 0, domain: 2 }, accept: false };
  assert.equal(rulesAccept([], { port: 5, domain: 1 }, { port: 6, domain: 2 }), true);
  assert.equal(rulesAccept([rule], { port: 5, domain: 1 }, { port: 6, domain: 2 }), false);
  assert.equal(rulesAccept([{ ...rule, accept: true }], { port: 5, domain: 1 }, { port: 6, domain: 2 }), true);
});

both(26, 'rules and limits are for whom the security policy calls privileged', {
  fixed: (all) => assert.deepEqual(control26(all), { control: [0, 0, 0, 0], hardware: Array(4).fill('EPERM') }),
  posted: (all) => assert.deepEqual(control26(all), { control: Array(4).fill('EPERM'), hardware: [0, 0, 0, 0] }),
});

/** What a control domain that is not domain 0, and a domain 0 that is no control domain, can do. */
function control26({ v4v, xen, control, owner, sender }: Setting): Record<string, unknown[]> {
  control.bytes.fill(1); // a rule, a list, and limits of domain 0x101
  const { dom0Caller } = xen;
  const attempt = (caller: typeof dom0Caller): unknown[] =>
    [8, 9, 10, 7].map((cmd) => {
      new DataView(control.bytes.buffer, control.bytes.byteOffset).setUint16(16, sender.domid, true);
      return outcome(v4v.hypercall(caller, cmd, control.address, 0, 1, 0));
    });
  return {
    control: attempt({ ...dom0Caller, domain: owner.guest.domain, privileged: true }),
    hardware: attempt({ ...dom0Caller, privileged: false }),
  };
}

test('27. the debug key is described without a spelling mistake', () => {
  assert.equal(V4v.keyHandler, 'dump v4v states and interrupt');
});

test('28. the type of npage is documented', () => {
  assert.match(HEADER, /uint32_t npage, 0\)/);
});

test('29. the header keeps to 80 columns, and says "actual message"', () => {
  const long = HEADER.split('\n').filter((line) => line.length >= 80);
  assert.deepEqual(long, []);
  assert.match(TEXT, /what the actual message says/);
  assert.doesNotMatch(TEXT, /actually message/);
});

test('30. the header says "sends an event on"', () => {
  assert.match(TEXT, /sends an event on the caller's event channel/);
  assert.doesNotMatch(TEXT, /twing/);
});

test('31. the header documents what rules mean: the first match, wildcards, the default', () => {
  assert.match(TEXT, /the first rule that matches a message decides/);
  assert.match(TEXT, /Where no rule matches, the message is accepted/);
  assert.match(TEXT, /V4V_DOMID_ANY and V4V_PORT_ANY in a rule match every domain and every port/);
});

test('32. the header documents how rules are deleted: by number, by rule, all', () => {
  assert.match(TEXT, /Position 1 or more: that rule\. Position -1 and a rule: the first equal rule/);
  assert.match(TEXT, /Position -1 and NULL: all rules/);
  const all = setting([]);
  const control = withRules(all);
  assert.equal(control.del('all'), 0);
  assert.deepEqual(control.list(), []);
});

// --- faults found since

both('a', "a sender is who the hypervisor knows it is: it cannot reach another domain's ring, or pass for another", {
  fixed: (all) => {
    privateRing(all);
    assert.equal(outcome(all.sender.send(all.ring, [bytes(4)], { as: all.third.domid })), 'ECONNREFUSED');
    assert.equal(all.third.send(all.ring, [bytes(4)], { as: 77 }), 4, 'what it says of itself does not matter');
    assert.equal(all.owner.receive()?.domain, all.third.domid);
  },
  posted: (all) => {
    privateRing(all);
    assert.equal(all.sender.send(all.ring, [bytes(4)], { as: all.third.domid }), 4);
  },
});

/** A ring for the third domain alone; a rule keeps the sender off. */
function privateRing({ control, owner, sender, third }: Setting): void {
  assert.equal(owner.register({ partner: third.domid }), 0);
  assert.equal(control.add(`reject ${sender.domid}:* *:*`), 0);
}

both('b', 'the pages of a ring hold its header, too', {
  fixed: ({ owner }) => {
    assert.equal(outcome(owner.register({ len: 4096, npage: 1 })), 'EINVAL');
    assert.equal(outcome(owner.register({ len: 4032, npage: 2 })), 'EINVAL', 'and no page is too many');
    assert.equal(owner.register({ len: 4096, npage: 2 }), 0);
  },
  posted: ({ owner, sender, ring }) => {
    assert.equal(owner.register({ len: 4096, npage: 1 }), 0);
    assert.equal(sender.send(ring, [bytes(3900)]), 3900);
    assert.equal(outcome(sender.send(ring, [bytes(100)])), 'EFAULT', 'the last 64 bytes are nowhere');
  },
});

both('c', 'the number of pages is not cut to 20 bits', {
  along: [1],
  fixed: ({ owner }) => {
    const header = owner.writeHeader();
    assert.equal(outcome(owner.call(1, header, 1024 * 4096 - 8, 0x10_0001, 0)), 'EINVAL');
  },
  posted: ({ owner }) => {
    const header = owner.writeHeader();
    assert.equal(
      outcome(owner.call(1, header, 1024 * 4096 - 8, 0x10_0001, 0)),
      'EFAULT',
      'off to read 2^20 + 1 frames',
    );
  },
});

both('d', 'an empty ring is told to be empty, and to have the room that a message can use', {
  fixed: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(sender.ask(ring, 4000).flags, EXISTS | EMPTY | SUFFICIENT);
    assert.equal(sender.ask(ring, 4001).flags, EXISTS | EMPTY);
    assert.equal(sender.send(ring, [bytes(4000)]), 4000);
  },
  posted: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(sender.ask(ring, 4016).flags, EXISTS | SUFFICIENT, 'not empty, and more room than there is');
    assert.equal(outcome(sender.send(ring, [bytes(4016)])), 'EMSGSIZE');
  },
});

both('e', 'max_message_size reaches the caller', {
  fixed: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(sender.ask(ring, 1).max, 4000);
  },
  posted: ({ owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(sender.ask(ring, 1).max, 0xbbbb_bbbb, 'what was there before');
  },
});

both('f', 'nobody waits for more room than a ring can ever have', {
  fixed: ({ v4v, owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.deepEqual(sender.ask(ring, 5000), { flags: EXISTS | EMPTY, max: 4000 });
    assert.equal(v4v.domain(owner.domid)?.ringFor(80, sender.domid)?.waiters.size, 0);
  },
  posted: ({ v4v, owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(sender.ask(ring, 5000).flags & PENDING, PENDING);
    assert.equal(owner.notify(), 0);
    assert.equal(v4v.domain(owner.domid)?.ringFor(80, sender.domid)?.waiters.size, 1, 'for ever');
  },
});

both('g', "a failed send keeps neither the receiver's lock nor a reference to it", {
  fixed: ({ v4v, control, owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(outcome(sender.send(ring, [bytes(4001)])), 'EMSGSIZE');
    assert.equal(control.add('reject *:* *:*'), 0);
    assert.equal(outcome(sender.send(ring, [bytes(1)])), 'ECONNREFUSED');
    assert.equal(v4v.lost.domainReferences, 0);
    assert.equal(owner.register({ port: 81 }), 0);
  },
  posted: ({ v4v, control, owner, sender, ring }) => {
    assert.equal(owner.register(), 0);
    assert.equal(control.add('reject *:* *:81'), 0);
    assert.equal(outcome(sender.send({ ...ring, port: 81 }, [bytes(1)])), 'ECONNREFUSED');
    assert.equal(v4v.lost.domainReferences, 1, 'the receiver can never be destroyed');
    assert.equal(outcome(sender.send(ring, [bytes(4001)])), 'EMSGSIZE');
    assert.throws(() => owner.register({ port: 81 }), V4vHang);
  },
});

both('h', "a domain's state goes with the domain, or with the event channel that it did not get", {
  fixed: (all) => assert.equal(statesLost(all, []), 0),
  posted: (all) => assert.equal(statesLost(all, ['h']), 2),
});

/** States that are lost by a domain that goes and another that gets no event channel. */
function statesLost({ v4v, xen, owner, sender }: Setting, asPosted: readonly AsPosted[]): number {
  assert.equal(owner.register({ len: 64 * 1024, npage: pagesFor(64 * 1024) }), 0);
  xen.destroy(owner.guest.domain);
  assert.equal(v4v.domain(owner.domid), undefined);
  const other = new V4v({ asPosted });
  other.attach({ allocate: () => -28, signal: () => {} });
  other.domainCreated(sender.guest.domain);
  assert.equal(other.domain(sender.domid), undefined);
  return v4v.lost.states + other.lost.states;
}

// --- the switch itself

test('asPosted refuses items without behaviour, and items that do not exist', () => {
  for (const item of [5, 6, 8, 11, 18, 25, 27, 28, 29, 30, 31, 32]) {
    assert.throws(() => new V4v({ asPosted: [item as AsPosted] }), /no behaviour to go back to/, `${item}`);
  }
  for (const item of [0, 33, 'i', '12', null]) {
    assert.throws(() => new V4v({ asPosted: [item as AsPosted] }), /there is no item/, `${item}`);
  }
});

test('docs/v4v-review.md has a row for each item, in order', () => {
  const rows = [...readFileSync(`${ROOT}docs/v4v-review.md`, 'utf8').matchAll(/^\| (\w+) \|/gm)].map(
    ([, item]) => item,
  );
  const items = [...Array.from({ length: 32 }, (_, i) => `${i + 1}`), ...'abcdefgh'];
  assert.deepEqual(
    rows.filter((row) => row !== undefined && items.includes(row)),
    items,
  );
});
