/** Every event is answered exactly once, whatever the agent does and whatever is in the page. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { vmEventLayout } from '#dist/abi/vm_event.js';
import type { MonitorEvent } from '#dist/vmi/monitor/event.js';
import { type MonitorHandler, MonitorLoop } from '#dist/vmi/monitor/loop.js';
import { Frame, MonitorRing, MonitorRingError } from '#dist/vmi/monitor/ring.js';
import { Front, port } from './front.js';

const LAYOUT = vmEventLayout(7);
const open = (): boolean => false;
const fail = (error: unknown): never => assert.fail(String(error));

interface Setup {
  readonly front: Front;
  readonly loop: MonitorLoop;
  readonly errors: unknown[];
  /** How often Xen was notified. */
  notified(): number;
  drain(handler: MonitorHandler): boolean;
}

function setup(front = new Front()): Setup {
  let count = 0;
  const notify = (): void => {
    count++;
    front.resume();
  };
  const loop = new MonitorLoop(new MonitorRing(front.page, LAYOUT), 1, LAYOUT, '4.17', {
    notify,
    flush: () => {},
    inject: () => {},
  });
  const errors: unknown[] = [];
  return {
    front,
    loop,
    errors,
    notified: () => count,
    drain: (handler) => loop.drain(handler, (error) => errors.push(error), open),
  };
}

test('a drain answers all that is there, and notifies Xen once', () => {
  const { front, loop, drain, notified } = setup();
  for (let vcpu = 0; vcpu < 8; vcpu++) front.put({ vcpu });
  assert.equal(
    drain((event) => event.respond({ view: event.vcpu })),
    false,
  );
  assert.deepEqual(
    front.answers.map(({ vcpu, altp2mIdx }) => [vcpu, altp2mIdx]),
    Array.from({ length: 8 }, (_, i) => [i, i]),
  );
  assert.equal(notified(), 1);
  assert.equal(front.paused.size, 0);
  assert.deepEqual(loop.counters, { events: 8, answered: 8, automatic: 0, thrown: 0, refused: 0, malformed: 0 });
  assert.equal(front.view.getUint32(4, true), 9, 'req_event asks for the next one');
});

test('an event that nobody answers is answered by the loop', () => {
  const { front, loop, drain } = setup();
  front.put();
  drain(() => {});
  assert.equal(front.answers[0]?.flags, 1);
  assert.equal(loop.counters.automatic, 1);
});

test('a second answer is refused and counted', () => {
  const { front, loop, drain } = setup();
  front.put();
  let kept: MonitorEvent | undefined;
  drain((event) => {
    assert.equal(event.respond({ emulate: true }), true);
    assert.equal(event.respond(), false);
    kept = event;
  });
  assert.equal(kept?.respond({ view: 1 }), false);
  assert.equal(front.answers.length, 1);
  assert.equal(loop.counters.refused, 2);
});

test('an event whose handler throws is answered, the others after it are handled, and the error is told', () => {
  const { front, loop, drain, errors } = setup();
  for (let vcpu = 0; vcpu < 3; vcpu++) front.put({ vcpu });
  drain((event) => {
    if (event.vcpu === 1) throw new Error('oops');
  });
  assert.deepEqual(
    front.answers.map(({ vcpu }) => vcpu),
    [0, 1, 2],
  );
  assert.equal(loop.counters.thrown, 1);
  assert.match(String(errors[0]), /oops/);
});

