/** A veth pair as a vif: its other end is found in its namespace, seen, switched by the command, and put back. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '#dist/native/load.js';
import { offloadIsOn, readNetFeatures } from '#dist/net/link/index.js';
import { observeTraffic, vethPeer } from '#dist/net/vif/index.js';
import { type Finished, runInside } from '../../cli/run.js';
import { scratchFolder } from '../../scratch.js';
import { noRig, Rig } from '../rig.js';

const loaded = loadAddon();
const skip = loaded.addon === null ? loaded.reason : (noRig() ?? false);

describe('a veth pair as a vif', { skip }, () => {
  let rig: Rig;
  let dom0 = '';
  let domu = '';
  let journal: string[];
  const vif = (...args: string[]): Promise<Finished> => runInside(['net', 'vif', ...args, '--json']);
  const txIsOn = (name: string, netns: string): boolean | null => offloadIsOn(readNetFeatures(name, netns), 'tx');

  before(() => {
    rig = new Rig();
    dom0 = rig.netns('dom0');
    domu = rig.netns('domu');
    // another cable whose ends have the same numbers in their namespaces
    rig.netns('other0');
    rig.netns('other1');
    rig.veth('vif1.0@other0', 'eth0@other1');
    rig.veth('vif1.0@dom0', 'eth0@domu');
    rig.sh('dom0', 'ip addr add 10.0.1.1/24 dev vif1.0');
    rig.sh('domu', 'ip addr add 10.0.1.2/24 dev eth0');
    journal = ['--journal', join(scratchFolder(), 'journal.json')];
  });
  after(() => rig[Symbol.dispose]());

  test('the other end of the cable is found in its namespace, from both ends', () => {
    assert.deepEqual(vethPeer({ name: 'vif1.0', netns: dom0 }), { name: 'eth0', netns: domu });
    assert.deepEqual(vethPeer({ name: 'eth0', netns: domu }), { name: 'vif1.0', netns: dom0 });
    assert.equal(vethPeer({ name: 'lo', netns: dom0 }), null);
  });

  test('status tells what both ends leave, and who is to change what', async () => {
    const { code, stdout } = await vif('status', 'vif1.0', '--netns', dom0);
    assert.notEqual(stdout, '');
    const { vifs } = JSON.parse(stdout) as {
      vifs: { isVif: boolean; fromGuest: object; toGuest: object; findings: { side: string; remedy: string }[] }[];
    };
    assert.equal(code, 0);
    assert.deepEqual(vifs[0]?.fromGuest, { ipv4: 'partial', ipv6: 'partial' });
    assert.deepEqual(vifs[0]?.toGuest, { ipv4: 'partial', ipv6: 'partial' });
    assert.deepEqual(
      vifs[0]?.findings.map(({ side, remedy }) => [side, remedy]),
      [
        ['guest', 'xenctrl net vif set vif1.0 tx off --end guest'],
        ['dom0', 'xenctrl net vif set vif1.0 tx off'],
      ],
    );
  });

  test("set switches the guest's end in its namespace, and undo puts all of it back", async () => {
    const before = readNetFeatures('eth0', domu);
    const { code, stderr } = await vif('set', 'vif1.0', 'tx', 'off', '--end', 'guest', '--netns', dom0, ...journal);
    assert.equal(code, 0, stderr);
    assert.deepEqual([txIsOn('eth0', domu), txIsOn('vif1.0', dom0)], [false, true]);
    const undone = await vif('undo', ...journal);
    assert.deepEqual(JSON.parse(undone.stdout), { undone: ["vif1.0 tx off at guest's end"] });
    assert.deepEqual(readNetFeatures('eth0', domu), before);
    const nothing = await vif('undo', ...journal);
    assert.equal(nothing.code, 1);
  });

  test("with tx off at dom0's end, dom0 completes what it hands on to the guest", async () => {
    const seen = async (): Promise<{ partial: number; good: number }> => {
      const stop = new AbortController();
      const looking = observeTraffic({ name: 'eth0', netns: domu }, stop.signal);
      rig.sh('dom0', 'bash -c "for i in 1 2 3; do echo x > /dev/udp/10.0.1.2/9; done"');
      await sleep(200);
      stop.abort();
      return (await looking).incoming;
    };
    const before = await seen();
    assert.ok(before.partial >= 3, JSON.stringify(before));
    assert.equal((await vif('set', 'vif1.0', 'tx', 'off', '--netns', dom0, ...journal)).code, 0);
    const after = await seen();
    assert.ok(after.partial === 0 && after.good >= 3, JSON.stringify(after));
    await vif('undo', '--all', ...journal);
    assert.equal(txIsOn('vif1.0', dom0), true);
  });

  test('watch and classify look at an interface', async () => {
    const looking = ['watch', 'classify'].map((command) =>
      runInside(['net', command, 'vif1.0', '--netns', dom0, '--seconds', '2', '--json']),
    );
    // again and again, for when they begin to look is not known
    const send = (): string => rig.sh('domu', 'bash -c "for i in 1 2 3; do echo x > /dev/udp/10.0.1.1/9; done"');
    const sending = setInterval(send, 100);
    const [watched, classified] = await Promise.all(looking);
    clearInterval(sending);
    const { flows, total } = JSON.parse(watched?.stdout ?? '') as {
      flows: { protocol: string; source: string; destination: string; outgoing: boolean }[];
      total: { partial: number };
    };
    assert.ok(total.partial >= 3);
    const udp = flows.find(({ protocol }) => protocol === 'udp');
    assert.deepEqual([udp?.destination, udp?.outgoing], ['10.0.1.1:9', false]);
    const { packets, partial } = JSON.parse(classified?.stdout ?? '') as { packets: number; partial: number };
    assert.ok(partial >= 3 && packets >= partial);
  });

  test('mistakes are told, with the next step', async () => {
    const { code, stderr } = await vif('status', 'nothere', '--netns', dom0);
    assert.equal(code, 1);
    assert.match(stderr, /ENODEV.*\n.*ip link/);
    assert.equal((await vif('set', 'vif1.0', 'tx', 'maybe')).code, 2);
    assert.equal((await vif('set', 'vif1.0', 'what', 'on')).code, 2);
    assert.equal((await vif('status', 'a/b')).code, 2);
    assert.equal((await runInside(['net', 'forward', 'vif1.0', 'ext0'])).code, 2);
    assert.equal((await runInside(['net', 'forward', 'a=10.0.0.1/40', 'b=1.2.3.4/8'])).code, 2);
    assert.equal((await runInside(['net', 'watch', 'vif1.0', '--seconds', '0'])).code, 2);
  });
});
