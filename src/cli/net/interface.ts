/** An interface in the place of a capture. */

import { existsSync } from 'node:fs';
import { PacketBatch } from '../../net/capture/batch.js';
import type { PassOptions } from '../../net/capture/pass.js';
import { FrameBatch } from '../../net/link/batch.js';
import { PacketSocket } from '../../net/link/open.js';
import { LINKTYPE } from '../../net/packet.js';
import type { Context } from '../command.js';
import { explained, forSeconds, readDevice, readSeconds } from './vif/common.js';

/** Whether a command's operand is an interface; a file of that name comes first. */
export function isInterface(operand: string, { options }: Context): boolean {
  if (options.has('netns')) return true;
  return !operand.includes('/') && !existsSync(operand) && existsSync(`/sys/class/net/${operand}`);
}

/** Takes what goes over an interface, in both directions, for --seconds or until Ctrl-C. */
export function readInterface(
  context: Context,
  operand: string,
  work: PassOptions['work'],
): Promise<{ readonly packets: number }> {
  return explained(async () => {
    const { name, netns } = readDevice(operand, context);
    const until = forSeconds(readSeconds(context.options.get('seconds'), '--seconds'), context.signal);
    const where = netns === undefined ? {} : { netns };
    using link = PacketSocket.open(name, { outgoing: true, promiscuous: true, ...where });
    const packets = new PacketBatch();
    let count = 0;
    try {
      for await (const frames of link.batches({ batch: new FrameBatch(), signal: until })) {
        packets.count = 0;
        const now = Date.now();
        for (let i = 0; i < frames.count; i++) {
          const place = [frames.start(i), frames.length(i), LINKTYPE.ETHERNET] as const;
          if (!frames.truncated(i)) packets.add(...place, Math.floor(now / 1000), (now % 1000) * 1e6);
        }
        await work(frames.bytes, packets);
        count += packets.count;
        context.progress(`${count} packets`);
      }
    } finally {
      context.progress('');
    }
    const { drops } = link.statistics();
    if (drops > 0) context.note(`${drops} packets came too fast to be looked at`);
    return { packets: count };
  });
}
