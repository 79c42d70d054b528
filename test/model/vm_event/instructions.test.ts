/** What code in a guest does that an agent may be told of: each kind of event, and what its answers bring about. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as abi from '#dist/abi/vm_event.js';
import * as xc from '#dist/index.js';
import { type ModelOptions, ModelXen } from '#dist/model/index.js';
import { xc_set_mem_access } from '#dist/xc/mem_access.js';
import * as monitor from '#dist/xc/monitor.js';
import { RingAgent } from '../ring_agent.js';

const { XENMEM_access } = xc;
const [CR0, CR3, CR4, XCR0] = [0, 1, 2, 3];
const PCIDE = 1n << 17n;

function watched(options: ModelOptions = {}) {
  const xen = new ModelXen(options);
  const { domid, domain, vcpus } = xen.createGuest({ memoryPages: 256, pages: '4K' });
  const agent = new RingAgent(xen, domid);
  const [cpu] = vcpus;
  cpu.registers.set('rip', 0x1000n);
  return { xen, domid, domain, cpu, agent, xch: agent.xch };
}

/** monitor_op CONTROL_REGISTERS: libxc has no call for it. */
function controlRegisterValues({ xen, domid }: ReturnType<typeof watched>): void {
  const { arena } = xen;
  const at = arena.operandAddress - arena.base;
  arena.bytes.fill(0, at, at + 144);
  arena.view.setUint32(at, 77, true);
  arena.view.setUint32(at + 4, 0x15, true);
  arena.view.setUint16(at + 8, domid, true);
  arena.view.setUint32(at + 16, 4, true);
  assert.equal(xen.hypercall(36, arena.operandAddress), 0);
}

