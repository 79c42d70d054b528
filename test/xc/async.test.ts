/** The awaitable forms of long calls: what they send, progress, and stopping. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { type Answer, FakeXen } from './fake.js';

function opened(answer: Answer): { xen: FakeXen; xch: xc.XcInterface } {
  const xen = new FakeXen({ version: '4.17' });
  xen.answer = answer;
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

const frames = Array.from({ length: 10_000 }, (_, i) => i);
const PIECES = [4096, 8192, 10_000];

/** Counts of a populate or a multi call, from its operand. */
const populated: Answer = (call) => Number(call.view(call.args[1] as number, 32).getBigUint64(8, true));

interface Long {
  readonly name: string;
  readonly total: number;
  readonly answer: Answer;
  readonly run: (xch: xc.XcInterface, options?: xc.AsyncOptions) => Promise<void>;
}

const LONG: readonly Long[] = [
  {
    name: 'xc_domain_populate_physmap_exact',
    total: frames.length,
    answer: populated,
    run: (xch, options) => xc.xc_domain_populate_physmap_exact_async(xch, 7, 0, 0, frames, options),
  },
  {
    name: 'xc_altp2m_set_mem_access_multi',
    total: frames.length,
    answer: () => 0,
    run: (xch, options) => xc.xc_altp2m_set_mem_access_multi_async(xch, 7, 1, new Uint8Array(10_000), frames, options),
  },
];

for (const { name, total, answer, run } of LONG) {
  test(`${name}_async goes piece by piece off the operand, and tells its progress`, async () => {
    const { xen, xch } = opened(answer);
    const before = xen.arena.largestFree;
    const told: number[][] = [];
    await run(xch, { onProgress: (done, all) => told.push([done, all]) });
    assert.deepEqual(
      told,
      PIECES.map((done) => [done, total]),
    );
    assert.equal(xen.calls.length, 3);
    assert.ok(xen.calls.every((call) => call.async));
    // the operand area belongs to synchronous calls
    assert.ok(xen.calls.every((call) => (call.args.at(-1) as number) >= xen.arena.base + 512));
    assert.equal(xen.arena.largestFree, before);
  });

  test(`${name}_async sends what its synchronous form sends`, async () => {
    const { xen, xch } = opened(answer);
    await run(xch);
    const size = name.includes('altp2m') ? 80 : 32;
    const heads = xen.calls.map((call) => [...call.at(call.args.at(-1) as number, size)]);
    xen.calls.length = 0;
    if (name.includes('altp2m')) xc.xc_altp2m_set_mem_access_multi(xch, 7, 1, new Uint8Array(10_000), frames);
    else xc.xc_domain_populate_physmap_exact(xch, 7, 0, 0, frames);
    const same = xen.calls.map((call) => [...call.at(call.args.at(-1) as number, size)]);
    const withoutPointers = (bytes: number[]): number[] => (size === 80 ? bytes.fill(0, 32, 48) : bytes.fill(0, 0, 8));
    assert.deepEqual(heads.map(withoutPointers), same.map(withoutPointers));
  });

  test(`${name}_async stops between two pieces with the signal's reason and says how much was done`, async () => {
    const { xen, xch } = opened(answer);
    const before = xen.arena.largestFree;
    const stop = new AbortController();
    const reason = new Error('enough');
    const call = run(xch, { signal: stop.signal, onProgress: (done) => done === 8192 && stop.abort(reason) });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof xc.CallAbortedError);
      assert.equal(error.name, 'AbortError');
      assert.equal(error.code, 'ABORT_ERR');
      assert.equal(error.cause, reason);
      assert.equal(error.syscall, name);
      assert.deepEqual([error.done, error.total], [8192, total]);
      assert.equal(error.message, `${name} was stopped after 8192 of ${total}`);
      return true;
    });
    assert.equal(xen.calls.length, 2);
    assert.equal(xen.arena.largestFree, before);
  });

  test(`${name}_async with a signal that is aborted already sends nothing`, async () => {
    const { xen, xch } = opened(answer);
    await assert.rejects(run(xch, { signal: AbortSignal.abort('no') }), {
      name: 'AbortError',
      done: 0,
      total,
      cause: 'no',
    });
    assert.equal(xen.calls.length, 0);
  });

  test(`${name}_async rejects with Xen's errno and gives the memory back`, async () => {
    let calls = 0;
    const { xen, xch } = opened((call) => (++calls === 2 ? -1 : answer(call)));
    const before = xen.arena.largestFree;
    await assert.rejects(run(xch), { name: 'XenError', code: 'EPERM', syscall: name, domid: 7 });
    assert.equal(xen.arena.largestFree, before);
  });

  test(`${name}_async ends when onProgress throws`, async () => {
    const { xen, xch } = opened(answer);
    const before = xen.arena.largestFree;
    const onProgress = (): void => {
      throw new Error('of the caller');
    };
    await assert.rejects(run(xch, { onProgress }), /of the caller/);
    assert.equal(xen.calls.length, 1);
    assert.equal(xen.arena.largestFree, before);
  });
}

