/** Events decoded and answers encoded, at offsets that are written out here and not taken from the tables of src/abi. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { Release } from '#dist/abi/release.js';
import { type VmEventAbi, vmEventLayout } from '#dist/abi/vm_event.js';
import type { MonitorEvent } from '#dist/vmi/monitor/event.js';
import { MonitorLoop } from '#dist/vmi/monitor/loop.js';
import type { MonitorResponse } from '#dist/vmi/monitor/response.js';
import { MonitorRing } from '#dist/vmi/monitor/ring.js';
import { type Answer, Front, port, type Request } from './front.js';

const RELEASE_OF: Readonly<Record<VmEventAbi, Release>> = { 3: '4.14', 4: '4.14', 5: '4.14', 6: '4.14', 7: '4.22' };

function loopOn(front: Front, release: Release = RELEASE_OF[front.abi]): MonitorLoop {
  const layout = vmEventLayout(front.abi);
  return new MonitorLoop(new MonitorRing(front.page, layout), 5, layout, release, port(front));
}

const none = (): boolean => false;
const thrown = (error: unknown): never => {
  throw error;
};

/** Hands one request to `handler`, and gives the answer. */
function once(
  request: Request,
  handler: (event: MonitorEvent) => void,
  abi: VmEventAbi = 7,
  release?: Release,
): Answer {
  const front = new Front(abi);
  front.put(request);
  loopOn(front, release).drain(handler, thrown, none);
  const [answer] = front.answers;
  assert.ok(answer && front.answers.length === 1);
  return answer;
}

interface Row {
  readonly name: string;
  readonly request: Request;
  readonly shown: Readonly<Record<string, unknown>>;
}

