/** What each call makes of Xen's answers, per release. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RELEASES, type Release, releaseIndex } from '#dist/abi/release.js';
import * as xc from '#dist/index.js';
import { type Answer, type Call, FakeXen, fakeMapping } from './fake.js';

function opened(version: string, answer?: Answer): { xen: FakeXen; xch: xc.XcInterface } {
  const xen = new FakeXen({ version });
  if (answer) xen.answer = answer;
  return { xen, xch: xc.xc_interface_open({ hypervisor: xen }) };
}

const since = (release: Release, first: Release): boolean => releaseIndex(release) >= releaseIndex(first);

/** Writes an ASCII text and a zero. */
function putText(view: DataView, offset: number, text: string): void {
  for (const [i, char] of [...text].entries()) view.setUint8(offset + i, char.charCodeAt(0));
}

function putInfo(view: DataView, at: number, release: Release, domid: number, flags: number): void {
  view.setUint16(at, domid, true);
  view.setUint32(at + 4, flags, true);
  for (const [i, value] of [1000n, 2000n, 3n, 4n, 5n, 0xffff_ffff_ffff_ffffn, 0x1_0000_0001n].entries()) {
    view.setBigUint64(at + 8 + i * 8, value, true);
  }
  view.setUint32(at + 64, 2, true);
  view.setUint32(at + 68, 3, true);
  view.setUint32(at + 72, 9, true);
  for (let i = 0; i < 16; i++) view.setUint8(at + 76 + i, i * 0x11);
  view.setUint32(at + 92, 1, true);
  if (since(release, '4.16')) {
    view.setUint8(at + 96, 46);
    view.setUint32(at + 104, 0x3ff, true);
    view.setUint32(at + 108, 1, true);
  } else {
    view.setUint32(at + 96, 0x3ff, true);
    view.setUint32(at + 100, 1, true);
  }
}

const flagsOf = (info: xc.DomainInfo): string =>
  Object.entries(info)
    .filter(([, value]) => value === true)
    .map(([name]) => name)
    .join();

test('xc_domain_getinfo_single decodes every field of each release', () => {
  for (const release of RELEASES) {
    const { xch } = opened(release, (call) => {
      putInfo(call.view(call.args[0] as number, 144), 16, release, 7, 0x0003_0106);
      return 0;
    });
    assert.deepEqual(xc.xc_domain_getinfo_single(xch, 7), {
      domain: 7,
      dying: false,
      hvm_guest: true,
      shutdown: true,
      paused: false,
      blocked: false,
      running: false,
      debugged: false,
      xs_domain: false,
      hap: true,
      shutdown_reason: xc.SHUTDOWN_crash,
      tot_pages: 1000,
      max_pages: 2000,
      outstanding_pages: 3,
      shr_pages: 4,
      paged_pages: 5,
      shared_info_frame: null,
      cpu_time: 0x1_0000_0001n,
      nr_online_vcpus: 2,
      max_vcpu_id: 3,
      ssidref: 9,
      handle: '00112233-4455-6677-8899-aabbccddeeff',
      cpupool: 1,
      gpaddr_bits: since(release, '4.16') ? 46 : null,
      arch_config: { emulation_flags: 0x3ff, misc_flags: since(release, '4.15') ? 1 : null },
    });
  }
});

test('each flag of a domain is one boolean', () => {
  const names = ['dying', 'hvm_guest', 'shutdown', 'paused', 'blocked', 'running', 'debugged', 'xs_domain', 'hap'];
  for (const [bit, name] of names.entries()) {
    const { xch } = opened('4.17', (call) => {
      putInfo(call.view(call.args[0] as number, 144), 16, '4.17', 7, 1 << bit);
      return 0;
    });
    const info = xc.xc_domain_getinfo_single(xch, 7);
    assert.equal(flagsOf(info), name);
    assert.equal(info.shutdown_reason, name === 'shutdown' ? 0 : null);
  }
});

test('a domain without vCPUs has no highest vCPU', () => {
  const { xch } = opened('4.17', (call) => {
    const view = call.view(call.args[0] as number, 144);
    putInfo(view, 16, '4.17', 7, 0);
    view.setUint32(16 + 68, 0xffff_ffff, true);
    view.setBigUint64(16 + 48, 0x1234n, true);
    return 0;
  });
  const info = xc.xc_domain_getinfo_single(xch, 7);
  assert.equal(info.max_vcpu_id, null);
  assert.equal(info.shared_info_frame, 0x1234);
});

