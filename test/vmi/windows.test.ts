import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ModelXen } from '#dist/model/index.js';
import { Introspector } from '#dist/vmi/introspector.js';
import { Profile } from '#dist/vmi/profile.js';
import { Windows } from '#dist/vmi/windows.js';
import { xc_interface_open } from '#dist/xc/interface.js';
import { setRegisters } from './sample_guest.js';
import { PROCESSES, sampleWindows } from './sample_windows.js';
import type { TestMemory } from './test_memory.js';

function over(memory: TestMemory): Introspector {
  return Introspector.image(memory);
}

const LINKS = 0x448;

test('find, processes: saved memory, by the name of System', async () => {
  const { memory, profile, cr3 } = sampleWindows();
  const windows = await Windows.find(over(memory), Profile.parse(profile));
  assert.equal(windows.kernel.cr3, cr3);
  const { processes, end } = windows.processes();
  assert.equal(end, 'complete');
  assert.deepEqual(
    processes.map(({ pid, ppid, name }) => ({ pid, ppid, name })),
    PROCESSES,
  );
  assert.deepEqual(
    processes.map((process) => process.cr3),
    [0x1000n, 0x2_1000n, 0x2_2000n, 0x2_3000n],
  );
  assert.equal(windows.space(processes[1] as (typeof processes)[0]).cr3, 0x2_1000n);
  assert.equal(windows.base, null);
  assert.throws(() => windows.symbol('PsActiveProcessHead'), /where the kernel begins is not known/);
});

test('find: a live guest, whose vCPU tells where the kernel begins', async () => {
  const sample = sampleWindows();
  const xen = new ModelXen();
  const guest = xen.createGuest({ memoryPages: 64 });
  const { domid } = guest;
  const xch = xc_interface_open({ hypervisor: xen });
  using vmi = Introspector.open(xch, domid);
  for (let frame = 0; frame < 64; frame++) {
    vmi.physical.write(frame * 4096, sample.memory.writablePage(frame)?.bytes ?? new Uint8Array(0));
  }
  setRegisters(guest, {
    cr0: 0x8000_0001n,
    cr3: sample.cr3,
    cr4: 0x20n,
    msr_efer: 0xd01n,
    msr_lstar: sample.lstar,
  });
  const windows = await Windows.find(vmi, Profile.parse(sample.profile));
  assert.equal(windows.base, sample.base);
  assert.equal(windows.symbol('PsActiveProcessHead'), sample.base + 0x1100n);
  assert.equal(windows.processes().processes.length, PROCESSES.length);
});

test('processes: a list that does not come back; a guest that is none', async () => {
  const list = async (
    change: (memory: TestMemory, processes: readonly number[]) => void,
  ): Promise<[string, number]> => {
    const { memory, profile, processes } = sampleWindows();
    const windows = await Windows.find(over(memory), Profile.parse(profile));
    change(memory, processes);
    const { processes: found, end } = windows.processes();
    return [end, found.length];
  };
  const heap = 0xffff_a08f_0000_0000n;
  assert.deepEqual(await list((memory, [, , third]) => memory.put64((third as number) + LINKS, 0n)), ['fault', 3]);
  const second = heap + 0x80n + 0x640n + BigInt(LINKS);
  assert.deepEqual(await list((memory, [, , third]) => memory.put64((third as number) + LINKS, second)), ['loop', 3]);
  const { memory, profile, processes } = sampleWindows();
  memory.put64((processes[1] as number) + LINKS + 8, 0n);
  await assert.rejects(Windows.find(over(memory), Profile.parse(profile)), { name: 'GuestMismatchError' });
});

test('find, processes: whatever a guest has in its memory, it ends without an exception of ours', async () => {
  const damage = fc.tuple(fc.integer({ min: 0, max: 24 * 512 - 1 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
  const near = fc.tuple(
    fc.nat(3),
    fc.constantFrom(0x28, 0x440, LINKS, LINKS + 8),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { maxLength: 3 }), fc.array(near, { maxLength: 3 }), async (any, fields) => {
      const { memory, profile, processes } = sampleWindows();
      for (const [word, value] of any) memory.put64(word * 8, value);
      for (const [process, field, value] of fields) memory.put64((processes[process] as number) + field, value);
      try {
        const windows = await Windows.find(over(memory), Profile.parse(profile));
        assert.ok(windows.processes().processes.length <= 6);
      } catch (error) {
        assert.equal((error as Error).name, 'GuestMismatchError', (error as Error).stack);
      }
    }),
    { numRuns: 200, seed: 4 },
  );
});
