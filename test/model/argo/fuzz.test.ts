/**
 * Argo under random and hostile use. XENCTRL_FUZZ_SECONDS makes it run longer than the second or so it takes by default.
 *
 * What must hold: every call is answered with an integer; nothing is written outside the registered rings; and an honest
 * pair's messages arrive once, whole and in order, whatever two hostile domains do beside them.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ModelXen } from '#dist/model/index.js';
import { ANY, HOLE, NOTIFY, Party, REGISTER, SENDV, type SendOptions } from './party.js';

const seconds = Number(process.env['XENCTRL_FUZZ_SECONDS'] ?? 0);
const runs = seconds > 0 ? { numRuns: 1e9, interruptAfterTimeLimit: seconds * 1000 } : { numRuns: 60 };

const RINGS = 4;
const port = fc.constantFrom(1, 2, 0xffff_ffff);
const domid = fc.constantFrom(0, 1, 2, 3, 4, 5, ANY, 0x7ff0, 999, 0xffff);
const length = fc.oneof(
  fc.constantFrom(0, 1, 15, 16, 17, 223, 224, 225, 4000, 2 ** 24 - 32, 2 ** 24 - 31, 2 ** 31, 2 ** 32 - 1),
  fc.nat(300),
);
const address = fc.oneof(
  fc.constantFrom(0, 1, 0xfff, 0x3000, 0x3ffff8, 0x3fffff, HOLE, 2 ** 47, 0xffff_82d0_0000_0000, 2 ** 64 - 2048),
  fc.integer({ min: 0x3000, max: 0x3f_ffff }),
);
const pointer = fc.oneof(fc.nat(300), fc.constantFrom(0xffff_ffff, 0xffff_fff0, 0xffff_fff1, 0x8000_0000));

type Move = (party: Party) => number;

const moves: readonly fc.Arbitrary<Move>[] = [
  fc
    .record({
      port,
      partner: domid,
      len: fc.constantFrom(48, 64, 128, 256, 257, 4032, 4048),
      gfns: fc.array(fc.oneof(fc.integer({ min: 0, max: RINGS - 1 }), fc.constantFrom(-500, 0xfffff)), {
        maxLength: 2,
      }),
      npage: fc.constantFrom(1, 2, 0, 4097),
      flags: fc.constantFrom(0, 1, 2),
      pad: fc.constantFrom(0, 0, 0, 1),
    })
    .map(
      ({ port, partner, gfns, ...rest }) =>
        (party) =>
          party.register(port, partner, { ...rest, gfns: gfns.map((index) => party.ringGfn(index)) }),
    ),
  fc.tuple(port, domid).map(
    ([port, partner]) =>
      (party) =>
        party.unregister(port, partner),
  ),
  fc
    .record({
      to: domid,
      port,
      from: fc.constantFrom(ANY, 1, 2, 3),
      pads: fc.constantFrom<[number, number]>([0, 0], [0, 0], [1, 0], [0, 0xffff]),
      pieces: fc.array(fc.record({ address, len: length, pad: fc.constantFrom(0, 0, 0, 1) }), { maxLength: 9 }),
      type: fc.nat(),
    })
    .map(
      ({ to, port, ...options }) =>
        (party) =>
          party.send(to, port, '', options as SendOptions),
    ),
  fc.tuple(domid, port, fc.nat(300)).map(
    ([to, port, len]) =>
      (party) =>
        party.send(to, port, 'h'.repeat(len)),
  ),
  fc
    .tuple(
      fc.array(fc.record({ port, domid, space: length, flags: fc.nat(0xffff), max: fc.nat() }), { maxLength: 8 }),
      fc.oneof(fc.constant(undefined), fc.constantFrom(0, 1, 256, 257, 2 ** 31)),
    )
    .map(
      ([entries, nent]) =>
        (party) =>
          party.notify(entries, nent === undefined ? {} : { nent }).rc,
    ),
  fc.constant<Move>((party) => party.wake()),
  fc.tuple(fc.nat(RINGS - 1), pointer, pointer).map(([index, rx, tx]) => (party) => {
    party.setRing(rx, tx, index);
    return 0;
  }),
  fc.tuple(fc.constantFrom(REGISTER, 2, SENDV, NOTIFY, 0, 7), address, address, length, length).map(
    ([cmd, ...args]) =>
      (party) =>
        party.call(cmd, ...args),
  ),
];
const move = fc.oneof(...moves);

/** A machine whose guests 1 and 2 are honest, and 3 (64 bits) and 4 (32 bits) are not. */
function machine(): { xen: ModelXen; honest: [Party, Party]; hostile: [Party, Party] } {
  const xen = new ModelXen({ release: '4.20', argo: 'mac-permissive' });
  const guest = (abi: 32 | 64): Party => new Party(xen, xen.createGuest({ memoryPages: 1024, abi }).domid, abi);
  return { xen, honest: [guest(64), guest(64)], hostile: [guest(64), guest(32)] };
}