test('async handlers run at once, answer in any order, and see their own event all the time', async () => {
  const { front, loop, drain } = setup();
  for (let vcpu = 0; vcpu < 4; vcpu++)
    front.put({
      vcpu,
      reason: 1,
      at: [
        [24, 8, 100 + vcpu],
        [208, 8, 1000 + vcpu],
      ],
    });
  const resolvers: (() => void)[] = [];
  const seen: unknown[] = [];
  drain(async (event) => {
    const { vcpu } = event;
    await new Promise<void>((resolve) => {
      resolvers[vcpu] = resolve;
    });
    if (event.reason === 'mem_access') seen.push([event.vcpu, event.gfn, event.regs.rip]);
    if (vcpu === 2) throw new Error('late');
    if (vcpu !== 3) event.respond({ view: vcpu });
  });
  assert.equal(loop.unanswered, 4);
  assert.equal(front.answers.length, 0);
  for (const vcpu of [3, 1, 2, 0]) {
    resolvers[vcpu]?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    front.answers.map(({ vcpu, altp2mIdx }) => [vcpu, altp2mIdx]),
    [
      [3, 0],
      [1, 1],
      [2, 0],
      [0, 0],
    ],
  );
  assert.deepEqual(
    seen,
    [3, 1, 2, 0].map((vcpu) => [vcpu, 100 + vcpu, BigInt(1000 + vcpu)]),
  );
  assert.equal(front.paused.size, 0);
  assert.deepEqual([loop.counters.answered, loop.counters.automatic, loop.counters.thrown], [2, 2, 1]);
});

test('take gives one event at a time and answers the one before', () => {
  const { front, loop } = setup();
  front.put({ vcpu: 1 });
  front.put({ vcpu: 2 });
  const first = loop.take();
  assert.equal(first?.vcpu, 1);
  assert.equal(front.answers.length, 0);
  const second = loop.take();
  assert.equal(second?.vcpu, 2);
  assert.deepEqual(front.resume().length + front.answers.length, 1);
  second?.respond({ view: 4 });
  assert.equal(loop.take(), null);
  assert.equal(front.answers[1]?.altp2mIdx, 4);
  assert.equal(first?.respond(), false);
});

test('finish answers what is kept, what is being handled and what is in the ring', () => {
  const { front, loop } = setup();
  for (let vcpu = 0; vcpu < 5; vcpu++) front.put({ vcpu });
  let closed = false;
  loop.drain(
    (event) => {
      if (event.vcpu < 2) return new Promise<void>(() => {});
      closed = true;
      assert.equal(loop.finish(), 5);
      return undefined;
    },
    () => {},
    () => closed,
  );
  assert.equal(front.paused.size, 0);
  assert.equal(front.answers.length, 5);
});

test('an entry of another ABI is answered in ours, and not given to the agent', () => {
  const { front, loop, drain } = setup();
  front.put({ vcpu: 6, version: 8 });
  drain(() => assert.fail('the agent saw it'));
  assert.equal(front.paused.size, 0);
  assert.equal(loop.counters.malformed, 1);
});

test('a request counter that jumps is an error, and what was taken before is answered', () => {
  const { front, loop, drain } = setup();
  front.put();
  assert.throws(
    () =>
      drain(() => {
        front.view.setUint32(0, 0x8000_0000, true);
      }),
    MonitorRingError,
  );
  assert.equal(front.answers.length, 1);
  assert.throws(() => loop.finish(), MonitorRingError);
});

test('a guest that keeps the ring filled does not keep the loop for ever', () => {
  const { front, drain } = setup();
  front.put();
  let events = 0;
  const more = drain(() => {
    events++;
    front.resume();
    front.put();
  });
  assert.equal(more, true);
  assert.ok(events < 1000);
});

test('counters wrap', () => {
  const front = new Front();
  front.begin(0xffff_fffd);
  const from = { reqCons: 0xffff_fffd, rspProd: 0xffff_fffd };
  const loop = new MonitorLoop(new MonitorRing(front.page, LAYOUT, from), 1, LAYOUT, '4.17', port(front));
  for (let i = 0; i < 20; i++) {
    for (let vcpu = 0; vcpu < 3; vcpu++) front.put({ vcpu });
    loop.drain(() => {}, fail, open);
  }
  assert.equal(front.answers.length, 60);
  assert.equal(front.produced, 57);
});

test('one event object serves all events of a kind', () => {
  const { front, drain } = setup();
  const seen = new Set<object>();
  for (let i = 0; i < 100; i++) {
    front.put({ reason: 1 });
    drain((event) => void seen.add(event));
  }
  assert.equal(seen.size, 1);
});

