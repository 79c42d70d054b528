/** {@link natRewrite} against packets that were made with the new addresses and ports, by plain arithmetic. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Historic, LINKTYPE, natRewrite, PacketView } from '#dist/net/index.js';
import { type Check, packet } from '../packets.js';

const port = fc.integer({ min: 1, max: 65535 });
const v4 = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 });
const v6 = fc.array(fc.nat(255), { minLength: 16, maxLength: 16 });

const change = fc.constantFrom<4 | 6>(4, 6).chain((version) => {
  const address = version === 4 ? v4 : v6;
  return fc.record({
    version: fc.constant(version),
    protocol: fc.constantFrom(6, 17),
    payload: fc.uint8Array({ maxLength: 40 }),
    source: address,
    destination: address,
    newSource: address,
    sourcePort: port,
    newPort: port,
    samePort: fc.boolean(),
  });
});
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

const written = (address: readonly number[]): string =>
  address.length === 4
    ? address.join('.')
    : Array.from({ length: 8 }, (_, i) =>
        (((address[2 * i] as number) << 8) | (address[2 * i + 1] as number)).toString(16),
      ).join(':');

/** The packet as it leaves, and as a sender with the new address and port would have made it. */
function rewritten(one: Change, check: Check, historic?: Historic): { got: Uint8Array; wanted: Uint8Array } {
  const { newSource, newPort, samePort, ...fields } = one;
  const to = samePort ? one.sourcePort : newPort;
  const got = packet({ ...fields, check });
  const view = new PacketView();
  assert.equal(view.parse(got, 0, got.length, LINKTYPE.ETHERNET), 'ok');
  const partial = check === 'partial';
  const source = { address: written(newSource), port: to };
  assert.ok(natRewrite(view, { source, partial, finish: partial, ...(historic ? { historic } : {}) }));
  // TCP may send either zero; the packets that are compared with have 0xffff
  const at = view.checkAt;
  if (one.protocol === 6 && got[at] === 0 && got[at + 1] === 0) got.fill(0xff, at, at + 2);
  return { got, wanted: packet({ ...fields, check: 'full', source: newSource, sourcePort: to }) };
}

for (const check of ['full', 'partial'] as const) {
  test(`a ${check} checksum: the packet is as its new sender would have made it`, () => {
    fc.assert(
      fc.property(change, (one) => {
        const { got, wanted } = rewritten(one, check);
        assert.deepEqual(got, wanted);
      }),
      { numRuns: 5000 },
    );
  });
}

test('the patch of 2005-10-14: right where the port stays, wrong wherever it changes', () => {
  fc.assert(
    fc.property(change, (one) => {
      const { got, wanted } = rewritten(one, 'partial', '2005-10-14');
      const changed = !one.samePort && one.newPort !== one.sourcePort;
      assert.equal(Buffer.compare(got, wanted) === 0, !changed);
    }),
    { numRuns: 5000 },
  );
});