test('xc_domain_getinfo_single throws ESRCH when Xen answers with the next domain', () => {
  const { xch } = opened('4.17', (call) => {
    putInfo(call.view(call.args[0] as number, 144), 16, '4.17', 8, 0);
    return 0;
  });
  assert.throws(() => xc.xc_domain_getinfo_single(xch, 7), {
    code: 'ESRCH',
    errno: -3,
    domid: 7,
    hint: 'no such domain',
  });
});

/** A Xen that has domains 0, 2, 4 ... below `count * 2` and answers getdomaininfolist. */
function listing(release: Release, count: number): Answer {
  const stride = since(release, '4.16') ? 112 : 104;
  return (call) => {
    const view = call.view(call.args[0] as number, 136);
    const first = view.getUint16(8, true);
    const max = view.getUint32(12, true);
    const ids = Array.from({ length: count }, (_, i) => i * 2).filter((id) => id >= first);
    const told = ids.slice(0, max);
    const array = call.view(Number(view.getBigUint64(16, true)), told.length * stride);
    for (const [i, id] of told.entries()) putInfo(array, i * stride, release, id, i % 2 === 0 ? 8 : 32);
    view.setUint32(24, told.length, true);
    return 0;
  };
}

test('xc_domain_getinfolist walks the array with the stride of each release', () => {
  for (const release of RELEASES) {
    const { xen, xch } = opened(release, listing(release, 5));
    const before = xen.arena.largestFree;
    const infos = xc.xc_domain_getinfolist(xch, 2, 10);
    assert.deepEqual(
      infos.map((info) => [info.domain, flagsOf(info), info.handle, info.cpupool]),
      [2, 4, 6, 8].map((id, i) => [id, i % 2 === 0 ? 'paused' : 'running', '00112233-4455-6677-8899-aabbccddeeff', 1]),
    );
    assert.equal(xen.calls.length, 1);
    assert.equal(xen.arena.largestFree, before);
  }
});

test('xc_domain_getinfolist fetches long lists in pieces and stops where it is told to', () => {
  const rows: readonly (readonly [number, number, number, number])[] = [
    // domains, max, listed, calls
    [600, 1024, 600, 3],
    [512, 1024, 512, 3],
    [600, 512, 512, 2],
    [600, 1, 1, 1],
    [600, 0, 0, 1],
    [0, 100, 0, 1],
    [600, 0xffff_ffff, 600, 3],
  ];
  for (const [count, max, listed, calls] of rows) {
    const { xen, xch } = opened('4.17', listing('4.17', count));
    const infos = xc.xc_domain_getinfolist(xch, 0, max);
    assert.deepEqual(
      infos.map((info) => info.domain),
      Array.from({ length: listed }, (_, i) => i * 2),
    );
    assert.equal(xen.calls.length, calls, `${count} domains, at most ${max}`);
  }
});

test('xc_physinfo decodes every field of each release', () => {
  for (const release of RELEASES) {
    const moved = since(release, '4.17') ? 8 : 0;
    const { xch } = opened(release, (call) => {
      const view = call.view(call.args[0] as number, 136);
      for (let i = 0; i < 7; i++) view.setUint32(8 + i * 4, 100 + i, true);
      view.setUint32(8 + 28, 0b10_0000_1001, true);
      if (moved) view.setUint32(8 + 32, 0xabc, true);
      for (let i = 0; i < 5; i++) view.setBigUint64(8 + 32 + moved + i * 8, 0x1_0000_0000n + BigInt(i), true);
      for (let i = 0; i < 8; i++) view.setUint32(8 + 72 + moved + i * 4, 0x8000_0000 + i, true);
      return 0;
    });
    const since16 = since(release, '4.16');
    assert.deepEqual(xc.xc_physinfo(xch), {
      threads_per_core: 100,
      cores_per_socket: 101,
      nr_cpus: 102,
      max_cpu_id: 103,
      nr_nodes: 104,
      max_node_id: 105,
      cpu_khz: 106,
      capabilities: {
        hvm: true,
        pv: false,
        directio: false,
        hap: true,
        shadow: false,
        iommu_hap_pt_share: false,
        vmtrace: since(release, '4.15') ? false : null,
        vpmu: since16 ? false : null,
        gnttab_v1: since16 ? false : null,
        gnttab_v2: since16 ? true : null,
      },
      arch_capabilities: moved ? 0xabc : null,
      total_pages: 0x1_0000_0000,
      free_pages: 0x1_0000_0001,
      scrub_pages: 0x1_0000_0002,
      outstanding_pages: 0x1_0000_0003,
      max_mfn: 0x1_0000_0004,
      hw_cap: Array.from({ length: 8 }, (_, i) => 0x8000_0000 + i),
    });
  }
});

