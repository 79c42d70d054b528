/** Sessions on the software Xen: its ring, its pauses and its answers are modelled on Xen's. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RELEASES, type Release } from '#dist/abi/release.js';
import {
  type MonitorEvent,
  type MonitorOptions,
  type MonitorSession,
  Xen,
  xc_domain_destroy,
  xc_domain_shutdown,
  xc_get_mem_access,
  xc_monitor_enable,
} from '#dist/index.js';
import { type GuestOptions, ModelXen } from '#dist/model/index.js';

function setup(options: GuestOptions = {}, release: Release = '4.17') {
  const model = new ModelXen({ release });
  const guest = model.createGuest({ vcpus: 2, memoryPages: 64, pages: '4K', altp2m: 'external', ...options });
  const xen = Xen.open({ hypervisor: model });
  const domain = xen.domain(guest.domid);
  domain.setMaxMemory(1024); // a dead agent's ring is memory of the domain as long as somebody maps it
  const [cpu] = guest.vcpus;
  const open = (more: MonitorOptions = {}): MonitorSession => domain.monitor.open({ closeAtExit: false, ...more });
  return { model, guest, cpu, xen, domain, open };
}

type Setup = ReturnType<typeof setup>;

/** Every vCPU can run, and another agent can come. */
function assertFree({ guest, open }: Setup): void {
  assert.deepEqual(
    guest.vcpus.map((cpu) => cpu.canRun),
    guest.vcpus.map(() => true),
  );
  open().close();
}

/** Collects events while the guest does something. */
async function collect(
  session: MonitorSession,
  count: number,
  handle: (event: MonitorEvent) => void,
): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of session.events()) {
    seen.push(event.reason);
    handle(event);
    if (seen.length === count) break;
  }
  return seen;
}

for (const release of RELEASES) {
  test(`events of a guest of Xen ${release} are decoded and answered`, async () => {
    const one = setup({}, release);
    const { guest, cpu, open } = one;
    const session = open({ cr: { cr3: true }, cpuid: true, access: [{ gfns: [0x20], access: 'r' }] });
    cpu.writeCr(3, 0x5000n);
    guest.vcpus[1]?.write(0x20008, Uint8Array.of(7));
    const seen: unknown[] = [];
    await collect(session, 2, (event) => {
      if (event.reason === 'write_ctrlreg') seen.push([event.vcpu, event.register, event.newValue, event.oldValue]);
      if (event.reason === 'mem_access') seen.push([event.vcpu, event.gfn, event.offset, event.write]);
      event.respond();
      guest.vcpus[event.vcpu]?.retry(); // as a vCPU does at once: a write that is held up is lost with the ring
    });
    assert.deepEqual(seen, [
      [0, 'cr3', 0x5000n, 0n],
      [1, 0x20, 8, true],
    ]);
    assert.equal(cpu.registers.get('cr3'), 0x5000n);
    assert.deepEqual([...cpu.read(0x20008, 1).bytes], [7], 'the write was let happen');
    assertFree(one);
  });
}

test('an answer denies a write, sets registers, switches the view', async () => {
  const one = setup();
  const { cpu, open, domain } = one;
  domain.altp2m.enable();
  const view = domain.altp2m.createView({ defaultAccess: 'rwx' });
  const session = open({ cr: { cr4: { onChangeOnly: false } }, guestRequest: true });
  const before = cpu.registers.get('cr4');
  cpu.writeCr(4, 0x20n);
  const events = session.events();
  const first = await events.next();
  assert.ok(!first.done);
  first.value.respond({ deny: true });
  cpu.retry();
  assert.equal(cpu.registers.get('cr4'), before);
  cpu.hypercall(34, 24, 0);
  const second = await events.next();
  assert.ok(!second.done);
  assert.equal(second.value.reason, 'guest_request');
  second.value.respond({ view: view.index, registers: { rbx: 0x1234n } });
  cpu.retry();
  assert.equal(cpu.registers.get('rbx'), 0x1234n);
  assert.deepEqual(domain.altp2m.viewOfEach(), [view.index, 0]);
  session.close();
  assertFree(one);
});

test('what nobody answers is what the guest would have had: CPUID goes on, #BP and #DB are its own', async () => {
  const one = setup();
  const { cpu, open } = one;
  const session = open({ cpuid: true, breakpoints: true, debug: true });
  const served = session.serve(() => {});
  cpu.cpuid(0);
  await turn();
  await turn();
  assert.equal(cpu.retry()?.exception, null);
  assert.equal(cpu.registers.get('rip'), 2n, 'past CPUID');
  cpu.int3();
  await turn();
  await turn();
  assert.equal(cpu.retry()?.exception, 3);
  session.close();
  await served;
  assertFree(one);
});

