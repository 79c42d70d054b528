/**
 * `xenctrl net vif` on a vif of a real Xen: xen-netback and xen-netfront of one dom0, connected through xenstore, grants and
 * event channels as two domains' are. The front end lies in a network namespace of its own, which is the guest.
 *
 * It is a part of test:lab by itself (`qemu-vif`), for it loads drivers and keeps a xenstored.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { offloadIsOn, readNetFeatures } from '#dist/net/link/index.js';
import { observeTraffic, type Tally } from '#dist/net/vif/index.js';
import { Xenstore } from '#dist/xenstore/index.js';
import { type Finished, runInside } from '../cli/run.js';
import { noRig, Rig } from '../net/rig.js';
import { scratchFolder } from '../scratch.js';
import { targetKind } from './target.js';
import { noXenstored, SOCKET, startXenstored } from './xenstored.js';

const skip =
  targetKind() === 'privcmd'
    ? (noRig() ?? noXenstored('xenstored'))
    : "there are drivers in a real Xen's dom0 only, where XENCTRL_TEST_TARGET=privcmd says that this is one";

const BACK = '/local/domain/0/backend/vif/0/0';
const FRONT = '/local/domain/0/device/vif/0';
const CONNECTED = '4';
const CLOSED = '6';

function sh(command: string): string {
  const { status, stdout, stderr } = spawnSync('sh', ['-ec', command], { encoding: 'utf8' });
  assert.equal(status, 0, `${command}: ${stderr}`);
  return stdout;
}

describe('a vif of a real Xen', { skip }, () => {
  let daemon: AsyncDisposable;
  let store: Xenstore;
  let rig: Rig;
  let journal: string[];
  const vif = (...args: string[]): Promise<Finished> => runInside(['net', 'vif', ...args, '--json']);

  async function reached(state: string, path: string): Promise<boolean> {
    for (let i = 0; i < 100; i++) {
      if (((await store.readIfThere(`${path}/state`)) ?? CLOSED) === state) return true;
      await sleep(100);
    }
    return false;
  }

  /** What a toolstack does for `vif = ['...']`. @param keys more of the back end's */
  async function connect(keys: Readonly<Record<string, string>> = {}): Promise<void> {
    const both = { handle: '0', mac: '00:16:3e:00:00:01', state: '1' };
    const back = { ...both, frontend: FRONT, 'frontend-id': '0', online: '1', script: '/bin/true', ...keys };
    const front = { ...both, backend: BACK, 'backend-id': '0' };
    await store.transaction(async (transaction) => {
      for (const [key, value] of Object.entries(back)) await transaction.write(`${BACK}/${key}`, value);
      for (const [key, value] of Object.entries(front)) await transaction.write(`${FRONT}/${key}`, value);
    });
    await sleep(500);
    await store.write(`${BACK}/hotplug-status`, 'connected');
    assert.ok((await reached(CONNECTED, BACK)) && (await reached(CONNECTED, FRONT)), 'the ends are not connected');
    sh(`ip link set eth0 netns ${rig.path('guest').split('/').at(-1)}`);
    rig.sh('guest', 'ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up');
    sh('ip addr add 10.9.0.1/24 dev vif0.0; ip link set vif0.0 up');
    await sleep(500);
  }

  async function disconnect(): Promise<void> {
    await store.write(`${BACK}/online`, '0');
    await store.write(`${FRONT}/state`, '5');
    assert.ok(await reached(CLOSED, FRONT), 'the front end does not close');
    await store.rm(FRONT);
    await store.rm(BACK);
    for (let i = 0; i < 50 && sh('ls /sys/class/net').includes('vif0.0'); i++) await sleep(100);
  }

  /** What goes by while somebody sends three datagrams. */
  async function seen(device: { name: string; netns?: string }, send: () => void): Promise<Tally> {
    const stop = new AbortController();
    const looking = observeTraffic(device, stop.signal);
    await sleep(100);
    send();
    await sleep(500);
    stop.abort();
    return (await looking).incoming;
  }
  const fromGuest = (): Promise<Tally> =>
    seen({ name: 'vif0.0' }, () => rig.sh('guest', 'bash -c "for i in 1 2 3; do echo x > /dev/udp/10.9.0.1/9; done"'));
  const toGuest = (): Promise<Tally> =>
    seen({ name: 'eth0', netns: rig.path('guest') }, () =>
      sh('bash -c "for i in 1 2 3; do echo x > /dev/udp/10.9.0.2/9; done"'),
    );

  before(async () => {
    daemon = await startXenstored('xenstored');
    sh('busybox modprobe xen-netback; busybox modprobe xen-netfront');
    store = await Xenstore.open({ path: SOCKET });
    rig = new Rig();
    rig.netns('guest');
    journal = ['--journal', join(scratchFolder(), 'journal.json')];
    await connect();
  });
  after(async () => {
    await disconnect();
    rig[Symbol.dispose]();
    store.close();
    await daemon[Symbol.asyncDispose]();
  });

  test('status: the keys that the drivers wrote, the switches, who leaves what to whom', async () => {
    const { code, stdout, stderr } = await vif('status', 'vif0.0');
    assert.equal(code, 0, stderr);
    const [report] = (JSON.parse(stdout) as { vifs: Record<string, unknown>[] }).vifs;
    const offload = {
      'feature-ipv6-csum-offload': '1',
      'feature-sg': '1',
      'feature-gso-tcpv4': '1',
      'feature-gso-tcpv6': '1',
    };
    const dom0 = report?.['dom0'] as { keys: unknown; switches: { driver: string; txIpv4: boolean } };
    const guest = report?.['guest'] as { keys: unknown };
    assert.deepEqual(dom0.keys, { path: 'backend/vif/0/0', state: CONNECTED, offload });
    assert.deepEqual(guest.keys, { path: FRONT, state: CONNECTED, offload });
    assert.deepEqual([dom0.switches.driver, dom0.switches.txIpv4], ['vif', true]);
    assert.deepEqual(report?.['fromGuest'], { ipv4: 'allowed', ipv6: 'allowed' });
    assert.deepEqual(report?.['toGuest'], { ipv4: 'partial', ipv6: 'partial' });
  });

  test('both ends leave their checksums to the other, and mark them so', async () => {
    for (const { partial, unfinished, corrupt } of [await fromGuest(), await toGuest()]) {
      assert.ok(partial >= 3, String(partial));
      assert.deepEqual({ unfinished, corrupt }, { unfinished: 0, corrupt: 0 });
    }
  });

  test('set tx off: dom0 completes what it gives to the guest, and undo ends that', async () => {
    assert.equal((await vif('set', 'vif0.0', 'tx', 'off', ...journal)).code, 0);
    assert.equal(offloadIsOn(readNetFeatures('vif0.0'), 'tx'), false);
    const { good, partial } = await toGuest();
    assert.ok(good >= 3 && partial === 0, JSON.stringify({ good, partial }));
    assert.equal((await vif('undo', ...journal)).code, 0);
    assert.ok((await toGuest()).partial >= 3);
  });

  test("set tx off at the guest's end writes the key, and undo removes it", async () => {
    assert.equal((await vif('set', 'vif0.0', 'tx', 'off', '--end', 'guest', ...journal)).code, 0);
    assert.equal(await store.readIfThere(`${BACK}/feature-no-csum-offload`), '1');
    assert.equal((await vif('undo', ...journal)).code, 0);
    assert.equal(await store.readIfThere(`${BACK}/feature-no-csum-offload`), undefined);
  });

  test("Linux's front end leaves IPv4 checksums whatever its switch says, and whatever the key", async () => {
    rig.sh('guest', 'ethtool -K eth0 tx off');
    assert.match(rig.sh('guest', 'ethtool -k eth0'), /tx-checksum-ipv4: on \[fixed\]\n.*\n\s*tx-checksum-ipv6: off/);
    assert.ok((await fromGuest()).partial >= 3);
    await disconnect();
    await connect({ 'feature-no-csum-offload': '1' });
    assert.ok((await fromGuest()).partial >= 3);
    const [report] = (JSON.parse((await vif('status', 'vif0.0')).stdout) as { vifs: Record<string, unknown>[] }).vifs;
    assert.deepEqual(report?.['fromGuest'], { ipv4: 'allowed', ipv6: 'allowed' });
  });
});
