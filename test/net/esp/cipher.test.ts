import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { EspKeys } from '#dist/net/esp/algorithm.js';
import { type EspCrypto, makeOpener, makeSealer, nativeEsp, type Sealer } from '#dist/net/esp/cipher.js';
import { CBC, count, GCM, hex } from './packets.js';

/** draft-mcgrew-gcm-test-01, section 4: ESP packets for keys of three lengths; their next header is 1. */
const GCM_VECTORS = [
  {
    name: 'AES-128-GCM with ESN',
    key: '4c80cdefbb5d10da906ac73c3613a634',
    salt: '2e443b68',
    iv: '4956ed7e3b244cfe',
    spi: '00004321',
    high: 0x87654321,
    low: '00000000',
    esn: true,
    payload: `45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000
      00000000045f736970045f756470037369700963796265726369747902646b0000210001`,
    trailer: '01020201',
    sealed: `fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d
      15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4`,
  },
  {
    name: 'AES-192-GCM',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c',
    salt: 'cafebabe',
    iv: 'facedbaddecaf888',
    spi: '0000a5f8',
    high: 0,
    low: '0000000a',
    esn: false,
    payload: '45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d07568',
    trailer: '0001',
    sealed: `a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77
      95457b9652037f5318027b5b4cd7a636`,
  },
  {
    name: 'AES-256-GCM',
    key: 'abbccddef00112233445566778899aababbccddef00112233445566778899aab',
    salt: '11223344',
    iv: '0102030405060708',
    spi: '4a2cbfe3',
    high: 0,
    low: '00000002',
    esn: false,
    payload: '4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402',
    trailer: '01020201',
    sealed: `ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99d
      ef842d8eb335f4eecfdbf831824b4c4915956c96`,
  },
];

/** RFC 3602, section 4. */
const CBC_VECTORS = [
  {
    key: '06a9214036b8a15b512e03d534120006',
    iv: '3dafba429d9eb430b422da802c9fac41',
    text: Buffer.from('Single block msg').toString('hex'),
    sealed: 'e353779c1079aeb82708942dbe77181a',
  },
  {
    key: 'c286696d887c9aa0611bbb3e2025a45a',
    iv: '562e17996d093d28ddb3ba695a2e6f58',
    text: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    sealed: 'd296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1',
  },
  {
    key: '56e47a38c5598974bc46903dba290349',
    iv: '8ce82eefbea0da3c44699ed7db51b7d9',
    text: `a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf
      c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf`,
    sealed: `c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e
      35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55`,
  },
];

/** Seals one packet. */
function seal(
  sealer: Sealer,
  bytes: Uint8Array,
  offset: number,
  length: number,
  nextHeader: number,
  high: number,
  out: Uint8Array,
): number {
  sealer.set(0, offset, length, nextHeader, high, 0, bytes === out);
  sealer.seal(bytes, out, 1);
  return sealer.result(0);
}

const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

test('the addon has the ciphers here', () => ok(nativeEsp(), 'build the addon: npm run build:native'));