describe('MOV to a control register', () => {
  test('is told with the new and the old value, and has happened when the answer comes', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR3, true, true, 0n, false);
    cpu.registers.set('cr3', 0x3000n);
    assert.equal(cpu.writeCr(3, 0x5000n).finished, false);
    assert.equal(cpu.registers.get('cr3'), 0x5000n);
    const request = agent.answer({ flags: abi.VM_EVENT_FLAG_DENY });
    const told = ['index', 'new_value', 'old_value'].map((name) => request.get(`u.write_ctrlreg.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_WRITE_CTRLREG, [1n, 0x5000n, 0x3000n]]);
    // the event shows the vCPU at the instruction, and the register as it was
    assert.deepEqual([request.reg('rip'), request.reg('cr3')], [0x1000n, 0x3000n]);
    assert.equal(cpu.retry()?.finished, true);
    assert.deepEqual([cpu.registers.get('cr3'), cpu.registers.get('rip')], [0x5000n, 0x1003n]);
  });

  for (const deny of [false, true]) {
    test(`with control_registers the write waits, and ${deny ? 'DENY drops' : 'an answer does'} it`, () => {
      const made = watched();
      const { cpu, agent, xch, domid } = made;
      controlRegisterValues(made);
      monitor.xc_monitor_write_ctrlreg(xch, domid, CR3, true, true, 0n, false);
      assert.equal(cpu.writeCr(3, 0x5000n).finished, false);
      assert.equal(cpu.registers.get('cr3'), 0n);
      agent.answer(deny ? { flags: abi.VM_EVENT_FLAG_DENY } : {});
      const end = cpu.retry();
      assert.deepEqual([end?.finished, end?.exception], [true, null]);
      // the instruction is over either way
      assert.deepEqual([cpu.registers.get('cr3'), cpu.registers.get('rip')], [deny ? 0n : 0x5000n, 0x1003n]);
    });
  }

  test('DENY of another register than the one that waits changes nothing', () => {
    const made = watched();
    const { cpu, agent, xch, domid } = made;
    controlRegisterValues(made);
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR4, true, true, 0n, false);
    cpu.writeCr(4, 0x20n);
    agent.answer({ flags: abi.VM_EVENT_FLAG_DENY, fields: { 'u.write_ctrlreg.index': CR0 } });
    cpu.retry();
    assert.equal(cpu.registers.get('cr4'), 0x20n);
  });

  test('onchangeonly: the same value is not told', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR4, true, false, 0n, true);
    cpu.writeCr(4, 0x20n);
    cpu.writeCr(4, 0x20n);
    assert.equal(agent.waiting, 1);
  });

  test('bitmask: a write that changes these bits alone is not told, and one that changes nothing never is', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR4, true, false, 0x80n, false);
    cpu.writeCr(4, 0x80n);
    assert.equal(agent.waiting, 0);
    cpu.writeCr(4, 0xa0n);
    assert.equal(agent.waiting, 1);
    cpu.writeCr(4, 0n); // both at once
    assert.equal(agent.waiting, 2);
    cpu.writeCr(4, 0n);
    assert.equal(agent.waiting, 2);
  });

  test('without sync the vCPU goes on at once', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR0, true, false, 0n, false);
    assert.equal(cpu.writeCr(0, 0x11n).finished, true);
    assert.equal(agent.take().get('flags'), 0n);
  });

  test('CR3 under PCIDE: the bit that says what to keep is not told', () => {
    const { cpu, agent, xch, domid } = watched();
    cpu.registers.set('cr4', PCIDE);
    monitor.xc_monitor_write_ctrlreg(xch, domid, CR3, true, false, 0n, false);
    cpu.writeCr(3, (1n << 63n) | 0x5000n);
    assert.equal(agent.take().get('u.write_ctrlreg.new_value'), 0x5000n);
    assert.equal(cpu.registers.get('cr3'), 0x5000n);
  });

  for (const [index, value, why] of [
    [0, 1n << 32n, 'its upper half'],
    [0, 1n << 31n, 'paging without protection'],
    [4, 1n << 13n, 'VMXE'],
    [4, 1n << 63n, 'a reserved bit'],
    [4, PCIDE, 'PCIDE outside long mode'],
  ] as const) {
    test(`CR${index} = 0x${value.toString(16)} (${why}) is #GP, and not told`, () => {
      const { cpu, agent, xch, domid } = watched();
      for (const one of [CR0, CR4]) monitor.xc_monitor_write_ctrlreg(xch, domid, one, true, true, 0n, false);
      assert.equal(cpu.writeCr(index, value).exception, 13);
      assert.equal(agent.waiting, 0);
    });
  }

  for (const [vendor, shutdown] of [
    ['intel', null],
    ['amd', 3],
  ] as const) {
    test(`CR0.NW without CD is written: ${vendor}'s processor ${shutdown === null ? 'takes it' : 'does not run so'}`, () => {
      const { cpu, agent, xch, domid } = watched({ cpu: { vendor } });
      monitor.xc_monitor_write_ctrlreg(xch, domid, CR0, true, true, 0n, false);
      cpu.writeCr(0, (1n << 29n) | 0x11n);
      assert.equal(agent.answer().get('u.write_ctrlreg.new_value'), (1n << 29n) | 0x11n);
      assert.equal(xc.xc_domain_getinfo_single(xch, domid).shutdown_reason, shutdown);
    });
  }

  test('long mode begins with paging, when EFER.LME and CR4.PAE are set', () => {
    const { cpu } = watched();
    assert.equal(cpu.wrmsr(0xc000_0080, 0x100n).exception, null);
    assert.equal(cpu.writeCr(0, 0x8000_0011n).exception, 13);
    assert.equal(cpu.writeCr(4, 0x20n).exception, null);
    assert.equal(cpu.writeCr(0, 0x8000_0011n).exception, null);
    assert.equal(cpu.registers.get('msr_efer'), 0x500n);
    assert.equal(cpu.registers.paging, true);
  });
});