test('xc_hvm_param_get gives all 64 bits', () => {
  const { xch } = opened('4.17', (call) => {
    call.view(call.args[1] as number, 16).setBigUint64(8, 0xfedc_ba98_7654_3210n, true);
    return 0;
  });
  assert.equal(xc.xc_hvm_param_get(xch, 7, xc.HVM_PARAM_CALLBACK_IRQ), 0xfedc_ba98_7654_3210n);
});

test('xc_get_paging_mempool_size gives bytes', () => {
  const { xch } = opened('4.17', (call) => {
    call.view(call.args[0] as number, 144).setBigUint64(16, 8n << 20n, true);
    return 0;
  });
  assert.equal(xc.xc_get_paging_mempool_size(xch, 7), 8 << 20);
});

test('xc_domain_maximum_gpfn gives frames beyond 32 bits', () => {
  const { xch } = opened('4.17', () => 0xf_ffff_ffff);
  assert.equal(xc.xc_domain_maximum_gpfn(xch, 7), 0xf_ffff_ffff);
});

/** A Xen that knows the commands of xen_version up to a number. */
function version(last: number): Answer {
  const texts: Record<number, string> = { 1: '.2', 3: 'xen-3.0-x86_64 hvm-3.0-x86_64', 4: 'abc', 9: 'altp2m=1' };
  const long: Record<number, string> = { 11: '.2-long', 12: 'capabilities', 13: 'changeset', 14: 'é'.repeat(2000) };
  return (call: Call) => {
    const [cmd = 0, address = 0] = call.args;
    if (call.op !== 17 || cmd > last) return -38;
    if (texts[cmd] !== undefined) {
      putText(call.view(address, 64), 0, texts[cmd]);
      return 0;
    }
    if (cmd >= 10) {
      const value = cmd === 10 ? Uint8Array.of(0xde, 0xad, 0xbe, 0xef) : new TextEncoder().encode(long[cmd] ?? '');
      if (address === 0) return value.length;
      const view = call.view(address, 4 + value.length);
      assert.equal(view.getUint32(0, true), value.length);
      new Uint8Array(view.buffer, view.byteOffset + 4).set(value);
      return value.length;
    }
    switch (cmd) {
      case 2: {
        const view = call.view(address, 144);
        for (const [i, offset] of [0, 64, 80, 112].entries()) putText(view, offset, `part ${i}`);
        return 0;
      }
      case 5:
        call.view(address, 8).setBigUint64(0, 0xffff_8000_0000_0000n, true);
        return 0;
      case 6: {
        const view = call.view(address, 8);
        if (view.getUint32(0, true) > 0) return -22;
        view.setUint32(4, 0x8000_0705, true);
        return 0;
      }
      case 7:
        return 4096;
      default:
        for (let i = 0; i < 16; i++) call.view(address, 16).setUint8(i, i);
        return 0;
    }
  };
}

test('every command of xc_version decodes its answer', () => {
  const { xen, xch } = opened('4.17', version(10));
  const before = xen.arena.largestFree;
  assert.equal(xc.xc_version(xch, xc.XENVER_version), 0x4_0011);
  assert.equal(xc.xc_version(xch, xc.XENVER_extraversion), '.2');
  assert.deepEqual(xc.xc_version(xch, xc.XENVER_compile_info), {
    compiler: 'part 0',
    compile_by: 'part 1',
    compile_domain: 'part 2',
    compile_date: 'part 3',
  });
  assert.equal(xc.xc_version(xch, xc.XENVER_capabilities), 'xen-3.0-x86_64 hvm-3.0-x86_64');
  assert.equal(xc.xc_version(xch, xc.XENVER_changeset), 'abc');
  assert.equal(xc.xc_version(xch, xc.XENVER_platform_parameters), 0xffff_8000_0000_0000n);
  assert.equal(xc.xc_version(xch, xc.XENVER_get_features), 0x8000_0705);
  assert.throws(() => xc.xc_version(xch, xc.XENVER_get_features, 1), { code: 'EINVAL', syscall: 'xc_version' });
  assert.equal(xc.xc_version(xch, xc.XENVER_pagesize), 4096);
  assert.equal(xc.xc_version(xch, xc.XENVER_guest_handle), '00010203-0405-0607-0809-0a0b0c0d0e0f');
  assert.equal(xc.xc_version(xch, xc.XENVER_commandline), 'altp2m=1');
  assert.deepEqual(xc.xc_version(xch, xc.XENVER_build_id), Uint8Array.of(0xde, 0xad, 0xbe, 0xef));
  assert.throws(() => xc.xc_version(xch, xc.XENVER_commandline2), { code: 'ENOSYS' });
  assert.equal(xen.arena.largestFree, before);
});