/** What an agent may do with an event. */
const deed = fc.constantFrom('answer', 'forget', 'throw', 'keep', 'twice', 'bad', 'registers');
const request = fc.record({ vcpu: fc.nat(7), reason: fc.nat(20), flags: fc.constantFrom(0, 1, 1, 1, 0x81, 2) });

test('each request gets exactly one answer of its own vCPU, whatever the agent does (fuzz)', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(request, deed, fc.boolean()), { maxLength: 60 }), async (steps) => {
      const { front, loop, drain } = setup();
      const asked: number[] = [];
      const settle: (() => void)[] = [];
      let index = 0;
      const handler: MonitorHandler = (event) => {
        const what = steps[index++]?.[1];
        if (what === 'answer') event.respond({ view: 1 });
        else if (what === 'throw') throw new Error();
        else if (what === 'twice') event.respond() && event.respond({ deny: true });
        else if (what === 'bad') event.respond({ view: -1 });
        else if (what === 'registers') event.respond({ registers: { rip: event.regs.rip + 1n } });
        else if (what === 'keep') return new Promise<void>((resolve) => settle.push(resolve));
        return undefined;
      };
      for (const [one, , pause] of steps) {
        if (front.put(one)) asked.push(one.vcpu);
        else if (settle.length > 0) settle.shift()?.();
        if (pause) drain(handler);
        await Promise.resolve();
      }
      loop.finish();
      for (const one of settle) one();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(front.answers.length, asked.length);
      const sorted = (list: number[]): number[] => [...list].sort();
      assert.deepEqual(sorted(front.answers.map(({ vcpu }) => vcpu)), sorted(asked));
      assert.equal(front.paused.size, 0);
      assert.ok(front.answers.every(({ version }) => version === 7));
    }),
    { numRuns: 200 },
  );
});

test('random pages and counters never make the loop crash, or write or read outside the page (fuzz)', () => {
  const CANARY = 0x5a;
  const everything = (event: MonitorEvent): void => {
    JSON.stringify(event);
    event.regs.toObject();
    event.respond({ view: 1, toggleSinglestep: true });
  };
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 4096, maxLength: 4096 }),
      fc.array(fc.tuple(fc.constantFrom(0, 4, 8, 12), fc.oneof(fc.nat(12), fc.integer())), { maxLength: 8 }),
      fc.constantFrom(3, 4, 5, 6, 7),
      (bytes, writes, abi) => {
        const memory = new Uint8Array(3 * 4096).fill(CANARY);
        const page = memory.subarray(4096, 8192);
        page.set(bytes);
        const view = new DataView(memory.buffer, 4096, 4096);
        const layout = vmEventLayout(abi as 7);
        const from = { reqCons: view.getUint32(0, true), rspProd: view.getUint32(0, true) };
        const loop = new MonitorLoop(new MonitorRing(page, layout, from), 1, layout, '4.22', {
          notify: () => {},
          flush: () => {},
          inject: () => {},
        });
        for (const [offset, value] of writes) {
          if (offset === 0) view.setUint32(0, from.reqCons + value, true);
          else view.setInt32(offset, value, true);
          for (const act of [() => loop.drain(everything, fail, open), () => loop.take(), () => loop.finish()]) {
            try {
              act();
            } catch (error) {
              assert.ok(error instanceof MonitorRingError, String(error));
            }
          }
        }
        assert.ok(memory.subarray(0, 4096).every((byte) => byte === CANARY));
        assert.ok(memory.subarray(8192).every((byte) => byte === CANARY));
      },
    ),
    { numRuns: 300 },
  );
});

test('a ring that holds no entry is refused, and one with none unanswered takes no answer', () => {
  assert.throws(() => new MonitorRing(new Uint8Array(463), LAYOUT), RangeError);
  const ring = new MonitorRing(new Uint8Array(464), LAYOUT);
  assert.equal(ring.slots, 1);
  assert.throws(() => ring.answer(new Frame(ring)), MonitorRingError);
});
