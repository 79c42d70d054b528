import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { errno } from '#dist/abi/errno.js';
import { DOMID_IO } from '#dist/abi/xen.js';
import { XenError } from '#dist/hypervisor/error.js';
import { xc_assign_device, xc_domain_create, xc_domain_destroy } from '#dist/index.js';
import { type Action, type Dom0, perform } from '#dist/pci/passthrough/action.js';
import { Journal, JournalError } from '#dist/pci/passthrough/journal.js';
import { planAttach } from '#dist/pci/passthrough/plan.js';
import { attach, detach, PassthroughError, recover } from '#dist/pci/passthrough/transaction.js';
import { journalFolder, NIC, NIC_NAME, testMachine } from './machine.js';

/** Steps of giving the network card away. */
const STEPS = 12;

test('attach: the steps of xl, in its order; detach: the way back', () => {
  const { dom0, guest, journal, snapshot, xen } = testMachine();
  const before = snapshot();
  const plan = planAttach(dom0, NIC, guest.domid);
  assert.deepEqual([plan.refusals, plan.warnings], [[], []]);
  assert.deepEqual(
    plan.steps.map(({ what }) => what),
    [
      'unbind 0000:00:10.0 from e1000e',
      'make a slot for 0000:00:10.0 in pciback',
      'bind 0000:00:10.0 to pciback, which prepares its MSI-X in Xen',
      'put 0000:00:10.0 into quarantine: its DMA reaches no memory',
      'reset 0000:00:10.0',
      'let domain 1 use frames 0xfea00-0xfea1f (BAR 0)',
      'let domain 1 use frames 0xfea20-0xfea3f (BAR 1)',
      'let domain 1 use ports 0xc040-0xc05f (BAR 2)',
      'let domain 1 use frames 0xfea40-0xfea43 (BAR 3)',
      'map interrupt 11 for domain 1',
      'let domain 1 use interrupt 11',
      'assign 0000:00:10.0 to domain 1',
    ],
  );
  assert.equal(snapshot(), before, 'planning changes nothing');
  attach(dom0, plan, { journal });
  assert.match(snapshot(), /^0000:00:10\.0: owner 1, driver pciback, 1 users of MSI-X$/m);
  assert.ok(xen.pci.isReadOnly(0xfea40) && xen.pci.isReadOnly(0xfea42), 'the guest cannot write table and PBA');
  assert.equal(journal.read(NIC)?.complete, true);
  detach(dom0, NIC, { journal });
  assert.equal(snapshot(), before);
  assert.equal(journal.read(NIC), null);
});

/** Does actions up to one, and then fails in some way. */
function failing(at: number, how: 'refused' | 'before' | 'after'): (action: Action, dom0: Dom0) => void {
  let count = 0;
  return (action, dom0) => {
    if (count++ !== at) return perform(action, dom0);
    if (how === 'refused') throw new XenError('xc_something', -errno.EPERM);
    if (how === 'after') perform(action, dom0);
    throw new Error('it broke');
  };
}

for (const how of ['refused', 'before', 'after'] as const) {
  test(`attach: whichever step fails (${how}), all is as it was before`, () => {
    for (let at = 0; at < STEPS; at++) {
      const { dom0, guest, journal, snapshot } = testMachine();
      const before = snapshot();
      const plan = planAttach(dom0, NIC, guest.domid);
      assert.equal(plan.steps.length, STEPS);
      assert.throws(
        () => attach(dom0, plan, { journal, perform: failing(at, how) }),
        (error) =>
          error instanceof PassthroughError &&
          error.code === 'ERR_PCI_FAILED' &&
          /All is as it was/.test(error.message),
      );
      assert.equal(snapshot(), before, plan.steps[at]?.what);
      assert.equal(journal.read(NIC), null);
      attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
    }
  });
}

