/** `xenctrl net`: packets between guests and the network. */

import { type Command, commands } from '../command.js';

export const net: Command = {
  name: 'net',
  summary: 'packets of guests: their checksums, address translation, and ESP',
  commands: commands({
    classify: async () => (await import('./classify.js')).classify,
    fix: async () => (await import('./fix.js')).fix,
    nat: async () => (await import('./nat.js')).nat,
    esp: async () => (await import('./esp/command.js')).esp,
    vif: async () => (await import('./vif/command.js')).vif,
    watch: async () => (await import('./watch.js')).watch,
    forward: async () => (await import('./forward.js')).forward,
    demo: async () => (await import('./demo/command.js')).demo,
  }),
  examples: [
    ['net vif status vif1.0 --observe 10 --uplink eth0', 'who leaves checksums to whom, and is anything broken?'],
    ['net watch vif1.0', 'the checksums of what a guest sends and gets, as it happens'],
    ['net classify vif1.0.pcap', 'which packets have checksums that are good, partial or corrupt'],
    ['net fix vif1.0.pcap fixed.pcap', 'the partial ones completed'],
    ['net nat vif1.0.pcap eth0.pcap --snat 192.0.2.1 --net 10.0.0.0/8', 'as they leave the host'],
    ['net esp encap vif1.0.pcap esp.pcap --config tunnel.json', 'a capture into an ESP tunnel'],
  ],
};
