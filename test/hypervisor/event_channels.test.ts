/** Event channels on the stub kernel's device. */

import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import type { EventChannels } from '#dist/hypervisor/event_channels.js';
import type { Hypervisor } from '#dist/hypervisor/port.js';
import { type Case, openDescriptors, stubbed, xenError } from '../native/harness.js';
import { onAdapters, openAdapter } from './adapters.js';

const { EACCES, EAGAIN, EEXIST, EINVAL, ENOTCONN, ESRCH } = constants.errno;
const DOMID_SELF = 0x7ff0;
const VIRQ_DOM_EXC = 3;
/** A call of the stub's own: raises a virtual interrupt. */
const RAISE_VIRQ = 1002;

/** Two ports of the caller's, each the other's remote end; both are quiet. */
function pair(channels: EventChannels): { near: number; far: number } {
  const far = channels.bindUnbound(DOMID_SELF);
  const near = channels.bindInterdomain(DOMID_SELF, far);
  assert.ok(near > 0 && far > 0 && near !== far, `${near} ${far}`);
  assert.equal(channels.pending(), near, 'a port that was connected is pending');
  assert.equal(channels.unmask(near), 0);
  return { near, far };
}

function misuse(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const cases: Record<string, Case> = {
  'notify makes the other end pending, once, until it is unmasked': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      assert.equal(channels.pending(), -EAGAIN);
      assert.equal(channels.notify(near), 0);
      assert.equal(channels.notify(near), 0);
      assert.equal(channels.pending(), far);
      assert.equal(channels.pending(), -EAGAIN, 'the second signal waits');
      assert.equal(channels.unmask(far), 0);
      assert.equal(channels.pending(), far);
      assert.equal(channels.unmask(far), 0);
      assert.equal(channels.pending(), -EAGAIN);
    },
  },

  'a virtual interrupt is bound once, and again after unbind': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      using others = xen.eventChannels();
      const port = channels.bindVirq(VIRQ_DOM_EXC);
      assert.ok(port > 0);
      assert.equal(others.bindVirq(VIRQ_DOM_EXC), -EEXIST);
      xen.hypercall(RAISE_VIRQ, VIRQ_DOM_EXC);
      assert.equal(others.pending(), -EAGAIN);
      assert.equal(channels.pending(), port);
      assert.equal(channels.unbind(port), 0);
      assert.equal(others.bindVirq(VIRQ_DOM_EXC) > 0, true);
    },
  },

  'what Xen and the kernel refuse is given as -errno': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      using others = xen.eventChannels();
      const { near } = pair(others);
      assert.equal(channels.bindVirq(24), -EINVAL);
      assert.equal(channels.bindUnbound(77), -ESRCH);
      assert.equal(channels.bindInterdomain(77, 1), -ESRCH);
      assert.equal(channels.bindInterdomain(1, 1000), -EINVAL);
      assert.equal(channels.unbind(near), -ENOTCONN, 'another set has it');
      assert.equal(channels.notify(near), -ENOTCONN);
      assert.equal(channels.notify(0xffff_ffff), -ENOTCONN);
      assert.equal(channels.unbind(0xffff_ffff), -EINVAL);
      assert.equal(channels.unmask(near), 0, 'as with the kernel, no error');
    },
  },

  'restrict leaves the ports of one domain': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      assert.equal(channels.restrict(1), 0);
      assert.equal(channels.restrict(1), -EACCES);
      assert.equal(channels.bindUnbound(2), -EACCES);
      assert.equal(channels.bindVirq(VIRQ_DOM_EXC), -EACCES);
      assert.equal(channels.bindInterdomain(1, 5) > 0, true);
      using others = xen.eventChannels();
      assert.equal(others.restrict(0), -EINVAL);
    },
  },

  'wait tells a pending port at once, and the end of the time': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const before = Date.now();
      assert.equal(channels.wait(0), 0);
      assert.equal(channels.wait(300), 0, 'longer than one turn in the kernel');
      const passed = Date.now() - before;
      assert.ok(passed >= 290 && passed < 5000, `${passed} ms`);
      channels.notify(near);
      assert.equal(channels.wait(-1), 1);
      assert.equal(channels.wait(0), 1);
      assert.equal(channels.pending(), far);
      assert.equal(channels.wait(0), 0);
    },
  },

  'wake ends the next wait, and one only': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      channels.wake();
      channels.wake();
      assert.equal(channels.wait(-1), 0);
      const before = Date.now();
      assert.equal(channels.wait(50), 0);
      assert.ok(Date.now() - before >= 40);
    },
  },

  'next signals, waits, takes and unmasks in one go': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      assert.equal(channels.next(0), 0);
      assert.equal(channels.next(1000, near), far);
      assert.equal(channels.next(0), 0, 'signalled once');
      channels.notify(near);
      assert.equal(channels.next(-1), far, 'it was unmasked');
      channels.wake();
      assert.equal(channels.next(-1), 0);
      assert.equal(channels.next(0, 77), 0, 'a port that is not bound here has nobody to be told');
      for (const value of [undefined, '1', 0.5, 2 ** 31]) {
        assert.throws(() => channels.next(value as number), /timeoutMs must be/);
      }
      for (const value of [null, '1', 0.5, -1, 2 ** 32]) assert.throws(() => channels.next(0, value as number), misuse);
    },
  },

  'another thread waits on the same set: it is told of ports, and is woken': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const worker = startWaiter(channels);
      assert.equal(await message(worker), 'waiting');
      await sleep(20);
      channels.notify(near);
      assert.deepEqual(await message(worker), { waited: 1, port: far });
      channels.wake();
      assert.deepEqual(await message(worker), { waited: 0 });
      await worker.terminate();
      channels.notify(near); // the set is whole after the worker's end
      assert.equal(channels.pending(), far);
    },
  },

  'a worker that waits without end can be terminated': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const worker = startWaiter(channels);
      assert.equal(await message(worker), 'waiting');
      await sleep(50);
      const start = Date.now();
      await worker.terminate();
      assert.ok(Date.now() - start < 5000);
    },
  },

  'process.exit does not hang on a worker that waits without end': {
    alone: true,
    env: { ASAN_OPTIONS: 'detect_leaks=0' }, // Node frees little then
    async run() {
      const channels = openAdapter().eventChannels();
      assert.equal(await message(startWaiter(channels)), 'waiting');
      await sleep(20);
      process.exit(0);
    },
  },

  'onPending calls the listener while ports are pending, and no longer once they are taken': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      let calls = 0;
      channels.onPending(() => calls++);
      await sleep(30);
      assert.equal(calls, 0);
      channels.notify(near);
      await until(() => calls > 2);
      assert.equal(channels.pending(), far);
      const taken = calls;
      await sleep(30);
      assert.ok(calls <= taken + 1, `${calls} calls after ${taken}`);
      channels.onPending(null);
      channels.unmask(far);
      channels.notify(near);
      const ended = calls;
      await sleep(30);
      assert.equal(calls, ended);
    },
  },

  'onPending with another listener replaces the first': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near } = pair(channels);
      let first = 0;
      let second = 0;
      channels.onPending(() => first++);
      channels.onPending(() => {
        second++;
        channels.pending();
      });
      channels.notify(near);
      await until(() => second > 0);
      assert.equal(first, 0);
      channels.onPending(null);
    },
  },

  'onPort gives each port, taken and unmasked, and signals the one that is returned': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const another = pair(channels);
      const ports: number[] = [];
      let again = 3;
      channels.onPort((port) => {
        ports.push(port);
        return port === far && again-- > 0 ? near : undefined;
      });
      channels.notify(near);
      channels.notify(another.near);
      await until(() => ports.length === 5);
      assert.deepEqual(
        [far, another.far].map((one) => ports.filter((port) => port === one).length),
        [4, 1],
      );
      assert.equal(channels.pending(), -EAGAIN);
      channels.onPort(null);
      channels.notify(near);
      await sleep(30);
      assert.equal(ports.length, 5);
      assert.equal(channels.pending(), far);
    },
  },

  'onPort and onPending take each other’s place': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const calls: string[] = [];
      channels.onPending(() => calls.push('pending'));
      channels.onPort((port) => {
        calls.push(`port ${port}`);
        channels.onPending(() => {
          calls.push('pending');
          channels.pending();
          channels.onPending(null);
        });
        return near;
      });
      channels.notify(near);
      await until(() => calls.length === 2);
      assert.deepEqual(calls, [`port ${far}`, 'pending']);
    },
  },

  'an onPort listener may close what calls it, with a port to be signalled': {
    async run() {
      using xen = openAdapter();
      const before = openDescriptors();
      const channels = xen.eventChannels();
      const { near } = pair(channels);
      const another = pair(channels);
      let calls = 0;
      channels.onPort(() => {
        calls++;
        channels.close();
        return near;
      });
      channels.notify(near);
      channels.notify(another.near);
      await until(() => calls > 0);
      await sleep(20);
      assert.equal(calls, 1);
      assert.equal(openDescriptors(), before);
    },
  },

  'an error thrown by an onPort listener is an uncaught exception, and the calls go on': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const caught: unknown[] = [];
      process.on('uncaughtException', (error) => {
        caught.push(error);
        channels.notify(near);
      });
      const thrown = new Error('from the listener');
      let port = 0;
      channels.onPort((taken) => {
        if (caught.length === 0) throw thrown;
        port = taken;
        channels.onPort(null);
        return undefined;
      });
      channels.notify(near);
      await until(() => port > 0);
      assert.deepEqual([caught, port], [[thrown], far]);
    },
  },

  'a listener may close what calls it': {
    async run() {
      using xen = openAdapter();
      const before = openDescriptors();
      const channels = xen.eventChannels();
      const { near } = pair(channels);
      let calls = 0;
      channels.onPending(() => {
        calls++;
        channels.close();
      });
      channels.notify(near);
      await until(() => calls > 0);
      await sleep(20);
      assert.equal(calls, 1);
      assert.equal(openDescriptors(), before);
    },
  },

  'an error thrown by a listener is an uncaught exception, and the calls go on': {
    alone: true,
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near } = pair(channels);
      const caught: unknown[] = [];
      process.on('uncaughtException', (error) => caught.push(error));
      const thrown = new Error('from the listener');
      channels.onPending(() => {
        if (caught.length < 2) throw thrown;
        channels.pending();
        channels.onPending(null);
      });
      channels.notify(near);
      await until(() => caught.length === 2);
      assert.deepEqual(caught, [thrown, thrown]);
    },
  },

  'what a listener leaves to microtasks and promises runs': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near, far } = pair(channels);
      const port = await new Promise((resolve) => {
        channels.onPending(() => {
          const taken = channels.pending();
          void Promise.resolve(taken).then(resolve);
        });
        channels.notify(near);
      });
      assert.equal(port, far);
      channels.onPending(null);
    },
  },

  'a process ends though a set is open, and lives while it has a listener': {
    alone: true,
    async run() {
      const xen = openAdapter();
      const channels = xen.eventChannels();
      const { near } = pair(channels);
      channels.onPending(() => {
        channels.pending();
        channels.onPending(null); // all that keeps the process
        assert.equal(process.exitCode, 7);
        process.exitCode = 0;
      });
      process.exitCode = 7; // for when it ends before
      setTimeout(() => channels.notify(near), 30).unref();
      await sleep(1);
    },
  },

  'close unbinds all, twice is harmless, and any use after it is a TypeError': {
    run() {
      using xen = openAdapter();
      const before = openDescriptors();
      const channels = xen.eventChannels();
      channels.bindVirq(VIRQ_DOM_EXC);
      channels.onPending(() => {});
      channels.close();
      channels.close();
      channels[Symbol.dispose]();
      assert.equal(openDescriptors(), before);
      for (const use of [
        () => channels.fd,
        () => channels.wakeFd,
        () => channels.bindVirq(1),
        () => channels.bindInterdomain(1, 1),
        () => channels.bindUnbound(1),
        () => channels.unbind(1),
        () => channels.notify(1),
        () => channels.pending(),
        () => channels.unmask(1),
        () => channels.restrict(1),
        () => channels.wait(0),
        () => channels.next(0),
        () => channels.wake(),
        () => channels.onPending(null),
        () => channels.onPort(null),
      ]) {
        assert.throws(use, new TypeError('these event channels are closed'));
      }
      using others = xen.eventChannels();
      assert.ok(others.bindVirq(VIRQ_DOM_EXC) > 0);
    },
  },

  'a set closes with its hypervisor; what it was opened again as does not': {
    run() {
      const xen = openAdapter();
      using other = openAdapter();
      const first = xen.eventChannels();
      const { near, far } = pair(first);
      const second = other.eventChannels(first);
      first.onPending(() => {});
      xen.close();
      assert.throws(() => first.pending(), TypeError);
      assert.throws(() => xen.eventChannels(), TypeError);
      assert.equal(second.notify(near), 0);
      assert.equal(second.pending(), far);
    },
  },

  'a set is opened again by descriptors of a set, and of nothing else': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const before = openDescriptors();
      assert.throws(() => xen.eventChannels({ fd: 1, wakeFd: -1 }), xenError('ENOTTY'));
      assert.throws(() => xen.eventChannels({ fd: channels.wakeFd, wakeFd: -1 }), xenError('ENOTTY'));
      assert.throws(() => xen.eventChannels({ fd: 4000, wakeFd: -1 }), xenError('EBADF'));
      assert.throws(() => xen.eventChannels({ fd: channels.fd, wakeFd: 4000 }), xenError('EBADF'));
      for (const fd of [-1, 0.5, 2 ** 31, '1', null]) {
        assert.throws(() => xen.eventChannels({ fd: fd as number, wakeFd: -1 }), /fd must be/);
      }
      assert.equal(openDescriptors(), before);
      const again = xen.eventChannels({ fd: channels.fd, wakeFd: -1 });
      channels.wake();
      assert.equal(again.wait(0), 0);
      again.close();
      assert.equal(channels.wait(-1), 0, 'it has a wake of its own');
    },
  },

  'arguments out of range are refused before anything is sent': {
    run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const { near } = pair(channels);
      const untyped = channels as unknown as Record<string, (...args: unknown[]) => unknown>;
      const bad = fc.oneof(
        fc.constantFrom<unknown>(undefined, null, '1', {}, [], Number.NaN, 0.5, -1, 2 ** 32, 1n, true),
        fc.double({ noInteger: true }),
        fc.integer({ max: -1 }),
      );
      const names = ['bindVirq', 'bindUnbound', 'unbind', 'notify', 'unmask', 'restrict'];
      fc.assert(
        fc.property(fc.constantFrom(...names), bad, (name, value) => {
          assert.throws(() => untyped[name]?.(value), misuse, name);
          assert.throws(() => untyped['bindInterdomain']?.(1, value), misuse);
          assert.throws(() => untyped['bindInterdomain']?.(value, 1), misuse);
        }),
      );
      for (const value of [undefined, '1', 0.5, 2 ** 31, Number.NaN]) {
        assert.throws(() => untyped['wait']?.(value), /timeoutMs must be/);
      }
      for (const value of [undefined, 5, {}, 'f']) {
        assert.throws(() => untyped['onPending']?.(value), /listener must be/);
        assert.throws(() => untyped['onPort']?.(value), /listener must be/);
      }
      assert.equal(channels.notify(near), 0);
    },
  },

  'a device that is not there is told with the module to load': {
    env: { STUB_DEVICE_ERRNO: '2' },
    run() {
      using xen = openAdapter();
      assert.throws(() => xen.eventChannels(), xenError('ENOENT'));
      assert.throws(() => xen.eventChannels(), /no \/dev\/xen\/evtchn: run on a Xen dom0.*modprobe xen-evtchn/);
    },
  },

  '1000 sets opened and closed leave nothing': {
    run() {
      using xen = openAdapter();
      const before = openDescriptors();
      for (let round = 0; round < 1000; round++) {
        using channels = xen.eventChannels();
        channels.bindUnbound(1);
        if (round % 2 === 0) channels.onPending(() => {});
      }
      assert.equal(openDescriptors(), before);
    },
  },
};