test('a write that is held up when the agent leaves is done all the same', async () => {
  const one = setup();
  const { cpu, open } = one;
  const script = cpu.run(function* (self) {
    yield self.writeCr(3, 0x7000n);
    return self.registers.get('cr3');
  });
  const session = open({ cr: { cr3: true } });
  assert.deepEqual(await collect(session, 1, () => {}), ['write_ctrlreg']);
  assert.deepEqual(await script.finished, { ended: 'returned', value: 0x7000n });
  assertFree(one);
});

test('a full ring pauses vCPUs, and nothing is lost', async () => {
  const one = setup({ vcpus: 12 });
  const { guest, open } = one;
  const session = open({ guestRequest: true });
  for (const cpu of guest.vcpus) cpu.hypercall(34, 24, 0);
  const vcpus: number[] = [];
  await collect(session, 12, ({ vcpu }) => void vcpus.push(vcpu));
  assert.deepEqual(
    vcpus.sort((a, b) => a - b),
    Array.from({ length: 12 }, (_, i) => i),
  );
  assertFree(one);
});

test('closing with events in flight lets every vCPU go, also those that queue for room', () => {
  const one = setup({ vcpus: 12 });
  const session = one.open({ guestRequest: true, singlestep: true });
  for (const cpu of one.guest.vcpus) cpu.hypercall(34, 24, 0);
  session.close();
  assertFree(one);
});

test('access goes back to what it was', () => {
  const { xen, guest, open } = setup();
  const session = open({ access: [{ gfns: [3, 4], access: 'n' }] });
  assert.equal(xc_get_mem_access(xen.xch, guest.domid, 3), 0);
  session.close();
  const probe = open();
  assert.equal(xc_get_mem_access(xen.xch, guest.domid, 3), 7);
  probe.close();
});

test('a listener that died is found out, and the domain recovered: every vCPU goes on', () => {
  for (const vcpus of [1, 2, 8, 20]) {
    const one = setup({ vcpus });
    const { xen, guest, domain, open } = one;
    // an agent that ends without a word: nobody has its ring any more
    open({ guestRequest: true, cpuid: true });
    for (const cpu of guest.vcpus.slice(0, 6)) cpu.hypercall(34, 24, 0);
    assert.throws(() => open(), { code: 'EBUSY', hint: /monitor recover/ });
    const { ring, vcpus: told } = domain.monitor.recover();
    assert.deepEqual([ring, told], [true, vcpus]);
    assertFree(one);
    assert.equal(xen.xch.hypervisor.kind, 'model');
  }
});

test('recover: true takes the ring over', async () => {
  const one = setup();
  const { cpu, open } = one;
  open({ cpuid: true });
  cpu.cpuid(0);
  const session = open({ recover: true, cpuid: true });
  assert.equal(cpu.canRun, true);
  cpu.retry(); // CPUID is done again, and reported to the new agent
  assert.deepEqual(await collect(session, 1, () => {}), ['cpuid']);
  assertFree(one);
});

test('an agent that died before the frame was taken away: what is in the ring is answered there', () => {
  const one = setup();
  const { xen, guest, domain } = one;
  const { ring } = xc_monitor_enable(xen.xch, guest.domid);
  ring.close();
  assert.equal(domain.monitor.recover().ring, true);
  assert.deepEqual(domain.monitor.recover(), { ring: false, answered: 0, vcpus: 2, view0: false });
  assertFree(one);
});

test('a domain that dies with events in flight ends the loop with the reason', async () => {
  for (const [end, cause] of [
    [(xch: Setup['xen']['xch'], domid: number) => xc_domain_shutdown(xch, domid, 3), 'shutdown'],
    [(xch: Setup['xen']['xch'], domid: number) => xc_domain_destroy(xch, domid), 'gone'],
  ] as const) {
    const { xen, guest, cpu, open } = setup();
    const session = open({ cpuid: true });
    cpu.cpuid(0);
    guest.vcpus[1]?.cpuid(1);
    let seen = 0;
    for await (const event of session.events()) {
      seen++;
      end(xen.xch, event.domid);
    }
    assert.ok(seen >= 1);
    assert.equal(session.end?.cause, cause);
  }
});

test('counters of a ring that a hostile page holds end the session, and every vCPU goes on', async () => {
  const one = setup();
  const { cpu, open, xen } = one;
  const pages: Uint8Array[] = [];
  const { hypervisor } = xen.xch;
  const { mapForeign } = hypervisor;
  hypervisor.mapForeign = function remember(...args) {
    const mapping = mapForeign.apply(this, args);
    pages.push(mapping.bytes);
    return mapping;
  };
  const session = open({ guestRequest: true });
  hypervisor.mapForeign = mapForeign;
  cpu.hypercall(34, 24, 0);
  new DataView(pages[0]?.buffer as ArrayBuffer, pages[0]?.byteOffset).setUint32(0, 0x4000_0000, true);
  await assert.rejects(
    session.serve(() => {}),
    { name: 'MonitorRingError' },
  );
  assertFree(one);
});
