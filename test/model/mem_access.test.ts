/** XENMEM_access_op and set_access_required: every error in Xen's order, and what an access then does. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import { type GuestOptions, type ModelOptions, ModelXen } from '#dist/model/index.js';
import { RingAgent } from './ring_agent.js';

const [SET, GET, SET_MULTI] = [0, 1, 4];
const { XENMEM_access } = xc;

function machine(options: ModelOptions = {}, guest: GuestOptions = {}) {
  const xen = new ModelXen(options);
  const made = xen.createGuest({ memoryPages: 256, pages: '4K', altp2m: 'external', ...guest });
  const xch = xc.xc_interface_open({ hypervisor: xen });
  return { xen, xch, domid: made.domid, domain: made.domain, cpu: made.vcpus[0] };
}

interface Op {
  readonly op: number;
  readonly access?: number;
  readonly nr?: number;
  readonly pfn?: bigint;
  readonly start?: number;
}

/** The structure as bytes; `start`: as a preempted call goes on. */
function accessOp(xen: ModelXen, domid: number, { op, access = 7, nr = 1, pfn = 0n, start = 0 }: Op): number {
  const { arena } = xen;
  const at = arena.operandAddress - arena.base;
  arena.bytes.fill(0, at, at + 32);
  arena.view.setUint8(at, op);
  arena.view.setUint8(at + 1, access);
  arena.view.setUint16(at + 2, domid, true);
  arena.view.setUint32(at + 4, nr, true);
  arena.view.setBigUint64(at + 8, pfn, true);
  return xen.hypercall(12, 21 | start, arena.operandAddress);
}

describe('errors, in the order in which Xen looks', () => {
  test('a pointer to nothing: -EFAULT', () => {
    assert.equal(machine().xen.hypercall(12, 21, 8), -14);
  });

  test('no such domain, and DOMID_SELF: -ESRCH', () => {
    const { xen } = machine();
    for (const domid of [9, 0x7ff0, 0x7ff4]) assert.equal(accessOp(xen, domid, { op: 99 }), -3);
  });

  test('the caller itself: -EPERM', () => {
    assert.equal(accessOp(machine().xen, 0, { op: 99 }), -1);
  });

  test('a dying domain: -EINVAL', () => {
    const { xen, xch, domid } = machine();
    using _kept = xen.mapForeign(domid, [1], 1);
    xc.xc_domain_destroy(xch, domid);
    assert.equal(accessOp(xen, domid, { op: SET }), -22);
  });

  for (const [what, options, guest] of [
    ['a PV domain', {}, { type: 'pv', altp2m: 'disabled', memoryPages: 0 }],
    ['a domain without HAP', { shadow: true }, { hap: false, altp2m: 'disabled' }],
    ['AMD’s processor', { cpu: { vendor: 'amd' } }, { altp2m: 'disabled' }],
  ] as const) {
    test(`${what}: -EINVAL`, () => {
      const { xen, domid } = machine(options, guest);
      assert.equal(accessOp(xen, domid, { op: 99 }), -22);
    });
  }

  test('no ring: -ENODEV, whatever the operation', () => {
    const { xen, domid } = machine();
    for (const op of [SET, GET, SET_MULTI, 99]) assert.equal(accessOp(xen, domid, { op }), -19);
  });

  test('an operation that is none: -ENOSYS', () => {
    const { xen, domid } = machine();
    new RingAgent(xen, domid);
    for (const op of [2, 3, 5, 255]) assert.equal(accessOp(xen, domid, { op }), -38);
  });

  test('ranges that wrap, are empty or go beyond the highest frame: -EINVAL', () => {
    const { xen, xch, domid } = machine();
    new RingAgent(xen, domid);
    const last = BigInt(xc.xc_domain_maximum_gpfn(xch, domid));
    for (const [pfn, nr] of [
      [last, 2],
      [last + 1n, 1],
      [5n, 0],
      [0n, 0],
      [(1n << 64n) - 2n, 4],
    ] as const) {
      assert.equal(accessOp(xen, domid, { op: SET, pfn, nr }), -22, `${pfn}, ${nr}`);
    }
    assert.equal(accessOp(xen, domid, { op: SET, pfn: last, nr: 1 }), 0);
    assert.equal(accessOp(xen, domid, { op: GET, pfn: last + 1n }), -22);
  });

  for (const [release, first] of [
    ['4.19', 11],
    ['4.20', 12],
  ] as const) {
    test(`an access that is none on ${release}: -EINVAL`, () => {
      const { xen, domid } = machine({ release });
      new RingAgent(xen, domid);
      assert.equal(accessOp(xen, domid, { op: SET, access: first - 1 }), 0);
      for (const access of [first, 255]) assert.equal(accessOp(xen, domid, { op: SET, access }), -22);
      assert.equal(accessOp(xen, domid, { op: SET, access: first, pfn: (1n << 64n) - 1n }), -22);
    });
  }

  test('GET of a hole: -ESRCH; as a continuation: -ENOSYS', () => {
    const { xen, xch, domid } = machine();
    new RingAgent(xen, domid);
    xc.xc_domain_decrease_reservation_exact(xch, domid, 0, [0x20]);
    assert.equal(accessOp(xen, domid, { op: GET, pfn: 0x20n }), -3);
    assert.equal(accessOp(xen, domid, { op: GET, pfn: 0x21n, start: 64 }), -38);
  });
});

