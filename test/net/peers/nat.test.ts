/** Our dom0 between real kernels: TCP both ways and UDP through its NAT, the checksums partial and complete. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Forwarder } from '#dist/net/forward/forwarder.js';
import type { ChecksumWork } from '#dist/net/forward/router.js';
import { Nat } from '#dist/net/nat/nat.js';
import { noRig } from '../rig.js';
import { type Conversation, UDP_COUNT } from './peer.js';
import { DOM0_INSIDE, DOM0_OUTSIDE, Street } from './street.js';

const skip = noRig() ?? false;

interface Case {
  readonly name: string;
  /** Whether domU and the host leave checksums to their interfaces. Default true. */
  readonly tx?: boolean;
  /** And large frames. Default false. */
  readonly segmentation?: boolean;
  readonly checksums?: ChecksumWork;
  readonly takePartialForComplete?: boolean;
  readonly historic?: '2005-10-14';
  /** Whether the NAT gives connections other ports. */
  readonly mapped: boolean;
  readonly arrives: boolean;
}

const CASES: readonly Case[] = [
  { name: 'partial checksums, ports kept', mapped: false, arrives: true },
  { name: 'partial checksums, ports mapped', mapped: true, arrives: true },
  { name: 'complete checksums, ports mapped', tx: false, mapped: true, arrives: true },
  { name: "2005-10-14's patch, ports kept", historic: '2005-10-14', mapped: false, arrives: true },
  {
    name: "2005-10-14's patch, ports mapped: what it was wrong about",
    historic: '2005-10-14',
    mapped: true,
    arrives: false,
  },
  { name: "2.6.12's way: partial taken for complete", takePartialForComplete: true, mapped: false, arrives: false },
  { name: 'translated rightly and sent out unfinished', checksums: 'leave', mapped: false, arrives: false },
  { name: 'handed on to the next device', checksums: 'hand-on', mapped: true, arrives: true },
  { name: 'large frames, cut up and finished', segmentation: true, mapped: true, arrives: true },
  { name: 'large frames, handed on', segmentation: true, checksums: 'hand-on', mapped: true, arrives: true },
  {
    name: "large frames and 2005-10-14's patch",
    segmentation: true,
    historic: '2005-10-14',
    mapped: true,
    arrives: false,
  },
];

describe('NAT between real kernels', { skip }, () => {
  let street: Street;
  before(async () => {
    street = new Street();
    await street.startServer();
  });
  after(() => street[Symbol.dispose]());

  for (const one of CASES) {
    test(`${one.name}: ${one.arrives ? 'arrives' : 'is thrown away by the host'}`, async (t) => {
      street.offload(one.tx ?? true, one.segmentation ?? false);
      const { inside, outside } = street.links();
      using nat = new Nat({
        rules: [
          {
            kind: 'snat',
            source: '10.0.1.0/24',
            to: '192.0.2.1',
            ...(one.mapped ? { ports: { min: 20000, max: 29999 } } : {}),
          },
        ],
        finish: false,
        ...(one.historic ? { historic: one.historic } : {}),
      });
      const forwarder = new Forwarder(inside, outside, {
        inside: { address: DOM0_INSIDE },
        outside: { address: DOM0_OUTSIDE },
        nat,
        ...(one.checksums ? { checksums: one.checksums } : {}),
        ...(one.takePartialForComplete ? { takePartialForComplete: true } : {}),
      });
      const stop = new AbortController();
      const running = forwarder.run(stop.signal);
      const before = street.csumErrors('host');
      const said = await street.talk(1_000_000, one.arrives ? 10_000 : 1200);
      stop.abort();
      await running;
      const counters = forwarder.counters;
      inside.close();
      outside.close();
      const now = street.csumErrors('host');
      const errors = { tcp: now.tcp - before.tcp, udp: now.udp - before.udp };
      t.diagnostic(JSON.stringify({ ...said, errors, ...counters }));
      check(one, said, errors);
      if (one.tx === false) assert.equal(counters.partial, 0);
      else assert.ok(counters.partial > 12, 'the kernels sent partial checksums');
      if (one.segmentation && one.arrives) assert.ok(counters.gso > 0, 'the kernels sent large frames');
      assert.deepEqual([counters.kernelDrops, counters.refused], [0, {}]);
    });
  }
});

function check(one: Case, said: Conversation, errors: { tcp: number; udp: number }): void {
  if (one.arrives) {
    assert.deepEqual(
      { tcp: said.tcp, udp: said.udp, errors },
      { tcp: true, udp: UDP_COUNT, errors: { tcp: 0, udp: 0 } },
    );
    return;
  }
  assert.deepEqual([said.tcp, said.udp], [false, 0]);
  assert.ok(errors.tcp >= 1, `the host's TcpInCsumErrors went up by ${errors.tcp}`);
  assert.equal(errors.udp, UDP_COUNT, "the host's UdpInCsumErrors");
}