const ROWS: readonly Row[] = [
  {
    name: 'mem_access',
    request: {
      reason: 1,
      vcpu: 3,
      flags: 1 | (1 << 7),
      altp2mIdx: 2,
      at: [
        [24, 8, 0x1_0000_0040],
        [32, 8, 0xff8],
        [40, 8, 0xffff_8000_0000_0ff8n],
        [48, 4, 2 | 8 | 16],
      ],
    },
    shown: {
      reason: 'mem_access',
      vcpu: 3,
      domid: 5,
      altp2mIdx: 2,
      paused: true,
      gfn: 0x1_0000_0040,
      offset: 0xff8,
      gla: 0xffff_8000_0000_0ff8n,
      read: false,
      write: true,
      execute: false,
      access: 'w',
      faultWithGla: true,
      faultInGpt: false,
    },
  },
  {
    name: 'mem_access without an address, of a foreign cause',
    request: { reason: 1, flags: 2, altp2mIdx: 9, at: [[48, 4, 5]] },
    shown: { gla: undefined, access: 'rx', paused: false, foreign: true, altp2mIdx: 0 },
  },
  {
    name: 'write_ctrlreg',
    request: {
      reason: 4,
      at: [
        [24, 4, 1],
        [32, 8, 0x1000n],
        [40, 8, 0xffff_ffff_ffff_ffffn],
      ],
    },
    shown: { reason: 'write_ctrlreg', index: 1, register: 'cr3', newValue: 0x1000n, oldValue: 0xffff_ffff_ffff_ffffn },
  },
  {
    name: 'mov_to_msr',
    request: {
      reason: 5,
      at: [
        [24, 8, 0xc000_0082n],
        [32, 8, 7n],
        [40, 8, 8n],
      ],
    },
    shown: { reason: 'mov_to_msr', msr: 0xc000_0082, newValue: 7n, oldValue: 8n },
  },
  {
    name: 'software_breakpoint',
    request: {
      reason: 6,
      at: [
        [24, 8, 0x77],
        [32, 8, 0x4000n],
        [40, 4, 1],
        [44, 1, 6],
      ],
    },
    shown: { reason: 'software_breakpoint', gfn: 0x77, pendingDbg: 0x4000n, insnLength: 1, type: 6 },
  },
  { name: 'singlestep', request: { reason: 7, at: [[24, 8, 0x99]] }, shown: { reason: 'singlestep', gfn: 0x99 } },
  { name: 'guest_request', request: { reason: 8 }, shown: { reason: 'guest_request' } },
  {
    name: 'debug_exception',
    request: { reason: 9, at: [[32, 8, 1n]] },
    shown: { reason: 'debug_exception', pendingDbg: 1n },
  },
  {
    name: 'cpuid',
    request: {
      reason: 10,
      at: [
        [24, 4, 2],
        [28, 4, 0x4000_0000],
        [32, 4, 9],
      ],
    },
    shown: { reason: 'cpuid', insnLength: 2, leaf: 0x4000_0000, subleaf: 9 },
  },
  { name: 'privileged_call', request: { reason: 11 }, shown: { reason: 'privileged_call' } },
  {
    name: 'interrupt',
    request: {
      reason: 12,
      at: [
        [24, 4, 14],
        [28, 4, 3],
        [32, 4, 2],
        [40, 8, 0xdead_beefn],
      ],
    },
    shown: { reason: 'interrupt', vector: 14, type: 3, errorCode: 2, cr2: 0xdead_beefn },
  },
  {
    name: 'descriptor_access',
    request: {
      reason: 13,
      at: [
        [24, 4, 0x1234],
        [32, 8, 5n],
        [40, 1, 2],
        [41, 1, 1],
      ],
    },
    shown: {
      reason: 'descriptor_access',
      descriptor: 'gdtr',
      isWrite: true,
      instrInfo: 0x1234,
      exitQualification: 5n,
    },
  },
  { name: 'emul_unimplemented', request: { reason: 14 }, shown: { reason: 'emul_unimplemented' } },
  {
    name: 'vmexit',
    request: {
      reason: 15,
      at: [
        [24, 8, 48],
        [32, 8, 0x181n],
      ],
    },
    shown: { reason: 'vmexit', exitReason: 48, qualification: 0x181n },
  },
  {
    name: 'io_instruction',
    request: {
      reason: 16,
      at: [
        [24, 4, 4],
        [28, 2, 0xcfc],
        [30, 1, 1],
        [31, 1, 0],
      ],
    },
    shown: { reason: 'io_instruction', bytes: 4, port: 0xcfc, in: true, str: false },
  },
  { name: 'sharing, which has another ring', request: { reason: 2 }, shown: { reason: 'unknown', code: 2 } },
  { name: 'a reason to come', request: { reason: 0xffff_ffff }, shown: { reason: 'unknown', code: 0xffff_ffff } },
];

/** What lets the guest have what it would have had without an agent. */
const WITHOUT_AGENT: Readonly<Record<number, number>> = { 1: 1 << 2, 10: 1 << 8, 13: 1 << 2 };

for (const { name, request, shown } of ROWS) {
  test(`${name} is decoded, and answered with its own head`, () => {
    const answer = once(request, (event) => {
      const seen = event as unknown as Record<string, unknown>;
      assert.deepEqual(Object.fromEntries(Object.keys(shown).map((key) => [key, seen[key]])), shown);
      const json = JSON.parse(JSON.stringify(event));
      for (const key of ['reason', 'vcpu', 'domid', 'altp2mIdx']) assert.equal(json[key], seen[key]);
    });
    assert.equal(answer.version, 7);
    const paused = (request.flags ?? 1) & 1;
    assert.equal(answer.flags, paused && paused | (WITHOUT_AGENT[request.reason ?? 0] ?? 0));
    assert.equal(answer.reason, request.reason);
    assert.equal(answer.vcpu, request.vcpu ?? 0);
    for (const [offset, width, value] of request.at ?? []) {
      const word = answer.bytes.slice(offset, offset + width);
      const got = word.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
      assert.equal(got, BigInt.asUintN(width * 8, BigInt(value)), `byte ${offset}`);
    }
  });
}

