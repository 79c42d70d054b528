/** Event channels: between guests by their hypercalls, and dom0's sets. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { errno } from '#dist/abi/errno.js';
import * as ev from '#dist/abi/event_channel.js';
import * as abi from '#dist/abi/xen.js';
import type { EventChannels } from '#dist/hypervisor/event_channels.js';
import { xc_domain_destroy, xc_domain_pause, xc_domain_shutdown, xc_interface_open } from '#dist/index.js';
import { type Guest, ModelXen } from '#dist/model/index.js';

const OP = 0x3000;

/** A hypercall 32 of a guest: writes 32-bit words, calls, reads them back. */
function call(guest: Guest, cmd: number, words: readonly number[], vcpu = 0): { rc: number; words: number[] } {
  const cpu = guest.vcpus[vcpu] ?? guest.vcpus[0];
  cpu.write(OP, new Uint8Array(Uint32Array.from(words).buffer));
  const rc = cpu.hypercall(32, cmd, OP);
  const { bytes } = cpu.read(OP, words.length * 4);
  return { rc, words: [...new Uint32Array(bytes.buffer, 0, words.length)] };
}

/** The first word of an evtchn_alloc_unbound and the like: two domids. */
const pair = (low: number, high: number): number => low | (high << 16);

function alloc(guest: Guest, remote: number, dom: number = abi.DOMID_SELF): number {
  const { rc, words } = call(guest, ev.EVTCHNOP_alloc_unbound, [pair(dom, remote), 0]);
  return rc < 0 ? rc : (words[1] as number);
}

function bind(guest: Guest, remote: number, port: number): number {
  const { rc, words } = call(guest, ev.EVTCHNOP_bind_interdomain, [remote, port, 0]);
  return rc < 0 ? rc : (words[2] as number);
}

const one = (guest: Guest, cmd: number, port: number): number => call(guest, cmd, [port]).rc;
const pendingBit = (guest: Guest, port: number): boolean => guest.domain.events.isPending(port);

function status(guest: Guest, port: number, dom: number = abi.DOMID_SELF): number | number[] {
  const { rc, words } = call(guest, ev.EVTCHNOP_status, [dom, port, 0, 0, 0, 0]);
  return rc < 0 ? rc : words.slice(2);
}

function twoGuests(): { xen: ModelXen; a: Guest; b: Guest } {
  const xen = new ModelXen();
  const a = xen.createGuest({ vcpus: 2, memoryPages: 16 });
  return { xen, a, b: xen.createGuest({ memoryPages: 16 }) };
}