test('XSETBV is told, and never waits for leave', () => {
  const made = watched();
  const { cpu, agent, xch, domid } = made;
  controlRegisterValues(made);
  monitor.xc_monitor_write_ctrlreg(xch, domid, XCR0, true, true, 0n, false);
  assert.equal(cpu.xsetbv(0, 7n).finished, false);
  const request = agent.answer({ flags: abi.VM_EVENT_FLAG_DENY });
  const told = ['index', 'new_value', 'old_value'].map((name) => request.get(`u.write_ctrlreg.${name}`));
  assert.deepEqual(told, [3n, 7n, 1n]);
  assert.equal(cpu.retry()?.finished, true);
  assert.equal(cpu.registers.xcr0, 7n);
});

for (const [index, value] of [
  [1, 1n],
  [0, 0n],
  [0, 4n],
  [0, 5n],
  [0, 1n << 62n],
] as const) {
  test(`XSETBV of register ${index} to ${value} is #GP`, () => {
    assert.equal(watched().cpu.xsetbv(index, value).exception, 13);
  });
}

describe('WRMSR', () => {
  test('is told with both values; DENY drops it when control_registers is on', () => {
    const made = watched();
    const { cpu, agent, xch, domid } = made;
    controlRegisterValues(made);
    monitor.xc_monitor_mov_to_msr(xch, domid, 0xc000_0082, true, false);
    cpu.registers.set('msr_lstar', 0x10n);
    cpu.wrmsr(0xc000_0082, 0x77n);
    const request = agent.answer({ flags: abi.VM_EVENT_FLAG_DENY });
    const told = ['msr', 'new_value', 'old_value'].map((name) => request.get(`u.mov_to_msr.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_MOV_TO_MSR, [0xc000_0082n, 0x77n, 0x10n]]);
    assert.equal(cpu.retry()?.finished, true);
    assert.equal(cpu.registers.get('msr_lstar'), 0x10n);
    cpu.wrmsr(0xc000_0082, 0x78n);
    agent.answer();
    cpu.retry();
    assert.equal(cpu.rdmsr(0xc000_0082).value, 0x78n);
  });

  test('onchangeonly, and MSRs that nobody asked for', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_mov_to_msr(xch, domid, 0x174, true, true);
    cpu.wrmsr(0x174, 0n);
    cpu.wrmsr(0x175, 8n);
    assert.equal(agent.waiting, 0);
    cpu.wrmsr(0x174, 8n);
    assert.equal(agent.waiting, 1);
  });

  test('an MSR that there is not is #GP, and not told', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_mov_to_msr(xch, domid, 0x1fff, true, false);
    assert.equal(cpu.wrmsr(0x1fff, 0n).exception, 13);
    assert.equal(cpu.rdmsr(0x1fff).exception, 13);
    assert.equal(cpu.wrmsr(0xc000_0082, 1n << 50n).exception, 13);
    assert.equal(agent.waiting, 0);
  });
});

describe('CPUID', () => {
  test('is told with the answer in the registers already; the agent has to go past the instruction', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_cpuid(xch, domid, true);
    assert.equal(cpu.cpuid(0x4000_0000).finished, false);
    const first = agent.answer();
    const told = ['insn_length', 'leaf', 'subleaf'].map((name) => first.get(`u.cpuid.${name}`));
    assert.deepEqual([first.reason, told], [abi.VM_EVENT_REASON_CPUID, [2n, 0x4000_0000n, 0n]]);
    assert.deepEqual([first.reg('rbx'), first.reg('rip')], [0x566e_6558n, 0x1000n]);
    // it was not gone past: the instruction runs again
    assert.equal(cpu.retry()?.finished, false);
    const again = agent.take();
    // and asks for what its first answer left in the registers
    assert.deepEqual([again.get('u.cpuid.leaf'), again.get('u.cpuid.subleaf')], [first.reg('rax'), first.reg('rcx')]);
    const regs = { rip: again.reg('rip') + 2n, rax: 1n, rbx: 2n };
    agent.put(again, { flags: abi.VM_EVENT_FLAG_SET_REGISTERS, regs });
    agent.notify();
    assert.equal(cpu.retry()?.finished, true);
    assert.deepEqual([cpu.registers.get('rax'), cpu.registers.get('rip'), agent.waiting], [1n, 0x1002n, 0]);
  });

  for (const [vendor, letters] of [
    ['intel', 'GenuineIntel'],
    ['amd', 'AuthenticAMD'],
  ] as const) {
    test(`${vendor}: who made the processor, and that there is a Xen`, () => {
      const { cpu } = watched({ cpu: { vendor } });
      const { bytes } = cpu.cpuid(0);
      const at = (from: number): string => new TextDecoder().decode(bytes.subarray(from, from + 4));
      assert.equal(at(4) + at(12) + at(8), letters);
      assert.equal(new TextDecoder().decode(cpu.cpuid(0x4000_0000).bytes.subarray(4)), 'XenVMMXenVMM');
      assert.equal(cpu.cpuid(0x4000_0001).bytes[0], 17);
    });
  }
});

describe('INT3', () => {
  test('is #BP when nobody watches', () => {
    const { cpu } = watched();
    assert.equal(cpu.int3().exception, 3);
    assert.equal(cpu.registers.get('rip'), 0x1001n);
  });

  test('in memory is found by the fetch, and told with its frame', () => {
    const { cpu, agent, xch, domid } = watched();
    cpu.write(0x50010, new Uint8Array([0xcc]));
    monitor.xc_monitor_software_breakpoint(xch, domid, true);
    assert.equal(cpu.execute(0x50010).finished, false);
    const request = agent.take();
    const told = ['gfn', 'insn_length', 'type'].map((name) => request.get(`u.software_breakpoint.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_SOFTWARE_BREAKPOINT, [0x50n, 1n, 6n]]);
    assert.equal(request.reg('rip'), 0x50010n);
    // the agent puts the guest's own byte back: the instruction goes on
    using mapping = agent.xch.hypervisor.mapForeign(domid, [0x50], 3);
    mapping.bytes[0x10] = 0x90;
    agent.put(request);
    agent.notify();
    assert.deepEqual([...(cpu.retry()?.bytes ?? [])], [0x90]);
    assert.equal(cpu.registers.get('rip'), 0x50011n);
  });

  test('an injected #BP goes to the guest, past the instruction', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_software_breakpoint(xch, domid, true);
    cpu.int3();
    cpu.inject({ vector: 3, type: 6, errorCode: 0, insnLength: 1, cr2: 0n });
    agent.answer();
    assert.equal(cpu.retry()?.exception, 3);
    assert.equal(cpu.registers.get('rip'), 0x1001n);
  });

  test('SET_EMUL_INSN_DATA with EMULATE runs another instruction in its place', () => {
    const { cpu, agent, xch, domid } = watched();
    cpu.write(0x50000, new Uint8Array([0xcc]));
    monitor.xc_monitor_software_breakpoint(xch, domid, true);
    cpu.execute(0x50000, 2);
    // without EMULATE, or without the bytes, it means nothing
    agent.answer({ flags: abi.VM_EVENT_FLAG_SET_EMUL_INSN_DATA });
    assert.equal(cpu.retry()?.finished, false);
    agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
    assert.equal(cpu.retry()?.finished, false);
    agent.answer({
      flags: abi.VM_EVENT_FLAG_EMULATE | abi.VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
      data: new Uint8Array([0x66, 0x90, ...new Array(14).fill(0)]),
    });
    assert.deepEqual([...(cpu.retry()?.bytes ?? [])], [0x66, 0x90]);
    assert.equal(cpu.registers.get('rip'), 0x50002n);
  });
});

