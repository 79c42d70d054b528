import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ModelXen } from '#dist/model/index.js';
import { StealthHooks, type StealthHooksOptions, type StepMode } from '#dist/vmi/stealth/stealth_hooks.js';
import {
  xc_altp2m_get_domain_state,
  xc_altp2m_get_vcpu_p2m_idx,
  xc_altp2m_set_vcpu_enable_notify,
  xc_altp2m_switch_to_view,
} from '#dist/xc/altp2m.js';
import { xc_domain_destroy } from '#dist/xc/domain.js';
import { xc_domain_getinfo_single } from '#dist/xc/domain_info.js';
import { xc_interface_open } from '#dist/xc/interface.js';
import { xc_domain_maximum_gpfn } from '#dist/xc/memory.js';

const CODE = 0x40_0000;
const GFN = 0x60;
const AT = CODE + 0x10;
const PHYSICAL = GFN * 4096 + 0x10;
const ORIGINAL = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, 0x90, 0x90, 0xcc, 0xc3);

/** A guest with paging on, a page of code mapped twice (to execute and to write), and hooks. */
function machine(options: StealthHooksOptions = {}, vcpus = 1, cpu = {}) {
  const xen = new ModelXen({ cpu });
  const guest = xen.createGuest({ vcpus, memoryPages: 256, pages: '4K', altp2m: 'external' });
  const tables = guest.pageTables().map(CODE, GFN, { pages: 2 }).map(0x50_0000, 0x40, { pages: 16 });
  for (const vcpu of guest.vcpus) tables.enter(vcpu);
  const xch = xc_interface_open({ hypervisor: xen });
  guest.vcpus[0].write(AT, ORIGINAL);
  const before = facts(xch, guest.domid);
  const hooks = StealthHooks.open(xch, guest.domid, options);
  return { xen, guest, xch, domid: guest.domid, hooks, before, first: guest.vcpus[0] };
}

/** What must be as before when hooks are gone. */
function facts(xch: ReturnType<typeof xc_interface_open>, domid: number): unknown {
  const { tot_pages, max_pages, paused } = xc_domain_getinfo_single(xch, domid);
  return { tot_pages, max_pages, paused, altp2m: xc_altp2m_get_domain_state(xch, domid) };
}

type Machine = ReturnType<typeof machine>;

function assertUndone({ xch, domid, before, first }: Machine): void {
  assert.deepEqual(facts(xch, domid), before);
  assert.deepEqual(first.read(AT, 8).bytes, ORIGINAL);
  assert.deepEqual(first.execute(AT, 1).bytes, ORIGINAL.subarray(0, 1));
}

