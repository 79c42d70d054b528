/** `xenctrl net demo`: what went wrong with checksums in 2005, and what is right, on the model. */

import type { EspHistoric } from '../../../net/esp/options.js';
import { EspTunnel } from '../../../net/esp/tunnel.js';
import { Nat } from '../../../net/nat/nat.js';
import type { Command, Outcome } from '../../command.js';
import { EXIT_FAILED, EXIT_OK } from '../../exit.js';
import { table } from '../../style.js';
import type * as street from './street.js';

interface Scene {
  readonly name: string;
  readonly options?: Partial<street.StreetOptions>;
  /** Whether the NAT gives connections other ports. */
  readonly mapped?: boolean;
  readonly historic?: '2005-10-14';
  /** Through ESP, and how. */
  readonly esp?: EspHistoric | 'right';
  readonly arrives: boolean;
}

const SCENES: readonly Scene[] = [
  { name: 'NAT, partial checksums updated as such and completed', mapped: true, arrives: true },
  {
    name: 'NAT of Linux 2.6.12: partial taken for complete',
    options: { takePartialForComplete: true },
    arrives: false,
  },
  { name: 'the patch of 2005-10-14, port kept', historic: '2005-10-14', arrives: true },
  { name: 'the patch of 2005-10-14, port changed', historic: '2005-10-14', mapped: true, arrives: false },
  { name: 'translated rightly, and nobody completes it', options: { checksums: 'leave' }, arrives: false },
  {
    name: "the cure of 2005: the guest's tx off, 2.6.12",
    options: { takePartialForComplete: true, frontend: { tx: false } },
    arrives: true,
  },
  { name: 'ESP, completed before it is encrypted', esp: 'right', arrives: true },
  { name: 'ESP of July 2005: dropped with ENOMEM', esp: '2005-07', arrives: false },
  { name: 'ESP of July 2005, let through', esp: '2005-07-let-through', arrives: false },
];

const PACKETS = 12;

interface Shown {
  readonly scene: string;
  readonly sent: number;
  /** As csum_blank on the ring between netfront and netback. */
  readonly blank: number;
  readonly arrived: number;
  /** Thrown away by the host for their checksum. */
  readonly csumErrors: number;
  /** Why dom0 let none of them go on. */
  readonly dropped: readonly string[];
  readonly asItWas: boolean;
}

function play(
  { name, options = {}, mapped = false, historic, esp, arrives }: Scene,
  { HOST, ModelStreet }: typeof street,
): Shown {
  using nat = new Nat({
    rules: [
      {
        kind: 'snat',
        source: '10.0.1.0/24',
        to: '192.0.2.1',
        ...(mapped ? { ports: { min: 20000, max: 29999 } } : {}),
      },
    ],
    finish: false,
    ...(historic ? { historic } : {}),
  });
  const tunnel = esp === undefined ? undefined : tunnelOf(esp);
  const machines = new ModelStreet({
    ...(tunnel ? { nat: null, tunnel } : { nat }),
    ...options,
  });
  for (let i = 0; i < PACKETS; i++) {
    machines.guest.send(i % 2 === 0 ? 'tcp' : 'udp', HOST, 5000 + i, 80, new Uint8Array(i * 100).fill(i));
  }
  tunnel?.near.close();
  tunnel?.far.close();
  const { host, vif, router } = machines;
  const dropped = Object.keys(router.counters.dropped);
  const csumErrors = host.inCsumErrors.tcp + host.inCsumErrors.udp;
  const arrived = host.received.length;
  const asItWas = arrives ? arrived === PACKETS : arrived === 0;
  return {
    scene: name,
    sent: PACKETS,
    blank: vif.tx.blank,
    arrived,
    csumErrors,
    dropped,
    asItWas,
  };
}

function tunnelOf(esp: EspHistoric | 'right'): { near: EspTunnel; far: EspTunnel } {
  const keys = { algorithm: 'aes-gcm', key: new Uint8Array(16).fill(7), salt: new Uint8Array(4) } as const;
  const sa = { spi: 0x1000, keys };
  const near = new EspTunnel({
    local: '192.0.2.1',
    remote: '192.0.2.254',
    outbound: sa,
    ...(esp === 'right' ? {} : { historic: esp }),
  });
  return { near, far: new EspTunnel({ local: '192.0.2.254', remote: '192.0.2.1', inbound: sa }) };
}

export const demo: Command = {
  name: 'demo',
  summary: 'show on the model what went wrong with checksums in 2005, and what is right',
  description: [
    'A guest with checksum offload sends through netfront and netback of the model to a dom0 that translates its packets or puts them into ESP, towards a host that looks at every checksum. Needs neither Xen nor root; `npm run test:net` shows the same between real kernels.',
  ],
  examples: [['net demo --json | jq ".scenes[].csumErrors"', 'as JSON']],
  run: async (): Promise<Outcome> => {
    // the other commands of `net` need no model, and start in two thirds of the time without
    const model = await import('./street.js');
    const scenes = SCENES.map((scene) => play(scene, model));
    return {
      json: { scenes },
      text: (style) => {
        const rows = scenes.map(({ scene, sent, blank, arrived, csumErrors, dropped }) => {
          const end = arrived === sent ? style.good('arrives') : style.bad(dropped[0] ?? 'thrown away');
          return [scene, String(sent), String(blank), String(arrived), String(csumErrors), end];
        });
        const [heading = '', ...body] = table(
          [['', 'SENT', 'BLANK', 'ARRIVED', 'BAD CHECKSUM', ''], ...rows],
          [1, 2, 3, 4],
        );
        return [style.quiet(heading), ...body];
      },
      code: scenes.every(({ asItWas }) => asItWas) ? EXIT_OK : EXIT_FAILED,
    };
  },
};
