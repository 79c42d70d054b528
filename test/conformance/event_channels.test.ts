/** Event channels of dom0: its own device, both ends of a channel in one hand. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as xc from '#dist/index.js';
import { openTarget, outcome } from './target.js';

const target = openTarget();
const { xch } = target;
after(() => xch.close());

/** Two ports, each the other's end, both quiet. */
function pair(xce: xc.XenevtchnHandle): { near: number; far: number } {
  const far = xc.xenevtchn_bind_unbound_port(xce, xc.DOMID_SELF);
  const near = xc.xenevtchn_bind_interdomain(xce, xc.DOMID_SELF, far);
  assert.equal(take(xce), near, 'the end that connects is pending at once');
  xc.xenevtchn_unmask(xce, near);
  return { near, far };
}

/** The next port; Xen signals at once, but dom0's kernel takes it as an interrupt. */
function take(xce: xc.XenevtchnHandle): number {
  assert.equal(xce.channels.wait(1000), 1);
  return xc.xenevtchn_pending(xce);
}

function nothing(xce: xc.XenevtchnHandle): void {
  assert.equal(xce.channels.wait(50), 0);
  assert.equal(
    outcome(() => xc.xenevtchn_pending(xce)),
    'EAGAIN',
  );
}

test('a signal at one end is pending at the other once, and again after unmask when it came twice', () => {
  using xce = xc.xenevtchn_open(xch);
  const { near, far } = pair(xce);
  nothing(xce);
  xc.xenevtchn_notify(xce, near);
  assert.equal(take(xce), far);
  xc.xenevtchn_notify(xce, near);
  nothing(xce);
  xc.xenevtchn_unmask(xce, far);
  assert.equal(take(xce), far);
  xc.xenevtchn_unmask(xce, far);
  nothing(xce);
  xc.xenevtchn_notify(xce, far);
  assert.equal(take(xce), near);
});

test('a port is connected once, and belongs to the handle that bound it', () => {
  using xce = xc.xenevtchn_open(xch);
  using other = xc.xenevtchn_open(xch);
  const { near, far } = pair(xce);
  const twice = outcome(() => xc.xenevtchn_bind_interdomain(xce, xc.DOMID_SELF, far));
  assert.equal(twice, 'EINVAL');
  assert.equal(
    outcome(() => xc.xenevtchn_notify(other, near)),
    'ENOTCONN',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_unbind(other, near)),
    'ENOTCONN',
  );
  xc.xenevtchn_unmask(other, near);
  xc.xenevtchn_unbind(xce, near);
  assert.equal(
    outcome(() => xc.xenevtchn_unbind(xce, near)),
    'ENOTCONN',
  );
  xc.xenevtchn_notify(xce, far); // nobody is there: lost
  nothing(xce);
});

test('numbers that Xen has not: no such domain, port, interrupt', () => {
  using xce = xc.xenevtchn_open(xch);
  assert.equal(
    outcome(() => xc.xenevtchn_bind_interdomain(xce, 0x7abc, 1)),
    'ESRCH',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_bind_interdomain(xce, xc.DOMID_SELF, 0x1_0000)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_bind_virq(xce, 24)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_notify(xce, 0xffff_ffff)),
    'ENOTCONN',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_unbind(xce, 0xffff_ffff)),
    'EINVAL',
  );
  xc.xenevtchn_unmask(xce, 0xffff_ffff);
});

test('a virtual interrupt is bound once, and is free again after close', () => {
  const xce = xc.xenevtchn_open(xch);
  using other = xc.xenevtchn_open(xch);
  xc.xenevtchn_bind_virq(xce, xc.VIRQ_ENOMEM);
  assert.equal(
    outcome(() => xc.xenevtchn_bind_virq(other, xc.VIRQ_ENOMEM)),
    'EEXIST',
  );
  xc.xenevtchn_close(xce);
  xc.xenevtchn_bind_virq(other, xc.VIRQ_ENOMEM);
});

test('a restricted handle binds nothing of other domains, no virtual interrupts, and cannot be restricted again', () => {
  using xce = xc.xenevtchn_open(xch);
  assert.equal(
    outcome(() => xc.xenevtchn_restrict(xce, 0)),
    'EINVAL',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_restrict(xce, xc.DOMID_SELF)),
    'EINVAL',
  );
  xc.xenevtchn_restrict(xce, 1);
  assert.equal(
    outcome(() => xc.xenevtchn_restrict(xce, 1)),
    'EACCES',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_bind_unbound_port(xce, 0)),
    'EACCES',
  );
  assert.equal(
    outcome(() => xc.xenevtchn_bind_virq(xce, xc.VIRQ_ENOMEM)),
    'EACCES',
  );
});

test('a listener is called while a port is pending', async () => {
  using xce = xc.xenevtchn_open(xch);
  const { near, far } = pair(xce);
  const taken = new Promise((resolve) => {
    xce.channels.onPending(() => {
      resolve(xc.xenevtchn_pending(xce));
      xce.channels.onPending(null);
    });
  });
  xc.xenevtchn_notify(xce, near);
  assert.equal(await taken, far);
});

const noDescriptors = target.kind === 'model' ? 'the model has no descriptors' : false;

test('another handle on the same descriptor has the same ports', { skip: noDescriptors }, () => {
  const xce = xc.xenevtchn_open(xch);
  const { near, far } = pair(xce);
  using again = xc.xenevtchn_fdopen(xch, xc.xenevtchn_fd(xce));
  xc.xenevtchn_close(xce);
  xc.xenevtchn_notify(again, near);
  assert.equal(take(again), far);
  assert.equal(
    outcome(() => xc.xenevtchn_fdopen(xch, 1)),
    'ENOTTY',
  );
});

test('wake ends a wait', { skip: noDescriptors }, () => {
  using xce = xc.xenevtchn_open(xch);
  xce.channels.wake();
  assert.equal(xce.channels.wait(-1), 0);
});