for (const step of ['singlestep', 'emulate'] as readonly StepMode[]) {
  test(`${step}: executing hits the hook, the instruction is done all the same, and reading finds nothing`, async () => {
    const all = machine({ step });
    const { hooks, first } = all;
    const seen: unknown[] = [];
    const hook = hooks.add({ physical: PHYSICAL }, (event, { hits }) => {
      seen.push([event.vcpu, event.regs.rip, event.gfn, hits]);
    });
    const served = hooks.serve();
    const run = first.run(function* (cpu) {
      const results = [];
      results.push(yield cpu.execute(AT, 1));
      results.push(yield cpu.read(AT, 8));
      results.push(yield cpu.execute(AT + 1, 3));
      results.push(yield cpu.execute(AT, 1));
      return results.map(({ exception, bytes }) => [exception, Buffer.from(bytes).toString('hex')]);
    });
    const end = await run.finished;
    assert.deepEqual(end, {
      ended: 'returned',
      value: [
        [null, '55'],
        [null, '554889e59090ccc3'],
        [null, '4889e5'],
        [null, '55'],
      ],
    });
    assert.deepEqual(seen, [
      [0, BigInt(AT), GFN, 1],
      [0, BigInt(AT), GFN, 2],
    ]);
    assert.equal(hook.hits, 2);
    hooks.close();
    assert.deepEqual(await served, { cause: 'closed' });
    assert.equal(hooks.session.counters.refused, 0);
    assertUndone(all);
  });

  test(`${step}: what the guest writes to a hooked page is executed, hooks stay, and others' writes do not disturb`, async () => {
    const { hooks, first } = machine({ step });
    let hits = 0;
    hooks.add({ physical: PHYSICAL }, () => {
      hits++;
    });
    const served = hooks.serve();
    const run = first.run(function* (cpu) {
      yield cpu.write(AT + 4, Uint8Array.of(0xf4));
      yield cpu.write(AT, Uint8Array.of(0x53)); // over the hook itself
      const read = yield cpu.read(AT, 5);
      const other = yield cpu.execute(AT + 4, 1);
      const hooked = yield cpu.execute(AT, 1);
      return [read, other, hooked].map(({ bytes }) => Buffer.from(bytes).toString('hex'));
    });
    assert.deepEqual(await run.finished, { ended: 'returned', value: ['534889e5f4', 'f4', '53'] });
    assert.equal(hits, 1);
    hooks.close();
    await served;
    assert.deepEqual(first.read(AT, 5).bytes, Uint8Array.of(0x53, 0x48, 0x89, 0xe5, 0xf4), 'its own writes stay');
  });

  test(`${step}: handlers may take their time, throw, or answer themselves`, async () => {
    const all = machine({ step });
    const { hooks, first } = all;
    const errors: unknown[] = [];
    const order: string[] = [];
    hooks.add({ physical: PHYSICAL }, async () => {
      order.push('begun');
      await sleep(5);
      order.push('done');
    });
    hooks.add({ physical: PHYSICAL + 1 }, () => {
      throw new Error('handler');
    });
    hooks.add({ physical: PHYSICAL + 4 }, (event) => {
      event.respond(step === 'emulate' ? { emulate: true, instruction: Uint8Array.of(0xf4) } : { view: 0 });
    });
    const served = hooks.serve(undefined, (error) => errors.push(error));
    const run = first.run(function* (cpu) {
      const a = yield cpu.execute(AT, 1);
      order.push('past it');
      const b = yield cpu.execute(AT + 1, 3);
      const c = yield cpu.execute(AT + 4, 1);
      return [a, b, c].map(({ bytes }) => Buffer.from(bytes).toString('hex'));
    });
    const own = step === 'emulate' ? 'f4' : '90';
    assert.deepEqual(await run.finished, { ended: 'returned', value: ['55', '4889e5', own] });
    assert.equal(hooks.session.counters.refused, 0);
    assert.deepEqual(order, ['begun', 'done', 'past it']);
    assert.deepEqual(errors.map(String), ['Error: handler']);
    hooks.close();
    await served;
    assertUndone(all);
  });
}

function registers(regs: object): Record<string, bigint> {
  const names = ['rbx', 'rcx', 'rdx', 'rsp', 'rbp', 'rsi', 'rdi', 'rflags'];
  return Object.fromEntries(names.map((name) => [name, (regs as Record<string, bigint>)[name] as bigint]));
}

test('add by virtual address; list, remove, several on one page', async () => {
  const all = machine();
  const { hooks, first, xch, domid } = all;
  const space = hooks.vmi.spaceOf(0);
  const hits: string[] = [];
  const by = (name: string) => () => void hits.push(name);
  const one = hooks.add({ space, address: AT }, by('one'));
  const two = hooks.add({ space, address: BigInt(AT + 1) }, by('two'));
  const far = hooks.add({ space, address: CODE + 0x1fff }, by('far'));
  assert.equal(one.physical, PHYSICAL);
  assert.deepEqual(hooks.hooks, [one, two, far]);
  assert.throws(() => hooks.add({ physical: PHYSICAL }, by('again')), /hidden at 0x60010 already/);
  assert.throws(() => hooks.add({ space, address: 0x99_0000 }, by('none')), { name: 'MemoryFault' });
  assert.throws(() => hooks.add({ physical: 0x1000_0000 }, by('none')), /no memory at 0x10000000/);
  const served = hooks.serve();
  const execute = async (...at: number[]): Promise<void> => {
    const run = first.run(function* (cpu) {
      for (const address of at) yield cpu.execute(address, 1);
    });
    await run.finished;
  };
  const top = xc_domain_maximum_gpfn(xch, domid);
  await execute(AT, AT + 1, CODE + 0x1fff);
  one.remove();
  one.remove();
  await execute(AT, AT + 1);
  two[Symbol.dispose]();
  await execute(AT, AT + 1, CODE + 0x1fff);
  assert.deepEqual(hits, ['one', 'two', 'far', 'two', 'far']);
  assert.deepEqual(hooks.hooks, [far]);
  hooks.add({ physical: PHYSICAL }, by('back'));
  assert.equal(xc_domain_maximum_gpfn(xch, domid), top, 'the copy that was free is used again');
  await execute(AT);
  assert.equal(hits.at(-1), 'back');
  hooks.close();
  assert.ok(far.removed && one.removed);
  far.remove();
  await served;
  assert.throws(() => hooks.add({ physical: PHYSICAL }, by('late')), /closed/);
  assertUndone(all);
});

