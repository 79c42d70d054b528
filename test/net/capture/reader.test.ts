import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CaptureError, type CaptureFault, CaptureReader, PcapWriter, readPackets } from '#dist/net/index.js';
import {
  block,
  type Captured,
  description,
  joined,
  packetBlock,
  pcap,
  section,
  simpleBlock,
  sourceOf,
} from './files.js';

interface Seen {
  readonly bytes: readonly number[];
  readonly linkType: number;
  readonly time: bigint;
}

async function read(file: Uint8Array, atOnce?: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const { bytes, offset, length, linkType, seconds, nanoseconds } of readPackets(sourceOf(file, atOnce))) {
    const time = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
    seen.push({ bytes: [...bytes.subarray(offset, offset + length)], linkType, time });
  }
  return seen;
}

/** All that a reader gives, put together again: the file, whatever it has. */
async function passed(file: Uint8Array, atOnce?: number): Promise<Uint8Array> {
  const reader = new CaptureReader(sourceOf(file, atOnce));
  const parts: Uint8Array[] = [];
  while (await reader.next()) {
    while (reader.scan());
    parts.push(reader.part.slice());
  }
  parts.push(reader.rest.slice());
  return joined(...parts);
}

const TIME = 1_700_000_000_123_456_789n;

const captured = fc.array(
  fc.record({
    bytes: fc.uint8Array({ maxLength: 100 }),
    time: fc.bigInt(0n, 4_294_967_295_999_999_999n),
  }),
  { maxLength: 20 },
);

test('pcap: every packet with its time, in both byte orders, micro- and nanoseconds, however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      captured,
      fc.boolean(),
      fc.boolean(),
      fc.integer({ min: 1, max: 300 }),
      async (packets, little, nanoseconds, atOnce) => {
        const file = pcap(packets, { little, nanoseconds, linkType: 101 });
        const unit = nanoseconds ? 1n : 1000n;
        const expected = packets.map(({ bytes, time }) => ({
          bytes: [...bytes],
          linkType: 101,
          time: (time / unit) * unit,
        }));
        assert.deepEqual(await read(file, atOnce), expected);
        assert.deepEqual(await passed(file, atOnce), file);
      },
    ),
    { numRuns: 200 },
  );
});

test('pcapng: all kinds of packet blocks, sections of both byte orders, what is not understood passes', async () => {
  const parts = [true, false].flatMap((little) => {
    const order = { little };
    return [
      section(order),
      block(0x0bad, [1, 2, 3, 4, 5], order),
      description(1, {}, order),
      description(113, { resolution: 9, offset: 100n }, order),
      packetBlock(0, TIME / 1000n, Uint8Array.of(1, 2, 3), order),
      block(5, new Uint8Array(64), order), // interface statistics
      packetBlock(1, TIME, Uint8Array.of(4, 5), order),
      packetBlock(1, TIME, Uint8Array.of(6), { little, type: 2 }),
      simpleBlock(Uint8Array.of(7, 8), 2, order),
      block(0x80000001, [], order),
    ];
  });
  const file = joined(...parts);
  const one = [
    { bytes: [1, 2, 3], linkType: 1, time: (TIME / 1000n) * 1000n },
    { bytes: [4, 5], linkType: 113, time: TIME + 100_000_000_000n },
    { bytes: [6], linkType: 113, time: TIME + 100_000_000_000n },
    { bytes: [7, 8], linkType: 1, time: TIME + 100_000_000_000n },
  ];
  for (const atOnce of [1, 7, 64, 4096]) {
    assert.deepEqual(await read(file, atOnce), [...one, ...one]);
    assert.deepEqual(await passed(file, atOnce), file);
  }
});

test('pcapng: times of every resolution', async () => {
  for (const [resolution, ticks, expected] of [
    [0, 12n, 12_000_000_000n],
    [3, 1_700_000_000_123n, 1_700_000_000_123_000_000n],
    [6, TIME / 1000n, (TIME / 1000n) * 1000n],
    [9, TIME, TIME],
    [12, 1_700_000_000_123_456n, 1_700_000_000_123n],
    [0x80 + 10, (5n << 10n) + 512n, 5_500_000_000n],
    [0x80 + 30, (1_700_000_000n << 30n) + (1n << 29n), 1_700_000_000_500_000_000n],
    [0x80 + 40, (9n << 40n) + (1n << 38n), 9_250_000_000n],
  ] as const) {
    const file = joined(section(), description(1, { resolution }), packetBlock(0, ticks, Uint8Array.of(1)));
    const [only] = await read(file);
    assert.equal(only?.time, expected, `resolution ${resolution}`);
  }
});

test('pcapng: a simple packet is cut at the length that its interface says', async () => {
  const file = joined(section(), description(1, { snapLength: 4 }), simpleBlock(Uint8Array.of(1, 2, 3, 4), 90));
  assert.deepEqual(
    (await read(file)).map(({ bytes }) => bytes),
    [[1, 2, 3, 4]],
  );
});

test('a packet larger than what is read at once is whole', async () => {
  const bytes = new Uint8Array(3_000_000).map((_, i) => i);
  const file = pcap([{ bytes: Uint8Array.of(1) }, { bytes }, { bytes: Uint8Array.of(2) }]);
  const seen = await read(file, 100_000);
  assert.deepEqual(
    seen.map((one) => one.bytes.length),
    [1, 3_000_000, 1],
  );
  assert.deepEqual(Uint8Array.from(seen[1]?.bytes ?? []), bytes);
  assert.deepEqual(await passed(file), file);
});

