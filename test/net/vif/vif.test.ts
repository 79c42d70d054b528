/** Vifs on the model's xenstore, with switches of the model's: what is left to whom, who has to change what, and undo. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ModelVif, type ModelVifOptions, ModelXenstore } from '#dist/model/index.js';
import { NetDeviceError } from '#dist/net/link/index.js';
import {
  type Device,
  emptyTally,
  listXenVifs,
  type OffloadSwitches,
  type SwitchState,
  setVif,
  type Traffic,
  VifJournal,
  VifSetError,
  vifStatus,
} from '#dist/net/vif/index.js';
import { Xenstore } from '#dist/xenstore/index.js';
import { scratchFolder } from '../../scratch.js';

/** dom0's interfaces are those of model vifs. */
function modelSwitches(...vifs: readonly ModelVif[]): OffloadSwitches {
  const find = ({ name }: Device): ModelVif => {
    const vif = vifs.find((one) => one.name === name);
    if (!vif) throw new NetDeviceError('read', name, -19);
    return vif;
  };
  return {
    read(device): SwitchState {
      const on = find(device).dom0Leaves;
      const offloads = { tx: on, rx: true, sg: true, tso: on, gso: true, gro: true };
      return { driver: 'vif', txIpv4: on, txIpv6: on, offloads };
    },
    before: (device) => ({ tx: find(device).backendTx }),
    set(device, _offload, on) {
      find(device).backendTx = on;
    },
    restore(device, before) {
      find(device).backendTx = before['tx'] === true;
    },
  };
}

function machine(options: Partial<ModelVifOptions> = {}) {
  const model = new ModelXenstore();
  const vif = new ModelVif(model, { domid: 3, ...options });
  const store = Xenstore.over(model.connect());
  const journal = new VifJournal(join(scratchFolder(), 'journal.json'));
  const sources = { store, switches: modelSwitches(vif), peer: () => null, journal };
  return { model, vif, store, journal, sources, device: { name: vif.name } };
}

test('both ends of all vifs are found, with their keys', async () => {
  const { model, store } = machine();
  new ModelVif(model, { domid: 12, handle: 1, frontend: { noCsumOffload: true } });
  const vifs = await listXenVifs(store);
  assert.deepEqual(
    vifs.map(({ name, domid, handle }) => ({ name, domid, handle })),
    [
      { name: 'vif3.0', domid: 3, handle: 0 },
      { name: 'vif12.1', domid: 12, handle: 1 },
    ],
  );
  assert.equal(vifs[1]?.frontend.offload['feature-no-csum-offload'], '1');
  assert.equal(vifs[1]?.backend.offload['feature-gso-tcpv4'], '1');
  store.close();
});

/** Each: how the vif is made, and what is left in which direction. */
const DIRECTIONS: readonly [what: string, options: Partial<ModelVifOptions>, from: string, to: string][] = [
  ['as Linux makes it', {}, 'allowed', 'partial'],
  [
    "dom0 asks for complete ones, which is the guest's to heed",
    { backend: { noCsumOffload: true } },
    'allowed',
    'partial',
  ],
  ['the guest cannot', { frontend: { noCsumOffload: true } }, 'allowed', 'complete'],
  ["dom0's switch is off", { backend: { tx: false } }, 'allowed', 'complete'],
];

for (const [what, options, from, to] of DIRECTIONS) {
  test(`${what}: from the guest ${from}, to the guest ${to}`, async () => {
    const { sources, device, store } = machine(options);
    const report = await vifStatus(device, sources);
    assert.deepEqual([report.fromGuest.ipv4, report.toGuest.ipv4], [from, to]);
    assert.equal(report.domid, 3);
    assert.ok(report.findings.every(({ level }) => level === 'note'));
    store.close();
  });
}

const traffic = (incoming: object, outgoing: object): Traffic => ({
  incoming: { ...emptyTally(), ...incoming },
  outgoing: { ...emptyTally(), ...outgoing },
});