/** Where each ABI has its registers, in the entry. */
const REGISTERS: Readonly<Record<VmEventAbi, Readonly<Record<string, readonly [offset: number, width: 2 | 4 | 8]>>>> = {
  3: { rax: [56, 8], rip: [200, 8], cr3: [224, 8], fs_base: [288, 8] },
  4: { rax: [56, 8], rip: [208, 8], cr3: [232, 8], fs_base: [312, 8], cs_sel: [360, 2], dr6: [192, 8] },
  5: { rip: [208, 8], cr3: [232, 8], gdtr_base: [296, 8], fs_base: [320, 8], gdtr_limit: [368, 2], cs_sel: [370, 2] },
  6: { rip: [208, 8], cr3: [232, 8], gdtr_base: [296, 8], fs_base: [320, 8], gdtr_limit: [368, 2], cs_sel: [370, 2] },
  7: { rip: [208, 8], npt_base: [304, 8], fs_base: [336, 8], gdtr_limit: [384, 2], cs_sel: [386, 2], rflags: [184, 8] },
};

for (const abi of [3, 4, 5, 6, 7] as const) {
  test(`the registers of ABI ${abi} are read where they lie, and set there`, () => {
    const places = Object.entries(REGISTERS[abi]);
    const at = places.map(([, [offset, width]], i) => [offset, width, 0x1111 * (i + 1)] as const);
    const answer = once(
      { at },
      (event) => {
        const all = event.regs.toObject();
        for (const [i, [name, [, width]]] of places.entries()) {
          const value = 0x1111 * (i + 1);
          assert.equal(all[name], width === 8 ? BigInt(value) : value, name);
          assert.equal((event.regs as unknown as Record<string, unknown>)[name], all[name]);
        }
        event.respond({ registers: { rip: 0xffff_ffff_8100_0000n, rax: 7 } });
      },
      abi,
    );
    const view = new DataView(answer.bytes.buffer);
    assert.equal(answer.flags, 1 | (1 << 8));
    assert.equal(view.getBigUint64(56, true), 7n);
    assert.equal(view.getBigUint64(abi === 3 ? 200 : 208, true), 0xffff_ffff_8100_0000n);
    const [, fsBase] = [0, REGISTERS[abi]['fs_base'] as readonly [number, number]];
    const index = places.findIndex(([name]) => name === 'fs_base');
    assert.equal(view.getBigUint64(fsBase[0], true), BigInt(0x1111 * (index + 1)), 'others stay');
  });
}

test('a segment is told in parts', () => {
  const packed = (0xa9b << 20) | 0xf_ffff;
  once({ at: [[352, 4, packed >>> 0]] }, ({ regs }) => {
    assert.equal(regs.cs_limit, 0xf_ffff);
    assert.equal(regs.cs_ar, 0xa9b);
  });
});

test('a CPUID that nobody answers is gone past', () => {
  const at = [
    [24, 4, 3],
    [208, 8, 0xffff_ffff_8100_0000n],
    [56, 8, 77],
  ] as const;
  const view = new DataView(once({ reason: 10, at }, (event) => void event.respond()).bytes.buffer);
  assert.equal(view.getBigUint64(208, true), 0xffff_ffff_8100_0003n);
  assert.equal(view.getBigUint64(56, true), 77n, 'the other registers stay');
});

test('an exception that nobody wants is given to the guest; one that is answered is not', () => {
  for (const abi of [5, 6, 7] as const) {
    const front = new Front(abi);
    const [length, type] = abi < 6 ? [32, 36] : [40, 44];
    const at: NonNullable<Request['at']> = [
      [length, 4, 1],
      [type, 1, 6],
      ...(abi < 6 ? [] : ([[32, 8, 0x4001n]] as const)),
    ];
    for (const [vcpu, reason] of [6, 6, 9, 9].entries()) front.put({ vcpu, reason, at });
    front.put({ vcpu: 4, reason: 9, flags: 0, at });
    loopOn(front).drain((event) => void (event.vcpu % 2 === 0 || event.respond({})), thrown, none);
    assert.deepEqual(front.injected, [
      [0, 3, 6, 1, 0n],
      [2, 1, 6, 1, abi < 6 ? 0n : 0x4001n],
    ]);
  }
});

const EMULATE = 1 << 2;

