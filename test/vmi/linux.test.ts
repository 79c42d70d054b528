import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { dumpMemory } from '#dist/vmi/dump.js';
import type { MemoryImage } from '#dist/vmi/image.js';
import { Introspector } from '#dist/vmi/introspector.js';
import { Linux } from '#dist/vmi/linux.js';
import { Profile } from '#dist/vmi/profile.js';
import type { SampleOptions } from '#dist/vmi/sample_linux.js';
import { scratchFolder } from '../scratch.js';
import { sampleGuest, sampleMemory, setRegisters } from './sample_guest.js';
import type { TestMemory } from './test_memory.js';

const WANTED = [
  [0, 0, 0, 'swapper/0', null],
  [1, 0, 0, 'systemd', 'systemd'],
  [2, 0, 0, 'kthreadd', null],
  [3, 2, 0, 'rcu_gp', null],
  [412, 1, 0, 'sshd', 'sshd'],
  [977, 1, 33, 'nginx', 'nginx'],
  [1204, 412, 1000, 'bash', 'bash'],
];

/** Processes as rows; the last column is what the process has at its program's address. */
function rows(linux: Linux): unknown[][] {
  const { processes, end } = linux.processes();
  assert.equal(end, 'complete');
  return processes.map((process) => {
    const { pid, ppid, uid, comm } = process;
    return [pid, ppid, uid, comm, linux.space(process)?.string(0x40_0000) ?? null];
  });
}

/** An introspector over memory that a test made. */
function over(memory: TestMemory): Introspector {
  return Introspector.image(memory);
}

async function find(options: SampleOptions = {}) {
  const { memory, sample } = sampleMemory(options);
  const vmi = over(memory);
  return { memory, sample, vmi, linux: await Linux.find(vmi, Profile.parse(sample.profile)) };
}

test('find, processes: a live guest, by its registers, without a search', async () => {
  const { xch, domid, sample } = sampleGuest();
  using vmi = Introspector.open(xch, domid);
  vmi.source.readFrames = () => assert.fail('there was a search');
  const linux = await Linux.find(vmi, Profile.parse(sample.profile));
  assert.deepEqual(rows(linux), WANTED);
  assert.equal(linux.virtualShift, 0x1a00_0000n);
  assert.equal(linux.physicalShift, 0x60_0000);
  assert.match(linux.banner ?? '', /^Linux version 6\.1\.0-sample/);
});

test('find, processes: a live guest whose vCPU is in a user space that does not map the kernel', async () => {
  const { xch, domid, sample, guest } = sampleGuest();
  setRegisters(guest, { cr3: 0x80_0000n }); // an empty table
  using vmi = Introspector.open(xch, domid);
  assert.deepEqual(rows(await Linux.find(vmi, Profile.parse(sample.profile))), WANTED);
});

test('find, processes: a saved image of the guest', async () => {
  const { xch, domid, sample } = sampleGuest();
  using live = Introspector.open(xch, domid);
  for (const format of ['lime', 'raw'] as const) {
    const path = join(scratchFolder(), `memory.${format}`);
    await dumpMemory(live.source, path, { format });
    using vmi = Introspector.image(path);
    assert.equal((vmi.source as MemoryImage).format, format);
    assert.deepEqual(rows(await Linux.find(vmi, Profile.parse(sample.profile))), WANTED);
  }
});

test('find: wherever KASLR put it, with tables of four levels and of five', async () => {
  const shift = (most: number) => fc.integer({ min: 0, max: most }).map((n) => n * 0x20_0000);
  await fc.assert(
    fc.asyncProperty(shift(450), shift(40), fc.boolean(), async (virtualShift, physicalShift, fiveLevels) => {
      const { linux } = await find({ virtualShift, physicalShift, fiveLevels });
      assert.equal(linux.virtualShift, BigInt(virtualShift));
      assert.equal(linux.physicalShift, physicalShift);
      assert.equal(linux.kernel.paging.mode, fiveLevels ? '5-level' : '4-level');
      assert.deepEqual(rows(linux), WANTED);
    }),
    { numRuns: 10, seed: 4 },
  );
});

