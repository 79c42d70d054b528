/** A session that was recorded is replayed in full on a fresh software Xen. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HVM_PARAM_ALTP2M, HVM_PARAM_MONITOR_RING_PFN } from '#dist/abi/hvm/params.js';
import { atLeast, RELEASES, type Release } from '#dist/abi/release.js';
import { INVALID_GFN } from '#dist/abi/xen.js';
import { type GuestOptions, ModelXen } from '#dist/model/index.js';
import { replay } from '#dist/replay/replay.js';
import * as altp2m from '#dist/xc/altp2m.js';
import * as domain from '#dist/xc/domain.js';
import { xc_domain_create } from '#dist/xc/domain_create.js';
import * as info from '#dist/xc/domain_info.js';
import * as params from '#dist/xc/hvm_param.js';
import { type XcInterface, xc_interface_open } from '#dist/xc/interface.js';
import * as memory from '#dist/xc/memory.js';
import { scratchFolder } from '../scratch.js';
import { type Call, calls } from './calls.js';
import { accessOp, rawDomctl, withEnvironment } from './session.js';

const folder = scratchFolder();
let files = 0;

interface Recorded {
  readonly exact: boolean;
  readonly notes?: readonly string[];
  readonly steps: readonly Record<string, unknown>[];
  readonly [key: string]: unknown;
}

/** Records what `session` does on a Xen, and reads the recording. */
function record(xen: ModelXen, session: (xch: XcInterface) => void): Recorded {
  const path = join(folder, `session-${++files}.json`);
  return withEnvironment({ XENCTRL_RECORD: path, XENCTRL_TRACE: undefined }, () => {
    session(xc_interface_open({ hypervisor: xen }));
    return JSON.parse(readFileSync(path, 'utf8'));
  });
}

function matchesInFull(recording: Recorded): void {
  const { matched, total, mismatches } = replay(recording);
  assert.deepEqual(mismatches, []);
  assert.equal(matched, total);
}

/** A call that may be refused. Misuse of it is a mistake of this test. */
function make(xch: XcInterface, domid: number, call: Call): void {
  try {
    call(xch, domid);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'XenError') throw error;
  }
}

const MONITOR = { as: 'dom0', call: 'xc_monitor_enable', args: {}, expect: { rc: 0 } };

const modes = fc.constantFrom<GuestOptions['altp2m']>('disabled', 'mixed', 'external', 'limited');
const releases = fc.constantFrom<Release>(...RELEASES);

