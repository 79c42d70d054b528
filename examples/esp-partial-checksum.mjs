// A guest's packet through an ESP tunnel of dom0: as Xen did it in July 2005, and as it is done right.
//   node examples/esp-partial-checksum.mjs

import { classifyChecksum, EspTunnel, LINKTYPE, PacketView, pseudoHeaderSum } from 'xenctrl/net';

// UDP from 10.0.1.2 to 192.168.9.9; netfront leaves the checksum to the device: the pseudo-header's sum is in the field
const hex = '45000020000040004011661a0a000102c0a8090913880035000c000068690a00';
const packet = Uint8Array.from(Buffer.from(hex, 'hex'));
new DataView(packet.buffer).setUint16(26, pseudoHeaderSum(packet, 12, 4, 17, 12));

const sa = { spi: 0x1000, keys: { algorithm: 'aes-gcm', key: new Uint8Array(16), salt: new Uint8Array(4) } };
const far = new EspTunnel({ local: '192.0.2.2', remote: '192.0.2.1', inbound: { ...sa, replayWindow: 0 } });

for (const [when, options] of [
  ['2005, dom0', { historic: '2005-07' }],
  ['2005, with ESP let through', { historic: '2005-07-let-through' }],
  ['today', {}],
]) {
  const dom0 = new EspTunnel({ local: '192.0.2.1', remote: '192.0.2.2', outbound: sa, device: 'vif1.0', ...options });
  try {
    const inner = far.decapsulate(dom0.encapsulate(packet, true));
    const view = new PacketView();
    view.parse(inner, 0, inner.length, LINKTYPE.RAW);
    const state = classifyChecksum(view);
    console.log(`${when}: the far end gets it, its checksum is ${state}: ${state === 'good' ? 'taken' : 'dropped'}`);
  } catch (error) {
    console.log(`${when}: ${error.code}, nothing leaves dom0`);
  }
}
far.close();

// what cannot be completed is refused with a reason: SCTP has no such checksum
const dom0 = new EspTunnel({ local: '192.0.2.1', remote: '192.0.2.2', outbound: sa, device: 'vif1.0' });
try {
  dom0.encapsulate(packet.with(9, 132), true);
} catch ({ code, stage, ipProto, device }) {
  console.log('today, SCTP:', { code, stage, ipProto, device });
}
