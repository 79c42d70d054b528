/** The rules of Argo, one by one, as real Xen follows them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import type { ArgoMode } from '#dist/model/argo/argo.js';
import { ModelXen } from '#dist/model/index.js';
import {
  ANY,
  EBUSY,
  EMPTY,
  EMSGSIZE,
  EXISTS,
  HOLE,
  NOTIFY,
  Party,
  REGISTER,
  type RegisterOptions,
  SENDV,
  type SendOptions,
  SHARED,
  SUFFICIENT,
  UNREGISTER,
  world,
} from './party.js';

const PORT = 5;
const {
  EACCES,
  EAGAIN,
  ECONNREFUSED,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOENT,
  ENOSPC,
  EOPNOTSUPP,
  EPERM,
  ESRCH,
  ENOSYS,
} = errno;

describe('argo_op: whether there is Argo at all', () => {
  const modes: readonly [mode: ArgoMode, notify: number, commandLine: RegExp][] = [
    ['not-compiled-in', -ENOSYS, /altp2m=1$/],
    [false, -EOPNOTSUPP, /altp2m=1$/],
    ['denied', -EACCES, /argo=1$/],
    ['no-domain-state', -ENODEV, /argo=1$/],
    [true, 0, /argo=1$/],
    ['mac-permissive', 0, /argo=1,mac-permissive=1$/],
  ];
  for (const [mode, expected, commandLine] of modes) {
    test(`${String(mode)}: notify(NULL) answers ${expected}`, () => {
      const { xen, dom0, two } = world(mode);
      assert.equal(dom0.wake(), expected);
      assert.equal(two.wake(), expected);
      assert.match(xen.commandLine, commandLine);
    });
  }

  test('another mode is refused', () => {
    assert.throws(() => new ModelXen({ argo: 'yes' as unknown as boolean }), RangeError);
  });

  test('arguments 3 and 4 of more than 32 bits are EINVAL before Argo is found to be off', () => {
    for (const [mode, expected] of [
      [false, -EINVAL],
      ['mac-permissive', -EINVAL],
      ['not-compiled-in', -ENOSYS],
    ] as const) {
      const { dom0 } = world(mode);
      assert.equal(dom0.call(NOTIFY, 0, 0, 2 ** 32), expected);
      assert.equal(dom0.call(99, 0, 0, 0, 2 ** 64 - 1), expected);
    }
  });

  test('of the command the low 32 bits count; an unknown one is EOPNOTSUPP', () => {
    const { dom0 } = world();
    assert.equal(dom0.call(2 ** 32 + NOTIFY), 0);
    for (const cmd of [0, 5, 6, 100, 0xffff_ffff]) assert.equal(dom0.call(cmd, 1, 2, 3, 4), -EOPNOTSUPP);
  });

  test('notify and unregister take one argument', () => {
    const { one } = world();
    for (const cmd of [NOTIFY, UNREGISTER]) {
      assert.equal(one.call(cmd, HOLE, 1), -EINVAL);
      assert.equal(one.call(cmd, HOLE, 0, 1), -EINVAL);
      assert.equal(one.call(cmd, HOLE, 0, 0, 1), -EINVAL);
      assert.equal(one.call(cmd, HOLE), -EFAULT);
    }
  });
});

describe('register_ring', () => {
  const refusals: readonly [
    what: string,
    options: RegisterOptions & { readonly partner?: number },
    expected: number,
  ][] = [
    ['more than 4096 pages, before the flags', { npage: 4097, flags: 2, gfns: [] }, -EINVAL],
    ['flags before the pointer', { flags: 2, address: HOLE }, -EINVAL],
    ['FAIL_EXIST and another flag', { flags: 3 }, -EINVAL],
    ['a pointer to nothing', { address: HOLE, pad: 1 }, -EFAULT],
    ['less than a header and two slots', { len: 32 }, -EINVAL],
    ['a length between slots', { len: 65 }, -EINVAL],
    ['2^32 - 1 bytes', { len: 0xffff_ffff, npage: 1 }, -EINVAL],
    ['16 MiB: it needs 4097 pages', { len: 2 ** 24, npage: 4096, gfns: [] }, -EINVAL],
    ['a page too few', { len: 4048, npage: 1 }, -EINVAL],
    ['a page too many', { len: 4032, npage: 2 }, -EINVAL],
    ['a pad, before the partner is looked for', { pad: 1, partner: 999 }, -EINVAL],
    ['an unknown partner, before the frames', { partner: 999, gfns: [0xfffff] }, -ESRCH],
    ['DOMID_SELF as partner', { partner: 0x7ff0 }, -ESRCH],
    ['a frame list that is not there', { list: HOLE }, -EFAULT],
    ['a frame that is not there', { gfns: [0xfffff] }, -EINVAL],
    ['a frame of all ones', { gfns: [2 ** 64 - 2048] }, -EINVAL],
    ['a good frame and a bad one', { len: 4096, gfns: [512, 0xfffff] }, -EINVAL],
  ];
  for (const [what, { partner = 0, ...options }, expected] of refusals) {
    test(`${what}: ${expected}`, () => {
      const { one, dom0 } = world();
      assert.equal(one.register(PORT, partner, options), expected);
      assert.equal(one.unregister(PORT, partner), -ENOENT);
      assert.equal(dom0.send(one.domid, PORT, 'x'), -ECONNREFUSED);
    });
  }

  test('a PV domain gets EFAULT for a frame list in Xen’s own range, before the flags are looked at', () => {
    const { dom0, one } = world();
    assert.equal(dom0.register(PORT, 1, { list: 0xffff_82d0_0000_0000, flags: 2 }), -EFAULT);
    assert.equal(one.register(PORT, 0, { list: 0xffff_82d0_0000_0000, flags: 2 }), -EINVAL);
  });

  test('a PV domain’s frames are machine frames of its own: low ones, too high ones and others’ are EINVAL', () => {
    const { dom0 } = world();
    for (const gfn of [0xb8, 0xfffff, 2 ** 40]) assert.equal(dom0.register(PORT, 1, { gfns: [gfn] }), -EINVAL);
  });

  const types = [
    ['mmio_direct', -EPERM],
    ['mmio_dm', -EINVAL],
    ['ram_ro', -EINVAL],
    ['ioreq_server', -EINVAL],
    ['ram_rw', 0],
  ] as const;
  for (const [type, expected] of types) {
    test(`a frame of type ${type}: ${expected}`, () => {
      const { xen, one } = world();
      xen.domains.get(one.domid)?.frameTypes.set(one.ringGfn(), type);
      assert.equal(one.register(PORT, 0), expected);
    });
  }

  test('a frame that log-dirty mode watches is EAGAIN until the guest writes it', () => {
    const { xen, one } = world();
    const types = xen.domains.get(one.domid)?.frameTypes;
    types?.logDirty(true);
    assert.equal(one.register(PORT, 0), -EAGAIN);
    assert.equal(xen.guest(one.domid)?.vcpus[0].write(one.ringGfn() * 4096 + 64, Uint8Array.of(1)).exception, null);
    assert.equal(one.register(PORT, 0), 0);
    types?.logDirty(false);
    assert.equal(one.register(PORT + 1, 0), 0);
  });

  test('the same frame twice is accepted', () => {
    const { one } = world();
    assert.equal(one.register(PORT, 0, { len: 4096, gfns: [512, 512] }), 0);
  });

  test('a ring for any sender needs mac-permissive, even for dom0; EPERM comes before bad frames', () => {
    const { one, dom0 } = world(true);
    assert.equal(one.register(PORT, ANY), -EPERM);
    assert.equal(dom0.register(PORT, ANY, { gfns: [0xfffff] }), -EPERM);
    assert.equal(one.register(PORT, 0), 0);
  });

  test('FAIL_EXIST refuses a second registration for the same partner, before bad frames, and the ring stays', () => {
    const { one, dom0 } = world();
    assert.equal(one.register(PORT, 0, { flags: 1 }), 0);
    assert.equal(one.register(PORT, 0, { flags: 1, gfns: [0xfffff] }), -EEXIST);
    assert.equal(one.register(PORT, 2, { flags: 1 }), 0);
    assert.equal(one.register(PORT, ANY, { flags: 1 }), 0);
    assert.equal(dom0.send(one.domid, PORT, 'there'), 5);
  });

  test('another length is EEXIST without the flag, too', () => {
    const { one } = world();
    assert.equal(one.register(PORT, 0, { len: 256 }), 0);
    assert.equal(one.register(PORT, 0, { len: 272 }), -EEXIST);
    assert.equal(one.register(PORT, 0, { len: 256 }), 0);
  });

  test('each registration of one ring counts: the 129th is ENOSPC, before EEXIST and bad frames', () => {
    const { one } = world();
    for (let i = 0; i < 128; i++) assert.equal(one.register(PORT, 0), 0);
    assert.equal(one.register(PORT, 0), -ENOSPC);
    assert.equal(one.register(PORT, 0, { flags: 1, gfns: [0xfffff] }), -ENOSPC);
    assert.equal(one.unregister(PORT, 0), 0);
    assert.equal(one.register(PORT, 0), 0);
    assert.equal(one.register(PORT + 1, 0), -ENOSPC);
  });

  test('128 different rings, and then no more', () => {
    const { one } = world();
    for (let port = 0; port < 128; port++) assert.equal(one.register(port, 0), 0);
    assert.equal(one.register(128, 0), -ENOSPC);
    assert.equal(one.unregister(3, 0), 0);
    assert.equal(one.register(128, 0), 0);
  });

  test('a registration again that fails takes the ring away and keeps the count', () => {
    const { one, dom0 } = world();
    assert.equal(one.register(PORT, 0), 0);
    assert.equal(one.register(PORT, 0, { gfns: [0xfffff] }), -EINVAL);
    assert.equal(dom0.send(one.domid, PORT, 'x'), -ECONNREFUSED);
    assert.equal(one.unregister(PORT, 0), -ENOENT);
    for (let port = 0; port < 127; port++) assert.equal(one.register(port + 10, 0), 0);
    assert.equal(one.register(500, 0), -ENOSPC);
  });

  const presets: readonly [rx: number, tx: number, adopted: number, written: number][] = [
    [0, 0, 0, 0],
    [0, 48, 48, 48],
    [32, 48, 48, 48],
    [48, 47, 48, 48],
    [33, 256, 48, 48],
    [255, 1, 0, 0],
    [0xffff_fff1, 0xffff_ffff, 0, 0],
    [240, 8, 240, 240],
  ];
  for (const [rx, tx, adopted, written] of presets) {
    test(`with rx_ptr ${rx} and tx_ptr ${tx} in the page it begins at ${adopted}`, () => {
      const { one, dom0 } = world();
      one.setRing(rx, tx);
      assert.equal(one.register(PORT, 0), 0);
      assert.equal(one.ringWord(4), written);
      one.setRing(adopted, 99);
      assert.equal(dom0.send(one.domid, PORT, '0123456789'), 10);
      assert.equal(one.ringWord(4), (adopted + 32) % 256);
    });
  }

  test('registration again takes tx_ptr from the page, whatever Xen had', () => {
    const { one, dom0 } = world();
    one.register(PORT, 0);
    dom0.send(one.domid, PORT, 'x');
    one.setRing(0, 96);
    one.register(PORT, 0);
    dom0.send(one.domid, PORT, 'x');
    assert.equal(one.ringWord(4), 128);
  });

  test('the largest ring has 16 MiB less 64 bytes, and its largest message 16 MiB less 96', () => {
    const xen = new ModelXen({ argo: true });
    const sender = new Party(xen, 0);
    const { domid } = xen.createGuest({ memoryPages: 0x2000 });
    const receiver = new Party(xen, domid);
    const gfns = Array.from({ length: 4096 }, (_, i) => 0x1000 + i);
    assert.equal(receiver.register(PORT, 0, { len: 2 ** 24 - 64, npage: 4096, gfns }), 0);
    assert.equal(sender.notify([{ port: PORT, domid }]).entries[0]?.max, 2 ** 24 - 96);
    const piece = { address: sender.at(0), len: 2 ** 24 - 96 };
    assert.equal(sender.send(domid, PORT, '', { pieces: [{ ...piece, len: piece.len + 64 + 1 }] }), -EINVAL);
    assert.equal(sender.send(domid, PORT, '', { pieces: [{ ...piece, len: piece.len + 16 }] }), -errno.EMSGSIZE);
    assert.equal(sender.send(domid, PORT, '', { pieces: [piece] }), -EFAULT);
  });
});

describe('unregister_ring', () => {
  test('a pad is EINVAL, an absent ring and another partner’s ENOENT; the pointers in the page stay', () => {
    const { one } = world();
    one.register(PORT, 0);
    one.setRing(16, 32);
    assert.equal(one.unregister(PORT, 0, 1), -EINVAL);
    assert.equal(one.unregister(PORT, 2), -ENOENT);
    assert.equal(one.unregister(PORT, ANY), -ENOENT);
    assert.equal(one.unregister(PORT, 0), 0);
    assert.equal(one.unregister(PORT, 0), -ENOENT);
    assert.deepEqual([one.ringWord(0), one.ringWord(4)], [16, 32]);
  });

  test('frames that the owner gives up stay its own until the ring is gone', () => {
    const { xen, one, two, dom0 } = world();
    one.register(PORT, 0);
    const domain = xen.domains.get(one.domid);
    const before = xen.memory.freePages;
    assert.ok(domain?.depopulate(one.ringGfn()));
    assert.equal(xen.memory.freePages, before);
    const other = xen.domains.get(two.domid);
    if (other) other.maxPages += 1;
    assert.ok(other?.populate(0x5000, 0));
    other?.page(0x5000, true)?.fill(0x77);
    assert.equal(dom0.send(one.domid, PORT, 'into the frame that is nobody’s'), 33);
    assert.ok(other?.page(0x5000, false)?.every((byte) => byte === 0x77));
    assert.equal(one.unregister(PORT, 0), 0);
    assert.equal(xen.memory.freePages, before);
  });
});

describe('sendv', () => {
  test('a message is a header with the true sender, its payload and VIRQ_ARGO; padding keeps its bytes', () => {
    const { one, two } = world();
    one.ringPage().fill(0xa5);
    one.setRing(0, 0);
    one.register(PORT, two.domid);
    one.signalled();
    assert.equal(two.send(one.domid, PORT, 'hello', { type: 0x1234, fromPort: 9 }), 5);
    assert.ok(one.signalled());
    assert.ok(!two.signalled());
    const page = Buffer.from(one.ringPage());
    assert.equal(page.toString('hex', 64, 96), `1500000009000000020000003412000068656c6c6f${'a5'.repeat(11)}`);
    assert.ok(page.subarray(8, 64).every((byte) => byte === 0xa5));
    assert.deepEqual(one.read(), [{ from: two.domid, port: 9, type: 0x1234, text: 'hello' }]);
  });

  const errors: readonly [
    what: string,
    options: SendOptions & { readonly to?: number; readonly port?: number },
    rc: number,
  ][] = [
    ['an address that is not there, before all', { address: HOLE, niov: 9 }, -EFAULT],
    ['nine pieces, before their pointer', { niov: 9, iovs: HOLE }, -EINVAL],
    ['pieces that are not there, before the pads', { iovs: HOLE, pads: [1, 0] }, -EFAULT],
    ['a pad of the source, before its domain', { pads: [1, 0], from: 3 }, -EINVAL],
    ['a pad of the target', { pads: [0, 1] }, -EINVAL],
    ['another’s name, before the target', { from: 3, to: 999 }, -EPERM],
    ['DOMID_SELF as source', { from: 0x7ff0 }, -EPERM],
    ['an unknown domain, before the pieces', { to: 999, pieces: [{ address: 0, len: 1, pad: 1 }] }, -ESRCH],
    ['DOMID_SELF as target', { to: 0x7ff0 }, -ESRCH],
    ['no ring, before the pieces', { port: 99, pieces: [{ address: 0, len: 1, pad: 1 }] }, -ECONNREFUSED],
    ['a piece’s pad', { pieces: [{ address: HOLE, len: 1, pad: 1 }] }, -EINVAL],
    ['a piece beyond any ring', { pieces: [{ address: HOLE, len: 2 ** 24 - 31 }] }, -EINVAL],
    [
      'pieces that are too much together',
      { pieces: [1, 2].map(() => ({ address: HOLE, len: 2 ** 23 })) },
      -errno.EMSGSIZE,
    ],
    [
      'the first bad piece counts',
      {
        pieces: [
          { address: 0, len: 2 ** 32 - 1 },
          { address: 0, len: 1, pad: 1 },
        ],
      },
      -EINVAL,
    ],
    ['more than the ring can hold, before its pointer', { pieces: [{ address: HOLE, len: 225 }] }, -errno.EMSGSIZE],
    ['a payload that is not there', { pieces: [{ address: HOLE, len: 224 }] }, -EFAULT],
  ];
  for (const [what, { to, port = PORT, ...options }, expected] of errors) {
    test(`${what}: ${expected}; nobody is signalled`, () => {
      const { one, two } = world();
      one.register(PORT, two.domid);
      assert.equal(two.send(to ?? one.domid, port, 'x', options), expected);
      assert.ok(!one.signalled());
      assert.equal(one.ringWord(4), 0);
    });
  }

  test('a full ring hides a bad payload: EAGAIN', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    assert.equal(two.send(one.domid, PORT, 'x'.repeat(200)), 200);
    assert.equal(two.send(one.domid, PORT, '', { pieces: [{ address: HOLE, len: 64 }] }), -EAGAIN);
  });

  test('pieces are joined, empty ones skipped even where they point to nothing', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    two.put(two.at(0x4000), Buffer.from('onetwo'));
    const pieces = [
      { address: two.at(0x4003), len: 3 },
      { address: HOLE, len: 0 },
      { address: two.at(0x4000), len: 3 },
    ];
    assert.equal(two.send(one.domid, PORT, '', { pieces }), 6);
    assert.equal(one.read()[0]?.text, 'twoone');
  });

  test('no pieces at all is a message of 16 bytes, wherever the pointer points', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    assert.equal(two.send(one.domid, PORT, '', { pieces: [], iovs: HOLE }), 0);
    assert.ok(one.signalled());
    assert.equal(one.ringWord(4), 16);
    assert.deepEqual(one.read(), [{ from: two.domid, port: 7, type: 0, text: '' }]);
  });

  test('a payload wraps at the end of the ring, and a header never does', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    const texts = Array.from({ length: 40 }, (_, i) => 'abcdefghijklmnopqrstuvwxyz'.repeat(4).slice(0, (i * 7) % 100));
    for (const text of texts) {
      assert.equal(two.send(one.domid, PORT, text), text.length);
      assert.equal(one.read()[0]?.text, text);
    }
  });

  test('one slot always stays free', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    assert.equal(two.send(one.domid, PORT, 'x'.repeat(224)), 224);
    assert.equal(one.ringWord(4), 240);
    assert.equal(two.send(one.domid, PORT, ''), -EAGAIN);
    one.setRing(16, 240);
    assert.equal(two.send(one.domid, PORT, ''), 0);
  });

  const pointers: readonly [rx: number, fits: number, why: string][] = [
    [129, 144, 'between slots: rounded up to 144'],
    [0xffff_fff1, 0, 'rounded up in 32 bits: 0'],
    [257, 0, 'beyond the end: 0'],
    [0xffff_0000, 0, 'far beyond the end: 0'],
    [209, 224, 'rounded up to tx_ptr: the ring counts as empty, and unread bytes are lost'],
  ];
  for (const [rx, fits, why] of pointers) {
    test(`an rx_ptr of ${rx} is ${why}`, () => {
      const { one, two } = world();
      one.register(PORT, two.domid);
      assert.equal(two.send(one.domid, PORT, 'x'.repeat(208)), 208);
      one.setRing(rx, 224);
      if (fits < 224) assert.equal(two.send(one.domid, PORT, 'x'.repeat(fits + 1)), -EAGAIN);
      assert.equal(two.send(one.domid, PORT, 'x'.repeat(fits)), fits);
    });
  }

  test('tx_ptr in the page is nothing to Xen: the next message overwrites it', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    one.setRing(0, 0xdead_beef);
    assert.equal(two.send(one.domid, PORT, 'x'), 1);
    assert.equal(one.ringWord(4), 32);
  });

  test('the source port is anybody’s to choose', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    assert.equal(two.send(one.domid, PORT, 'x', { fromPort: 0xffff_ffff, from: two.domid }), 1);
    assert.equal(one.read()[0]?.port, 0xffff_ffff);
  });

  test('a domain may send to itself, and is signalled', () => {
    const { one } = world();
    one.register(PORT, one.domid);
    one.signalled();
    assert.equal(one.send(one.domid, PORT, 'me'), 2);
    assert.ok(one.signalled());
  });

  test('of two rings on one port the one for the sender alone is taken', () => {
    const { one, two, three } = world();
    one.register(PORT, ANY, { gfns: [one.ringGfn(0)] });
    one.register(PORT, two.domid, { gfns: [one.ringGfn(1)] });
    two.send(one.domid, PORT, 'private');
    three.send(one.domid, PORT, 'public');
    assert.deepEqual(
      one.read(256, 1).map(({ text }) => text),
      ['private'],
    );
    assert.deepEqual(
      one.read(256, 0).map(({ text }) => text),
      ['public'],
    );
  });

  test('the owner may send to its ring for any sender, not to the one for another', () => {
    const { one, two } = world();
    one.register(PORT, ANY);
    one.register(PORT + 1, two.domid, { gfns: [one.ringGfn(1)] });
    assert.equal(one.send(one.domid, PORT, 'x'), 1);
    assert.equal(one.send(one.domid, PORT + 1, 'x'), -ECONNREFUSED);
  });

  test('a payload that ends in a hole: an HVM sender’s readable part lies beyond tx_ptr', () => {
    const { one, three } = world();
    one.ringPage().fill(0xa5);
    one.setRing(0, 0);
    one.register(PORT, three.domid);
    const end = 1024 * 4096;
    three.put(end - 4, Buffer.from('tail'));
    assert.equal(three.send(one.domid, PORT, '', { pieces: [{ address: end - 4, len: 8 }] }), -EFAULT);
    const page = Buffer.from(one.ringPage());
    assert.equal(page.readUInt32LE(4), 0);
    assert.equal(page.readUInt32LE(64), 24);
    assert.equal(page.toString('hex', 80, 88), `${Buffer.from('tail').toString('hex')}a5a5a5a5`);
    assert.ok(!one.signalled());
  });

  test('the same of a PV sender: the rest of the piece is zeroes; in Xen’s own range nothing is written', () => {
    const { xen, one, dom0 } = world();
    one.ringPage().fill(0xa5);
    one.setRing(0, 0);
    one.register(PORT, 0);
    const end = xen.arena.base + xen.arena.bytes.length;
    xen.arena.bytes.set(Buffer.from('tail'), xen.arena.bytes.length - 4);
    assert.equal(dom0.send(one.domid, PORT, '', { pieces: [{ address: end - 4, len: 8 }] }), -EFAULT);
    assert.equal(
      Buffer.from(one.ringPage()).toString('hex', 80, 90),
      `${Buffer.from('tail').toString('hex')}00000000a5a5`,
    );
    const own = { address: 0xffff_82d0_0000_0000, len: 16 };
    assert.equal(dom0.send(one.domid, PORT, '', { pieces: [own] }), -EFAULT);
    assert.equal(
      Buffer.from(one.ringPage()).toString('hex', 80, 90),
      `${Buffer.from('tail').toString('hex')}00000000a5a5`,
    );
  });

  const positive: readonly [
    what: string,
    options: SendOptions & { readonly to?: number; readonly port?: number },
    rc: number,
  ][] = [
    ['ECONNREFUSED', { port: 99 }, ECONNREFUSED],
    ['EMSGSIZE', { pieces: [{ address: 0, len: 1000 }] }, errno.EMSGSIZE],
    ['EINVAL of a piece', { pieces: [{ address: 0, len: 1, pad: 1 }] }, EINVAL],
    ['EFAULT of a payload', { pieces: [{ address: HOLE, len: 1 }] }, EFAULT],
  ];
  const negative: typeof positive = [
    ['EINVAL of niov', { niov: 9 }, EINVAL],
    ['EINVAL of a pad', { pads: [0, 1] }, EINVAL],
    ['EFAULT of the address', { address: HOLE }, EFAULT],
    ['EPERM', { from: 3 }, EPERM],
    ['ESRCH', { to: 999 }, ESRCH],
  ];
  for (const [what, { to, port = PORT, ...options }, code] of positive) {
    test(`${what} is a positive number in a 64-bit caller’s register, a negative one in a 32-bit one’s`, () => {
      const { one, two, three } = world();
      one.register(PORT, ANY);
      assert.equal(three.sendRaw(to ?? one.domid, port, 'x', options), 2 ** 32 - code);
      assert.equal(two.sendRaw(to ?? one.domid, port, 'x', options), -code);
    });
  }
  for (const [what, { to, port = PORT, ...options }, code] of negative) {
    test(`${what} is negative for both`, () => {
      const { one, two, three } = world();
      one.register(PORT, ANY);
      for (const sender of [two, three]) {
        const from = options.from === undefined ? {} : { from: 1 };
        assert.equal(sender.sendRaw(to ?? one.domid, port, 'x', { ...options, ...from }), -code);
      }
    });
  }

  test('EAGAIN and EBUSY, too, are positive', () => {
    const { one, three } = world();
    one.register(PORT, three.domid);
    three.send(one.domid, PORT, 'x'.repeat(224));
    assert.equal(three.sendRaw(one.domid, PORT, 'x'), 2 ** 32 - EAGAIN);
  });
});

describe('waits for room', () => {
  /** A ring of 256 bytes that holds one message of 208 (224 with its header): 32 bytes are free. */
  function full() {
    const all = world();
    const { one, two, three } = all;
    one.register(PORT, ANY);
    assert.equal(two.send(one.domid, PORT, 'x'.repeat(208)), 208);
    for (const party of [one, two, three]) party.signalled();
    /** The owner makes so many bytes free, and notifies. */
    const free = (bytes: number): void => {
      one.setRing((bytes + one.ringWord(4)) % 256, 0);
      one.wake();
    };
    return { ...all, free };
  }

  test('EAGAIN waits; the owner’s notify wakes when the payload fits, once', () => {
    const { one, two, free } = full();
    assert.equal(two.send(one.domid, PORT, 'x'.repeat(100)), -EAGAIN);
    free(128);
    assert.ok(!two.signalled());
    free(144);
    assert.ok(two.signalled());
    free(192);
    assert.ok(!two.signalled());
  });

  test('of two lengths the larger is kept', () => {
    const { one, two, free } = full();
    two.send(one.domid, PORT, 'x'.repeat(100));
    two.send(one.domid, PORT, 'x'.repeat(20));
    free(96);
    assert.ok(!two.signalled());
    assert.equal(two.notify([{ port: PORT, domid: one.domid, space: 150 }]).entries[0]?.flags, EXISTS | SHARED);
    free(144);
    assert.ok(!two.signalled());
    free(192);
    assert.ok(two.signalled());
  });

  test('notify with enough room cancels the wait', () => {
    const { one, two, free } = full();
    two.send(one.domid, PORT, 'x'.repeat(100));
    one.setRing(112, 0);
    two.notify([{ port: PORT, domid: one.domid, space: 48 }]);
    free(192);
    assert.ok(!two.signalled());
  });

  test('a message that is sent does not cancel it: a later notify wakes in vain', () => {
    const { one, two, free } = full();
    two.send(one.domid, PORT, 'x'.repeat(100));
    one.setRing(112, 0);
    assert.equal(two.send(one.domid, PORT, 'y'), 1);
    free(192);
    assert.ok(two.signalled());
  });

  test('EMSGSIZE does not wait, of sendv or of notify', () => {
    const { one, two, free } = full();
    assert.equal(two.send(one.domid, PORT, 'x'.repeat(225)), -errno.EMSGSIZE);
    assert.equal(
      two.notify([{ port: PORT, domid: one.domid, space: 225 }]).entries[0]?.flags,
      EXISTS | SHARED | EMSGSIZE,
    );
    free(256);
    assert.ok(!two.signalled());
  });

  test('a wait of length 0 needs 48 bytes free; at 16 free notify calls 0 bytes sufficient, yet sendv is EAGAIN', () => {
    const { one, two } = full();
    assert.equal(two.send(one.domid, PORT, ''), 0, '32 free: it fits once');
    one.signalled();
    assert.equal(two.send(one.domid, PORT, ''), -EAGAIN);
    assert.equal(
      two.notify([{ port: PORT, domid: one.domid }]).entries[0]?.flags,
      EXISTS | SHARED | SUFFICIENT,
      'and the wait is cancelled',
    );
    assert.equal(two.send(one.domid, PORT, ''), -EAGAIN);
    one.wake();
    one.setRing(16, 0);
    one.wake();
    assert.ok(!two.signalled());
    one.setRing(32, 0);
    one.wake();
    assert.ok(two.signalled());
  });

  test('space that is asked for is not rounded', () => {
    const { one, two } = full();
    one.setRing(16, 0); // 48 bytes free, 16 of payload
    const flags = (space: number): number | undefined =>
      two.notify([{ port: PORT, domid: one.domid, space }]).entries[0]?.flags;
    assert.equal(flags(16), EXISTS | SHARED | SUFFICIENT);
    assert.equal(flags(17), EXISTS | SHARED);
  });

  test('all that wait for no more than there is are woken', () => {
    const { one, two, three, free } = full();
    two.send(one.domid, PORT, 'x'.repeat(100));
    three.send(one.domid, PORT, 'x'.repeat(40));
    free(80);
    assert.deepEqual([two.signalled(), three.signalled()], [false, true]);
    three.send(one.domid, PORT, 'x'.repeat(60));
    free(192);
    assert.deepEqual([two.signalled(), three.signalled()], [true, true]);
  });

  test('the owner’s notify wakes although it fails with EFAULT or EACCES, not when it fails with EINVAL', () => {
    for (const [fail, woken] of [
      [(one: Party) => one.call(NOTIFY, HOLE), true],
      [(one: Party) => one.notify([], { nent: 257 }).rc, true],
      [(one: Party) => one.call(NOTIFY, 0, 0, 0, 1), false],
    ] as const) {
      const { one, two } = full();
      two.send(one.domid, PORT, 'x'.repeat(50));
      one.setRing(192, 0);
      assert.ok(fail(one) < 0);
      assert.equal(two.signalled(), woken);
    }
  });

  test('the owner’s own sendv and another’s notify wake nobody', () => {
    const { one, two, three } = full();
    two.send(one.domid, PORT, 'x'.repeat(50));
    one.setRing(192, 0);
    one.send(three.domid, 77, 'x');
    three.wake();
    assert.ok(!two.signalled());
    one.wake();
    assert.ok(two.signalled());
  });

  test('registration again keeps those who wait; unregistering drops them silently', () => {
    const { one, two, free } = full();
    two.send(one.domid, PORT, 'x'.repeat(50));
    one.setRing(0, 224);
    assert.equal(one.register(PORT, ANY), 0);
    free(192);
    assert.ok(two.signalled());
    two.send(one.domid, PORT, 'x'.repeat(200));
    one.unregister(PORT, ANY);
    one.register(PORT, ANY);
    free(256);
    assert.ok(!two.signalled());
  });

  test('32 domains can wait for one ring: the 33rd is told EBUSY, one that waits already is not', () => {
    const xen = new ModelXen({ argo: 'mac-permissive' });
    const owner = new Party(xen, 0);
    owner.register(PORT, ANY);
    const senders = Array.from({ length: 33 }, () => new Party(xen, xen.createGuest({ memoryPages: 16 }).domid));
    const [firstSender] = senders;
    assert.equal(firstSender?.send(0, PORT, 'x'.repeat(208)), 208);
    senders.forEach((sender, i) => {
      assert.equal(sender.send(0, PORT, 'x'.repeat(100)), i < 32 ? -EAGAIN : -errno.EBUSY);
    });
    const flags = (sender: Party | undefined): number | undefined =>
      sender?.notify([{ port: PORT, domid: 0, space: 120 }]).entries[0]?.flags;
    assert.equal(flags(senders[32]), EXISTS | SHARED | EBUSY);
    assert.equal(flags(senders[31]), EXISTS | SHARED);
    owner.setRing(224, 224);
    owner.wake();
    assert.deepEqual(
      senders.map((sender) => sender.signalled()),
      senders.map((_, i) => i < 32),
    );
  });
});