describe('a recorded session', () => {
  test('on guests that exist already is replayed in full', () => {
    const steps = fc.array(fc.tuple(calls, fc.constantFrom(1, 1, 1, 2, 7)), { maxLength: 30 });
    const pages = fc.constantFrom(0, 16, 1024, 1500);
    fc.assert(
      fc.property(
        releases,
        modes,
        pages,
        fc.boolean(),
        steps,
        (release, altp2mMode, memoryPages, altp2mBooted, list) => {
          const xen = new ModelXen({ release, altp2m: altp2mBooted });
          const usable = altp2mBooted || !atLeast(release, '4.21') ? altp2mMode : 'disabled';
          xen.createGuest({ vcpus: 2, memoryPages, altp2m: usable ?? 'disabled' });
          xen.createGuest({ type: 'pv', memoryPages: 3 });
          const recording = record(xen, (xch) => {
            for (const [call, domid] of list) make(xch, domid, call);
          });
          matchesInFull(recording);
        },
      ),
      { numRuns: 250 },
    );
  });

  test('that makes its guests itself is replayed in full, and says that it is exact', () => {
    const steps = fc.array(calls, { maxLength: 30 });
    fc.assert(
      fc.property(releases, fc.nat(3), fc.nat(20), steps, (release, mode, frames, list) => {
        const recording = record(new ModelXen({ release }), (xch) => {
          const atCreation = atLeast(release, '4.19');
          const options = { flags: 3, max_vcpus: 2, ...(atCreation && { altp2m: { opts: mode } }) };
          const domid = xc_domain_create(xch, 0, options);
          domain.xc_domain_max_vcpus(xch, domid, 2);
          memory.xc_domain_setmaxmem(xch, domid, 1 << 20);
          memory.xc_domain_populate_physmap_exact(
            xch,
            domid,
            0,
            0,
            Array.from({ length: frames }, (_, i) => 0x40 + i),
          );
          if (!atCreation) make(xch, domid, (x, d) => params.xc_hvm_param_set(x, d, HVM_PARAM_ALTP2M, mode));
          for (const call of list) make(xch, domid, call);
          domain.xc_domain_destroy(xch, domid);
          make(xch, domid, domain.xc_domain_pause);
          make(xch, 0, (x) => xc_domain_create(x, domid, { flags: 1, max_vcpus: 1 }));
        });
        matchesInFull(recording);
        const unsaid = (recording.notes ?? []).filter((note) => !note.includes('is not part of the recording'));
        assert.deepEqual(unsaid, []);
      }),
      { numRuns: 150 },
    );
  });

  test('on a guest in the middle of things begins with one like it', () => {
    const xen = new ModelXen({ release: '4.21' });
    const { domid } = xen.createGuest({ vcpus: 2, memoryPages: 512, altp2m: 'external', nrAltp2m: 14 });
    const before = xc_interface_open({ hypervisor: xen });
    altp2m.xc_altp2m_set_domain_state(before, domid, true);
    for (let i = 1; i < 13; i++) altp2m.xc_altp2m_create_view(before, domid, i % 4);
    altp2m.xc_altp2m_destroy_view(before, domid, 3);
    altp2m.xc_altp2m_switch_to_view(before, domid, 2);
    domain.xc_domain_pause(before, domid);
    const recording = record(xen, (xch) => {
      assert.equal(altp2m.xc_altp2m_get_vcpu_p2m_idx(xch, domid, 1), 2);
      assert.equal(altp2m.xc_altp2m_get_mem_access(xch, domid, 12, INVALID_GFN), 0);
      assert.equal(altp2m.xc_altp2m_create_view(xch, domid, 7), 3);
      make(xch, domid, (x, d) => altp2m.xc_altp2m_destroy_view(x, d, 2));
      assert.equal(info.xc_domain_getinfo_single(xch, domid).paused, true);
    });
    matchesInFull(recording);
    assert.equal(recording.exact, false);
    assert.match(recording.notes?.join('\n') ?? '', /domain 1 existed before[\s\S]*views of domain 1/);
  });

  test('holds memory access of the host, with and without an agent', () => {
    for (const agent of [false, true]) {
      const xen = new ModelXen();
      const recording = record(xen, (xch) => {
        const domid = xc_domain_create(xch, 0, { flags: 3, max_vcpus: 1 });
        domain.xc_domain_max_vcpus(xch, domid, 1);
        memory.xc_domain_setmaxmem(xch, domid, 4096);
        memory.xc_domain_populate_physmap_exact(xch, domid, 0, 0, [0x43, 0x44]);
        params.xc_hvm_param_set(xch, domid, HVM_PARAM_MONITOR_RING_PFN, 5);
        if (agent)
          assert.equal(
            xen.domains.get(domid)?.enableMonitor(() => null),
            0,
          );
        accessOp(xch, 0, domid, { gfn: 0x43n, access: 5 });
        accessOp(xch, 1, domid, { gfn: 0x43n });
        accessOp(xch, 4, domid, { nr: 2, gfns: [0x43n, 0x44n], codes: [7, 1] });
        accessOp(xch, 1, domid, { gfn: 0x44n });
        rawDomctl(xch, xch.abi, 56, domid, [0, 2]);
      });
      assert.match(recording.notes?.join() ?? '', /xc_vm_event_control {"op":0,"mode":2} was made/);
      // an agent of the model's is put there by no call: the session does not say that there is one
      if (agent) assert.equal(replay(recording).mismatches.length, 4);
      else matchesInFull(recording);
      const steps = recording.steps.flatMap((step): Recorded['steps'] =>
        step['call'] === 'xc_hvm_param_set' ? [step, MONITOR] : [step],
      );
      if (agent) matchesInFull({ ...recording, steps });
    }
  });

  test('says what it could not hold', () => {
    const xen = new ModelXen();
    const recording = record(xen, (xch) => {
      xch.hypervisor.hypercall(41, 1);
      xch.hypervisor.restrict(3);
      make(xch, 3, domain.xc_domain_pause);
    });
    const notes = recording.notes ?? [];
    assert.match(notes.join('\n'), /hypercall .*41.* was made, and is not part of the recording/);
    assert.match(notes.join('\n'), /restricted to domain 3/);
    assert.match(notes.join('\n'), /refused with EPERM/);
  });

  test('is one file for all handles on a machine, and a numbered one for each other machine', () => {
    const path = join(folder, 'many.v1.json');
    withEnvironment({ XENCTRL_RECORD: path }, () => {
      const xen = new ModelXen();
      for (let i = 0; i < 3; i++) xc_interface_open({ hypervisor: xen }).close();
      xc_interface_open({ hypervisor: new ModelXen({ release: '4.20' }) });
    });
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).steps.length, 3);
    assert.equal(JSON.parse(readFileSync(join(folder, 'many.v1.2.json'), 'utf8')).release, '4.20');
    withEnvironment({ XENCTRL_RECORD: join(folder, 'of-%p.json') }, () => {
      xc_interface_open({ hypervisor: new ModelXen() });
    });
    assert.ok(existsSync(join(folder, `of-${process.pid}.json`)));
  });

  test('goes on where there is no memory to ask about a domain', () => {
    const xen = new ModelXen();
    const { domid } = xen.createGuest({ altp2m: 'mixed' });
    const recording = record(xen, (xch) => {
      using _all = xen.arena.alloc(xen.arena.largestFree);
      altp2m.xc_altp2m_set_domain_state(xch, domid, true);
    });
    assert.match(recording.notes?.join() ?? '', /no memory was left to ask/);
    assert.equal(recording.steps.length, 2);
  });

  test('tells the machine', () => {
    const cpu = { vendor: 'amd', mtf: false, maxphysaddr: 40 } as const;
    const { steps: _, ...head } = record(new ModelXen({ release: '4.16', altp2m: false, shadow: true, cpu }), () => {});
    assert.deepEqual(head, {
      format: 'xen-recording/1',
      xen: '4.16.0-model',
      release: '4.16',
      bootedWithAltp2m: false,
      shadow: true,
      cpu: { count: 1, vendor: 'amd', hap: true, vmfunc: false, ve: false, mtf: false, maxphysaddr: 40 },
      hypervisor: 'model, recorded by xenctrl',
      exact: true,
    });
  });
});