test('detach: whichever step fails, the guest has the device as before', () => {
  for (const how of ['refused', 'before'] as const) {
    for (let at = 0; at < STEPS - 1; at++) {
      const { dom0, guest, journal, snapshot } = testMachine();
      attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
      const given = snapshot();
      let failed = false;
      const fail = failing(at, how);
      const act = (action: Action, on: Dom0): void => {
        try {
          (failed ? perform : fail)(action, on);
        } catch (error) {
          failed = true;
          throw error;
        }
      };
      const run = (): void => detach(dom0, NIC, { journal, perform: act });
      // forbidding what it may not use itself: then it was not allowed either
      try {
        run();
      } catch (error) {
        assert.ok(error instanceof PassthroughError && error.code === 'ERR_PCI_FAILED');
        assert.equal(snapshot(), given);
        assert.equal(journal.read(NIC)?.complete, true);
        detach(dom0, NIC, { journal });
      }
      assert.equal(journal.read(NIC), null);
    }
  }
});

/** A process that is killed: from some action on it neither does anything nor notes it. */
class Killed extends Journal {
  dead = false;

  override note(...args: Parameters<Journal['note']>): void {
    if (!this.dead) super.note(...args);
  }

  override end(sbdf: number): void {
    if (!this.dead) super.end(sbdf);
  }
}

test('recover: whenever a run is killed, all becomes as it was before', () => {
  for (const when of ['before', 'after'] as const) {
    for (let at = 0; at < STEPS; at++) {
      const { dom0, guest, snapshot } = testMachine();
      const folder = journalFolder();
      const before = snapshot();
      const journal = new Killed(folder);
      let count = 0;
      const kill = (action: Action, on: Dom0): void => {
        const dies = journal.dead || count++ === at;
        if (!dies || (!journal.dead && when === 'after')) perform(action, on);
        journal.dead ||= dies;
        if (dies) throw new Error('killed');
      };
      assert.throws(() => attach(dom0, planAttach(dom0, NIC, guest.domid), { journal, perform: kill }));
      const left = new Journal(folder);
      assert.equal(left.read(NIC)?.complete, false);
      assert.throws(() => attach(dom0, planAttach(dom0, NIC, guest.domid), { journal: left }), {
        code: 'ERR_PCI_BUSY',
      });
      assert.throws(() => detach(dom0, NIC, { journal: left }), { code: 'ERR_PCI_BUSY' });
      recover(dom0, NIC, { journal: left });
      assert.equal(snapshot(), before, `killed ${when} step ${at}`);
      assert.equal(left.read(NIC), null);
    }
  }
});

test('recover: a detach that was killed is finished', () => {
  for (let at = 0; at < STEPS - 1; at++) {
    const { dom0, guest, snapshot } = testMachine();
    const folder = journalFolder();
    const before = snapshot();
    const journal = new Killed(folder);
    attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
    let count = 0;
    const kill = (action: Action, on: Dom0): void => {
      if (!journal.dead) perform(action, on);
      if (journal.dead || count++ < at) return;
      journal.dead = true;
      throw new Error('killed');
    };
    assert.throws(() => detach(dom0, NIC, { journal, perform: kill }));
    recover(dom0, NIC, { journal: new Journal(folder) });
    assert.equal(snapshot(), before, `killed after step ${at}`);
  }
});

test('a step that cannot be taken back: it says what is left, and recover goes on from there', () => {
  const { dom0, guest, journal, snapshot } = testMachine();
  const before = snapshot();
  let count = 0;
  const act = (action: Action, on: Dom0): void => {
    // the seventh fails, and then pciback does not let go
    if (count++ === 6 || ('path' in action && action.path.endsWith('pciback/unbind'))) throw new Error('stuck');
    perform(action, on);
  };
  assert.throws(
    () => attach(dom0, planAttach(dom0, NIC, guest.domid), { journal, perform: act }),
    (error) => {
      assert.ok(error instanceof PassthroughError);
      assert.equal(error.code, 'ERR_PCI_STUCK');
      assert.deepEqual(error.left, [
        'unbind 0000:00:10.0 from e1000e',
        'make a slot for 0000:00:10.0 in pciback',
        'bind 0000:00:10.0 to pciback, which prepares its MSI-X in Xen',
      ]);
      assert.match(error.message, /`xenctrl pci recover 0000:00:10\.0`/);
      return true;
    },
  );
  assert.throws(() => recover(dom0, NIC, { journal, perform: act }), { code: 'ERR_PCI_STUCK' });
  recover(dom0, NIC, { journal });
  assert.equal(snapshot(), before);
});

