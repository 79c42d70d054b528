/** Whatever bytes a caller passes, Xen answers with a number. The model must, too: never an exception, never a hang. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RELEASES, releaseAbi } from '#dist/abi/release.js';
import { ModelXen } from '#dist/model/index.js';

const HYPERCALLS = [7, 12, 17, 20, 24, 27, 29, 32, 33, 34, 35, 36, 39, 41, 42, 63, -1, 1e9];

function machine(release: (typeof RELEASES)[number]): ModelXen {
  const xen = new ModelXen({ release, altp2m: true });
  const { domid } = xen.createGuest({ vcpus: 2, memoryPages: 64, altp2m: 'mixed' });
  assert.equal(domid, 1);
  return xen;
}

const word = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.constantFrom(0x7ff0, 0x7ff4, 0xffff, 0xffff_ffff),
  fc.nat(0xffff_ffff),
);

/** Bytes that get past the first checks: small words, many of them valid by chance. */
const operand = fc.array(word, { minLength: 36, maxLength: 36 });
const argument = fc.oneof(fc.constant('operand'), fc.integer({ min: 0, max: 200 }), fc.nat(), fc.maxSafeNat());

for (const release of RELEASES) {
  test(`any hypercall with any bytes is answered with an integer on ${release}`, () => {
    const numbers = releaseAbi(release);
    fc.assert(
      fc.property(
        fc.constantFrom(...HYPERCALLS),
        argument,
        argument,
        operand,
        fc.boolean(),
        (op, first, second, words, versioned) => {
          const xen = machine(release);
          const { arena } = xen;
          const list = arena.alloc(4096);
          for (const [i, value] of words.entries()) {
            arena.view.setUint32(arena.operandAddress - arena.base + i * 4, value, true);
          }
          if (versioned) {
            // past the interface version, with a pointer that is one
            const version = op === 36 ? numbers.domctl : op === 35 ? numbers.sysctl : (words[1] ?? 0) % 20;
            arena.view.setUint32(arena.operandAddress - arena.base + 4, version, true);
            arena.view.setFloat64(list.offset, list.address, true);
          }
          const address = (one: string | number): number => (typeof one === 'string' ? arena.operandAddress : one);
          const rc = xen.hypercall(op, address(first), address(second), 0, 0, 0);
          assert.ok(Number.isInteger(rc), `${rc}`);
          const guest = xen.guest(1);
          if (guest?.domain.runs && guest.vcpus[0].online) {
            const answer = guest.vcpus[0].hypercall(op, address(first), address(second));
            assert.ok(Number.isInteger(answer), `${answer}`);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
}

test('any altp2m operation with any union is answered with 0 or a negative errno, on an active domain', () => {
  const xen = machine('4.17');
  const { arena } = xen;
  const at = arena.operandAddress - arena.base;
  const issue = (cmd: number, union: readonly number[]): number => {
    arena.view.setUint32(at, 1, true);
    arena.view.setUint32(at + 4, cmd, true);
    arena.view.setUint32(at + 8, 1, true);
    arena.view.setUint32(at + 12, 0, true);
    for (let i = 0; i < 16; i++) arena.view.setUint32(at + 16 + i * 4, union[i] ?? 0, true);
    return xen.hypercall(34, 25, arena.operandAddress);
  };
  assert.equal(issue(2, [1]), 0);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 18 }), fc.array(word, { minLength: 16, maxLength: 16 }), (cmd, union) => {
      // the multi-calls walk what they are told to: keep their lists short
      if (cmd === 9) union[1] = (union[1] ?? 0) % 100;
      const rc = issue(cmd, union);
      assert.ok(rc === 0 || (Number.isInteger(rc) && rc < 0 && rc > -200), `${rc}`);
      assert.equal(issue(2, [1]), 0);
    }),
    { numRuns: 3000 },
  );
});