test('patch: other code runs than is read', async () => {
  const all = machine();
  const { hooks, first } = all;
  const patch = hooks.patch({ physical: PHYSICAL }, Uint8Array.of(0x31, 0xc0, 0xc3));
  const served = hooks.serve();
  const look = async (): Promise<unknown> => {
    const run = first.run(function* (cpu) {
      const code = yield cpu.execute(AT, 3);
      const data = yield cpu.read(AT, 3);
      return [code, data].map(({ bytes }) => Buffer.from(bytes).toString('hex'));
    });
    return await run.finished;
  };
  assert.deepEqual(await look(), { ended: 'returned', value: ['31c0c3', '554889'] });
  patch.remove();
  assert.deepEqual(await look(), { ended: 'returned', value: ['554889', '554889'] });
  assert.throws(() => hooks.patch({ physical: GFN * 4096 + 4094 }, new Uint8Array(3)), /within one page/);
  assert.throws(() => hooks.patch({ physical: PHYSICAL }, new Uint8Array(0)), TypeError);
  hooks.close();
  await served;
  assertUndone(all);
});

test('hidden: VMFUNC cannot enter the view, events do; shown if asked', async () => {
  for (const hidden of [true, false]) {
    const { hooks, first, xch, domid } = machine({ hidden });
    xc_altp2m_set_vcpu_enable_notify(xch, domid, 0, 0x50);
    assert.equal(xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), hooks.view);
    let hits = 0;
    hooks.add({ physical: PHYSICAL }, () => void hits++);
    const served = hooks.serve();
    const run = first.run(function* (cpu) {
      yield cpu.execute(AT, 1);
      yield cpu.vmfunc(0, 0);
      const { exception } = yield cpu.vmfunc(0, hooks.view);
      return exception;
    });
    assert.deepEqual(await run.finished, { ended: 'returned', value: hidden ? 6 : null });
    if (hidden) assert.throws(() => xc_altp2m_switch_to_view(xch, domid, hooks.view), { code: 'EINVAL' });
    assert.equal(hits, 1);
    hooks.close();
    await served;
  }
});

test('the copy cannot be found by its own frame: it reads as ones, and writes to it are lost', async () => {
  const all = machine();
  const { hooks, first, xch, domid } = all;
  hooks.add({ physical: PHYSICAL }, () => undefined);
  const copy = xc_domain_maximum_gpfn(xch, domid);
  // the guest maps the frame, which it should not know of
  const tables = all.guest.pageTables({ at: 0xa0 }).map(CODE, GFN, { pages: 2 }).map(0x70_0000, copy);
  tables.enter(first);
  const served = hooks.serve();
  const run = first.run(function* (cpu) {
    const before = yield cpu.read(0x70_0010, 4);
    yield cpu.write(0x70_0010, Uint8Array.of(1, 2, 3, 4));
    const code = yield cpu.execute(AT, 1);
    return [before, code].map(({ bytes }) => Buffer.from(bytes).toString('hex'));
  });
  assert.deepEqual(await run.finished, { ended: 'returned', value: ['ffffffff', '55'] });
  hooks.close();
  await served;
  assertUndone(all);
});

test('several vCPUs hit, read and write at once', async () => {
  const { hooks, guest } = machine({}, 4);
  const hits = [0, 0, 0, 0];
  hooks.add({ physical: PHYSICAL }, (event) => {
    hits[event.vcpu] = (hits[event.vcpu] ?? 0) + 1;
  });
  const served = hooks.serve();
  const runs = guest.vcpus.map((vcpu, id) =>
    vcpu.run(function* (cpu) {
      let sound = true;
      for (let i = 0; i < 20; i++) {
        const code = yield cpu.execute(AT, 1);
        yield cpu.write(AT + 0x100 + id, Uint8Array.of(i));
        const data = yield cpu.read(AT, 1);
        const own = yield cpu.read(AT + 0x100 + id, 1);
        sound &&= code.bytes[0] === 0x55 && data.bytes[0] === 0x55 && own.bytes[0] === i;
      }
      return sound;
    }),
  );
  for (const run of runs) assert.deepEqual(await run.finished, { ended: 'returned', value: true });
  assert.deepEqual(hits, [20, 20, 20, 20]);
  hooks.close();
  await served;
});