test('more packets than a batch has room for come in several', async () => {
  const packets: Captured[] = Array.from({ length: 40_000 }, () => ({ bytes: new Uint8Array(0) }));
  const file = pcap(packets);
  assert.equal((await read(file)).length, 40_000);
});

test('a file that ends in the middle of a packet gives what is whole, and the rest', async () => {
  const file = pcap([{ bytes: Uint8Array.of(1, 2, 3) }, { bytes: Uint8Array.of(4, 5, 6) }]);
  for (let cut = 1; cut < 19; cut++) {
    const short = file.subarray(0, file.length - cut);
    assert.equal((await read(short)).length, 1, `${cut} bytes less`);
    assert.deepEqual(await passed(short), short);
  }
  assert.deepEqual(await read(pcap([])), []);
});

function word(file: Uint8Array, at: number, value: number): Uint8Array {
  const bytes = file.slice();
  new DataView(bytes.buffer).setUint32(at, value, true);
  return bytes;
}

const ng = joined(section(), description(1), packetBlock(0, TIME, new Uint8Array(8)));
const interfaceAt = section().length;
const packetAt = interfaceAt + description(1).length;

const HOSTILE: readonly [name: string, CaptureFault, position: number, Uint8Array][] = [
  ['nothing', 'header', 0, new Uint8Array(0)],
  ['three bytes', 'magic', 0, Uint8Array.of(0xd4, 0xc3, 0xb2)],
  ['text', 'magic', 0, Uint8Array.from(Buffer.from('GET / HTTP/1.1\r\nHost: example\r\n\r\n'))],
  ['gzip', 'magic', 0, Uint8Array.of(0x1f, 0x8b, ...new Array(40).fill(8))],
  ['a pcap header that is cut', 'header', 0, pcap([]).subarray(0, 20)],
  ['a packet of 4 GiB', 'packet-length', 24, word(pcap([{ bytes: Uint8Array.of(1) }]), 32, 0xffffffff)],
  ['a section without byte order', 'magic', 0, word(ng, 8, 0x12345678)],
  ['a block of 4 GiB', 'block-length', interfaceAt, word(ng, interfaceAt + 4, 0xfffffffc)],
  ['a block of 0 bytes', 'block-length', interfaceAt, word(ng, interfaceAt + 4, 0)],
  ['a block of 8 bytes', 'block-length', packetAt, word(ng, packetAt + 4, 8)],
  ['a block of 33 bytes', 'block-length', packetAt, word(ng, packetAt + 4, 33)],
  ['a packet block too small for its header', 'block-length', packetAt, word(ng, packetAt + 4, 28)],
  ['two lengths', 'block-length', packetAt, word(ng, ng.length - 4, 16)],
  ['a packet longer than its block', 'packet-length', packetAt, word(ng, packetAt + 20, 200)],
  ['a packet of an interface that is not there', 'interface', packetAt, word(ng, packetAt + 8, 1)],
  [
    'a packet before any interface',
    'interface',
    interfaceAt,
    joined(section(), packetBlock(0, TIME, Uint8Array.of(1))),
  ],
  [
    'interfaces without end',
    'interfaces',
    28 + 65536 * 20,
    joined(section(), ...new Array(65537).fill(block(1, new Uint8Array(8)))),
  ],
];

for (const [name, fault, position, file] of HOSTILE) {
  test(`${name}: ${fault}`, async () => {
    await assert.rejects(read(file), (error) => {
      assert.ok(error instanceof CaptureError, String(error));
      assert.deepEqual([error.fault, error.position], [fault, position]);
      return true;
    });
  });
}

test('whatever bytes a capture has, it is read or refused, and never beyond its end', async () => {
  const seeds = [pcap([{ bytes: new Uint8Array(60) }, { bytes: new Uint8Array(60) }]), ng, joined(ng, ng)];
  const changes = fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...seeds),
      changes,
      fc.integer({ min: 1, max: 200 }),
      async (seed, all, atOnce) => {
        const file = seed.slice();
        for (const [at, value] of all) if (at < file.length) file[at] = value;
        try {
          const reader = new CaptureReader(sourceOf(file, atOnce));
          let length = 0;
          while (await reader.next()) {
            while (reader.scan()) {
              const start = reader.part.byteOffset - reader.bytes.byteOffset;
              for (let i = 0; i < reader.batch.count; i++) {
                const [offset = 0, size = 0] = reader.batch.places.subarray(3 * i);
                assert.ok(offset >= start && offset + size <= start + reader.part.length);
              }
            }
            length += reader.part.length;
          }
          assert.equal(length + reader.rest.length, file.length);
        } catch (error) {
          assert.ok(error instanceof CaptureError, String(error));
        }
      },
    ),
    { numRuns: 1500 },
  );
});

test('an error of the source reaches the reader', async () => {
  await assert.rejects(
    async () => {
      for await (const _ of readPackets({ read: () => Promise.reject(new Error('EIO')) }));
    },
    { message: 'EIO' },
  );
});

test('what is written is read again, packets larger than the buffer too', async () => {
  const parts: Uint8Array[] = [];
  const writer = new PcapWriter({ write: async (bytes) => void parts.push(bytes.slice()) }, 228);
  const sizes = [0, 1, 1500, 2_000_000, 60];
  for (const [i, size] of sizes.entries())
    await writer.write(new Uint8Array(size).fill(i), 1_700_000_000 + i, 999_999_999);
  await writer.flush();
  const seen = await read(joined(...parts));
  assert.deepEqual(
    seen.map(({ bytes }) => bytes.length),
    sizes,
  );
  assert.deepEqual(
    seen.map(({ time }) => time % 1_000_000_000n),
    sizes.map(() => 999_999_999n),
  );
  assert.equal(seen[4]?.linkType, 228);
});
