/** The recording of Argo on real Xen: it matches in full, and nothing that it says goes unheeded. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readRecording } from '#dist/replay/file.js';
import { replay } from '#dist/replay/replay.js';
import { goldenPaths } from './golden.js';

interface Row {
  op: string;
  n: number;
  [key: string]: unknown;
}

interface Recording {
  format: string;
  meta: unknown;
  boots: { name: string; rows: Row[]; [key: string]: unknown }[];
}

const [path = ''] = goldenPaths('xen-argo-recording/1');
const recording = (): Recording => readRecording(path) as Recording;

const BOOT = { name: 'a test', argo_built: true, argo_on: true, mac_permissive: true };
const NAMES = { n: 1, phase: '', note: '', who: 'dom0', domid: 0, abi: 64, rc: 0, errno: '0' };
const GUEST = { new: 'g', newdomid: 1, type: 'HVM/HAP', newabi: 64, vcpus: 1, populated_gfns: [1, 3] };

function played(...rows: Record<string, unknown>[]): ReturnType<typeof replay> {
  return replay({ format: 'xen-argo-recording/1', meta: {}, boots: [{ ...BOOT, rows }] });
}

/** A notify without entries: it matches when nobody is signalled and the answer is 0. */
const NOTIFY = {
  ...NAMES,
  op: 'notify',
  args: ['0x4', '0x0', '0x0', '0x0', '0x0'],
  mem: [],
  out: [],
  rings: [],
  virq: [],
};

describe('the recording of Argo', () => {
  test('matches in full, call by call', () => {
    const { matched, total, mismatches } = replay(recording());
    assert.deepEqual(mismatches, []);
    assert.equal(matched, 2111);
    assert.equal(total, 2111);
  });

  const changes: readonly [what: string, change: (row: Row) => boolean][] = [
    ['rc', (row) => Array.isArray(row['args']) && set(row, 'rc', Number(row['rc']) + 1)],
    ['errno', (row) => Array.isArray(row['args']) && set(row, 'errno', 'EXDEV')],
    ['raw_rax', (row) => 'raw_rax' in row && set(row, 'raw_rax', '0x77')],
    ['out', (row) => first(row, 'out', (item) => set(item, 'hex', `${String(item['hex']).slice(2)}77`))],
    ['an entry', (row) => first(row, 'ents', (entry) => set(entry, 'flags', Number(entry['flags']) ^ 1))],
    ['rx_ptr', (row) => first(row, 'rings', (ring) => set(ring, 'rx_ptr', [0, 77]))],
    ['tx_ptr', (row) => first(row, 'rings', (ring) => set(ring, 'tx_ptr', [0, 77]))],
    ['reserved_changed', (row) => first(row, 'rings', (ring) => set(ring, 'reserved_changed', true))],
    ['msg_at', (row) => first(row, 'rings', (ring) => 'msg_at' in ring && set(ring, 'msg_at', 7))],
    ['msg', (row) => first(row, 'rings', (ring) => 'msg' in ring && set(ring, 'msg', `${String(ring['msg'])}00`))],
    ['ring', (row) => first(row, 'rings', (ring) => 'ring' in ring && set(ring, 'ring', '00'))],
    ['diff', (row) => first(row, 'rings', (ring) => first(ring, 'diff', (piece) => set(piece, 'off', 4000)))],
    ['no ring', (row) => first(row, 'rings', () => true) && set(row, 'rings', [])],
    ['virq', (row) => Array.isArray(row['virq']) && set(row, 'virq', ['guest9'])],
    ['the answer to bind_virq', (row) => row.op === 'bind_virq' && set(row, 'rc', -1)],
  ];
  for (const [what, change] of changes) {
    test(`${what} changed is a mismatch of each row that has it`, () => {
      const changed = recording();
      const rows = changed.boots.flatMap((boot) => boot.rows).filter(change);
      assert.ok(rows.length > 0);
      assert.equal(replay(changed).mismatches.length, rows.length);
    });
  }

  test('bytes at the end of a diff that are not said are not compared, the others are', () => {
    const changed = recording();
    const cut = (piece: Record<string, unknown>): boolean => set(piece, 'new', String(piece['new']).slice(0, 2));
    for (const row of changed.boots.flatMap((boot) => boot.rows))
      first(row, 'rings', (ring) => first(ring, 'diff', cut));
    assert.deepEqual(replay(changed).mismatches, []);
  });
});

