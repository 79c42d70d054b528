/** The interface numbers of domctl and sysctl: confirmed once, and what happens where they are not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, releaseAbi } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { type Call, type FakeOptions, FakeXen } from './fake.js';

/** A fake that records the confirming calls, too. */
class Watched extends FakeXen {
  readonly all: (readonly [op: number, cmd: number, version: number, domid: number])[] = [];

  override hypercall(op: number, ...args: number[]): number {
    if (op === 36 || op === 35) {
      const offset = (args[0] as number) - this.arena.base;
      const { view } = this.arena;
      this.all.push([
        op,
        view.getUint32(offset, true),
        view.getUint32(offset + 4, true),
        view.getUint16(offset + 8, true),
      ]);
    }
    return super.hypercall(op, ...args);
  }
}

function opened(options: FakeOptions): { xen: Watched; xch: xc.XcInterface } {
  const xen = new Watched(options);
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

const read = (call: Call): number => new DataView(call.at(call.args[0] as number, 16).buffer).getUint32(4, true);

test('the first domctl and the first sysctl of a handle confirm the number with a call that changes nothing', () => {
  for (const release of RELEASES) {
    const { domctl, sysctl } = releaseAbi(release);
    const { xen, xch } = opened({ version: release, domctl, sysctl });
    xc.xc_domain_pause(xch, 7);
    xc.xc_domain_unpause(xch, 7);
    xc.xc_physinfo(xch);
    xc.xc_physinfo(xch);
    assert.deepEqual(xen.all, [
      [36, 5, domctl, 0],
      [36, 3, domctl, 7],
      [36, 4, domctl, 7],
      [35, 3, sysctl, 0],
      [35, 3, sysctl, 0],
      [35, 3, sysctl, 0],
    ]);
  }
});

test('each handle confirms for itself', () => {
  const { xen, xch } = opened({ version: '4.17', domctl: 0x15 });
  const other = xc.xc_interface_open({ hypervisor: xen });
  xc.xc_domain_pause(xch, 7);
  xc.xc_domain_pause(other, 7);
  assert.deepEqual(
    xen.all.map(([, cmd]) => cmd),
    [5, 3, 5, 3],
  );
});

test('a Xen that does not take the number of its release is told apart from a policy that forbids', () => {
  const odd = opened({ version: '4.17', domctl: 0x99, sysctl: 0x99 }).xch;
  assert.throws(() => xc.xc_domain_pause(odd, 7), { code: 'EACCES', domid: 7, hint: /does not take domctl 0x15/ });
  assert.throws(() => xc.xc_physinfo(odd), { code: 'EACCES', hint: /does not take sysctl 0x15/ });
  const { xen, xch } = opened({ version: '4.17', domctl: 0x15 });
  xen.answer = () => -13;
  assert.throws(() => xc.xc_domain_pause(xch, 7), { code: 'EACCES', hint: "Xen's XSM policy forbids this call" });
});

test('Xen before 4.14: altp2m and versions work, domctl and sysctl are refused with the reason and nothing is sent', () => {
  const { xen, xch } = opened({ version: '4.13' });
  xc.xc_altp2m_switch_to_view(xch, 7, 1);
  xc.xc_hvm_param_get(xch, 7, xc.HVM_PARAM_ALTP2M);
  assert.equal(xc.xc_version(xch, xc.XENVER_version), 0x4000d);
  const refusal = { name: 'XenError', code: 'EOPNOTSUPP', hint: /Xen 4\.13 is older than 4\.14/ };
  assert.throws(() => xc.xc_domain_pause(xch, 7), { ...refusal, syscall: 'xc_domain_pause', domid: 7 });
  assert.throws(() => xc.xc_domain_getinfo_single(xch, 7), { ...refusal, syscall: 'xc_domain_getinfo_single' });
  assert.throws(() => xc.xc_physinfo(xch), { ...refusal, syscall: 'xc_physinfo' });
  assert.throws(() => xc.xc_domain_getinfolist(xch, 0, 10), refusal);
  assert.throws(() => xc.xc_domain_create(xch, 0, { flags: 1, max_vcpus: 1 }), refusal);
  assert.deepEqual(xen.all, []);
});

test('a newer Xen that takes the newest known number is spoken to in full', () => {
  const { domctl, sysctl } = releaseAbi('4.22');
  const { xen, xch } = opened({ version: '4.23', domctl, sysctl });
  xc.xc_domain_pause(xch, 7);
  xc.xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1, altp2m: { opts: 2, nr: 20 } });
  assert.equal(xen.calls.length, 2);
});

