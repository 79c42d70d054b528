/** Guest scripts: what they get, whose turn it is, what they wait for and how they end. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { type GuestScript, ModelXen } from '#dist/model/index.js';
import { RingAgent } from '../ring_agent.js';

const BYTES = new Uint8Array([1, 2, 3, 4]);

function machine(vcpus = 1, seed = 0) {
  const xen = new ModelXen({ seed });
  const guest = xen.createGuest({ vcpus, memoryPages: 256, pages: '4K', altp2m: 'external' });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  return { xen, guest, xch, domid: guest.domid, cpu: guest.vcpus[0] };
}

/** Runs all that can run, now. */
function settle(xen: ModelXen): number {
  let steps = 0;
  while (xen.step()) steps++;
  return steps;
}

describe('a script', () => {
  test('gets how each instruction ended, and its value is the run’s', async () => {
    const { cpu } = machine();
    const run = cpu.run(function* (cpu) {
      yield cpu.write(0x5000, BYTES);
      const read = yield cpu.read(0x5000, 4);
      const { exception } = yield cpu.undefinedInstruction();
      const { rc } = yield cpu.hypercall(17, 0);
      return { value: read.value, exception, rc };
    });
    const end = await run.finished;
    assert.deepEqual(end, { ended: 'returned', value: { value: 0x04030201n, exception: 6, rc: (4 << 16) | 17 } });
  });

  test('does one instruction each step, and nothing before its first', () => {
    const { xen, cpu } = machine();
    const order: string[] = [];
    cpu.run(function* (cpu) {
      order.push('begun');
      yield cpu.nop();
      order.push('one');
      yield cpu.nop();
      order.push('two');
    });
    assert.deepEqual(order, []);
    xen.step();
    assert.deepEqual(order, ['begun', 'one']);
    assert.equal(settle(xen), 1);
    assert.deepEqual(order, ['begun', 'one', 'two']);
    assert.equal(xen.step(), false);
  });

  test('that throws, or asks for what cannot be, rejects', async () => {
    const { cpu } = machine();
    const thrown = cpu.run(function* (cpu) {
      yield cpu.nop();
      throw new TypeError('mine');
    });
    await assert.rejects(thrown.finished, /mine/);
    const impossible = cpu.run(function* (cpu) {
      yield cpu.read(-1, 1);
    });
    await assert.rejects(impossible.finished, RangeError);
    assert.equal(cpu.nop().finished, true);
  });

  test('has the vCPU to itself', async () => {
    const { cpu } = machine();
    const run = cpu.run(function* (cpu) {
      yield cpu.nop();
    });
    assert.throws(() => cpu.run(function* () {}), /runs a script already/);
    assert.throws(() => cpu.nop(), /runs a script/);
    await run.finished;
    assert.equal(cpu.nop().finished, true);
  });
});

describe('whose turn it is', () => {
  function interleaving(seed: number): string {
    const { xen, guest } = machine(3, seed);
    let order = '';
    for (const vcpu of guest.vcpus) {
      vcpu.run(function* (cpu) {
        for (let i = 0; i < 10; i++) {
          order += cpu.id;
          yield cpu.nop();
        }
      });
    }
    settle(xen);
    return order;
  }

  test('is fixed by the seed', () => {
    assert.equal(interleaving(1), interleaving(1));
    assert.notEqual(interleaving(1), interleaving(2));
    assert.deepEqual([...interleaving(7)].sort().join(''), '0'.repeat(10) + '1'.repeat(10) + '2'.repeat(10));
  });

  test('from the event loop as from step()', async () => {
    const order = (run: (xen: ModelXen, runs: readonly { finished: Promise<unknown> }[]) => Promise<void>) => {
      const { xen, guest } = machine(2, 5);
      let text = '';
      const runs = guest.vcpus.map((vcpu) =>
        vcpu.run(function* (cpu) {
          for (let i = 0; i < 150; i++) {
            text += cpu.id;
            yield cpu.nop();
          }
        }),
      );
      return run(xen, runs).then(() => text);
    };
    const stepped = await order(async (xen) => {
      settle(xen);
    });
    const looped = await order(async (_xen, runs) => {
      await Promise.all(runs.map(({ finished }) => finished));
    });
    assert.equal(looped, stepped);
  });
});