test('symbol, symbolAt: as linked, and moved', async () => {
  const { linux, sample } = await find();
  assert.equal(linux.symbol('entry_SYSCALL_64'), sample.registers.msr_lstar);
  assert.equal(linux.symbolAt(sample.registers.msr_lstar), 'entry_SYSCALL_64');
  assert.equal(linux.symbolAt(sample.registers.msr_lstar + 0x12n), 'entry_SYSCALL_64+0x12');
  assert.equal(linux.symbolAt(0x1234n), null);
  assert.throws(() => linux.symbol('nothing'), { name: 'ProfileError', message: /no symbol 'nothing'/ });
});

test('find: another kernel than the profile is of is named', async () => {
  const { memory, sample } = sampleMemory();
  const other = sample.profile.replace(/"constant_data":"[^"]*"/, () => {
    const banner = Buffer.from('Linux version 5.4.0-other (x) #2 SMP\n').toString('base64');
    return `"constant_data":"${banner}"`;
  });
  await assert.rejects(Linux.find(over(memory), Profile.parse(other)), {
    name: 'GuestMismatchError',
    message: /profile is of: Linux version 5\.4\.0-other.* The guest is: Linux version 6\.1\.0-sample/,
  });
});

test('find: no Linux at all; a search that is stopped', async () => {
  const { memory, sample } = sampleMemory();
  const profile = Profile.parse(sample.profile);
  memory.writablePage(Math.floor((sample.tasks[0] as number) / 4096))?.bytes.fill(0);
  const banner = (0x110_0100 + 0x60_0000) / 4096;
  memory.writablePage(Math.floor(banner))?.bytes.fill(0);
  await assert.rejects(Linux.find(over(memory), profile), { name: 'GuestMismatchError', message: /no Linux kernel/ });
  await assert.rejects(Linux.find(over(memory), profile, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('processes: a list that does not come back ends all the same', async () => {
  const { memory, sample, vmi } = await find();
  const direct = 0xffff_8880_0000_0000n;
  const tasks = 16;
  const list = async (next: bigint): Promise<[string, number]> => {
    memory.put64((sample.tasks[3] as number) + tasks, next);
    const linux = await Linux.find(vmi, Profile.parse(sample.profile));
    const { processes, end } = linux.processes();
    return [end, processes.length];
  };
  const third = direct + BigInt(sample.tasks[2] as number) + BigInt(tasks);
  assert.deepEqual(await list(third), ['loop', 4]);
  assert.deepEqual(await list(0n), ['fault', 4]);
  assert.deepEqual(await list(0x4141_4141_4141_4141n), ['fault', 4]);
  const { linux } = await find();
  const two = linux.processes(2);
  assert.deepEqual([two.end, two.processes.length], ['limit', 2]);
});

test('find, processes: whatever a guest has in its memory, it ends without an exception of ours', async () => {
  const damage = fc.tuple(fc.nat(6), fc.nat(200), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.boolean());
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 6 }), async (all) => {
      const { memory, sample } = sampleMemory();
      for (const [task, offset, value, inTables] of all) {
        const at = inTables ? 0x10_0000 + task * 4096 + offset * 8 : (sample.tasks[task] as number) + (offset & ~7);
        if (at % 4096 <= 4088 && memory.writablePage(Math.floor(at / 4096))) memory.put64(at, value);
      }
      try {
        const linux = await Linux.find(over(memory), Profile.parse(sample.profile));
        const { processes } = linux.processes();
        assert.ok(processes.length <= 8);
        for (const process of processes) linux.space(process)?.readInto(0x40_0000, new Uint8Array(8));
      } catch (error) {
        assert.equal((error as Error).name, 'GuestMismatchError', (error as Error).stack);
      }
    }),
    { numRuns: 60, seed: 4 },
  );
});
