/** Whole captures through a tunnel. */

import { writeUint16 } from '../bytes.js';
import { readPackets } from '../capture/packets.js';
import type { ByteSource } from '../capture/reader.js';
import { type ByteSink, PcapWriter } from '../capture/writer.js';
import { NetProtocolError } from '../error.js';
import { LINKTYPE, PacketView } from '../packet.js';
import { EspError } from './error.js';
import type { EspTunnel } from './tunnel.js';

/** What became of a capture's packets, beside what the tunnel's counters say. */
export interface EspCapture {
  /** All that were read. */
  packets: number;
  /** Those of them that are no IP packets, or are cut off. */
  notIp: number;
}

const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;
/** The longest IP packet behind the longest header of Ethernet with tags. */
const ROOM = 65535 + 64;

/** Encapsulates one packet, or decapsulates it; gives the length that is in `out` then, 0: none. */
type Step = (packet: Uint8Array, out: Uint8Array) => number;

/**
 * Encapsulates the packets of a capture; partial checksums are known by their value. The result has Ethernet headers if
 * the first packet has one, else none, and only what was encapsulated; the tunnel's counters say what became of the rest.
 *
 * @param stopped asked before each packet
 * @throws CaptureError, and what reading and writing throw
 */
export function encapsulateCapture(
  tunnel: EspTunnel,
  source: ByteSource,
  sink: ByteSink,
  stopped: (soFar: Readonly<EspCapture>) => boolean = () => false,
): Promise<EspCapture> {
  const step: Step = (packet, out) => {
    try {
      return tunnel.encapsulateInto(packet, out, 'detect');
    } catch (error) {
      // the tunnel has counted it
      if (error instanceof EspError || error instanceof NetProtocolError) return 0;
      throw error;
    }
  };
  return throughTunnel(step, source, sink, stopped);
}

/** Decapsulates the packets of a capture: see {@link encapsulateCapture}. */
export function decapsulateCapture(
  tunnel: EspTunnel,
  source: ByteSource,
  sink: ByteSink,
  stopped: (soFar: Readonly<EspCapture>) => boolean = () => false,
): Promise<EspCapture> {
  return throughTunnel((packet, out) => tunnel.decapsulateInto(packet, out), source, sink, stopped);
}

async function throughTunnel(
  step: Step,
  source: ByteSource,
  sink: ByteSink,
  stopped: (soFar: Readonly<EspCapture>) => boolean,
): Promise<EspCapture> {
  const result: EspCapture = { packets: 0, notIp: 0 };
  const view = new PacketView();
  const out = new Uint8Array(ROOM);
  let writer: PcapWriter | null = null;
  let ethernet = false;
  for await (const { bytes, offset, length, linkType, seconds, nanoseconds } of readPackets(source)) {
    if (stopped(result)) break;
    if (writer === null) {
      ethernet = linkType === LINKTYPE.ETHERNET;
      writer = new PcapWriter(sink, ethernet ? LINKTYPE.ETHERNET : LINKTYPE.RAW);
    }
    result.packets++;
    view.parse(bytes, offset, length, linkType);
    if (view.version === 0 || (ethernet && linkType !== LINKTYPE.ETHERNET)) {
      result.notIp++;
      continue;
    }
    const header = ethernet ? view.ipStart - view.start : 0;
    const inside = step(bytes.subarray(view.ipStart, view.ipEnd), out.subarray(header));
    if (inside === 0) continue;
    if (ethernet) {
      out.set(bytes.subarray(view.start, view.ipStart));
      writeUint16(out, header - 2, ETHERTYPE[(out[header] as number) >> 4 === 4 ? 4 : 6]);
    }
    await writer.write(out.subarray(0, header + inside), seconds, nanoseconds);
  }
  writer ??= new PcapWriter(sink, LINKTYPE.RAW);
  await writer.flush();
  return result;
}
