/**
 * What the lists of 2005 describe, and its mending, by the commands an admin has: a guest leaves its checksums to a dom0
 * whose NAT takes them for complete ones; `net vif status` names the side, `net vif set` mends it, `undo` puts it back.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type NetFeatures, offloadIsOn, readNetFeatures } from '#dist/net/link/index.js';
import { BIN, type Finished, run } from '../../cli/run.js';
import { scratchFolder } from '../../scratch.js';
import { noRig } from '../rig.js';
import { UDP_COUNT } from './peer.js';
import { DOM0_INSIDE, DOM0_OUTSIDE, Street } from './street.js';

const skip = noRig() ?? false;

describe('a vif whose checksums dom0 breaks', { skip }, () => {
  let street: Street;
  let dom0: ChildProcess;
  let journal: string[];
  let asItWas: NetFeatures;
  const vif = (...args: string[]): Promise<Finished> =>
    run(['net', 'vif', ...args, '--netns', street.dom0, '--json'], { env: { XENSTORED_PATH: '' } });

  before(async () => {
    street = new Street();
    journal = ['--journal', join(scratchFolder(), 'journal.json')];
    // a wire gives complete checksums; domU leaves its own to dom0
    street.rig.sh('host', 'ethtool -K eth0 tx off >/dev/null');
    asItWas = readNetFeatures('eth0', street.domu);
    await street.startServer();
    const sides = [`vif1.0=${DOM0_INSIDE}`, `ext0=${DOM0_OUTSIDE}`];
    const args = [BIN, 'net', 'forward', ...sides, '--netns', street.dom0, '--historic', '2.6.12', '--json'];
    dom0 = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    if (dom0.stderr) await once(dom0.stderr, 'data'); // it forwards
  });
  after(() => {
    dom0.kill('SIGKILL');
    street[Symbol.dispose]();
  });

  test('nothing arrives, and status says that it is the guest who has to complete its checksums', async () => {
    const looking = vif('status', 'vif1.0', '--observe', '5', '--uplink', 'ext0');
    const said = await street.talk(100_000, 1200);
    assert.deepEqual([said.tcp, said.udp], [false, 0]);
    const { code, stdout } = await looking;
    const { vifs } = JSON.parse(stdout) as { vifs: { findings: { side: string; level: string; remedy: string }[] }[] };
    assert.equal(code, 1);
    const [fault] = vifs[0]?.findings ?? [];
    assert.deepEqual([fault?.side, fault?.level], ['guest', 'fault']);
    assert.equal(fault?.remedy, 'xenctrl net vif set vif1.0 tx off --end guest');
  });

  test('set does that, and everything arrives; status has nothing more to say of it', async () => {
    const { code, stderr } = await vif('set', 'vif1.0', 'tx', 'off', '--end', 'guest', ...journal);
    assert.equal(code, 0, stderr);
    assert.equal(offloadIsOn(readNetFeatures('eth0', street.domu), 'tx'), false);
    const looking = vif('status', 'vif1.0', '--observe', '3', '--uplink', 'ext0');
    const said = await street.talk(1_000_000, 10_000);
    assert.deepEqual([said.tcp, said.udp], [true, UDP_COUNT]);
    const { stdout } = await looking;
    assert.ok(!stdout.includes('"fault"'), stdout);
  });

  test('undo puts it back, and it is broken as before', async () => {
    const { code, stdout } = await run(['net', 'vif', 'undo', ...journal, '--json'], { env: { XENSTORED_PATH: '' } });
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { undone: ["vif1.0 tx off at guest's end"] });
    assert.deepEqual(readNetFeatures('eth0', street.domu), asItWas);
    const said = await street.talk(100_000, 1200);
    assert.deepEqual([said.tcp, said.udp], [false, 0]);
  });

  test('watch tells the conversations apart, and Ctrl-C ends forward with its counts', async () => {
    const watching = run(['net', 'watch', 'vif1.0', '--netns', street.dom0, '--seconds', '4', '--json']);
    await street.talk(1000, 1200);
    const { stdout } = await watching;
    const { flows, total } = JSON.parse(stdout) as {
      flows: { protocol: string; source: string; destination: string; outgoing: boolean }[];
      total: { partial: number };
    };
    assert.ok(total.partial >= UDP_COUNT);
    const udp = flows.find(({ protocol }) => protocol === 'udp');
    assert.deepEqual([udp?.destination, udp?.outgoing], ['192.0.2.2:7001', false]);
    assert.match(udp?.source ?? '', /^10\.0\.1\.2:\d+$/);

    let counted = '';
    dom0.stdout?.on('data', (piece: Buffer) => (counted += piece.toString()));
    dom0.kill('SIGINT');
    const [, signal] = (await once(dom0, 'close')) as [number | null, string | null];
    assert.equal(signal, 'SIGINT');
    const { forwarded, partial } = JSON.parse(counted) as { forwarded: number; partial: number };
    assert.ok(forwarded > 1000 && partial > 0, counted);
  });
});
