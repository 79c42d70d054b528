/**
 * Compares every table and every number of src/abi with what a C compiler says about the Xen headers on this machine
 * (Debian's libxen-dev, or those that XENCTRL_XEN_HEADERS points to: a directory that holds `xen/domctl.h`).
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import type { Struct } from '#dist/abi/layout.js';
import { encodeAccess, XENMEM_access } from '#dist/abi/memory.js';
import { atLeast, RELEASES, type Release, releaseAbi } from '#dist/abi/release.js';
import { layoutOf, loadTables } from './tables.js';

const INCLUDE = process.env['XENCTRL_XEN_HEADERS'] ?? '/usr/include';
const CC = process.env['CC'] ?? 'cc';

/** Headers whose macros the constants come from; those of the tables are added. */
const HEADERS = ['xen.h', 'errno.h', 'version.h', 'memory.h', 'sched.h', 'domctl.h', 'sysctl.h', 'vm_event.h'].concat(
  [
    'io/xs_wire.h',
    'io/netif.h',
    'event_channel.h',
    'grant_table.h',
    'physdev.h',
    'platform.h',
    'argo.h',
    'hvm/hvm_op.h',
    'hvm/params.h',
  ],
  ['hvm/save.h', 'hvm/dm_op.h'],
);

/** Constants with another C name, or with none because they are this package's own (null). */
const C_NAMES: Readonly<Record<string, string | null>> = {
  PAGE_SIZE: null, // the architecture's; no public header names it
  PAGE_SHIFT: null,
  INVALID_GFN: '(uint64_t)-1',
  MEMOP_EXTENT_SHIFT: null, // the hypervisor's own; no public header has it
  VM_EVENT_SLOTS: '__RING_SIZE((struct vm_event_sring *)0, 4096)',
  HVM_SAVE_CODE_END: 'HVM_SAVE_CODE(END)',
  HVM_SAVE_CODE_HEADER: 'HVM_SAVE_CODE(HEADER)',
  HVM_SAVE_CODE_CPU: 'HVM_SAVE_CODE(CPU)',
};

/** Constants that came with a later release than the headers may be of. */
const SINCE: Readonly<Record<string, Release>> = {
  XENVER_extraversion2: '4.20',
  XENVER_capabilities2: '4.20',
  XENVER_changeset2: '4.20',
  XENVER_commandline2: '4.20',
  VM_EVENT_FLAG_NESTED_P2M: '4.15',
  VM_EVENT_FLAG_RESET_VMTRACE: '4.15',
  VM_EVENT_FLAG_RESET_FORK_STATE: '4.17',
  VM_EVENT_FLAG_RESET_FORK_MEMORY: '4.17',
  VM_EVENT_REASON_VMEXIT: '4.17',
  VM_EVENT_REASON_IO_INSTRUCTION: '4.18',
  XEN_DOMCTL_MONITOR_EVENT_VMEXIT: '4.17',
  XEN_DOMCTL_MONITOR_EVENT_IO: '4.18',
  XEN_DOMCTL_get_paging_mempool_size: '4.17',
  XEN_DOMCTL_set_paging_mempool_size: '4.17',
  XEN_DOMCTL_gsi_permission: '4.20',
  XEN_DOMCTL_GSI_REVOKE: '4.20',
  XEN_DOMCTL_GSI_GRANT: '4.20',
  PHYSDEVOP_pci_device_reset: '4.20',
};

/** Constants that a later release took out of its headers, with the last that has them. */
const UNTIL: Readonly<Record<string, Release>> = {};

/** Error numbers that Xen keeps to itself or that only the kernel gives: the C library has them. */
const KERNEL_ERRNO: readonly string[] = [
  'EINTR',
  'ENETDOWN',
  'ENOTTY',
  'EFBIG',
  'ERESTART',
  'EUSERS',
  'EPROTO',
  'EPIPE',
  'EINPROGRESS',
  'ENETDOWN',
];

/** Fields that offsetof() cannot name. */
const BIT_FIELDS: readonly string[] = ['hvm_hw_cpu.pending_vector'];

const { structs, versioned, constants } = await loadTables();

function program(body: readonly string[], headers: readonly string[]): string {
  return [
    '#include <errno.h>',
    '#include <stddef.h>',
    '#include <stdint.h>',
    '#include <stdio.h>',
    ...headers.map((header) => `#include <xen/${header}>`),
    'int main(void) {',
    ...body,
    'return 0; }',
  ].join('\n');
}

/** Compiles and runs; the program's lines are `key number`. */
function run(source: string): Map<string, bigint> {
  const directory = mkdtempSync(join(tmpdir(), 'xenctrl-abi-'));
  try {
    const [c, exe] = [join(directory, 'abi.c'), join(directory, 'abi')];
    writeFileSync(c, source);
    const cc = spawnSync(CC, ['-std=gnu11', '-Wno-pragmas', '-D__XEN_TOOLS__', `-I${INCLUDE}`, '-o', exe, c], {
      encoding: 'utf8',
    });
    assert.equal(cc.status, 0, cc.stderr);
    const out = spawnSync(exe, { encoding: 'utf8' });
    assert.equal(out.status, 0);
    const lines = out.stdout.trim().split('\n');
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), BigInt(line.slice(line.lastIndexOf(' ') + 1))]),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const print = (key: string, expression: string): string =>
  `printf("%s %llu\\n", "${key.replaceAll('"', '')}", (unsigned long long)(${expression}));`;