test('the caller may change its lists while an awaitable call goes on', async () => {
  const list = frames.slice(0, 5000);
  const seen: bigint[] = [];
  const { xch } = opened((call) => {
    const view = call.view(call.args[1] as number, 32);
    const nr = Number(view.getBigUint64(8, true));
    const sent = call.view(Number(view.getBigUint64(0, true)), nr * 8);
    seen.push(sent.getBigUint64((nr - 1) * 8, true));
    return nr;
  });
  const call = xc.xc_domain_populate_physmap_exact_async(xch, 7, 0, 0, list);
  list.fill(Number.NaN);
  await call;
  assert.deepEqual(seen, [4095n, 4999n]);
});

test('xc_domain_populate_physmap_exact_async throws EBUSY where Xen stops', async () => {
  let calls = 0;
  const { xch } = opened((call) => (++calls === 2 ? 4 : populated(call)));
  const told: number[] = [];
  const call = xc.xc_domain_populate_physmap_exact_async(xch, 7, 0, 0, frames, {
    onProgress: (done) => told.push(done),
  });
  await assert.rejects(call, { code: 'EBUSY', hint: /^4100 of 10000 extents/ });
  assert.deepEqual(told, [4096, 4100]);
});

/** A Xen that gives `pages` back in steps, answering EAGAIN until they are gone. */
function dying(pages: number, step: number): Answer {
  let left = pages;
  return (call) => {
    const view = call.view(call.args[0] as number, 144);
    if (view.getUint32(0, true) === 5) {
      view.setUint16(16, 7, true);
      view.setBigUint64(16 + 8, BigInt(left), true);
      return 0;
    }
    left = Math.max(0, left - step);
    return left > 0 ? -11 : 0;
  };
}

test('xc_domain_destroy_async repeats and counts pages', async () => {
  const { xen, xch } = opened(dying(1000, 300));
  const told: number[][] = [];
  await xc.xc_domain_destroy_async(xch, 7, { onProgress: (done, total) => told.push([done, total]) });
  assert.deepEqual(told, [
    [300, 1000],
    [600, 1000],
    [900, 1000],
    [1000, 1000],
  ]);
  assert.equal(xen.calls.filter((call) => call.async).length, 4);
});

test('xc_domain_destroy_async asks for nothing else when nobody watches', async () => {
  const { xen, xch } = opened(dying(1000, 300));
  await xc.xc_domain_destroy_async(xch, 7);
  assert.ok(xen.calls.every((call) => call.async));
  assert.equal(xen.calls.length, 4);
});

test('xc_domain_destroy_async stops between two tries', async () => {
  const { xen, xch } = opened(dying(1000, 300));
  const stop = new AbortController();
  const call = xc.xc_domain_destroy_async(xch, 7, { signal: stop.signal, onProgress: () => stop.abort() });
  await assert.rejects(call, { name: 'AbortError', syscall: 'xc_domain_destroy', done: 300, total: 1000 });
  assert.equal(xen.calls.filter((one) => one.async).length, 1);
  await assert.rejects(xc.xc_domain_destroy_async(xch, 7, { signal: AbortSignal.abort() }), { done: 0, total: 0 });
});

test('xc_domain_destroy_async rejects with Xen’s errno', async () => {
  const { xch } = opened(() => -22);
  await assert.rejects(xc.xc_domain_destroy_async(xch, 7), { code: 'EINVAL', syscall: 'xc_domain_destroy', domid: 7 });
});

test('a handle that is closed in between ends an awaitable call', async () => {
  const { xch } = opened(populated);
  const onProgress = (): void => xc.xc_interface_close(xch);
  await assert.rejects(xc.xc_domain_populate_physmap_exact_async(xch, 7, 0, 0, frames, { onProgress }), TypeError);
});

test('synchronous calls go on between the pieces of an awaitable one', async () => {
  const { xen, xch } = opened((call) => (call.op === 12 ? populated(call) : 0));
  const call = xc.xc_domain_populate_physmap_exact_async(xch, 7, 0, 0, frames);
  for (let i = 0; i < 20; i++) {
    xc.xc_altp2m_switch_to_view(xch, 7, i);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await call;
  assert.equal(xen.calls.filter(({ op }) => op === 12).length, 3);
});
