/** A guest with hidden hooks cannot tell: whatever it does gives what it gives without them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ModelXen } from '#dist/model/index.js';
import { StealthHooks, type StepMode } from '#dist/vmi/stealth/stealth_hooks.js';
import { xc_interface_open } from '#dist/xc/interface.js';

const CODE = 0x40_0000;
const GFN = 0x60;
const BYTES = 2 * 4096;

interface Step {
  readonly what: 'execute' | 'read' | 'write';
  readonly at: number;
  readonly bytes: Uint8Array;
}

const step = fc.record({
  what: fc.constantFrom('execute', 'execute', 'read', 'write') as fc.Arbitrary<Step['what']>,
  at: fc.oneof(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 4088, max: 4100 }), fc.nat(BYTES - 16)),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
});

/** What each step of each vCPU gave, and the memory at the end. */
async function run(scripts: readonly (readonly Step[])[], hooked: readonly number[] | null, mode: StepMode) {
  const xen = new ModelXen({ seed: 7 });
  const guest = xen.createGuest({ vcpus: scripts.length, memoryPages: 256, pages: '4K', altp2m: 'external' });
  const tables = guest.pageTables().map(CODE, GFN, { pages: 2 });
  const [first] = guest.vcpus;
  for (const vcpu of guest.vcpus) tables.enter(vcpu);
  first.write(
    CODE,
    new Uint8Array(BYTES).map((_, i) => (i * 7) & 0xff),
  );
  const hooks =
    hooked === null ? null : StealthHooks.open(xc_interface_open({ hypervisor: xen }), guest.domid, { step: mode });
  for (const at of new Set(hooked)) hooks?.add({ physical: GFN * 4096 + at }, () => undefined);
  const served = hooks?.serve();
  const runs = guest.vcpus.map((vcpu, id) =>
    vcpu.run(function* (cpu) {
      const seen: string[] = [];
      for (const { what, at, bytes } of scripts[id] ?? []) {
        const result =
          what === 'execute'
            ? yield cpu.execute(CODE + at, 1)
            : what === 'read'
              ? yield cpu.read(CODE + at, bytes.length)
              : yield cpu.write(CODE + at, bytes);
        seen.push(`${what} ${result.exception} ${Buffer.from(result.bytes).toString('hex')}`);
      }
      return seen;
    }),
  );
  const results: unknown[] = [];
  for (const one of runs) results.push(await one.finished);
  hooks?.close();
  await served;
  return { results, memory: Buffer.from(first.read(CODE, BYTES).bytes).toString('hex') };
}

for (const mode of ['singlestep', 'emulate'] as const) {
  test(`${mode}: one vCPU sees the same with hooks and without`, async () => {
    const hooks = fc.array(fc.oneof(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 4090, max: 4100 })), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), hooks, async (script, hooked) => {
        assert.deepEqual(await run([script], hooked, mode), await run([script], null, mode));
      }),
      { numRuns: 60 },
    );
  });
}