describe('notify', () => {
  test('what is absent has no flags, and its max_message_size is written back as it was', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    const strange = { flags: 0xffff, max: 0x1234_5678, space: 9 };
    const { rc, entries, bytes } = two.notify([
      { port: 99, domid: one.domid, ...strange },
      { port: PORT, domid: 999, ...strange },
      { port: PORT, domid: ANY, ...strange },
      { port: PORT, domid: one.domid, ...strange },
    ]);
    assert.equal(rc, 0);
    assert.deepEqual(entries, [
      { flags: 0, max: 0x1234_5678 },
      { flags: 0, max: 0x1234_5678 },
      { flags: 0, max: 0x1234_5678 },
      { flags: EXISTS | EMPTY | SUFFICIENT, max: 224 },
    ]);
    assert.equal(bytes.readUInt32LE(8 + 12), 9);
  });

  test('pads are nobody’s business', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    const address = two.at(0x2000);
    const data = Buffer.alloc(28, 0xff);
    data.writeUInt32LE(1, 0);
    data.writeUInt32LE(PORT, 8);
    data.writeUInt16LE(one.domid, 12);
    data.writeUInt32LE(0, 20);
    two.put(address, data);
    assert.equal(two.call(NOTIFY, address), 0);
    const after = two.get(address, 28);
    assert.equal(after.readUInt16LE(16), EXISTS | EMPTY | SUFFICIENT);
    assert.deepEqual(
      [after.readUInt16LE(14), after.readUInt16LE(18), after.readUInt32LE(4)],
      [0xffff, 0xffff, 2 ** 32 - 1],
    );
  });

  test('257 entries are EACCES, 256 are not', () => {
    const { one, two } = world();
    one.register(PORT, two.domid);
    const entries = Array.from({ length: 190 }, () => ({ port: PORT, domid: one.domid }));
    assert.equal(two.notify(entries).rc, 0);
    assert.equal(two.notify([], { nent: 257 }).rc, -EACCES);
    assert.equal(two.notify([], { nent: 2 ** 32 - 1 }).rc, -EACCES);
  });

  test('EFAULT in one entry leaves those before it written', () => {
    const { one, three } = world();
    one.register(PORT, three.domid);
    const address = 1024 * 4096 - 28;
    const { rc, entries } = three.notify([{ port: PORT, domid: one.domid }], { nent: 2, address });
    assert.equal(rc, -EFAULT);
    assert.equal(entries[0]?.flags, EXISTS | EMPTY | SUFFICIENT);
  });

  test('the ring for the sender alone hides the one for any', () => {
    const { one, two, three } = world();
    one.register(PORT, ANY, { gfns: [one.ringGfn(0)] });
    one.register(PORT, two.domid, { gfns: [one.ringGfn(1)], len: 128 });
    const ask = (party: Party) => party.notify([{ port: PORT, domid: one.domid }]).entries[0];
    assert.deepEqual(ask(two), { flags: EXISTS | EMPTY | SUFFICIENT, max: 96 });
    assert.deepEqual(ask(three), { flags: EXISTS | SHARED | EMPTY | SUFFICIENT, max: 224 });
  });
});