/** Frames of honest domains that hold marks: neither arguments nor rings are there. */
const MARKED = [0, 4, 511, 513, 1000] as const;

test('hostile domains: integers for answers, nothing written outside rings, honest messages once, whole, in order', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(1), move, fc.nat(3), fc.nat(230)), { minLength: 1, maxLength: 60 }),
      (steps) => {
        const { xen, honest, hostile } = machine();
        const [sender, receiver] = honest;
        for (const { domid } of honest) {
          for (const gfn of MARKED) xen.domains.get(domid)?.page(gfn, true)?.fill(0x5a);
        }
        assert.equal(receiver.register(1, sender.domid), 0);
        const sent: string[] = [];
        const received: string[] = [];
        const take = (): void => {
          for (const message of receiver.read()) {
            assert.equal(message.from, sender.domid);
            received.push(message.text);
          }
        };
        steps.forEach(([who, hostileMove, what, length], i) => {
          const party = hostile[who] ?? hostile[0];
          const answer = hostileMove(party);
          assert.ok(Number.isInteger(answer));
          const text = `${i}:`.padEnd(length, '.');
          if (what > 1) {
            const rc = sender.send(receiver.domid, 1, text);
            if (rc === text.length) sent.push(text);
            else assert.ok(rc === -11 || rc === -90, `${rc}`);
          }
          if (what === 3) take();
        });
        take();
        assert.deepEqual(received, sent);
        for (const { domid } of honest) {
          for (const gfn of MARKED) {
            const page = xen.domains.get(domid)?.page(gfn, false);
            assert.ok(
              page?.every((byte) => byte === 0x5a),
              `frame ${gfn} of domain ${domid} was written`,
            );
          }
        }
        assert.ok(
          receiver
            .ringPage()
            .subarray(64 + 256)
            .every((byte) => byte === 0),
        );
      },
    ),
    runs,
  );
});

test('many senders, one ring: what was accepted arrives, each sender’s in order; who is told to wait is woken', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(2), fc.nat(240), fc.boolean()), { minLength: 1, maxLength: 80 }),
      fc.boolean(),
      (steps, unicastToo) => {
        const { honest, hostile } = machine();
        const [receiver, ...rest] = honest;
        const senders = [...rest, ...hostile];
        receiver.register(1, ANY);
        if (unicastToo) receiver.register(1, senders[0]?.domid ?? 0, { gfns: [receiver.ringGfn(1)] });
        const sent: [number, string][] = [];
        const got: [number, string][] = [];
        const waits = new Set<Party>();
        const take = (): void => {
          for (const index of unicastToo ? [0, 1] : [0]) {
            for (const { from, text } of receiver.read(256, index)) got.push([from, text]);
          }
          receiver.wake();
          for (const sender of waits) assert.ok(sender.signalled());
          waits.clear();
        };
        steps.forEach(([who, length, read], i) => {
          const sender = senders[who];
          if (!sender) return;
          const text = `${i}:`.padEnd(length, '.');
          const rc = sender.send(receiver.domid, 1, text);
          if (rc === text.length) sent.push([sender.domid, text]);
          else if (rc === -11) waits.add(sender);
          else assert.equal(rc, -90);
          if (read) take();
        });
        take();
        for (const { domid } of senders) {
          const of = (list: [number, string][]): string[] =>
            list.filter(([from]) => from === domid).map(([, text]) => text);
          assert.deepEqual(of(got), of(sent));
        }
        assert.equal(receiver.call(NOTIFY), 0);
      },
    ),
    runs,
  );
});

test('domains come and go amid it all, and every frame is free in the end', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.oneof(move, fc.constant(null))), { maxLength: 60 }), (steps) => {
      const xen = new ModelXen({ argo: 'mac-permissive' });
      const before = xen.memory.freePages;
      const fresh = (): Party => new Party(xen, xen.createGuest({ memoryPages: 1024 }).domid);
      const parties = [fresh(), fresh(), fresh(), fresh()];
      for (const [who, action] of steps) {
        const party = parties[who] ?? fresh();
        if (action) assert.ok(Number.isInteger(action(party)));
        else {
          const domain = xen.domains.get(party.domid);
          if (domain) xen.destroy(domain);
          parties[who] = fresh();
        }
      }
      for (const { domid } of parties) {
        const domain = xen.domains.get(domid);
        if (domain) xen.destroy(domain);
      }
      assert.equal(xen.memory.freePages, before);
      assert.deepEqual(
        xen.argo.save().filter(({ domid }) => domid !== 0),
        [],
      );
    }),
    runs,
  );
});