test('a guest that has gone, and another with its id: nothing is taken from that one', () => {
  const { dom0, guest, journal, xen, snapshot } = testMachine();
  const before = snapshot();
  attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
  xc_domain_destroy(dom0.xch, guest.domid);
  xc_domain_create(dom0.xch, guest.domid, { flags: 0x2 | 0x1, max_vcpus: 1 });
  const io = xen.domains.get(guest.domid)?.io;
  io?.frames.permit(0xfea00, 0xfea1f);
  detach(dom0, NIC, { journal });
  assert.ok(io?.frames.permits(0xfea00, 0xfea1f));
  io?.frames.deny(0xfea00, 0xfea1f);
  assert.equal(snapshot(), before);
});

test('a device that is pulled out in the middle: the rest is taken back', () => {
  for (let at = 0; at < STEPS; at++) {
    const { dom0, guest, journal, xen, snapshot } = testMachine();
    const plan = planAttach(dom0, NIC, guest.domid);
    const [, ...before] = snapshot().split('\n');
    let count = 0;
    const act = (action: Action, on: Dom0): void => {
      if (count++ === at) {
        xen.pci.unplug(NIC);
        throw new Error('pulled out');
      }
      perform(action, on);
    };
    assert.throws(() => attach(dom0, plan, { journal, perform: act }), { code: 'ERR_PCI_FAILED' });
    const [gone = '', ...after] = snapshot().split('\n');
    assert.match(gone, /owner 0, driver null/);
    // what was protected of it Xen protects until it is told that it has gone
    const kept = (line: string): boolean => !line.startsWith('read-only');
    assert.deepEqual(after.filter(kept), before.filter(kept));
    assert.equal(journal.read(NIC), null);
  }
});

test('what pciback had already it keeps, in quarantine as xl puts it', () => {
  const { dom0, guest, journal, snapshot } = testMachine();
  const { sysfs } = dom0;
  for (const [file, text] of [
    ['e1000e/unbind', NIC_NAME],
    ['pciback/new_slot', NIC_NAME],
    ['pciback/bind', NIC_NAME],
  ] as const) {
    sysfs.write(`/sys/bus/pci/drivers/${file}`, text);
  }
  xc_assign_device(dom0.xch, DOMID_IO, NIC, 0);
  const before = snapshot();
  attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
  detach(dom0, NIC, { journal });
  assert.equal(snapshot(), before);
});

test('a journal that is cut off tells what was begun; one that is damaged is not believed', () => {
  const { dom0, guest } = testMachine();
  const folder = journalFolder();
  const journal = new Journal(folder);
  attach(dom0, planAttach(dom0, NIC, guest.domid), { journal });
  const [name = ''] = readdirSync(folder);
  const file = join(folder, name);
  assert.deepEqual(journal.devices(), [NIC]);
  const text = readFileSync(file, 'utf8');
  truncateSync(file, text.length - 5);
  const cut = journal.read(NIC);
  assert.deepEqual([cut?.complete, cut?.states.every((state) => state === 'done')], [false, true]);
  appendFileSync(file, '\u0000\u0000nonsense\n{"step": 99, "is": "done"}\n');
  assert.equal(journal.read(NIC)?.complete, false);
  truncateSync(file, 20);
  assert.throws(
    () => journal.read(NIC),
    (error) => error instanceof JournalError && error.code === 'EINVAL',
  );
});

test('nothing to take back, and a folder that cannot be written', () => {
  const { dom0, guest, journal } = testMachine();
  for (const take of [detach, recover]) {
    assert.throws(() => take(dom0, NIC, { journal }), { code: 'ERR_PCI_UNKNOWN', message: /what xl has attached/ });
  }
  const nowhere = new Journal('/dev/null/state');
  assert.throws(
    () => attach(dom0, planAttach(dom0, NIC, guest.domid), { journal: nowhere }),
    (error) => error instanceof JournalError && error.code === 'ENOTDIR',
  );
});
