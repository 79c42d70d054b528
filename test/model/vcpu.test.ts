/** What a guest can do, and what comes of it: VMFUNC, #VE, violations with and without an agent, its own hypercalls. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as xc from '#dist/index.js';
import {
  type Altp2mMode,
  type Guest,
  type GuestResult,
  type ModelOptions,
  ModelXen,
  VcpuNotRunningError,
  type VmEvent,
  type VmEventAnswer,
} from '#dist/model/index.js';

const { XENMEM_access } = xc;
const VE_GFN = 0x50;
const VE = 20;
const UD = 6;

/** A guest whose altp2m is on, with view 1, and with a #VE page on vCPU 0. */
function withView(mode: Altp2mMode = 'mixed', options: ModelOptions = {}) {
  const xen = new ModelXen(options);
  const guest = xen.createGuest({ vcpus: 2, memoryPages: 256, pages: '4K', altp2m: mode });
  const { domid } = guest;
  const xch = xc.xc_interface_open({ hypervisor: xen });
  xc.xc_altp2m_set_domain_state(xch, domid, true);
  const view = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
  xc.xc_altp2m_set_vcpu_enable_notify(xch, domid, 0, VE_GFN);
  return { xen, guest, vcpu: guest.vcpus[0], domid, xch, view };
}

/** What of an instruction's end is told by every one. */
function ended({ exception, finished }: GuestResult): readonly [number | null, boolean] {
  return [exception, finished];
}

function veInfo(xen: ModelXen, domid: number) {
  using mapping = xen.mapForeign(domid, [VE_GFN], 3);
  const page = new DataView(mapping.bytes.buffer, mapping.bytes.byteOffset, 4096);
  const info = {
    reason: page.getUint32(0, true),
    semaphore: page.getUint32(4, true),
    qualification: page.getUint32(8, true),
    gla: page.getUint32(16, true),
    gpa: page.getUint32(24, true),
    eptpIndex: page.getUint16(32, true),
  };
  mapping.bytes.fill(0);
  return info;
}

describe('VMFUNC', () => {
  test('is #UD until the vCPU has a #VE page, and works on after it was taken away', () => {
    const { xch, domid, guest, view } = withView();
    assert.equal(guest.vcpus[1]?.vmfunc(0, view).exception, UD);
    assert.equal(guest.vcpus[0].vmfunc(0, view).exception, null);
    xc.xc_altp2m_set_vcpu_disable_notify(xch, domid, 0);
    assert.equal(guest.vcpus[0].vmfunc(0, 0).exception, null);
  });

  for (const [leaf, index] of [
    [1, 0],
    [63, 0],
    [0, 2],
    [0, 9],
    [0, 511],
    [0, 512],
    [0, 0xffff_ffff],
  ] as const) {
    test(`leaf ${leaf}, index ${index} is #UD and changes nothing`, () => {
      const { xch, domid, vcpu } = withView();
      assert.equal(vcpu.vmfunc(leaf, index).exception, UD);
      assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), 0);
    });
  }

  test('is #UD once altp2m is off', () => {
    const { xch, domid, vcpu } = withView();
    xc.xc_altp2m_set_domain_state(xch, domid, false);
    assert.equal(vcpu.vmfunc(0, 0).exception, UD);
    xc.xc_altp2m_set_domain_state(xch, domid, true);
    assert.equal(vcpu.vmfunc(0, 0).exception, UD);
  });

  for (const mode of ['mixed', 'external', 'limited'] as const) {
    test(`enters a visible view in ${mode} mode: the mode rules hypercalls only`, () => {
      const { vcpu, view } = withView(mode);
      assert.equal(vcpu.vmfunc(0, view).exception, null);
    });
  }
});

describe('#VE', () => {
  test('a fresh view raises it on the first access, and not while the guest has not read the last', () => {
    const { vcpu, view, xen, domid } = withView();
    vcpu.vmfunc(0, view);
    assert.equal(vcpu.read(0x40000, 4).exception, VE);
    assert.deepEqual(veInfo(xen, domid), {
      reason: 48,
      semaphore: 0xffff_ffff,
      qualification: 0x181,
      gla: 0x40000,
      gpa: 0x40000,
      eptpIndex: view,
    });
  });

  test('a violation raises it only where suppress-#VE is clear', () => {
    const { vcpu, view, xen, domid, xch } = withView();
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    assert.deepEqual(ended(vcpu.write(0x40000, new Uint8Array(4))), [null, true]);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x40, XENMEM_access.r);
    xc.xc_altp2m_set_suppress_ve(xch, domid, view, 0x40, false);
    assert.equal(vcpu.write(0x40008, new Uint8Array(4)).exception, VE);
    const { qualification, gpa } = veInfo(xen, domid);
    assert.deepEqual([qualification, gpa], [0x182 | (1 << 3), 0x40008]);
  });
});

