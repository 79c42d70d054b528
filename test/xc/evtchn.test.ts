/** The twelve calls of libxenevtchn, on the model. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';
import { outcome } from '../conformance/target.js';

const BAD_NUMBERS = [undefined, null, '1', {}, -1, 0.5, Number.NaN, 2 ** 32, 1n];

function open(): { xch: xc.XcInterface; xce: xc.XenevtchnHandle } {
  const xch = xc.xc_interface_open({ hypervisor: new ModelXen() });
  return { xch, xce: xc.xenevtchn_open(xch) };
}

test('what is notified at one end is pending at the other, until it is unmasked', () => {
  const { xce } = open();
  const far = xc.xenevtchn_bind_unbound_port(xce, xc.DOMID_SELF);
  const near = xc.xenevtchn_bind_interdomain(xce, 0, far);
  assert.equal(xc.xenevtchn_pending(xce), near);
  xc.xenevtchn_unmask(xce, near);
  xc.xenevtchn_notify(xce, near);
  xc.xenevtchn_notify(xce, near);
  assert.equal(xce.channels.wait(0), 1);
  assert.equal(xc.xenevtchn_pending(xce), far);
  assert.throws(() => xc.xenevtchn_pending(xce), { code: 'EAGAIN', syscall: 'xenevtchn_pending' });
  xc.xenevtchn_unmask(xce, far);
  assert.equal(xc.xenevtchn_pending(xce), far);
});

test('refusals are told with the call and its errno', () => {
  const { xch, xce } = open();
  using other = xc.xenevtchn_open(xch);
  xc.xenevtchn_bind_virq(xce, xc.VIRQ_DOM_EXC);
  assert.throws(() => xc.xenevtchn_bind_virq(other, xc.VIRQ_DOM_EXC), {
    code: 'EEXIST',
    syscall: 'xenevtchn_bind_virq',
    message: /another program has bound this interrupt/,
  });
  assert.throws(() => xc.xenevtchn_bind_interdomain(xce, 77, 1), { code: 'ESRCH', domid: 77 });
  const port = xc.xenevtchn_bind_unbound_port(xce, 0);
  assert.equal(
    outcome(() => xc.xenevtchn_notify(other, port)),
    'ENOTCONN',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_unbind(other, port)),
    'ENOTCONN',
  );
  xc.xenevtchn_unbind(xce, port);
  xc.xenevtchn_restrict(xce, 1);
  assert.equal(
    outcome(() => xc.xenevtchn_restrict(xce, 1)),
    'EACCES',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_bind_unbound_port(xce, 2)),
    'EACCES',
  );
});

test('xenevtchn_close unbinds; twice is harmless; what comes after is a TypeError', () => {
  const { xch, xce } = open();
  xc.xenevtchn_bind_virq(xce, xc.VIRQ_DOM_EXC);
  xc.xenevtchn_close(xce);
  xc.xenevtchn_close(xce);
  assert.throws(() => xc.xenevtchn_pending(xce), TypeError);
  assert.throws(() => xc.xenevtchn_bind_virq(xce, 1), TypeError);
  using again = xc.xenevtchn_open(xch);
  xc.xenevtchn_bind_virq(again, xc.VIRQ_DOM_EXC);
});

test('the model has no descriptor to give or to take', () => {
  const { xch, xce } = open();
  assert.equal(xc.xenevtchn_fd(xce), -1);
  assert.throws(() => xc.xenevtchn_fdopen(xch, 5), { code: 'EOPNOTSUPP', syscall: 'xenevtchn_fdopen' });
  assert.throws(() => xc.xenevtchn_fdopen(xch, 0.5), RangeError);
});

test('numbers that are none are refused by every call', () => {
  const { xce } = open();
  const calls: Record<string, (value: number) => unknown> = {
    notify: (port) => xc.xenevtchn_notify(xce, port),
    unbind: (port) => xc.xenevtchn_unbind(xce, port),
    unmask: (port) => xc.xenevtchn_unmask(xce, port),
    restrict: (domid) => xc.xenevtchn_restrict(xce, domid),
    bindVirq: (virq) => xc.xenevtchn_bind_virq(xce, virq),
    bindUnbound: (domid) => xc.xenevtchn_bind_unbound_port(xce, domid),
    bindRemote: (domid) => xc.xenevtchn_bind_interdomain(xce, domid, 1),
    bindPort: (port) => xc.xenevtchn_bind_interdomain(xce, 1, port),
  };
  for (const [name, call] of Object.entries(calls)) {
    for (const value of BAD_NUMBERS) {
      assert.throws(
        () => call(value as number),
        (error) => error instanceof TypeError || error instanceof RangeError,
        `${name} ${String(value)}`,
      );
    }
  }
});