test('a newer Xen with newer numbers is only read from', () => {
  const { xen, xch } = opened({ version: '4.25', domctl: 0x1a, sysctl: 0x18 });
  xen.answer = (call) => {
    if (call.op === 36) call.view(call.args[0] as number, 144).setUint16(16, 7, true);
    return 0;
  };
  assert.equal(xc.xc_domain_getinfo_single(xch, 7).domain, 7);
  xc.xc_physinfo(xch);
  assert.deepEqual(xen.calls.map(read), [0x1a, 0x18]);
  const refusal = {
    name: 'XenError',
    code: 'EOPNOTSUPP',
    hint: /Xen 4\.25 speaks domctl 0x1a, this package knows 0x18/,
  };
  const writes: readonly ((handle: xc.XcInterface) => void)[] = [
    (handle) => xc.xc_domain_pause(handle, 7),
    (handle) => xc.xc_domain_destroy(handle, 7),
    (handle) => void xc.xc_domain_create(handle, 0, { flags: 3, max_vcpus: 1 }),
    (handle) => xc.xc_domain_setmaxmem(handle, 7, 1),
    (handle) => xc.xc_set_paging_mempool_size(handle, 7, 4096),
    (handle) => xc.xc_domain_hvm_setcontext(handle, 7, new Uint8Array(8)),
    (handle) => xc.xc_domain_set_access_required(handle, 7, true),
  ];
  for (const write of writes) assert.throws(() => write(xch), refusal);
  // Xen would write an array whose element this package may not know
  assert.throws(() => xc.xc_domain_getinfolist(xch, 0, 1), { code: 'EOPNOTSUPP', hint: /sysctl 0x18/ });
  assert.equal(xen.calls.length, 2, 'nothing that changes anything was sent');
  assert.ok(xen.all.every(([op, cmd]) => cmd === (op === 36 ? 5 : 3)));
});

test('a newer Xen whose numbers are far away is not spoken to', () => {
  const { xen, xch } = opened({ version: '5.3', domctl: 0x99, sysctl: 0x99 });
  assert.throws(() => xc.xc_domain_pause(xch, 7), { code: 'EOPNOTSUPP', hint: /newer than this package knows/ });
  assert.throws(() => xc.xc_physinfo(xch), { code: 'EACCES', hint: /newer than this package knows/ });
  assert.equal(xen.calls.length, 0);
});

test('calls that came later are refused on an older release, by name', () => {
  for (const version of ['4.14', '4.15', '4.16', '4.12']) {
    const { xen, xch } = opened({ version });
    const refusal = { name: 'XenError', code: 'EOPNOTSUPP', errno: -95, domid: 7 };
    const hint = new RegExp(`since Xen 4\\.17; this is ${version.replace('.', '\\.')}`);
    assert.throws(() => xc.xc_get_paging_mempool_size(xch, 7), {
      ...refusal,
      syscall: 'xc_get_paging_mempool_size',
      hint,
    });
    assert.throws(() => xc.xc_set_paging_mempool_size(xch, 7, 4096), { ...refusal, hint });
    assert.deepEqual(xen.all, []);
  }
});

test('every refusal of Xen is thrown with the call, the domain and the errno', () => {
  const { xen, xch } = opened({ version: '4.17' });
  xen.answer = () => -3;
  const calls: readonly (readonly [string, () => unknown])[] = [
    ['xc_domain_pause', () => xc.xc_domain_pause(xch, 7)],
    ['xc_domain_unpause', () => xc.xc_domain_unpause(xch, 7)],
    ['xc_domain_destroy', () => xc.xc_domain_destroy(xch, 7)],
    ['xc_domain_shutdown', () => xc.xc_domain_shutdown(xch, 7, 0)],
    ['xc_domain_max_vcpus', () => xc.xc_domain_max_vcpus(xch, 7, 1)],
    ['xc_domain_setmaxmem', () => xc.xc_domain_setmaxmem(xch, 7, 1)],
    ['xc_domain_sethandle', () => xc.xc_domain_sethandle(xch, 7, '00000000-0000-0000-0000-000000000001')],
    ['xc_domain_set_access_required', () => xc.xc_domain_set_access_required(xch, 7, false)],
    ['xc_domain_getinfo_single', () => xc.xc_domain_getinfo_single(xch, 7)],
    ['xc_get_paging_mempool_size', () => xc.xc_get_paging_mempool_size(xch, 7)],
    ['xc_set_paging_mempool_size', () => xc.xc_set_paging_mempool_size(xch, 7, 4096)],
    ['xc_domain_hvm_getcontext', () => xc.xc_domain_hvm_getcontext(xch, 7)],
    ['xc_domain_hvm_setcontext', () => xc.xc_domain_hvm_setcontext(xch, 7, new Uint8Array(8))],
    ['xc_domain_maximum_gpfn', () => xc.xc_domain_maximum_gpfn(xch, 7)],
    ['xc_hvm_param_get', () => xc.xc_hvm_param_get(xch, 7, 0)],
    ['xc_hvm_param_set', () => xc.xc_hvm_param_set(xch, 7, 0, 0)],
  ];
  const before = xen.arena.largestFree;
  for (const [syscall, run] of calls) {
    assert.throws(run, { name: 'XenError', code: 'ESRCH', errno: -3, syscall, domid: 7, hint: 'no such domain' });
  }
  for (const run of [
    () => xc.xc_domain_populate_physmap(xch, 7, 0, 0, [1]),
    () => xc.xc_domain_populate_physmap_exact(xch, 7, 0, 0, [1]),
    () => xc.xc_domain_decrease_reservation(xch, 7, 0, [1]),
    () => xc.xc_domain_increase_reservation(xch, 7, 1, 0, 0),
    () => xc.xc_domain_create(xch, 7, { flags: 0, max_vcpus: 1 }),
  ]) {
    assert.throws(run, { name: 'XenError', code: 'ESRCH', domid: 7 });
  }
  assert.equal(xen.arena.largestFree, before, 'nothing stays allocated after an error');
});