describe('between guests', () => {
  test('a port that one allocates and the other binds carries signals both ways', () => {
    const { a, b } = twoGuests();
    const at = alloc(a, b.domid);
    assert.equal(at, 1);
    assert.deepEqual(status(a, at), [ev.EVTCHNSTAT_unbound, 0, b.domid, 0]);
    const bt = bind(b, a.domid, at);
    assert.equal(bt, 1);
    assert.deepEqual(status(a, at), [ev.EVTCHNSTAT_interdomain, 0, b.domid, bt]);
    assert.ok(pendingBit(b, bt), 'the new end is pending from the start');
    assert.ok(!pendingBit(a, at));
    assert.equal(one(b, ev.EVTCHNOP_send, bt), 0);
    assert.ok(pendingBit(a, at));
  });

  test('the bits are in the shared page, with the selector and the flag of the vCPU', () => {
    const { a } = twoGuests();
    const upcalls: number[][] = [];
    a.domain.sharedInfo.onUpcall = (vcpu, port) => upcalls.push([vcpu, port]);
    const { rc, words } = call(a, ev.EVTCHNOP_bind_ipi, [1, 0]);
    assert.equal(rc, 0);
    const port = words[1] as number;
    assert.equal(one(a, ev.EVTCHNOP_send, port), 0);
    const { bytes } = a.domain.sharedInfo;
    assert.equal(bytes[abi.shared_info.at.evtchn_pending], 1 << port);
    const info = abi.vcpu_info.size;
    assert.equal(bytes[info + abi.vcpu_info.at.evtchn_upcall_pending], 1);
    assert.equal(bytes[info + abi.vcpu_info.at.evtchn_pending_sel], 1);
    assert.deepEqual(upcalls, [[1, port]]);
    one(a, ev.EVTCHNOP_send, port);
    assert.equal(upcalls.length, 1, 'pending already');
  });

  test('a masked port becomes pending silently; unmask tells', () => {
    const { a } = twoGuests();
    let upcalls = 0;
    a.domain.sharedInfo.onUpcall = () => upcalls++;
    const port = call(a, ev.EVTCHNOP_bind_ipi, [0, 0]).words[1] as number;
    a.domain.events.mask(port);
    one(a, ev.EVTCHNOP_send, port);
    assert.equal(upcalls, 0);
    assert.ok(pendingBit(a, port));
    assert.equal(one(a, ev.EVTCHNOP_unmask, port), 0);
    assert.equal(upcalls, 1);
  });

  test('closing one end leaves the other unbound for the same domain', () => {
    const { a, b } = twoGuests();
    const at = alloc(a, b.domid);
    const bt = bind(b, a.domid, at);
    assert.equal(one(a, ev.EVTCHNOP_close, at), 0);
    assert.deepEqual(status(b, bt), [ev.EVTCHNSTAT_unbound, 0, a.domid, 0]);
    assert.equal(one(b, ev.EVTCHNOP_send, bt), 0, 'a signal to nobody is lost');
    assert.equal(bind(a, b.domid, bt), at, 'the lowest free port');
    assert.equal(one(a, ev.EVTCHNOP_close, at), 0);
    assert.ok(!pendingBit(a, at), 'a closed port is not pending');
  });

  test('an end of a domain that dies is unbound', () => {
    const { xen, a, b } = twoGuests();
    const bt = bind(b, a.domid, alloc(a, b.domid));
    xen.destroy(a.domain);
    assert.deepEqual(status(b, bt), [ev.EVTCHNSTAT_unbound, 0, a.domid, 0]);
  });

  const refused: readonly (readonly [string, (a: Guest, b: Guest) => number, number])[] = [
    ['a domain that is none', (a) => alloc(a, 1, 99), -errno.ESRCH],
    ["another domain's port", (a, b) => alloc(a, 1, b.domid), -errno.EPERM],
    ['binding to nobody', (a) => bind(a, 99, 1), -errno.ESRCH],
    ['binding to a free port', (a, b) => bind(a, b.domid, 1), -errno.EINVAL],
    ['binding to a port that waits for another', (a, b) => bind(a, b.domid, alloc(b, 77)), -errno.EINVAL],
    ['port 0', (a) => one(a, ev.EVTCHNOP_send, 0), -errno.EINVAL],
    ['a port far away', (a) => one(a, ev.EVTCHNOP_close, 0xffff_ffff), -errno.EINVAL],
    ['unmasking no port', (a) => one(a, ev.EVTCHNOP_unmask, 64), -errno.EINVAL],
    ['an IPI to no vCPU', (a) => call(a, ev.EVTCHNOP_bind_ipi, [2, 0]).rc, -errno.ENOENT],
    ['a virtual interrupt that is none', (a) => call(a, ev.EVTCHNOP_bind_virq, [24, 0, 0]).rc, -errno.EINVAL],
    ['a global one elsewhere', (a) => call(a, ev.EVTCHNOP_bind_virq, [abi.VIRQ_ARGO, 1, 0]).rc, -errno.EINVAL],
    ['one to no vCPU', (a) => call(a, ev.EVTCHNOP_bind_virq, [abi.VIRQ_TIMER, 2, 0]).rc, -errno.ENOENT],
    ['sending on a virtual interrupt', (a) => one(a, ev.EVTCHNOP_send, virq(a, abi.VIRQ_ARGO)), -errno.EINVAL],
    ['status of another domain', (a, b) => Number(status(a, 1, b.domid)), -errno.EPERM],
    ['status of no domain', (a) => Number(status(a, 1, 99)), -errno.ESRCH],
    ['status of no port', (a) => Number(status(a, 64)), -errno.EINVAL],
    ['resetting another domain', (a, b) => one(a, ev.EVTCHNOP_reset, b.domid), -errno.EPERM],
    ['an unknown command', (a) => one(a, 99, 0), -errno.ENOSYS],
    ['a pointer to nowhere', (a) => a.vcpus[0].hypercall(32, ev.EVTCHNOP_send, 0x7fff_f000), -errno.EFAULT],
  ];
  for (const [what, run, rc] of refused) {
    test(`${what} is refused`, () => {
      const { a, b } = twoGuests();
      assert.equal(run(a, b), rc);
    });
  }

  test('a virtual interrupt can be bound once, and moved when it is global', () => {
    const { a } = twoGuests();
    const port = virq(a, abi.VIRQ_ARGO);
    assert.equal(call(a, ev.EVTCHNOP_bind_virq, [abi.VIRQ_ARGO, 0, 0]).rc, -errno.EEXIST);
    assert.deepEqual(status(a, port), [ev.EVTCHNSTAT_virq, 0, abi.VIRQ_ARGO, 0]);
    assert.equal(call(a, ev.EVTCHNOP_bind_vcpu, [port, 1]).rc, 0);
    assert.deepEqual(status(a, port), [ev.EVTCHNSTAT_virq, 1, abi.VIRQ_ARGO, 0]);
    a.domain.events.raiseVirq(abi.VIRQ_ARGO);
    assert.ok(pendingBit(a, port));
    const timer = call(a, ev.EVTCHNOP_bind_virq, [abi.VIRQ_TIMER, 1, 0]).words[2] as number;
    assert.equal(call(a, ev.EVTCHNOP_bind_vcpu, [timer, 0]).rc, -errno.EINVAL);
  });

  test('a domain has as many ports as it was made for', () => {
    const { a } = twoGuests();
    for (let port = 1; port <= 1023; port++) assert.equal(alloc(a, 0), port);
    assert.equal(alloc(a, 0), -errno.ENOSPC);
    assert.equal(one(a, ev.EVTCHNOP_reset, abi.DOMID_SELF), 0);
    assert.equal(alloc(a, 0), 1);
    assert.deepEqual(status(a, 64), [ev.EVTCHNSTAT_closed, 0, 0, 0]);
  });
});