const RESPONSES: readonly (readonly [
  name: string,
  response: MonitorResponse,
  flags: number,
  check?: (answer: Answer) => void,
])[] = [
  ['nothing', {}, 0],
  ['emulate', { emulate: true }, EMULATE],
  ['emulate: nowrite', { emulate: 'nowrite' }, EMULATE | (1 << 3)],
  ['toggleSinglestep', { toggleSinglestep: true }, 1 << 4],
  [
    'readData',
    { emulate: true, readData: Uint8Array.of(1, 2, 3) },
    EMULATE | (1 << 5),
    ({ bytes }) => assert.deepEqual([...bytes.slice(56, 64)], [3, 0, 0, 0, 1, 2, 3, 0]),
  ],
  ['deny', { deny: true }, 1 << 6],
  ['view', { view: 0xfffe }, 1 << 7, ({ altp2mIdx }) => assert.equal(altp2mIdx, 0xfffe)],
  ['registers', { registers: {} }, 1 << 8],
  [
    'instruction',
    { emulate: true, instruction: Uint8Array.of(0x0f, 0xa2) },
    EMULATE | (1 << 9),
    ({ bytes }) => assert.deepEqual([...bytes.slice(56, 72)], [0x0f, 0xa2, ...Array(14).fill(0x90)]),
  ],
  ['nextInterrupt', { nextInterrupt: true }, 1 << 10],
  [
    'fastSinglestep',
    { fastSinglestep: 3, view: 1 },
    (1 << 11) | (1 << 7),
    ({ bytes }) => assert.deepEqual([...bytes.slice(24, 28)], [3, 0, 0, 0]),
  ],
  ['resetVmtrace', { resetVmtrace: true }, 1 << 13],
  ['resetForkState, resetForkMemory', { resetForkState: true, resetForkMemory: true }, (1 << 14) | (1 << 15)],
];

for (const [name, response, flags, check] of RESPONSES) {
  test(`the answer ${name} has its flags`, () => {
    const reason = response.instruction ? 6 : 1;
    const answer = once({ reason, at: [[24, 8, 0x40]] }, (event) => {
      assert.equal(event.respond(response), true);
      assert.equal(event.altp2mIdx, 0, 'the event still shows the request');
    });
    assert.equal(answer.flags, flags | 1);
    check?.(answer);
  });
}

const REFUSED: readonly (readonly [response: unknown, release?: Release])[] = [
  [5],
  [null],
  [{ view: -1 }],
  [{ view: 0x1_0000 }],
  [{ fastSinglestep: 1.5 }],
  [{ fastSinglestep: 1, emulate: true }],
  [{ readData: Uint8Array.of(1) }],
  [{ emulate: true, readData: new Uint8Array(0) }],
  [{ emulate: true, readData: new Uint8Array(341) }],
  [{ emulate: true, readData: [1] }],
  [{ emulate: true, instruction: new Uint8Array(17) }],
  [{ emulate: true, instruction: Uint8Array.of(0x90) }],
  [{ emulate: true, instruction: Uint8Array.of(1), readData: Uint8Array.of(1) }],
  [{ registers: { cr3: 5n } }],
  [{ registers: { rax: -1 } }],
  [{ registers: null }],
  [{ registers: { rax: 1n }, emulate: true, readData: Uint8Array.of(1) }],
  [{ resetForkState: true }, '4.16'],
  [{ resetForkMemory: true }, '4.16'],
];

test('a bad response is refused, nothing of it is sent, and the vCPU goes on all the same', () => {
  for (const [response, release] of REFUSED) {
    const answer = once(
      { reason: 1 },
      (event) => {
        assert.throws(
          () => event.respond(response as MonitorResponse),
          (error) => error instanceof TypeError || error instanceof RangeError,
          inspect(response),
        );
      },
      7,
      release,
    );
    assert.equal(answer.flags, 1 | EMULATE);
    assert.equal(answer.altp2mIdx, 0);
  }
});

test('vmtrace can be reset since Xen 4.15', () => {
  once({}, (event) => assert.throws(() => event.respond({ resetVmtrace: true }), RangeError), 6, '4.14');
});