test('the xc_xenver helpers say the same as xc_version', () => {
  const { xch } = opened('4.17', version(10));
  assert.equal(xc.xc_xenver_extraversion(xch), '.2');
  assert.equal(xc.xc_xenver_capabilities(xch), 'xen-3.0-x86_64 hvm-3.0-x86_64');
  assert.equal(xc.xc_xenver_changeset(xch), 'abc');
  assert.equal(xc.xc_xenver_commandline(xch), 'altp2m=1');
  assert.equal(xc.xc_xenver_buildid(xch), 'deadbeef');
  assert.equal(xc.xc_xenver_compile_info(xch).compiler, 'part 0');
  assert.equal(xc.xc_xenver_platform_parameters(xch), 0xffff_8000_0000_0000n);
  assert.equal(xc.xc_xenver_get_features(xch), 0x8000_0705);
  assert.equal(xc.xc_xenver_pagesize(xch), 4096);
  assert.equal(xc.xc_xenver_guest_handle(xch), '00010203-0405-0607-0809-0a0b0c0d0e0f');
});

test('texts come whole from Xen 4.20 on, and from the older command where the newer is missing', () => {
  const whole = opened('4.20', version(14)).xch;
  assert.equal(xc.xc_xenver_commandline(whole), 'é'.repeat(2000));
  assert.equal(xc.xc_xenver_extraversion(whole), '.2-long');
  assert.equal(xc.xc_xenver_capabilities(whole), 'capabilities');
  assert.equal(xc.xc_xenver_changeset(whole), 'changeset');
  const older = opened('4.20', version(10)).xch;
  assert.equal(xc.xc_xenver_commandline(older), 'altp2m=1');
});

test('a text that fills its array needs no zero at the end', () => {
  const { xch } = opened('4.17', (call) => {
    putText(call.view(call.args[1] as number, 16), 0, '0123456789abcdef');
    return 0;
  });
  assert.equal(xc.xc_version(xch, xc.XENVER_extraversion), '0123456789abcdef');
});

test('the foreign mapping calls ask for their frames in order', () => {
  const { xen, xch } = opened('4.17');
  xen.mapping = (_, gfns) => fakeMapping(gfns.length);
  xc.xc_map_foreign_bulk(xch, 7, xc.PROT_READ, [5, 3n, 5]);
  xc.xc_map_foreign_pages(xch, 7, xc.PROT_READ | xc.PROT_WRITE, BigUint64Array.of(9n));
  xc.xc_map_foreign_range(xch, 7, 4097, xc.PROT_WRITE, 0x100n);
  assert.deepEqual(xen.mapped, [
    { domid: 7, gfns: [5, 3, 5], prot: 1 },
    { domid: 7, gfns: [9], prot: 3 },
    { domid: 7, gfns: [0x100, 0x101], prot: 2 },
  ]);
});

test('a frame that cannot be mapped is told by xc_map_foreign_bulk and refused by the others', () => {
  const { xen, xch } = opened('4.17');
  const mappings: { closed: boolean }[] = [];
  xen.mapping = (_, gfns) => {
    const mapping = fakeMapping(gfns.length, [0, -22]);
    mappings.push(mapping);
    return mapping;
  };
  assert.deepEqual([...xc.xc_map_foreign_bulk(xch, 7, 1, [1, 2, 3]).errors], [0, -22, 0]);
  const refusal = { name: 'XenError', code: 'EINVAL', domid: 7, hint: 'frame 2 cannot be mapped' };
  assert.throws(() => xc.xc_map_foreign_pages(xch, 7, 1, [1, 2]), { ...refusal, syscall: 'xc_map_foreign_pages' });
  assert.throws(() => xc.xc_map_foreign_range(xch, 7, 8192, 1, 1), { ...refusal, syscall: 'xc_map_foreign_range' });
  assert.deepEqual(
    mappings.map(({ closed }) => closed),
    [false, true, true],
  );
});

test('a mapping that fails as a whole names the call and keeps the number', () => {
  const { xen, xch } = opened('4.17');
  xen.mapping = () => {
    throw new xc.XenError('mapForeign', -3, { domid: 7 });
  };
  const refusal = { code: 'ESRCH', errno: -3, syscall: 'xc_map_foreign_pages', hint: 'no such domain' };
  assert.throws(() => xc.xc_map_foreign_pages(xch, 7, 1, [1]), refusal);
});
