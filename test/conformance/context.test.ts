/** The state of an HVM domain's processors as a stream of records: read, written back, and what Xen does not accept. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import {
  HVM_FILE_MAGIC,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '#dist/abi/hvm/save.js';
import * as xc from '#dist/index.js';
import { hvmDomain, pvDomain, type TestDomain } from './domains.js';
import { flatContext } from './hvm.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

const D = hvm_save_descriptor;
const FIRST_CPU = D.size + hvm_save_header.size;

interface SavedRecord {
  readonly code: number;
  readonly instance: number;
  readonly body: DataView;
}

function records(context: Uint8Array): SavedRecord[] {
  const view = new DataView(context.buffer, context.byteOffset, context.length);
  const found: SavedRecord[] = [];
  for (let at = 0; at < context.length; ) {
    const length = view.getUint32(at + D.at.length, true);
    found.push({
      code: view.getUint16(at + D.at.typecode, true),
      instance: view.getUint16(at + D.at.instance, true),
      body: new DataView(context.buffer, context.byteOffset + at + D.size, length),
    });
    at += D.size + length;
  }
  return found;
}

function cpus(context: Uint8Array): SavedRecord[] {
  return records(context).filter(({ code }) => code === HVM_SAVE_CODE_CPU);
}

const get = (domain: TestDomain): Uint8Array => xc.xc_domain_hvm_getcontext(xch, domain.domid);
const set = (domain: TestDomain, context: Uint8Array): string =>
  outcome(() => xc.xc_domain_hvm_setcontext(xch, domain.domid, context));

/** A context of one vCPU about to run at an address, changed by `change`. */
function changed(domain: TestDomain, change: (view: DataView, context: Uint8Array) => void): Uint8Array {
  const context = flatContext(xch, domain.domid, 0x1_0000);
  change(new DataView(context.buffer), context);
  return context;
}

describe('getcontext', () => {
  test('is a header first, a record of type END last', () => {
    using domain = hvmDomain(target);
    const all = records(get(domain));
    assert.equal(all[0]?.code, HVM_SAVE_CODE_HEADER);
    assert.equal(all[0]?.body.byteLength, hvm_save_header.size);
    assert.equal(all[0]?.body.getUint32(0, true), HVM_FILE_MAGIC);
    assert.equal(all.at(-1)?.code, HVM_SAVE_CODE_END);
    assert.equal(all.at(-1)?.body.byteLength, 0);
  });

  test('has no processor before one is started, and then those that were', () => {
    using domain = hvmDomain(target, { vcpus: 2 });
    assert.deepEqual(cpus(get(domain)), []);
    assert.equal(set(domain, flatContext(xch, domain.domid, 0x1_0000)), 'ok');
    const [cpu, ...more] = cpus(get(domain));
    assert.equal(cpu?.instance, 0);
    assert.equal(cpu?.body.byteLength, hvm_hw_cpu.size);
    assert.equal(more.length, 0);
    assert.equal(domain.info.nr_online_vcpus, 1);
  });

  test('is the same twice while nothing runs', () => {
    using domain = hvmDomain(target);
    set(domain, flatContext(xch, domain.domid, 0x1_0000));
    const registers = (): unknown[] =>
      cpus(get(domain)).map(({ body }) => [body.getBigUint64(hvm_hw_cpu.at.rip, true), body.byteLength]);
    assert.deepEqual(registers(), registers());
  });

  test('shuts neither a paused nor a running domain out', () => {
    using domain = hvmDomain(target);
    xc.xc_domain_unpause(xch, domain.domid);
    assert.ok(get(domain).length > 0);
    assert.equal(domain.info.paused, false);
  });
});