describe('with an agent', () => {
  /** A guest with frame 0x44 readable only in view 1, its vCPU in view 1, and an agent that gives these answers. */
  function watched(answers: readonly (VmEventAnswer | null)[], options: ModelOptions = {}) {
    const made = withView('external', options);
    const { xch, domid, view, guest } = made;
    const events: VmEvent[] = [];
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x44, XENMEM_access.r);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    const rc = guest.domain.enableMonitor((event) => {
      events.push(event);
      return answers[events.length - 1] ?? null;
    });
    assert.equal(rc, 0);
    return { ...made, events };
  }
  const bytes = new Uint8Array([1, 2, 3, 4]);

  test('a write is reported with the read that it may be, and the vCPU’s view', () => {
    const { vcpu, events, view } = watched([{ alternateP2m: 0 }]);
    assert.deepEqual(ended(vcpu.write(0x44010, bytes)), [null, true]);
    assert.deepEqual(events, [
      {
        reason: 1,
        flags: 129,
        vcpuId: 0,
        altp2mIndex: view,
        memAccess: { gfn: 0x44, offset: 0x10, gla: 0x44010, flags: 27 },
      },
    ]);
  });

  test('an answer enters a hidden view, and one that names no view is ignored', () => {
    const { vcpu, events, xch, domid } = watched([{ alternateP2m: 7 }, { alternateP2m: 2 }]);
    const hidden = xc.xc_altp2m_create_view(xch, domid, XENMEM_access.rwx);
    xc.xc_altp2m_set_visibility(xch, domid, hidden, false);
    vcpu.write(0x44000, bytes);
    assert.equal(events.length, 2);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), hidden);
  });

  test('emulate writes through the host’s p2m and leaves the vCPU in its view', () => {
    const { vcpu, events, xch, domid, view } = watched([{ emulate: true }]);
    assert.equal(vcpu.write(0x44000, bytes).finished, true);
    assert.deepEqual([...vcpu.read(0x44000, 4).bytes], [...bytes]);
    assert.equal(events.length, 1);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), view);
  });

  test('a vCPU whose event is not answered does not get past the instruction', () => {
    const { vcpu } = watched([null]);
    assert.equal(vcpu.write(0x44000, bytes).finished, false);
  });

  for (const mtf of [true, false]) {
    test(`single-stepping ${mtf ? 'comes back after one instruction' : 'is ignored without a monitor trap flag'}`, () => {
      const answers = [
        { alternateP2m: 0, toggleSinglestep: true },
        { alternateP2m: 1, toggleSinglestep: true },
      ];
      const { vcpu, events, xch, domid, view } = watched(answers, { cpu: { mtf } });
      const enable = () => xc.xc_monitor_singlestep(xch, domid, true);
      if (mtf) enable();
      else assert.throws(enable, { code: 'EOPNOTSUPP' });
      vcpu.write(0x44000, bytes);
      assert.equal(events.length, mtf ? 2 : 1);
      assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), mtf ? view : 0);
    });
  }

  test('fast single-step comes back without an event', () => {
    const { vcpu, events, xch, domid, view } = watched([{ alternateP2m: 0, fastSinglestep: 1 }]);
    xc.xc_monitor_singlestep(xch, domid, true);
    vcpu.write(0x44000, bytes);
    assert.equal(events.length, 1);
    assert.equal(xc.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 0), view);
  });

  test('n2rwx is reported once, without pausing', () => {
    const { vcpu, events, xch, domid, view } = watched([]);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x44, XENMEM_access.n2rwx);
    assert.equal(vcpu.write(0x44000, bytes).finished, true);
    assert.deepEqual([events.length, events[0]?.flags], [1, 128]);
    assert.equal(xc.xc_altp2m_get_mem_access(xch, domid, view, 0x44), XENMEM_access.rwx);
  });
});

describe('the guest’s own hypercalls', () => {
  /** HVMOP_altp2m on itself, from guest memory at 0x60000. */
  function own(guest: Guest, cmd: number, union: readonly number[]): number {
    const op = new Uint8Array(80);
    const view = new DataView(op.buffer);
    view.setUint32(0, 1, true);
    view.setUint32(4, cmd, true);
    view.setUint16(8, 0x7ff0, true);
    op.set(union, 16);
    guest.vcpus[0].write(0x60000, op);
    return guest.vcpus[0].hypercall(34, 25, 0x60000);
  }

  test('in mixed mode the guest shows a hidden view again and enters it', () => {
    const { guest, xch, domid, view } = withView('mixed');
    xc.xc_altp2m_set_visibility(xch, domid, view, false);
    assert.equal(guest.vcpus[0].vmfunc(0, view).exception, UD);
    assert.equal(own(guest, 16, [view, 0, 1]), 0);
    assert.equal(guest.vcpus[0].vmfunc(0, view).exception, null);
  });

  for (const [mode, visibility, notify] of [
    ['mixed', 0, -17],
    ['external', -1, -1],
    ['limited', -1, -17],
  ] as const) {
    test(`${mode}: set_visibility ${visibility}, vcpu_enable_notify ${notify}`, () => {
      const { guest } = withView(mode);
      assert.equal(own(guest, 16, [1, 0, 1]), visibility);
      assert.equal(own(guest, 3, [0, 0, 0, 0, 0, 0, 0, 0, VE_GFN]), notify);
    });
  }

  test('a pointer to no memory is -EFAULT, and control calls are -EPERM', () => {
    const { guest } = withView('mixed');
    assert.equal(guest.vcpus[0].hypercall(34, 25, 0x40_0000), -14);
    guest.vcpus[0].write(0x60000, new Uint8Array([3, 0, 0, 0, 0x15, 0, 0, 0, 1, 0]));
    assert.equal(guest.vcpus[0].hypercall(36, 0x60000), -1);
  });
});