function whyNot(): string | null {
  if (process.arch !== 'x64') return `the tables are those of x86-64, this is ${process.arch}`;
  if (spawnSync(CC, ['--version']).status !== 0) return `no C compiler (${CC}): apt install gcc libc6-dev`;
  if (!existsSync(join(INCLUDE, 'xen/domctl.h'))) return `no Xen headers below ${INCLUDE}: apt install libxen-dev`;
  return null;
}

/** Which release the headers are of: the four numbers that each release has differently. */
function headerRelease(): Release | null {
  const found = run(
    program(
      [
        print('domctl', 'XEN_DOMCTL_INTERFACE_VERSION'),
        print('sysctl', 'XEN_SYSCTL_INTERFACE_VERSION'),
        print('vmEvent', 'VM_EVENT_INTERFACE_VERSION'),
        print('accessDefault', 'XENMEM_access_default'),
      ],
      ['domctl.h', 'sysctl.h', 'vm_event.h', 'memory.h'],
    ),
  );
  const keys = ['domctl', 'sysctl', 'vmEvent', 'accessDefault'] as const;
  return RELEASES.find((one) => keys.every((key) => found.get(key) === BigInt(releaseAbi(one)[key]))) ?? null;
}

const missing = whyNot();
const release = missing === null ? headerRelease() : null;
const skip = missing ?? (release === null ? `the headers below ${INCLUDE} are of no release from 4.14 to 4.22` : false);
if (typeof skip === 'string') console.error(`test/abi/headers: skipped: ${skip}`);

test('the numbers of every release tell it apart from the others', () => {
  const keys = RELEASES.map((one) => {
    const abi = releaseAbi(one);
    return [abi.domctl, abi.sysctl, abi.vmEvent, abi.accessDefault].join();
  });
  assert.equal(new Set(keys).size, RELEASES.length);
});

test('every structure lies as the compiler lays it out', { skip }, () => {
  assert.ok(release !== null);
  const layouts: Struct[] = [];
  for (const table of [...structs, ...versioned]) {
    const layout = layoutOf(table, release);
    if (layout) layouts.push(layout);
  }
  const headers = [...new Set([...HEADERS, ...layouts.map((one) => one.header)])];
  const body: string[] = [];
  const expected = new Map<string, bigint>();
  const expect = (key: string, expression: string, value: number): void => {
    body.push(print(key, expression));
    expected.set(key, BigInt(value));
  };
  for (const { name, size, fields } of layouts) {
    expect(`sizeof ${name}`, `sizeof(struct ${name})`, size);
    for (const [field, [offset, bytes]] of Object.entries(fields)) {
      if (BIT_FIELDS.includes(`${name}.${field}`)) continue;
      expect(`${name}.${field} offset`, `offsetof(struct ${name}, ${field})`, offset);
      expect(`${name}.${field} size`, `sizeof(((struct ${name} *)0)->${field})`, bytes);
    }
  }
  const found = run(program(body, headers));
  assert.deepEqual(Object.fromEntries(found), Object.fromEntries(expected));
  assert.ok(expected.size > 300, `${expected.size} numbers were compared`);
});

test('every constant has the value of the macro or enumerator', { skip }, () => {
  assert.ok(release !== null);
  const body: string[] = [];
  const expected = new Map<string, bigint>();
  const expect = (key: string, expression: string, value: number | bigint): void => {
    body.push(print(key, expression));
    expected.set(key, BigInt.asUintN(64, BigInt(value))); // as they are printed
  };
  for (const { name, value } of constants) {
    const c = C_NAMES[name] === undefined ? name : C_NAMES[name];
    const since = SINCE[name];
    const until = UNTIL[name];
    if (c === null || (since && !atLeast(release, since)) || (until && !atLeast(until, release))) continue;
    const length = /^XEN_(\w+)_LEN$/.exec(name)?.[1];
    expect(name, length ? `sizeof(xen_${length.toLowerCase()}_t)` : c, value);
  }
  for (const [name, value] of Object.entries(errno)) {
    if (!KERNEL_ERRNO.includes(name)) expect(`XEN_${name}`, `XEN_${name}`, value);
    expect(name, name, value);
  }
  for (const [name, access] of Object.entries(XENMEM_access)) {
    if (name === 'r_pw' && !atLeast(release, '4.20')) continue;
    expect(`XENMEM_access_${name}`, `XENMEM_access_${name}`, encodeAccess(access, releaseAbi(release)));
  }
  const found = run(program(body, HEADERS));
  assert.deepEqual(Object.fromEntries(found), Object.fromEntries(expected));
  assert.ok(expected.size > 150, `${expected.size} constants were compared`);
});