describe('a script waits', () => {
  const writes: GuestScript<number> = function* (cpu) {
    let done = 0;
    for (let i = 0; i < 20; i++) {
      const { finished } = yield cpu.write(0x40000 + i, BYTES);
      if (finished) done++;
    }
    return done;
  };

  test('for its agent on the same event loop, several vCPUs at once', async () => {
    const { xen, xch, domid, guest } = machine(10);
    const agent = new RingAgent(xen, domid);
    xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.r, 0x40, 1);
    let answered = 0;
    agent.channels.onPending(() => {
      const port = agent.channels.pending();
      agent.channels.unmask(port);
      for (; agent.waiting > 0; answered++) agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
    });
    const ends = await Promise.all(guest.vcpus.map((vcpu) => vcpu.run(writes).finished));
    assert.deepEqual(
      ends,
      guest.vcpus.map(() => ({ ended: 'returned', value: 20 })),
    );
    assert.equal(answered, 200);
    agent.close();
  });

  test('without using the processor', async () => {
    const { xen, xch, domid, cpu } = machine();
    const agent = new RingAgent(xen, domid);
    xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.r, 0x40, 1);
    const run = cpu.run(writes);
    settle(xen);
    await sleep(1);
    const real = globalThis.setImmediate;
    let turns = 0;
    globalThis.setImmediate = ((...args: Parameters<typeof real>) => {
      turns++;
      return real(...args);
    }) as typeof real;
    await sleep(30);
    globalThis.setImmediate = real;
    assert.equal(turns, 0);
    run.stop();
    agent.close();
  });

  test('for dom0 to unpause its domain', async () => {
    const { xen, xch, domid, cpu } = machine();
    xc.xc_domain_pause(xch, domid);
    const run = cpu.run(writes);
    assert.equal(xen.step(), false);
    xc.xc_domain_unpause(xch, domid);
    assert.deepEqual(await run.finished, { ended: 'returned', value: 20 });
  });

  test('in a blocking wait of its agent only scripts go on, until they tell something', () => {
    const { xen, xch, domid, cpu } = machine();
    const agent = new RingAgent(xen, domid);
    agent.channels.unmask(agent.channels.pending());
    xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.r, 0x40, 1);
    const run = cpu.run(function* (cpu) {
      for (let i = 0; i < 10; i++) yield cpu.nop();
      yield cpu.write(0x40000, BYTES);
    });
    assert.equal(agent.channels.wait(0), 0);
    assert.equal(agent.channels.wait(-1), 1);
    assert.equal(agent.waiting, 1);
    agent.channels.unmask(agent.channels.pending());
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
    assert.equal(agent.channels.wait(1000), 0);
    run.stop();
    agent.close();
  });

  test('until its write of a control register is allowed', async () => {
    const { xen, xch, domid, cpu } = machine();
    const agent = new RingAgent(xen, domid);
    xc.xc_monitor_write_ctrlreg(xch, domid, abi.VM_EVENT_X86_CR3, true, true, 0n, false);
    const run = cpu.run(function* (cpu) {
      yield cpu.writeCr(3, 0x1000n);
      return cpu.registers.get('cr3');
    });
    settle(xen);
    agent.answer();
    assert.deepEqual(await run.finished, { ended: 'returned', value: 0x1000n });
    agent.close();
  });
});

describe('a script ends', () => {
  const endless: GuestScript = function* (cpu) {
    for (;;) yield cpu.nop();
  };

  for (const [how, death] of [
    ['destroyed', (xch: xc.XcInterface, domid: number) => xc.xc_domain_destroy(xch, domid)],
    ['shut down', (xch: xc.XcInterface, domid: number) => xc.xc_domain_shutdown(xch, domid, 1)],
  ] as const) {
    test(`when its domain is ${how}, with an event in flight, too`, async () => {
      const { xen, xch, domid, guest } = machine(2);
      const agent = new RingAgent(xen, domid);
      xc.xc_set_mem_access(xch, domid, xc.XENMEM_access.r, 0x40, 1);
      let cleaned = 0;
      const [waiting, running] = guest.vcpus.map((vcpu, i) =>
        vcpu.run(function* (cpu) {
          try {
            if (i === 0) yield cpu.write(0x40000, BYTES);
            else for (;;) yield cpu.nop();
          } finally {
            cleaned++;
          }
        }),
      );
      for (let i = 0; i < 20; i++) xen.step();
      death(xch, domid);
      assert.deepEqual(await waiting?.finished, { ended: 'domain' });
      assert.deepEqual(await running?.finished, { ended: 'domain' });
      assert.equal(cleaned, 2);
      agent.crash();
    });
  }

  test('when it halts the last vCPU', async () => {
    const { guest, cpu } = machine();
    const run = cpu.run(function* (cpu) {
      yield cpu.halt();
      yield cpu.nop();
      return 'unreached';
    });
    assert.deepEqual(await run.finished, { ended: 'domain' });
    assert.equal(guest.domain.shutdownCode, 0);
  });

  test('when it is stopped, and when the machine is closed', async () => {
    const { xen, guest } = machine(2);
    const [one, two] = guest.vcpus.map((vcpu) => vcpu.run(endless));
    one?.stop();
    one?.stop();
    assert.deepEqual(await one?.finished, { ended: 'stopped' });
    assert.equal(guest.vcpus[0].nop().finished, true);
    xen.close();
    assert.deepEqual(await two?.finished, { ended: 'stopped' });
  });

  test('and an endless one lets others on the event loop have their turn', async () => {
    const { cpu } = machine();
    const run = cpu.run(endless);
    await sleep(5);
    run.stop();
    assert.deepEqual(await run.finished, { ended: 'stopped' });
  });
});