for (const crypto of ['native', 'node'] as const) {
  describe(`ciphers of ESP: ${crypto}`, () => {
    for (const { name, key, salt, iv, spi, high, low, esn, payload, trailer, sealed } of GCM_VECTORS) {
      test(`${name} seals and opens the packet of the draft`, () => {
        const keys: EspKeys = { algorithm: 'aes-gcm', key: hex(key), salt: hex(salt) };
        const packet = join(hex(spi), hex(low), hex(iv), hex(sealed));
        const sealer = makeSealer(keys, esn, 0, crypto);
        (sealer.heads[0] as Uint8Array).set(packet.subarray(0, 16));
        const out = new Uint8Array(packet.length);
        equal(seal(sealer, hex(payload), 0, hex(payload).length, 1, high, out), packet.length);
        deepEqual(out, packet);
        const length = makeOpener(keys, esn, crypto).open(packet, 0, packet.length, high, out);
        deepEqual(out.subarray(0, length), join(hex(payload), hex(trailer)));
      });
    }

    for (const { key, iv, text, sealed } of CBC_VECTORS) {
      test(`AES-CBC decrypts ${hex(text).length} bytes as RFC 3602 has it, and HMAC-SHA-256 is node:crypto's`, () => {
        const signed = join(count(8), hex(iv), hex(sealed));
        const icv = createHmac('sha256', CBC.authKey).update(signed).digest().subarray(0, 16);
        const packet = join(signed, icv);
        const out = new Uint8Array(100);
        const length = makeOpener({ ...CBC, key: hex(key) }, false, crypto).open(packet, 0, packet.length, 0, out);
        deepEqual(out.subarray(0, length), hex(text));
      });
    }

    for (const keys of [GCM, CBC]) {
      const ivLength = keys.algorithm === 'aes-gcm' ? 8 : 16;
      const sealed = (esn = true) => {
        const sealer = makeSealer(keys, esn, 3, crypto);
        (sealer.heads[0] as Uint8Array).set(count(3 + 8 + ivLength));
        const out = new Uint8Array(200);
        const length = seal(sealer, count(50), 0, 50, 4, 5, out);
        ok(length > 0);
        return out.slice(3, length);
      };

      test(`${keys.algorithm}: any changed bit is found, and nothing of the plaintext is released`, () => {
        const opener = makeOpener(keys, true, crypto);
        const good = sealed();
        for (let bit = 0; bit < good.length * 8; bit++) {
          const packet = good.slice();
          packet[bit >> 3] = (packet[bit >> 3] as number) ^ (1 << (bit & 7));
          const out = new Uint8Array(packet.length);
          equal(opener.open(packet, 0, packet.length, 5, out), -74);
          ok(out.every((byte) => byte === 0));
        }
        ok(opener.open(good, 0, good.length, 5, new Uint8Array(200)) > 0, 'and the context is as good as before');
      });

      test(`${keys.algorithm}: the sequence number's upper half is authenticated with ESN, and ignored without`, () => {
        const out = new Uint8Array(200);
        const packet = sealed();
        equal(makeOpener(keys, true, crypto).open(packet, 0, packet.length, 6, out), -74);
        const short = sealed(false);
        ok(makeOpener(keys, false, crypto).open(short, 0, short.length, 6, out) > 0);
      });

      test(`${keys.algorithm}: lengths and places that cannot be give errors`, () => {
        const sealer = makeSealer(keys, false, 0, crypto);
        const opener = makeOpener(keys, false, crypto);
        const packet = sealed(false);
        const out = new Uint8Array(200);
        for (const [offset, length] of [
          [0, packet.length + 1],
          [1, packet.length],
          [packet.length + 1, 0],
          [0, 0],
          [0, 31],
        ] as const) {
          equal(opener.open(packet, offset, length, 0, out), -22);
          if (length > packet.length - offset) equal(seal(sealer, packet, offset, length, 4, 0, out), -22);
        }
        equal(opener.open(packet, 0, packet.length, 0, new Uint8Array(40)), -28);
        equal(seal(sealer, packet, 0, 50, 4, 0, new Uint8Array(8 + ivLength + 52)), -28);
        ok(seal(sealer, packet, 0, 0, 59, 0, out) > 0, 'nothing but padding is a packet');
        sealer.close();
        sealer.close();
        opener.close();
        equal(seal(sealer, packet, 0, 50, 4, 0, out), -9);
        equal(opener.open(packet, 0, packet.length, 0, out), -9);
      });

      test(`${keys.algorithm}: opens in place; seals what lies where it will be, or across that`, () => {
        const packet = sealed(false);
        const apart = new Uint8Array(200);
        const opener = makeOpener(keys, false, crypto);
        const length = opener.open(packet, 0, packet.length, 0, apart);
        const place = packet.subarray(8 + ivLength);
        equal(opener.open(packet, 0, packet.length, 0, place), length);
        deepEqual(place.subarray(0, length), apart.subarray(0, length));
        for (const at of [0, 5, 3 + 8 + ivLength, 60]) {
          const sealer = makeSealer(keys, true, 3, crypto);
          (sealer.heads[0] as Uint8Array).set(count(3 + 8 + ivLength));
          const memory = new Uint8Array(200);
          memory.set(count(50), at);
          const total = seal(sealer, memory, at, 50, 4, 5, memory);
          deepEqual(memory.slice(3, total), sealed());
        }
      });
    }
  });
}

test('native: a plaintext that would lie across its own ciphertext is refused', () => {
  const packet = new Uint8Array(200);
  equal(makeOpener(GCM, false, 'native').open(packet, 0, 100, 0, packet.subarray(20)), -22);
});

test('keys of a wrong length are refused without being told', () => {
  const key = hex('c0ffee');
  for (const crypto of ['native', 'node'] as const) {
    throws(() => makeSealer({ ...GCM, key }, false, 0, crypto), {
      name: 'RangeError',
      message: /key must have 16, 24 or 32/,
    });
    throws(() => makeSealer({ ...GCM, salt: key }, false, 0, crypto), { message: 'salt must have 4 bytes, not 3' });
    throws(() => makeSealer({ ...CBC, authKey: key }, false, 0, crypto), {
      message: 'authKey must have 32 bytes, not 3',
    });
    throws(() => makeOpener({ ...GCM, icvLength: 10 }, false, crypto), { message: /icvLength must be 8, 12 or 16/ });
  }
});

test("the addon and node:crypto make the same bytes of the same packet, and open each other's", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const key = fc.constantFrom(16, 24, 32).chain(bytes);
  const keys: fc.Arbitrary<EspKeys> = fc.oneof(
    fc.record({
      algorithm: fc.constant('aes-gcm' as const),
      key,
      salt: bytes(4),
      icvLength: fc.constantFrom(8, 12, 16),
    }),
    fc.record({ algorithm: fc.constant('aes-cbc-hmac-sha256' as const), key, authKey: bytes(32) }),
  );
  const both: readonly EspCrypto[] = ['native', 'node'];
  fc.assert(
    fc.property(
      keys,
      fc.boolean(),
      fc.nat({ max: 0xffffffff }),
      fc.nat({ max: 300 }),
      fc.nat({ max: 48 }),
      fc.infiniteStream(fc.nat(255)),
      (keys, esn, high, length, outer, stream) => {
        const random = (size: number) => new Uint8Array(size).map(() => stream.next().value as number);
        const payload = random(length);
        const head = random(outer + 8 + (keys.algorithm === 'aes-gcm' ? 8 : 16));
        const [one, other] = both.map((crypto) => {
          const sealer = makeSealer(keys, esn, outer, crypto);
          (sealer.heads[0] as Uint8Array).set(head);
          const out = new Uint8Array(500);
          return out.subarray(0, seal(sealer, payload, 0, length, 41, high, out));
        }) as [Uint8Array, Uint8Array];
        deepEqual(one, other);
        deepEqual(one.subarray(0, head.length), head);
        for (const crypto of both) {
          const out = new Uint8Array(500);
          const opened = makeOpener(keys, esn, crypto).open(one, outer, one.length - outer, high, out);
          deepEqual(out.subarray(0, length), payload);
          deepEqual([...out.subarray(opened - 2, opened)], [opened - 2 - length, 41]);
        }
      },
    ),
    { numRuns: 200 },
  );
});
