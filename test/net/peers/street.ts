/**
 * Three machines in a row, each a network namespace: domU (10.0.1.2) on a network of its own, dom0 between, with no
 * addresses that its kernel knows of, and a host outside (192.0.2.2). Their kernels are the real peers; dom0 is ours.
 */

import { once } from 'node:events';
import { join } from 'node:path';
import { PacketSocket } from '#dist/net/link/index.js';
import { Rig } from '../rig.js';
import type { Conversation } from './peer.js';

const PEER = join(import.meta.dirname, 'peer.js');

export const DOM0_INSIDE = '10.0.1.1/24';
export const DOM0_OUTSIDE = '192.0.2.1/24';
export const HOST = '192.0.2.2';

export interface CsumErrors {
  readonly tcp: number;
  readonly udp: number;
}

export class Street implements Disposable {
  readonly rig = new Rig();
  readonly domu: string;
  readonly dom0: string;
  readonly host: string;

  constructor() {
    const { rig } = this;
    this.domu = rig.netns('domu');
    this.dom0 = rig.netns('dom0');
    this.host = rig.netns('host');
    rig.veth('vif1.0@dom0', 'eth0@domu');
    rig.veth('ext0@dom0', 'eth0@host');
    rig.sh('domu', 'ip addr add 10.0.1.2/24 dev eth0; ip route add default via 10.0.1.1');
    rig.sh('host', `ip addr add ${HOST}/24 dev eth0`);
    this.offload(true, false);
  }

  /** Whether the kernels of domU and of the host leave checksums, and large frames, to their interfaces. */
  offload(tx: boolean, segmentation: boolean): void {
    const onOff = (on: boolean): string => (on ? 'on' : 'off');
    const command = `ethtool -K eth0 tx ${onOff(tx)}; ethtool -K eth0 tso ${onOff(segmentation)} gso ${onOff(segmentation)} gro ${onOff(segmentation)}`;
    for (const name of ['domu', 'host']) this.rig.sh(name, `(${command}) >/dev/null 2>&1 || true`);
  }

  /** dom0's two interfaces. The caller closes them. */
  links(): { inside: PacketSocket; outside: PacketSocket } {
    return {
      inside: PacketSocket.open('vif1.0', { netns: this.dom0 }),
      outside: PacketSocket.open('ext0', { netns: this.dom0 }),
    };
  }

  async startServer(): Promise<void> {
    const child = this.rig.spawn('host', process.execPath, [PEER, 'server', HOST], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.stdout) await once(child.stdout, 'data');
  }

  /** domU talks to the host: so many bytes by TCP and back, then UDP. */
  async talk(bytes: number, limitMs: number): Promise<Conversation> {
    const args = [PEER, 'client', HOST, String(bytes), String(limitMs)];
    const child = this.rig.spawn('domu', process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout?.on('data', (piece: Buffer) => (said += piece.toString()));
    await once(child, 'close');
    return JSON.parse(said) as Conversation;
  }

  /** Packets that a kernel has thrown away because of their checksum, so far. */
  csumErrors(name: 'domu' | 'host'): CsumErrors {
    const lines = this.rig.sh(name, 'cat /proc/net/snmp').split('\n');
    const count = (protocol: string): number => {
      const [names = '', values = ''] = lines.filter((line) => line.startsWith(`${protocol}: `));
      return Number(values.split(' ')[names.split(' ').indexOf('InCsumErrors')]);
    };
    return { tcp: count('Tcp'), udp: count('Udp') };
  }

  [Symbol.dispose](): void {
    this.rig[Symbol.dispose]();
  }
}