describe('the end of a domain', () => {
  test('a partner’s death takes the rings for it, and leaves those for any sender', () => {
    const { xen, one, two, three } = world();
    one.register(PORT, two.domid);
    one.register(PORT, ANY, { gfns: [one.ringGfn(1)] });
    for (let i = 0; i < 126; i++) one.register(100 + i, two.domid);
    assert.equal(one.register(999, ANY), -ENOSPC);
    const domain = xen.domains.get(two.domid);
    if (domain) xen.destroy(domain);
    assert.equal(one.unregister(PORT, two.domid), -ENOENT);
    assert.equal(three.send(one.domid, PORT, 'x'), 1);
    assert.equal(one.register(999, ANY), 0);
  });

  test('one that waits on a ring for any sender waits no more, and another may in its place', () => {
    const { xen, one, two, three } = world();
    one.register(PORT, ANY);
    three.send(one.domid, PORT, 'x'.repeat(208));
    two.send(one.domid, PORT, 'x'.repeat(100));
    const domain = xen.domains.get(two.domid);
    if (domain) xen.destroy(domain);
    one.setRing(224, 224);
    assert.equal(one.wake(), 0);
    assert.equal(xen.argo.save().find(({ domid }) => domid === one.domid)?.rings[0]?.waiters.length, 0);
  });

  test('an owner’s death drops those who wait, without a signal', () => {
    const { xen, one, two } = world();
    one.register(PORT, ANY);
    two.send(one.domid, PORT, 'x'.repeat(208));
    two.send(one.domid, PORT, 'x'.repeat(208));
    two.signalled();
    const domain = xen.domains.get(one.domid);
    if (domain) xen.destroy(domain);
    assert.ok(!two.signalled());
    assert.equal(two.send(one.domid, PORT, 'x'), -ESRCH);
  });

  test('a zombie refuses connections and registrations, and has no flags', () => {
    const { xen, one, two } = world();
    one.register(PORT, two.domid);
    const held = xen.mapForeign(one.domid, [3], 3);
    const domain = xen.domains.get(one.domid);
    if (domain) xen.destroy(domain);
    assert.equal(two.send(one.domid, PORT, 'x'), -ECONNREFUSED);
    assert.equal(two.register(PORT, one.domid), -ECONNREFUSED);
    assert.deepEqual(two.notify([{ port: PORT, domid: one.domid, max: 3 }]).entries, [{ flags: 0, max: 3 }]);
    held.close();
    assert.equal(two.send(one.domid, PORT, 'x'), -ESRCH);
  });

  test('a destroyed domain’s frames are all free again', () => {
    const { xen, two } = world();
    const before = xen.memory.freePages;
    const party = new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
    party.register(PORT, two.domid);
    two.register(PORT, party.domid);
    const domain = xen.domains.get(party.domid);
    if (domain) xen.destroy(domain);
    assert.equal(xen.memory.freePages, before);
    assert.ok(!xen.domains.has(party.domid));
  });

  test('a reset takes all its rings and those for it; it may register anew', () => {
    const { xen, one, two } = world();
    one.register(PORT, two.domid);
    two.register(PORT, one.domid);
    const domain = xen.domains.get(two.domid);
    if (domain) xen.argo.teardown(domain);
    assert.equal(one.unregister(PORT, two.domid), -ENOENT);
    assert.equal(two.unregister(PORT, one.domid), -ENOENT);
    assert.equal(two.register(PORT, one.domid), 0);
  });
});