describe('setcontext', () => {
  test('what was read can be written back', () => {
    using domain = hvmDomain(target);
    set(domain, flatContext(xch, domain.domid, 0x1_0000));
    assert.equal(set(domain, get(domain)), 'ok');
  });

  test('registers are as they were written', () => {
    using domain = hvmDomain(target);
    const { at } = hvm_hw_cpu;
    const values = {
      rax: 0x1111n,
      rbx: 0x2222n,
      rsp: 0x3333n,
      rip: 0x12_3456n,
      r15: 0x0123_4567_89ab_cdefn,
      cr2: 0x44n,
    };
    const context = changed(domain, (view) => {
      for (const [name, value] of Object.entries(values)) {
        view.setBigUint64(FIRST_CPU + D.size + at[name as keyof typeof values], value, true);
      }
    });
    assert.equal(set(domain, context), 'ok');
    const [cpu] = cpus(get(domain));
    assert.ok(cpu);
    for (const [name, value] of Object.entries(values)) {
      assert.equal(cpu.body.getBigUint64(at[name as keyof typeof values], true), value, name);
    }
    assert.equal(cpu.body.getBigUint64(at.cr0, true) & 1n, 1n, 'protected mode');
    assert.equal(cpu.body.getUint32(at.cs_limit, true), 0xffff_ffff);
  });

  test('a second vCPU is started by its own record', () => {
    using domain = hvmDomain(target, { vcpus: 2 });
    const context = changed(domain, (view) => view.setUint16(FIRST_CPU + D.at.instance, 1, true));
    assert.equal(set(domain, context), 'ok');
    assert.deepEqual(
      cpus(get(domain)).map(({ instance }) => instance),
      [1],
    );
    assert.equal(domain.info.nr_online_vcpus, 1);
  });

  const bad: readonly (readonly [string, (view: DataView, context: Uint8Array) => Uint8Array | undefined, string])[] = [
    ['nothing', () => new Uint8Array(0), 'ENODATA'],
    ['less than a descriptor', (_, context) => context.slice(0, 7), 'ENODATA'],
    ['a header cut off', (_, context) => context.slice(0, FIRST_CPU - 1), 'ENODATA'],
    ['zeros', () => new Uint8Array(64), 'ENODATA'],
    ['a header alone', (_, context) => context.slice(0, FIRST_CPU), 'ENODATA'],
    ['a record cut off', (_, context) => context.slice(0, context.length - 100), 'EINVAL'],
    ['a wrong magic number', (view) => void view.setUint32(D.size, 1, true), 'EINVAL'],
    ['a wrong version', (view) => void view.setUint32(D.size + 4, 99, true), 'EINVAL'],
    ['a processor first', (view) => void view.setUint16(D.at.typecode, HVM_SAVE_CODE_CPU, true), 'ENODATA'],
    ['a vCPU that is not there', (view) => void view.setUint16(FIRST_CPU + D.at.instance, 7, true), 'EINVAL'],
    ['a record that nobody knows', (view) => void view.setUint16(FIRST_CPU + D.at.typecode, 0x7ff, true), 'EINVAL'],
    ['a record too short', (view) => void view.setUint32(FIRST_CPU + D.at.length, 8, true), 'EINVAL'],
    ['a record longer than the stream', (view) => void view.setUint32(FIRST_CPU + D.at.length, 5000, true), 'EINVAL'],
    ['a length near 2^32', (view) => void view.setUint32(FIRST_CPU + D.at.length, 0xffff_fff0, true), 'EINVAL'],
  ];
  for (const [name, change, expected] of bad) {
    test(`${name}: ${expected}, and nothing is started`, () => {
      using domain = hvmDomain(target);
      let context = flatContext(xch, domain.domid, 0x1_0000);
      context = change(new DataView(context.buffer), context) ?? context;
      assert.equal(set(domain, context), expected);
      assert.equal(domain.info.nr_online_vcpus, 0);
    });
  }

  test('without END: ENODATA, and what came before is in force', () => {
    using domain = hvmDomain(target);
    const context = flatContext(xch, domain.domid, 0x1_0000);
    assert.equal(set(domain, context.slice(0, context.length - D.size)), 'ENODATA');
    assert.equal(domain.info.nr_online_vcpus, 1);
  });

  test('what follows END is not looked at', () => {
    using domain = hvmDomain(target);
    const context = flatContext(xch, domain.domid, 0x1_0000);
    const longer = new Uint8Array(context.length + 16).fill(0xff);
    longer.set(context);
    assert.equal(set(domain, longer), 'ok');
  });
});

test('a PV domain has no such state', () => {
  using domain = pvDomain(target);
  assert.equal(
    outcome(() => get(domain)),
    'EINVAL',
  );
  assert.equal(set(domain, new Uint8Array(64)), 'EINVAL');
});
