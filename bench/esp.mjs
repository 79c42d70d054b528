// ESP on packets of 1,400 bytes, all that a tunnel does with each (encapsulating: as they come, many at a time), beside OpenSSL's own measurement of the bare cipher.
// Aim: AES-128-GCM encapsulated by the addon at half of `openssl speed -evp aes-128-gcm -bytes 1400` or more. OpenSSL
// encrypts the same bytes over and over under one nonce, without a tag: what a packet costs comes on top of that.

import { spawnSync } from 'node:child_process';
import { Missing, orSkipped, requireAddon } from './lib/compile.mjs';

const LENGTH = 1400;
/** Packets at a time, each with room for what is around it. */
const BATCH = 32;
const SLOT = 1600;
/** Turns, in each of which everything is measured once; the best counts, as it does for what openssl prints. */
const TURNS = 3;
const SECONDS = 1;

const key = Uint8Array.from({ length: 16 }, (_, i) => i);
const KEYS = {
  gcm: { algorithm: 'aes-gcm', key, salt: key.subarray(0, 4) },
  cbc: { algorithm: 'aes-cbc-hmac-sha256', key, authKey: new Uint8Array(32) },
};

/** An IPv4 packet with UDP in it; of its checksum the pseudo-header's sum is there. */
function packet(pseudoHeaderSum) {
  const bytes = new Uint8Array(LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 1, 2, 192, 0, 2, 2, 19, 136, 0, 53]);
  view.setUint16(2, LENGTH);
  view.setUint16(24, LENGTH - 20);
  view.setUint16(26, pseudoHeaderSum(bytes, 12, 4, 17, LENGTH - 20));
  return bytes;
}

/** MB/s of packets that a body works on, by the processor's time, which is what openssl counts, too. */
function rate(body, packets = 1) {
  const start = process.cpuUsage();
  const end = performance.now() + SECONDS * 1000;
  let count = 0;
  for (; performance.now() < end; count += 50 * packets) for (let i = 0; i < 50; i++) body();
  const { user, system } = process.cpuUsage(start);
  return (count * LENGTH) / (user + system);
}

/** MB/s as openssl measures it. */
function openssl(...args) {
  const { stdout, error } = spawnSync(
    'openssl',
    ['speed', '-seconds', String(SECONDS), '-bytes', String(LENGTH), ...args],
    {
      encoding: 'utf8',
    },
  );
  if (error) throw new Missing('openssl is not installed (Debian: apt install openssl)');
  const [, kilobytes] = /([\d.]+)k\s*$/.exec(stdout) ?? [];
  if (kilobytes === undefined) throw new Error(`openssl speed ${args.join(' ')}: ${stdout}`);
  return Number(kilobytes) / 1000;
}

export async function* bench() {
  yield* orSkipped('ESP', async function* () {
    requireAddon();
    const { EspTunnel, pseudoHeaderSum } = await import('../dist/net/index.js');
    const inner = packet(pseudoHeaderSum);
    const out = new Uint8Array(2048);
    const ends = { local: '192.0.2.1', remote: '192.0.2.2', mtu: 2000 };

    const encapsulate = (name, crypto, partial) => {
      const tunnel = new EspTunnel({ ...ends, crypto, outbound: { spi: 4096, esn: true, keys: KEYS[name] } });
      return () => tunnel.encapsulateInto(inner, out, partial);
    };
    const batch = (name) => {
      const tunnel = new EspTunnel({ ...ends, outbound: { spi: 4096, esn: true, keys: KEYS[name] } });
      const packets = new Uint8Array(BATCH * LENGTH);
      const places = new Uint32Array(2 * BATCH);
      for (let i = 0; i < BATCH; i++) {
        packets.set(inner, i * LENGTH);
        places.set([i * LENGTH, LENGTH], 2 * i);
      }
      const slots = new Uint8Array(BATCH * SLOT);
      const lengths = new Uint32Array(BATCH);
      return () => tunnel.encapsulateBatch(packets, places, slots, SLOT, lengths);
    };
    const decapsulate = (name, crypto) => {
      const sa = { spi: 4096, keys: KEYS[name] };
      const outer = new EspTunnel({ ...ends, outbound: sa }).encapsulate(inner);
      const at = { local: ends.remote, remote: ends.local };
      // without a window: the same packet comes again and again
      const tunnel = new EspTunnel({ ...at, crypto, inbound: { ...sa, replayWindow: 0 } });
      return () => tunnel.decapsulateInto(outer, out);
    };
    const gcm = () => openssl('-evp', 'aes-128-gcm');
    const gcmBack = () => openssl('-decrypt', '-evp', 'aes-128-gcm');
    const both = (cipher) => () => 1 / (1 / cipher() + 1 / openssl('-evp', 'sha256'));
    const cbc = both(() => openssl('-evp', 'aes-128-cbc'));
    const cbcBack = both(() => openssl('-decrypt', '-evp', 'aes-128-cbc'));
    const speed = 'openssl speed -evp aes-128-gcm -bytes 1400';

    const cases = [
      [`GCM, encapsulate, ${BATCH} at a time`, batch('gcm'), gcm, speed, BATCH],
      ['GCM, encapsulate, one at a time', encapsulate('gcm', 'native', false), gcm, speed],
      ['GCM, encapsulate, node:crypto', encapsulate('gcm', 'node', false), gcm, speed],
      ['GCM, complete a partial checksum and encapsulate', encapsulate('gcm', 'native', true), gcm, speed],
      ['GCM, decapsulate', decapsulate('gcm', 'native'), gcmBack, `${speed} -decrypt`],
      ['GCM, decapsulate, node:crypto', decapsulate('gcm', 'node'), gcmBack, `${speed} -decrypt`],
      ['CBC and HMAC, encapsulate', encapsulate('cbc', 'native', false), cbc, 'openssl speed, aes-128-cbc and sha256'],
      [
        'CBC and HMAC, encapsulate, node:crypto',
        encapsulate('cbc', 'node', false),
        cbc,
        'openssl speed, aes-128-cbc and sha256',
      ],
      [
        'CBC and HMAC, decapsulate',
        decapsulate('cbc', 'native'),
        cbcBack,
        'openssl speed, aes-128-cbc -decrypt and sha256',
      ],
      [
        'CBC and HMAC, decapsulate, node:crypto',
        decapsulate('cbc', 'node'),
        cbcBack,
        'openssl speed, aes-128-cbc -decrypt and sha256',
      ],
    ];
    const rivals = [gcm, gcmBack, cbc, cbcBack];
    const ours = new Map(cases.map(([name]) => [name, []]));
    const theirs = new Map(rivals.map((rival) => [rival, []]));
    for (let turn = 0; turn < TURNS; turn++) {
      for (const rival of rivals) {
        theirs.get(rival).push(rival());
        for (const [name, body, its, , packets] of cases) if (its === rival) ours.get(name).push(rate(body, packets));
      }
    }
    for (const [name, , rival, rivalName] of cases) {
      yield {
        case: `1400 bytes: ${name}`,
        ours: Math.max(...ours.get(name)),
        rival: Math.max(...theirs.get(rival)),
        rivalName,
        unit: 'MB/s',
      };
    }
  });
}