test("a breakpoint that is the guest's own is the guest's, on a hooked page, too", async () => {
  const all = machine();
  const { hooks, first } = all;
  let hits = 0;
  hooks.add({ physical: PHYSICAL }, () => void hits++);
  const served = hooks.serve();
  const run = first.run(function* (cpu) {
    const own = yield cpu.execute(AT + 6, 1);
    const hooked = yield cpu.execute(AT, 1);
    return [own.exception, hooked.exception];
  });
  assert.deepEqual(await run.finished, { ended: 'returned', value: [3, null] });
  assert.equal(hits, 1);
  hooks.close();
  await served;
  assertUndone(all);
});

test('refresh: what dom0 writes to a hooked page', async () => {
  const { hooks, first } = machine();
  hooks.add({ physical: PHYSICAL }, () => undefined);
  const served = hooks.serve();
  hooks.vmi.physical.write(PHYSICAL + 1, Uint8Array.of(0x11));
  hooks.refresh();
  const run = first.run(function* (cpu) {
    return (yield cpu.execute(AT + 1, 1)).bytes[0];
  });
  assert.deepEqual(await run.finished, { ended: 'returned', value: 0x11 });
  hooks.close();
  await served;
});

test('events that are nothing to do with hooks go to others', async () => {
  const { hooks, first } = machine({ monitor: { cpuid: true } });
  const others: string[] = [];
  hooks.add({ physical: PHYSICAL }, () => undefined);
  const served = hooks.serve((event) => {
    others.push(event.reason);
    if (event.reason === 'cpuid') event.respond({ registers: { ...registers(event.regs), rip: event.regs.rip + 2n } });
  });
  const run = first.run(function* (cpu) {
    yield cpu.execute(AT, 1);
    yield cpu.cpuid(0);
  });
  await run.finished;
  assert.deepEqual(others, ['cpuid']);
  hooks.close();
  await served;
});

test('the domain dies with a hook in place: the end says so, and nothing is left', async () => {
  const { hooks, xch, domid, xen } = machine();
  const hook = hooks.add({ physical: PHYSICAL }, () => undefined);
  const served = hooks.serve();
  xc_domain_destroy(xch, domid);
  assert.deepEqual(await served, { cause: 'gone' });
  assert.ok(hook.removed);
  assert.equal(xen.guest(domid), null, 'no mapping keeps it');
  hooks.close();
});

test('open: what is missing is named, and nothing is left of the attempt', () => {
  const rows = [
    [{ cpu: { vendor: 'amd' } }, {}, 'EOPNOTSUPP'],
    [{ altp2m: false }, {}, 'EOPNOTSUPP'],
    [{}, { altp2m: 'disabled' }, 'EINVAL'],
  ] as const;
  for (const [host, guestOptions, code] of rows) {
    const xen = new ModelXen(host);
    const { domid } = xen.createGuest({ memoryPages: 64, altp2m: 'external', ...guestOptions });
    const xch = xc_interface_open({ hypervisor: xen });
    assert.throws(() => StealthHooks.open(xch, domid), { name: 'XenError', code });
    const { paused } = xc_domain_getinfo_single(xch, domid);
    assert.equal(paused, false);
    assert.throws(() => StealthHooks.open(xch, domid), { code }, 'the ring was given back');
  }
  const { xch, domid } = machine();
  assert.throws(() => StealthHooks.open(xch, domid), { code: 'EBUSY' });
  for (const options of [{ step: 'run' }, { hidden: 'no' }, null]) {
    assert.throws(() => StealthHooks.open(xch, domid, options as StealthHooksOptions), TypeError);
  }
});

test('open: without a monitor trap flag instructions are emulated', async () => {
  const { hooks, first } = machine({}, 1, { mtf: false });
  assert.equal(hooks.step, 'emulate');
  hooks.add({ physical: PHYSICAL }, () => undefined);
  const served = hooks.serve();
  const run = first.run(function* (cpu) {
    return (yield cpu.execute(AT, 1)).bytes[0];
  });
  assert.deepEqual(await run.finished, { ended: 'returned', value: 0x55 });
  hooks.close();
  await served;
});