describe('rows that prepare', () => {
  const create = { ...NAMES, op: 'create_domain', ...GUEST };
  const send = (rc: number, code: string): Record<string, unknown> => ({
    ...NOTIFY,
    op: 'sendv',
    args: ['0x3', '0x1000', '0x0', '0x0', '0x0'],
    mem: [{ name: 'send_addr', addr: '0x1000', len: 16, hex: '00000000f47f00000100000001000000' }],
    rc,
    errno: code,
  });

  test('a zombie refuses connections, and is not there once it is released', () => {
    const { mismatches, total } = played(
      create,
      send(-111, 'ECONNREFUSED'),
      { ...NAMES, op: 'destroy_domain', target: 'g', zombie: true },
      send(-111, 'ECONNREFUSED'),
      { ...NAMES, op: 'release_zombie', target: 'g' },
      send(-3, 'ESRCH'),
    );
    assert.deepEqual(mismatches, []);
    assert.equal(total, 3);
  });

  test('a domain that is destroyed for good is not there', () => {
    const rows = [create, { ...NAMES, op: 'destroy_domain', targetdomid: 1 }, send(-3, 'ESRCH')];
    assert.deepEqual(played(...rows).mismatches, []);
  });

  /** A registration of the guest's frame 2 as a ring for dom0. */
  const register = (rc: number, code: string): Record<string, unknown> => ({
    ...NOTIFY,
    who: 'g',
    op: 'register_ring',
    args: ['0x1', '0x1000', '0x1100', '0x1', '0x0'],
    mem: [
      { name: 'register_ring', addr: '0x1000', len: 12, hex: '010000000000000040000000' },
      { name: 'gfns', addr: '0x1100', len: 8, hex: '0200000000000000' },
    ],
    rc,
    errno: code,
  });
  const types: readonly [what: string, rows: readonly Record<string, unknown>[], rc: number, code: string][] = [
    ['HVMMEM_ram_ro', [{ op: 'set_mem_type', target: 'g', gfn: 2, type: 'HVMMEM_ram_ro' }], -22, 'EINVAL'],
    ['mmio_dm', [{ op: 'set_mem_type', target: 'g', gfn: 2, type: 2 }], -22, 'EINVAL'],
    ['a refused change of type', [{ op: 'set_mem_type', target: 'g', gfn: 2, type: 2, rc: -1 }], 0, '0'],
    ['a device', [{ op: 'memory_mapping', target: 'g', gfn: 2 }], -1, 'EPERM'],
    ['log-dirty mode', [{ op: 'enable_logdirty', target: 'g' }], -11, 'EAGAIN'],
    ['log-dirty mode, off again', [{ op: 'enable_logdirty' }, { op: 'logdirty_off' }], 0, '0'],
    [
      'log-dirty mode and a frame that was written since',
      [{ op: 'enable_logdirty' }, { op: 'pages', pages: 'P', fill: 'a5', rx_ptr: 0, tx_ptr: 0, gfns: [2], npages: 1 }],
      0,
      '0',
    ],
  ];
  for (const [what, rows, rc, code] of types) {
    test(`a ring in ${what}: ${code === '0' ? 'registered' : code}`, () => {
      const prepared = rows.map((row) => ({ ...NAMES, who: 'g', ...row }));
      assert.deepEqual(played(create, ...prepared, register(rc, code)).mismatches, []);
    });
  }

  test('a reset takes the rings of the domain', () => {
    const rows = [create, register(0, '0'), { ...NAMES, op: 'soft_reset', target: 'g' }];
    const unregister = {
      ...register(-2, 'ENOENT'),
      op: 'unregister_ring',
      args: ['0x2', '0x1000', '0x0', '0x0', '0x0'],
    };
    assert.deepEqual(played(...rows, unregister).mismatches, []);
  });

  test('what nobody knows is refused, before the first call', () => {
    assert.throws(() => played(NOTIFY, { ...NAMES, op: 'reboot' }), /boots\[0\]\.rows\[1\]\.op: reboot is not known/);
    assert.throws(() => played({ ...NOTIFY, args: ['0x4'] }), /args must have 5 entries/);
    assert.throws(() => played({ ...NOTIFY, args: ['4', 'x', '', '', ''] }), /args\[1\] must be a number/);
    assert.equal(played(NOTIFY).matched, 1);
  });

  test('a row that cannot be taken is a mismatch, and the rest goes on', () => {
    const impossible = [
      { ...NAMES, op: 'poke', pages: 'P9', off: 0, value: 1 },
      { ...NAMES, op: 'destroy_domain' },
      { ...NAMES, who: 'g', op: 'set_mem_type', gfn: 2, type: 'mmio_strange' },
      { ...NOTIFY, who: 'nobody' },
    ];
    const { matched, total, mismatches } = played(create, ...impossible, NOTIFY);
    assert.equal(matched, 1);
    assert.equal(total, 5);
    assert.match(String(mismatches[0]?.differences[0]?.got), /there are no pages P9/);
  });

  test('memory may be listed in several ranges', () => {
    const rows = [
      {
        ...create,
        populated_gfns: [
          [1, 1],
          [2, 3],
        ],
      },
      register(0, '0'),
    ];
    assert.deepEqual(played(...rows).mismatches, []);
  });

  test('a payload may be said to be one byte, repeated', () => {
    const items = (payload: Record<string, unknown>): unknown[] => [
      { name: 'send_addr', addr: '0x1000', len: 16, hex: '00000000f47f00000100000000000000' },
      { name: 'iovs', addr: '0x2000', len: 16, hex: '00300000000000002000000000000000' },
      { name: 'payload0', addr: '0x3000', len: 32, ...payload },
    ];
    const pages = { op: 'pages', pages: 'P', fill: '00', rx_ptr: 0, tx_ptr: 0, gfns: [4096], npages: 1 };
    const ring = {
      ...register(0, '0'),
      who: 'dom0',
      mem: [
        { name: 'register_ring', addr: '0x1000', len: 12, hex: '010000000000000000010000' },
        { name: 'gfns', addr: '0x1100', len: 8, hex: '0010000000000000' },
      ],
    };
    for (const payload of [{ payload_fill: '5a' }, { payload_fill: 0x5a }, { hex: '5a' }]) {
      const sendv = {
        ...NOTIFY,
        op: 'sendv',
        args: ['0x3', '0x1000', '0x2000', '0x1', '0x0'],
        mem: items(payload),
        rc: 32,
      };
      const got = played({ ...NAMES, ...pages }, ring, sendv).mismatches[0]?.differences[0]?.what;
      assert.equal(got, 'rings: P');
    }
  });
});

function set(target: Record<string, unknown>, key: string, value: unknown): boolean {
  target[key] = value;
  return true;
}

/** Changes the first of a row's list; false: the list is empty or not there. */
function first(row: Record<string, unknown>, key: string, change: (one: Record<string, unknown>) => boolean): boolean {
  const [one] = (row[key] ?? []) as Record<string, unknown>[];
  return one !== undefined && change(one);
}