test('INT3 by name, too, is gone past when another instruction is emulated in its place', () => {
  const { cpu, agent, xch, domid } = watched();
  monitor.xc_monitor_software_breakpoint(xch, domid, true);
  cpu.int3();
  agent.answer({
    flags: abi.VM_EVENT_FLAG_EMULATE | abi.VM_EVENT_FLAG_SET_EMUL_INSN_DATA,
    data: new Uint8Array(16).fill(0x90),
  });
  const end = cpu.retry();
  assert.deepEqual([end?.finished, end?.exception, cpu.registers.get('rip')], [true, null, 0x1001n]);
});

describe('#DB', () => {
  test('without sync: told, and the guest has it', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_debug_exceptions(xch, domid, true, false);
    assert.equal(cpu.debugException(1n << 14n).exception, 1);
    const request = agent.take();
    const told = ['pending_dbg', 'type', 'insn_length'].map((name) => request.get(`u.debug_exception.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_DEBUG_EXCEPTION, [0n, 3n, 0n]]);
    assert.equal(request.reg('dr6'), 0xffff_4ff0n);
  });

  test('with sync: the guest has it only when the agent injects it', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_debug_exceptions(xch, domid, true, true);
    assert.equal(cpu.debugException(1n).finished, false);
    agent.answer();
    const end = cpu.retry();
    assert.deepEqual([end?.finished, end?.exception], [true, null]);
    cpu.debugException(1n);
    cpu.inject({ vector: 1, type: 3, errorCode: 0, insnLength: 0, cr2: 0n });
    agent.answer();
    assert.equal(cpu.retry()?.exception, 1);
  });
});

describe('descriptor tables', () => {
  const IDS = { idtr: 1n, gdtr: 2n, ldtr: 3n, tr: 4n } as const;
  for (const register of ['idtr', 'gdtr', 'ldtr', 'tr'] as const) {
    test(`${register}: read and written only by the emulator while the agent watches`, () => {
      const { cpu, agent, xch, domid } = watched();
      cpu.loadDescriptor(register, { base: 0x9000n, limit: 0x7f });
      monitor.xc_monitor_descriptor_access(xch, domid, true);
      assert.equal(cpu.storeDescriptor(register).finished, false);
      const read = agent.answer();
      const told = (name: string) => read.get(`u.desc_access.${name}`);
      assert.deepEqual([read.reason, told('descriptor'), told('is_write')], [13, IDS[register], 0n]);
      assert.equal(cpu.retry()?.finished, false);
      agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
      assert.equal(cpu.retry()?.value, (0x7fn << 64n) | 0x9000n);
      cpu.loadDescriptor(register, { base: 0x1n, limit: 2 });
      assert.equal(agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE }).get('u.desc_access.is_write'), 1n);
      assert.equal(cpu.registers.get(`${register}_base`), 0x9000n);
      assert.equal(cpu.retry()?.finished, true);
      assert.equal(cpu.registers.get(`${register}_base`), 1n);
    });
  }
});

describe('the guest’s request', () => {
  for (const sync of [false, true]) {
    test(`with sync ${sync}`, () => {
      const { cpu, agent, xch, domid } = watched();
      assert.equal(cpu.hypercall(34, 24, 0), 0);
      assert.equal(agent.waiting, 0);
      monitor.xc_monitor_guest_request(xch, domid, true, sync, false);
      cpu.hypercall(34, 24, 0);
      const request = agent.answer();
      assert.deepEqual([request.reason, request.get('flags')], [abi.VM_EVENT_REASON_GUEST_REQUEST, sync ? 1n : 0n]);
      if (sync) assert.equal(cpu.retry()?.rc, 0);
    });
  }

  test('with an argument: -EINVAL', () => {
    assert.equal(watched().cpu.hypercall(34, 24, 8), -22);
  });

  test('from a program: -EPERM, unless the agent allowed it; other hypercalls -EPERM all the same', () => {
    const { cpu, agent, xch, domid } = watched();
    cpu.registers.set('ss_arbytes', 0xf3n);
    assert.equal(cpu.hypercall(34, 24, 0), -1);
    monitor.xc_monitor_guest_request(xch, domid, true, false, true);
    assert.deepEqual([cpu.hypercall(34, 24, 0), cpu.hypercall(17, 0)], [0, -1]);
    assert.equal(agent.waiting, 1);
  });
});

describe('I/O ports', () => {
  test('the access is the agent’s, and happens only once it is not watched or stepped over', () => {
    const { cpu, agent, xch, domid } = watched({ release: '4.18' });
    assert.deepEqual([...cpu.portIn(0x60, 1).bytes], [0xff]);
    monitor.xc_monitor_io(xch, domid, true);
    cpu.portOut(0x3f8, 4);
    const request = agent.take();
    const told = ['bytes', 'port', 'in', 'str'].map((name) => request.get(`u.io.${name}`));
    assert.deepEqual([request.reason, told], [abi.VM_EVENT_REASON_IO_INSTRUCTION, [4n, 0x3f8n, 0n, 0n]]);
    agent.put(request, {
      flags: abi.VM_EVENT_FLAG_SET_REGISTERS,
      regs: { rip: request.reg('rip') + 1n },
    });
    agent.notify();
    assert.equal(cpu.retry()?.finished, true);
    assert.equal(agent.waiting, 0);
  });

  for (const [port, length] of [
    [-1, 1],
    [0x1_0000, 1],
    [0, 3],
  ] as const) {
    test(`port ${port}, ${length} bytes: RangeError`, () => {
      assert.throws(() => watched().cpu.portIn(port, length), RangeError);
    });
  }
});

describe('VM exits', () => {
  test('without sync: reason and qualification, and Xen goes on with the exit', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_vmexit(xch, domid, true, false);
    const got: bigint[] = [];
    const reasons = (): void => {
      while (agent.waiting > 0) got.push(agent.answer().get('u.vmexit.arch.vmx.reason'));
    };
    cpu.cpuid(1);
    cpu.writeCr(3, 0n);
    cpu.wrmsr(0x174, 0n);
    cpu.rdmsr(0x174);
    cpu.portIn(1, 1);
    reasons();
    cpu.xsetbv(0, 1n);
    cpu.hypercall(17, 0);
    cpu.int3();
    cpu.read(0x100_0000, 1);
    reasons();
    assert.deepEqual(got, [10n, 28n, 32n, 31n, 30n, 55n, 18n, 0n, 48n]);
  });

  test('with sync the exit is the agent’s: the instruction does nothing until it is not told any more', () => {
    const { cpu, agent, xch, domid } = watched();
    monitor.xc_monitor_vmexit(xch, domid, true, true);
    assert.equal(cpu.writeCr(3, 0x1000n).finished, false);
    agent.answer();
    assert.equal(cpu.retry()?.finished, false);
    assert.equal(cpu.registers.get('cr3'), 0n);
    monitor.xc_monitor_vmexit(xch, domid, false, false);
    agent.answer();
    assert.equal(cpu.retry()?.finished, true);
    assert.equal(cpu.registers.get('cr3'), 0x1000n);
  });

  test('AMD’s processors are not told of', () => {
    const { cpu, agent, xch, domid } = watched({ cpu: { vendor: 'amd' } });
    monitor.xc_monitor_vmexit(xch, domid, true, false);
    cpu.cpuid(0);
    assert.equal(agent.waiting, 0);
  });
});

describe('what the emulator does not know', () => {
  for (const told of [false, true]) {
    test(told ? 'is told when the agent asked for it, and then tried again' : 'is #UD', () => {
      const { cpu, agent, xch, domid } = watched();
      if (told) monitor.xc_monitor_emul_unimplemented(xch, domid, true);
      xc_set_mem_access(xch, domid, XENMEM_access.r, 0x40, 1);
      cpu.write(0x40000, new Uint8Array(1), { emulable: false });
      agent.answer({ flags: abi.VM_EVENT_FLAG_EMULATE });
      const end = cpu.retry();
      if (!told) {
        assert.equal(end?.exception, 6);
        return;
      }
      assert.equal(end?.finished, false);
      assert.equal(agent.take().reason, abi.VM_EVENT_REASON_EMUL_UNIMPLEMENTED);
    });
  }
});