test('a continued SET leaves alone what was done; one that was done in full is -EINVAL', () => {
  const { xen, xch, domid } = machine();
  new RingAgent(xen, domid);
  assert.equal(accessOp(xen, domid, { op: SET, access: 1, pfn: 0n, nr: 128, start: 64 }), 0);
  assert.deepEqual([xc.xc_get_mem_access(xch, domid, 63), xc.xc_get_mem_access(xch, domid, 64)], [7, 1]);
  assert.equal(accessOp(xen, domid, { op: SET, pfn: 0n, nr: 63, start: 64 }), -22);
});

test('the default is that of all ones, and of frames that get memory afterwards', () => {
  const { xen, xch, domid } = machine();
  new RingAgent(xen, domid);
  assert.equal(accessOp(xen, domid, { op: SET, access: 1, pfn: (1n << 64n) - 1n, nr: 0 }), 0);
  assert.equal(xc.xc_get_mem_access(xch, domid, xc.INVALID_GFN), XENMEM_access.r);
  xc.xc_domain_decrease_reservation_exact(xch, domid, 0, [0x20]);
  xc.xc_domain_populate_physmap_exact(xch, domid, 0, 0, [0x20]);
  assert.equal(xc.xc_get_mem_access(xch, domid, 0x20), XENMEM_access.r);
});

describe('a forbidden access without an agent', () => {
  function forbidden() {
    const made = machine();
    const agent = new RingAgent(made.xen, made.domid);
    xc.xc_set_mem_access(made.xch, made.domid, XENMEM_access.r, 0x40, 1);
    return { ...made, agent };
  }

  test('makes the page accessible again', () => {
    const { cpu, domain, agent } = forbidden();
    agent.close();
    assert.equal(cpu.write(0x40000, new Uint8Array(1)).finished, true);
    assert.equal(domain.p2m.lookup(0x40).access, 7);
  });

  test('ends the domain when access is required', () => {
    const { xch, domid, cpu, domain, agent } = forbidden();
    xc.xc_domain_set_access_required(xch, domid, true);
    agent.close();
    assert.equal(cpu.write(0x40000, new Uint8Array(1)).finished, false);
    assert.equal(domain.shutdownCode, 3);
  });
});

test('set_access_required of the caller itself: -EPERM', () => {
  const { xch } = machine();
  assert.throws(() => xc.xc_domain_set_access_required(xch, 0, true), { code: 'EPERM' });
});