function virq(guest: Guest, number: number): number {
  const { rc, words } = call(guest, ev.EVTCHNOP_bind_virq, [number, 0, 0]);
  return rc < 0 ? rc : (words[2] as number);
}

describe("Xen's own ports", () => {
  test('a consumer binds one: signals pass both ways, and the domain itself cannot touch it', () => {
    const { xen, a } = twoGuests();
    const heard: number[] = [];
    const port = a.domain.events.allocXen(1, 0, (from) => heard.push(from));
    using events = xen.eventChannels();
    const local = events.bindInterdomain(a.domid, port);
    assert.ok(local > 0);
    assert.equal(events.pending(), local, 'pending from the start');
    events.unmask(local);
    a.domain.events.notifyXen(port);
    assert.equal(events.pending(), local);
    assert.equal(events.notify(local), 0);
    assert.deepEqual(heard, [port]);
    for (const cmd of [ev.EVTCHNOP_send, ev.EVTCHNOP_close]) assert.equal(one(a, cmd, port), -errno.EINVAL);
    assert.equal(one(a, ev.EVTCHNOP_reset, abi.DOMID_SELF), 0);
    events.unmask(local);
    a.domain.events.notifyXen(port);
    assert.equal(events.pending(), local, 'a reset leaves it');
    a.domain.events.closeXen(port);
    events.unmask(local);
    assert.equal(events.notify(local), 0);
    assert.equal(heard.length, 1);
  });
});

