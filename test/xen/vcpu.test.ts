/** vCPUs of the idiomatic layer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Xen, XenError } from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';

function opened(type: 'hvm' | 'pv' = 'hvm') {
  const model = new ModelXen();
  const guest = model.createGuest({ type, vcpus: 2, memoryPages: 16 });
  const xen = Xen.open({ hypervisor: model });
  return { model, guest, domain: xen.domain(guest.domid) };
}

test('registers are read, set and read again, of both kinds of domain', () => {
  for (const type of ['hvm', 'pv'] as const) {
    const vcpu = opened(type).domain.vcpu(1);
    const now = vcpu.context();
    vcpu.setContext({ ...now, user_regs: { ...now.user_regs, rip: 0x1234n, r15: 15n } });
    const registers = vcpu.registers();
    assert.deepEqual([registers.rip, registers.r15], [0x1234n, 15n]);
    assert.equal(registers.efer, type === 'pv' ? null : 0n);
    assert.equal(Object.values(registers).length, 38);
    assert.equal(vcpu.info().online, true);
    assert.equal(inspect(vcpu), 'Vcpu 1 of domain 1');
  }
});

test('a vCPU that is none is told by its calls, and a bad number at once', () => {
  const { domain } = opened();
  assert.throws(() => domain.vcpu(7).registers(), { code: 'ENOENT' });
  assert.throws(() => domain.vcpu(7).info(), { code: 'EINVAL' });
  assert.throws(() => domain.vcpu(-1), RangeError);
  assert.throws(() => domain.vcpu('0' as never), TypeError);
  domain.vcpu(0).singleStep(true);
});

test('a domain that is gone is ESRCH, also when another has its id', () => {
  const { model, domain } = opened();
  const vcpu = domain.vcpu(0);
  domain.destroy();
  assert.throws(() => vcpu.registers(), XenError);
  model.createGuest();
  assert.throws(() => vcpu.info(), { code: 'ESRCH' });
});