test('packets that leave the host wrong name who has to change what', async () => {
  const { sources, device, store } = machine();
  const broken = { name: 'eth0', traffic: traffic({}, { corrupt: 7, unfinished: 1 }) };
  const [fault] = (await vifStatus(device, sources, { vif: traffic({ partial: 9 }, {}), uplink: broken })).findings;
  assert.deepEqual([fault?.side, fault?.level], ['guest', 'fault']);
  assert.equal(fault?.remedy, 'xenctrl net vif set vif3.0 tx off --end guest');
  assert.match(fault?.text ?? '', /9 packets came partial.*eth0 breaks them: 8 packets/);

  const [own] = (await vifStatus(device, sources, { vif: traffic({ good: 9 }, {}), uplink: broken })).findings;
  assert.deepEqual([own?.side, own?.level], ['dom0', 'fault']);

  const toGuest = await vifStatus(device, sources, { vif: traffic({}, { corrupt: 3 }) });
  assert.deepEqual([toGuest.findings[0]?.side, toGuest.findings[0]?.level], ['dom0', 'fault']);

  const good = { name: 'eth0', traffic: traffic({}, { good: 8 }) };
  const fine = await vifStatus(device, sources, { vif: traffic({ partial: 9 }, {}), uplink: good });
  assert.ok(fine.findings.every(({ level }) => level === 'note'));
  store.close();
});

test('a guest that was asked to complete its checksums is to be looked at, not to be asked again', async () => {
  const { sources, device, store } = machine({ backend: { noCsumOffload: true } });
  const note = (await vifStatus(device, sources)).findings.find(({ side }) => side === 'guest');
  assert.equal(note?.remedy, 'xenctrl net vif status vif3.0 --observe 10');
  assert.match(note?.text ?? '', /asks the guest to complete.*Linux guest leaves/);
  store.close();
});

test('a key that was written after the vif was connected is a fault until it is connected again', async () => {
  const { sources, device, store, vif } = machine();
  await store.write(`${vif.frontendPath}/feature-no-csum-offload`, '1');
  const [fault] = (await vifStatus(device, sources)).findings;
  assert.match(fault?.text ?? '', /written after/);
  vif.connect();
  assert.ok((await vifStatus(device, sources)).findings.every(({ level }) => level === 'note'));
  store.close();
});

test("dom0's switch is changed at once, and undone", async () => {
  const { sources, device, store, vif, journal } = machine();
  const result = await setVif({ device, end: 'dom0', offload: 'tx', on: false }, sources);
  assert.deepEqual(result, { device, key: null, reconnect: false });
  assert.equal(vif.dom0Leaves, false);
  assert.equal((await journal.undo(sources.switches, store))?.what, "vif3.0 tx off at dom0's end");
  assert.equal(vif.dom0Leaves, true);
  assert.equal(await journal.undo(sources.switches, store), null);
  store.close();
});

test("a guest's offload is forbidden by a key, which counts from the next connect on, and undone", async () => {
  const { sources, device, store, vif, journal } = machine();
  const result = await setVif({ device, end: 'guest', offload: 'tx', on: false }, sources);
  assert.equal(result.reconnect, true);
  assert.equal(await store.read(`${vif.backendPath}/feature-no-csum-offload`), '1');
  assert.equal(vif.guestLeaves, true);
  vif.connect();
  assert.equal(vif.guestLeaves, false);
  await setVif({ device, end: 'guest', offload: 'tx', on: true }, sources);
  assert.equal(await store.read(`${vif.backendPath}/feature-no-csum-offload`), '0');
  assert.equal(journal.entries().length, 2);
  await journal.undo(sources.switches, store);
  assert.equal(await store.read(`${vif.backendPath}/feature-no-csum-offload`), '1');
  await journal.undo(sources.switches, store);
  assert.equal(await store.readIfThere(`${vif.backendPath}/feature-no-csum-offload`), undefined);
  store.close();
});

test('what cannot be changed from here says so, and nothing is noted', async () => {
  const { sources, device, store, journal } = machine();
  await assert.rejects(setVif({ device, end: 'guest', offload: 'tso', on: false }, sources), VifSetError);
  const nobody = { ...sources, store: null };
  await assert.rejects(setVif({ device, end: 'guest', offload: 'tx', on: false }, nobody), VifSetError);
  await assert.rejects(vifStatus({ name: 'vif9.9' }, sources), NetDeviceError);
  assert.deepEqual(journal.entries(), []);
  store.close();
});

test('a journal that was taken away or is none is told', async () => {
  const { sources, store } = machine();
  const path = join(scratchFolder(), 'sub', 'journal.json');
  const journal = new VifJournal(path);
  assert.equal(await journal.undo(sources.switches, store), null);
  await journal.record({ at: '', what: 'x' }, () => {});
  assert.ok(existsSync(path));
  await journal.undo(sources.switches, store);
  assert.ok(!existsSync(path), 'an empty one is no file');
  const refused = (): never => {
    throw new RangeError('refused');
  };
  await assert.rejects(journal.record({ at: '', what: 'y' }, refused), RangeError);
  assert.deepEqual(journal.entries(), [], 'what was not done is not noted');
  store.close();
});