describe("dom0's sets", () => {
  /** A set with a port that is connected to the guest's, both taken once. */
  function connected(): { xen: ModelXen; a: Guest; events: EventChannels; local: number; remote: number } {
    const { xen, a } = twoGuests();
    const events = xen.eventChannels();
    const local = events.bindUnbound(a.domid);
    const remote = bind(a, 0, local);
    assert.ok(local > 0 && remote > 0);
    a.domain.events.clearPending(remote);
    return { xen, a, events, local, remote };
  }

  test('a signalled port is given once, and again only after unmask', () => {
    const { a, events, local, remote } = connected();
    assert.equal(events.pending(), -errno.EAGAIN);
    assert.equal(events.wait(1000), 0, 'at once');
    one(a, ev.EVTCHNOP_send, remote);
    one(a, ev.EVTCHNOP_send, remote);
    assert.equal(events.wait(-1), 1);
    assert.equal(events.pending(), local);
    assert.equal(events.pending(), local < 0 ? 0 : -errno.EAGAIN);
    assert.equal(events.unmask(local), 0);
    assert.equal(events.pending(), local, 'the second signal came while it was masked');
    events.unmask(local);
    assert.equal(events.pending(), -errno.EAGAIN);
  });

  test('notify reaches the guest', () => {
    const { a, events, local, remote } = connected();
    assert.equal(events.notify(local), 0);
    assert.ok(pendingBit(a, remote));
  });

  test('a port belongs to the set that bound it', () => {
    const { xen, a, events, local } = connected();
    using other = xen.connect().eventChannels();
    assert.equal(other.notify(local), -errno.ENOTCONN);
    assert.equal(other.unbind(local), -errno.ENOTCONN);
    assert.equal(other.unbind(2 ** 17), -errno.EINVAL);
    assert.equal(other.unmask(local), 0);
    assert.equal(other.bindInterdomain(a.domid, 1), -errno.EINVAL);
    assert.equal(other.bindInterdomain(99, 1), -errno.ESRCH);
    assert.equal(events.unbind(local), 0);
    assert.equal(events.unbind(local), -errno.ENOTCONN);
  });

  test('a virtual interrupt is one set alone at a time', () => {
    const { xen } = twoGuests();
    using connection = xen.connect();
    const first = connection.eventChannels();
    using second = xen.eventChannels();
    assert.ok(first.bindVirq(abi.VIRQ_DOM_EXC) > 0);
    assert.equal(second.bindVirq(abi.VIRQ_DOM_EXC), -errno.EEXIST);
    assert.equal(second.bindVirq(abi.VIRQ_TIMER), -errno.EEXIST, 'the kernel has it');
    assert.equal(second.bindVirq(24), -errno.EINVAL);
    connection.close();
    assert.ok(second.bindVirq(abi.VIRQ_DOM_EXC) > 0, 'the end of a process closes its set');
  });

  test('restriction is for good and for one domain', () => {
    const { xen, a, b } = twoGuests();
    using events = xen.eventChannels();
    assert.equal(events.restrict(0), -errno.EINVAL);
    assert.equal(events.restrict(abi.DOMID_SELF), -errno.EINVAL);
    assert.equal(events.restrict(a.domid), 0);
    assert.equal(events.restrict(a.domid), -errno.EACCES);
    assert.equal(events.bindUnbound(b.domid), -errno.EACCES);
    assert.equal(events.bindInterdomain(b.domid, 1), -errno.EACCES);
    assert.equal(events.bindVirq(abi.VIRQ_DOM_EXC), -errno.EACCES);
    assert.ok(events.bindUnbound(a.domid) > 0);
  });

  test('closed twice is harmless, used after is a TypeError, and the other end is unbound', () => {
    const { a, events, remote } = connected();
    events.close();
    events.close();
    for (const use of [
      () => events.pending(),
      () => events.notify(1),
      () => events.wait(0),
      () => events.onPending(null),
    ])
      assert.throws(use, TypeError);
    assert.deepEqual(status(a, remote), [ev.EVTCHNSTAT_unbound, 0, 0, 0]);
  });

  test('bad arguments throw and bind nothing', () => {
    const { xen } = twoGuests();
    using events = xen.eventChannels();
    assert.throws(() => events.bindVirq(-1), RangeError);
    assert.throws(() => events.bindInterdomain(-1, 1), RangeError);
    assert.throws(() => events.bindInterdomain(1, 1.5), RangeError);
    assert.throws(() => events.bindUnbound(70000), RangeError);
    assert.throws(() => events.notify(Number.NaN), RangeError);
    assert.throws(() => events.wait('x' as never), TypeError);
    assert.throws(() => events.onPending(1 as never), TypeError);
    assert.throws(() => xen.eventChannels({ fd: 5, wakeFd: -1 }), { code: 'EOPNOTSUPP' });
  });

  test('the listener is called from the event loop, while ports are pending and no longer', async () => {
    const { a, events, local, remote } = connected();
    let calls = 0;
    const taken: number[] = [];
    events.onPending(() => {
      calls++;
      const port = events.pending();
      taken.push(port);
      events.unmask(port);
    });
    one(a, ev.EVTCHNOP_send, remote);
    assert.equal(calls, 0, 'not within the call that signals');
    for (let i = 0; i < 5; i++) await turn();
    assert.deepEqual([calls, taken], [1, [local]]);
    one(a, ev.EVTCHNOP_send, remote);
    events.onPending(null);
    await turn();
    assert.equal(calls, 1);
    let late = 0;
    events.onPending(() => {
      late++;
      events.close();
    });
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(late, 1, 'what was pending before is told, and nothing after the end');
  });

  test('VIRQ_DOM_EXC tells that a domain shut down, crashed or is gone', () => {
    const { xen, a, b } = twoGuests();
    using xch = xc_interface_open({ hypervisor: xen });
    using events = xen.eventChannels();
    const port = events.bindVirq(abi.VIRQ_DOM_EXC);
    const told = (): boolean => {
      const found = events.pending() === port;
      events.unmask(port);
      return found;
    };
    assert.ok(!told());
    xc_domain_pause(xch, a.domid);
    assert.ok(!told());
    xc_domain_shutdown(xch, a.domid, 0);
    assert.ok(told());
    xc_domain_shutdown(xch, a.domid, 0);
    assert.ok(!told(), 'it is shut down already');
    b.domain.crash();
    assert.ok(told());
    const held = xen.mapForeign(a.domid, [1], 1);
    xc_domain_destroy(xch, a.domid);
    assert.ok(told());
    held.close();
    assert.ok(told(), 'and once more when its last page is free');
    xc_domain_destroy(xch, b.domid);
    assert.ok(told());
  });
});

test('a saved machine keeps its guests’ ports; ends in agents are unbound', () => {
  const { xen, a } = twoGuests();
  const waiting = alloc(a, 0);
  const argo = virq(a, abi.VIRQ_ARGO);
  using events = xen.eventChannels();
  events.bindInterdomain(a.domid, waiting);
  const again = ModelXen.restore(JSON.parse(JSON.stringify(xen.save()))).guest(a.domid) as Guest;
  assert.deepEqual(status(again, waiting), [ev.EVTCHNSTAT_unbound, 0, 0, 0]);
  assert.deepEqual(status(again, argo), [ev.EVTCHNSTAT_virq, 0, abi.VIRQ_ARGO, 0]);
});