describe('memory of a vCPU', () => {
  test('an access that crosses pages is one access, and writes nothing when a page refuses it', () => {
    const { xen, vcpu, xch, domid, view, guest } = withView();
    vcpu.write(0x44ffe, new Uint8Array([1, 2, 3, 4]));
    assert.deepEqual([...vcpu.read(0x44ffe, 4).bytes], [1, 2, 3, 4]);
    xc.xc_altp2m_set_mem_access(xch, domid, view, 0x45, XENMEM_access.r);
    xc.xc_altp2m_switch_to_view(xch, domid, view);
    assert.equal(
      guest.domain.enableMonitor(() => null),
      0,
    );
    assert.equal(vcpu.write(0x44ffe, new Uint8Array([9, 9, 9, 9])).finished, false);
    assert.throws(() => vcpu.read(0x44ffe, 4), /its vm_event is not answered/);
    using mapping = xen.mapForeign(domid, [0x44, 0x45], 1);
    assert.deepEqual([...mapping.bytes.subarray(0xffe, 0x1002)], [1, 2, 3, 4]);
  });

  test('where there is no memory reads give ones and writes are lost', () => {
    const { vcpu } = withView();
    assert.deepEqual(ended(vcpu.write(0x30_0000, new Uint8Array(1))), [null, true]);
    assert.deepEqual([...vcpu.read(0x30_0000, 2).bytes], [0xff, 0xff]);
  });

  test('a vCPU of a paused, shut down or destroyed domain does not run', () => {
    const { vcpu, guest, xen } = withView();
    guest.domain.pauseCount = 1;
    assert.throws(() => vcpu.read(0, 1), VcpuNotRunningError);
    guest.domain.pauseCount = 0;
    vcpu.halt();
    assert.throws(() => vcpu.read(0, 1), VcpuNotRunningError);
    assert.equal(guest.domain.shutdownCode, null);
    guest.vcpus[1]?.halt();
    assert.equal(guest.domain.shutdownCode, 0);
    xen.destroy(guest.domain);
    assert.throws(() => vcpu.vmfunc(0, 0), /destroyed/);
  });

  for (const bad of [-1, 1.5, Number.NaN, 2 ** 60]) {
    test(`address ${bad} is refused`, () => {
      const { vcpu } = withView();
      assert.throws(() => vcpu.read(bad, 1), RangeError);
    });
  }
});

describe('snapshots', () => {
  test('a machine restored from one answers as the saved one', () => {
    const { xen, vcpu, view, xch, domid } = withView();
    vcpu.write(0x44000, new Uint8Array([5]));
    xc.xc_altp2m_change_gfn(xch, domid, view, 0x40, 0x44);
    xc.xc_altp2m_set_visibility(xch, domid, view, false);
    const again = ModelXen.restore(JSON.parse(JSON.stringify(xen.save())));
    assert.deepEqual(again.save(), xen.save());
    const guest = again.guest(domid);
    assert.equal(guest?.vcpus[0].vmfunc(0, view).exception, UD);
    xc.xc_altp2m_set_visibility(xc.xc_interface_open({ hypervisor: again }), domid, view, true);
    assert.equal(guest?.vcpus[0].vmfunc(0, view).exception, null);
    assert.deepEqual([...(guest?.vcpus[0].read(0x40000, 1).bytes ?? [])], [5]);
    assert.equal(again.createGuest().domid, domid + 1);
  });

  test('what the machine was made with is kept', () => {
    const options = { release: '4.20', altp2m: false, memSharing: true, shadow: true, argo: true, seed: 7 } as const;
    const again = ModelXen.restore(new ModelXen(options).save());
    assert.deepEqual(again.save(), new ModelXen(options).save());
    assert.deepEqual([again.release, again.memSharing, again.altp2mSupported], ['4.20', true, false]);
  });

  test('something else is refused', () => {
    assert.throws(() => ModelXen.restore(JSON.parse('{"format":"other"}')), TypeError);
  });
});