describe('a security policy', () => {
  test('refuses sendv, and what may not be sent to is not told of: notify ends there', () => {
    const { xen, one, two } = world();
    one.register(PORT, ANY);
    xen.argo.policy = { ...xen.argo.policy, send: (from, to) => (from.domid === 2 && to.domid === 1 ? -EACCES : 0) };
    assert.equal(two.send(one.domid, PORT, 'x'), -EACCES);
    const { rc, entries } = two.notify([
      { port: 1, domid: 3, flags: 0xff },
      { port: PORT, domid: one.domid, flags: 0xff },
      { port: 1, domid: 3, flags: 0xff },
    ]);
    assert.equal(rc, -EACCES);
    assert.deepEqual(
      entries.map(({ flags }) => flags),
      [0, 0xff, 0xff],
    );
  });

  test('refuses registrations', () => {
    const { xen, one } = world();
    xen.argo.policy = {
      ...xen.argo.policy,
      registerAnySource: () => -EACCES,
      registerSingleSource: (_, partner) => (partner.domid === 2 ? -EACCES : 0),
    };
    assert.equal(one.register(PORT, ANY), -EACCES);
    assert.equal(one.register(PORT, 2), -EACCES);
    assert.equal(one.register(PORT, 3), 0);
  });
});

test('a snapshot holds rings, counts and waits', () => {
  const { xen, one, two } = world();
  one.register(PORT, ANY);
  one.register(PORT, ANY);
  two.send(one.domid, PORT, 'x'.repeat(200));
  two.send(one.domid, PORT, 'x'.repeat(100));
  const { argo, ...older } = JSON.parse(JSON.stringify(xen.save()));
  assert.ok(argo.length > 0);
  assert.deepEqual(ModelXen.restore(older).argo.save(), []);
  const again = ModelXen.restore(JSON.parse(JSON.stringify(xen.save())));
  assert.deepEqual(again.save(), xen.save());
  const guest = again.guest(one.domid);
  assert.equal(guest?.vcpus[0].hypercall(39, REGISTER, HOLE, 0, 1, 0), -EFAULT);
  const sender = again.guest(two.domid);
  assert.equal(sender?.vcpus[0].hypercall(39, SENDV, HOLE), -EFAULT);
});