/** What the addon does and no foreign function interface can: it closes what nobody closed. */
const left: Record<string, Case> = {
  'a forgotten set is closed by the collector, one with a listener is not': {
    flags: ['--expose-gc'],
    async run() {
      const before = openDescriptors();
      openAdapter().eventChannels();
      await collect(() => openDescriptors() === before);
      assert.equal(openDescriptors(), before);

      using xen = openAdapter();
      let port = 0;
      listenFor(openAdapter(), (taken) => {
        port = taken;
      });
      await collect(() => false);
      xen.hypercall(RAISE_VIRQ, VIRQ_DOM_EXC);
      await until(() => port > 0);
    },
  },

  'a worker that is terminated leaves nothing open': {
    async run() {
      using xen = openAdapter();
      using channels = xen.eventChannels();
      const before = openDescriptors();
      const worker = startWaiter(channels);
      assert.equal(await message(worker), 'waiting');
      await worker.terminate();
      assert.equal(openDescriptors(), before);
    },
  },
};

/** Listens for a virtual interrupt, keeping nothing. */
function listenFor(xen: Hypervisor, taken: (port: number) => void): void {
  const channels = xen.eventChannels();
  channels.bindVirq(VIRQ_DOM_EXC);
  channels.onPending(() => {
    taken(channels.pending());
    channels.onPending(null);
  });
}

async function collect(enough: () => boolean): Promise<void> {
  for (let i = 0; i < 20 && !enough(); i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await sleep(5);
  }
}

function startWaiter(channels: EventChannels): Worker {
  const { fd, wakeFd } = channels;
  return new Worker(new URL('../native/waiter.js', import.meta.url), { workerData: { fd, wakeFd } });
}

function message(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await sleep(2);
  assert.ok(holds());
}

/** Without the addon a timer has to look. */
const byTimer = Object.fromEntries(
  Object.entries(cases)
    .filter(([title]) => /listener|onPending|promises|lives while/.test(title))
    .map(([title, one]) => [`by timer: ${title}`, { ...one, env: { ...one.env, XENCTRL_ADDON: '/none' } }]),
);

stubbed(import.meta.url, {
  ...onAdapters(cases),
  ...onAdapters(left, ['privcmd']),
  ...onAdapters(byTimer, ['koffi']),
});
