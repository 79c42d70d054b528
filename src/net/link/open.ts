/** Opening links. */

import { errno } from '../../abi/errno.js';
import type { Addon } from '../../native/addon.js';
import { loadAddon } from '../../native/load.js';
import type { NativeNetDevice } from '../../native/netdev.js';
import { NetDeviceError } from './error.js';
import { Link } from './link.js';

/** Most bytes of an interface's name. */
const NAME_MAX = 15;

export interface PacketSocketOptions {
  /** The network namespace's path, `/run/netns/NAME`. Default: the caller's. */
  readonly netns?: string;
  /** Frames that this machine sends out of the interface, too. Default false. */
  readonly outgoing?: boolean;
  /** Frames to other stations, too, where the device sorts them out. Default false. */
  readonly promiscuous?: boolean;
  /** Bytes that the kernel keeps until they are taken. Default 8 MiB. */
  readonly receiveBuffer?: number;
}

/**
 * An `AF_PACKET` socket bound to an interface, with `PACKET_VNET_HDR`: checksums that were left to the device come as
 * they are and are marked, and so are frames that are yet to be cut up.
 */
export class PacketSocket extends Link {
  /**
   * @throws NetDeviceError ENODEV: no such interface; EPERM: without CAP_NET_RAW; ENOENT: no such namespace; ENOSYS: no
   *   native addon
   */
  static open(name: string, options: PacketSocketOptions = {}): PacketSocket {
    checkInterface(name);
    const { netns, outgoing = false, promiscuous = false, receiveBuffer = 8 << 20 } = options;
    if (!Number.isInteger(receiveBuffer) || receiveBuffer < 0 || receiveBuffer > 0x4000_0000) {
      throw new RangeError(`receiveBuffer must be an integer from 0 to 2^30, not ${receiveBuffer}`);
    }
    const addon = addonFor(name);
    return new PacketSocket(
      opened(name, addon.openPacketSocket(name, netns ?? null, outgoing, promiscuous, receiveBuffer)),
    );
  }
}

/** `TUN_F_...`: what the kernel may leave undone in frames that it gives (linux/if_tun.h). */
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;

export interface TapOptions {
  readonly netns?: string;
  /** `TUN_F_...`. Default 0: all checksums complete, frames no longer than the MTU. */
  readonly offload?: number;
  /** Whether the interface is set up. Default true. */
  readonly up?: boolean;
}

/** A TAP device: an interface of the kernel's whose cable ends here. Unless it was made to persist it goes with the link. */
export class Tap extends Link {
  /**
   * @param name one with `%d` gets a number
   * @throws NetDeviceError EPERM: without CAP_NET_ADMIN; EBUSY: somebody has it open; ENOENT: there is no /dev/net/tun
   */
  static open(name: string, { netns, offload = 0, up = true }: TapOptions = {}): Tap {
    checkInterface(name);
    if (offload !== (offload & 0xff)) throw new RangeError(`offload must be of TUN_F_..., not ${offload}`);
    return new Tap(opened(name, addonFor(name).openTap(name, netns ?? null, offload, up)));
  }
}

/** @internal */
export function checkInterface(name: string): void {
  if (typeof name !== 'string') throw new TypeError(`an interface's name must be a string, not ${typeof name}`);
  if (/^[^\s/:\0]{1,15}$/u.test(name) && name !== '.' && name !== '..' && Buffer.byteLength(name) <= NAME_MAX) return;
  throw new RangeError(`${JSON.stringify(name)} is no interface's name: 1 to ${NAME_MAX} bytes without blank, / or :`);
}

/** @internal */
export function addonFor(device: string): Addon {
  const loaded = loadAddon();
  if (loaded.addon !== null) return loaded.addon;
  throw new NetDeviceError('open', device, -errno.ENOSYS, loaded.reason);
}

function opened(name: string, native: NativeNetDevice | number): NativeNetDevice {
  if (typeof native === 'number') throw new NetDeviceError('open', name, native);
  return native;
}
