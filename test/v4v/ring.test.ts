/** The ring codec alone. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatRing, RingReader, RingWriter, V4vRingError } from '#dist/v4v/index.js';

function ends(length: number, buffer: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(64 + length)) {
  return {
    buffer,
    view: new DataView(buffer),
    writer: new RingWriter(buffer, length),
    reader: new RingReader(buffer, length),
  };
}

const bytes = (length: number, value = 0x61): Uint8Array => new Uint8Array(length).fill(value);

test('write, read: payload, source and type arrive; an empty ring gives null', () => {
  for (const buffer of [new ArrayBuffer(64 + 256), new SharedArrayBuffer(64 + 256)]) {
    const { writer, reader } = ends(256, buffer);
    assert.equal(reader.read(), null);
    const source = { port: 0xffff_fffe, domain: 0x7fef };
    assert.equal(writer.write(bytes(5), { source, messageType: 0xdead_beef }), true);
    assert.equal(writer.write(bytes(0)), true);
    assert.equal(reader.nextLength, 5);
    assert.deepEqual(reader.read(), { source, messageType: 0xdead_beef, payload: bytes(5) });
    assert.deepEqual(reader.read(), {
      source: { port: 0, domain: 0 },
      messageType: 0x3c2c_1db8,
      payload: new Uint8Array(0),
    });
    assert.equal(reader.read(), null);
  }
});

test('formatRing: a header that Xen takes', () => {
  const buffer = new ArrayBuffer(4096 * 2).slice(0);
  new Uint8Array(buffer).fill(0xff);
  formatRing(buffer, 4032, { port: 80, domain: 3, partner: 5 }, 4096);
  const view = new DataView(buffer, 4096);
  assert.equal(view.getBigUint64(0, true), 0xa822f72bb0b9d8ccn);
  assert.deepEqual([view.getUint32(8, true), view.getUint16(12, true), view.getUint16(16, true)], [80, 3, 5]);
  assert.deepEqual(
    [20, 24, 28].map((at) => view.getUint32(at, true)),
    [4032, 0, 0],
  );
  formatRing(buffer, 4032, { port: 80 }, 4096);
  assert.equal(view.getUint16(16, true), 0x7ff4, 'any partner');
  assert.equal(view.getUint8(64), 0xff, 'the data are left alone');
});

test('construction: lengths and places that no ring can have', () => {
  const buffer = new ArrayBuffer(64 + 256);
  for (const Kind of [RingReader, RingWriter]) {
    for (const length of [0, 16, 32, 47, 100, 272, -16, 1.5, Number.NaN, 2 ** 40]) {
      assert.throws(() => new Kind(buffer, length), RangeError, `${length}`);
    }
    for (const offset of [-16, 8, 16, 1024])
      assert.throws(() => new Kind(buffer, 256, offset), RangeError, `${offset}`);
    assert.ok(new Kind(buffer), 'without a length: all of it');
  }
});

test('write: one slot stays free; larger than the ring is an error, no room now is false', () => {
  const { writer, reader } = ends(256);
  assert.equal(writer.maxMessage, 224);
  assert.throws(() => writer.write(bytes(225)), RangeError);
  assert.equal(writer.space, 224);
  assert.equal(writer.write(bytes(224)), true);
  assert.equal(writer.space, -16);
  assert.equal(writer.write(bytes(0)), false);
  assert.equal(reader.read()?.payload.length, 224);
  assert.equal(writer.write([bytes(100), bytes(0), bytes(20, 0x62)]), true);
  assert.deepEqual(reader.read()?.payload, Uint8Array.of(...bytes(100), ...bytes(20, 0x62)));
});

test('readInto: into memory of the caller, who has room for it or is told', () => {
  const { writer, reader } = ends(256);
  writer.write(bytes(20), { source: { port: 7, domain: 9 }, messageType: 3 });
  assert.throws(() => reader.readInto(new Uint8Array(19)), RangeError);
  const target = new Uint8Array(30);
  assert.equal(reader.readInto(target), 20);
  assert.deepEqual([reader.sourcePort, reader.sourceDomain, reader.messageType], [7, 9, 3]);
  assert.deepEqual(target, Uint8Array.of(...bytes(20), ...new Uint8Array(10)));
  assert.equal(reader.readInto(target), -1);
});

test('the header never wraps, the payload once: at every place of the ring', () => {
  const { writer, reader } = ends(128);
  for (let i = 0; i < 1000; i++) {
    const payload = Uint8Array.from({ length: i % 97 }, (_, k) => i + k);
    assert.equal(writer.write(payload), true);
    assert.deepEqual(reader.read()?.payload, payload);
  }
});

test('a writer whose reader moves rx_ptr anywhere: an error, and nothing is written', () => {
  const { buffer, view, writer } = ends(256);
  writer.write(bytes(20));
  for (const rx of [8, 255, 256, 257, 0x7fff_fff0, 0xffff_fff0, 0xffff_ffff]) {
    view.setUint32(24, rx, true);
    const before = buffer.slice(0);
    assert.throws(() => writer.write(bytes(16)), { name: 'V4vRingError', code: 'ERR_V4V_RING' });
    assert.throws(() => writer.space, V4vRingError);
    assert.deepEqual(buffer, before);
  }
  view.setUint32(24, 0, true);
  assert.equal(writer.write(bytes(16)), true, 'and mended it goes on');
});

test('a writer does not believe tx_ptr: it keeps its own', () => {
  const { view, writer, reader } = ends(256);
  writer.write(bytes(20));
  view.setUint32(28, 0xdead_beef, true);
  assert.equal(writer.write(bytes(20, 0x62)), true);
  assert.deepEqual([reader.read()?.payload, reader.read()?.payload], [bytes(20), bytes(20, 0x62)]);
});

test('a reader whose writer moves tx_ptr or the length anywhere: an error, and the message stays', () => {
  const { view, writer, reader } = ends(256);
  writer.write(bytes(20));
  const tx = view.getUint32(28, true);
  for (const bad of [8, 256, 0xffff_fff0]) {
    view.setUint32(28, bad, true);
    assert.throws(() => reader.read(), V4vRingError, `${bad}`);
  }
  view.setUint32(28, tx, true);
  for (const length of [0, 15, 49, 65, 0xffff_fff0, 0xffff_ffff]) {
    view.setUint32(64, length, true);
    assert.throws(() => reader.read(), V4vRingError, `${length}`);
    assert.throws(() => reader.readInto(new Uint8Array(512)), V4vRingError, `${length}`);
  }
  view.setUint32(64, 36, true);
  assert.deepEqual(reader.read()?.payload, bytes(20));
});

test('a reader does not believe rx_ptr after it has begun', () => {
  const { view, writer, reader } = ends(256);
  writer.write(bytes(20));
  writer.write(bytes(20, 0x62));
  assert.ok(reader.read());
  view.setUint32(24, 16, true);
  assert.deepEqual(reader.read()?.payload, bytes(20, 0x62));
  assert.throws(() => {
    view.setUint32(24, 8, true);
    new RingReader(view.buffer, 256);
  }, V4vRingError);
});

test('a ring that is opened again goes on where it was', () => {
  const { buffer, writer } = ends(256);
  writer.write(bytes(20));
  const again = new RingWriter(buffer, 256);
  assert.equal(again.write(bytes(20, 0x62)), true);
  const reader = new RingReader(buffer, 256);
  assert.deepEqual([reader.read()?.payload, reader.read()?.payload], [bytes(20), bytes(20, 0x62)]);
});

test('property: what goes in comes out, whole and in order, and nothing outside the ring changes', () => {
  const action = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 120 }));
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 20 }), fc.array(action, { maxLength: 60 }), (slots, actions) => {
      const length = slots * 16;
      const guard = 48;
      const buffer = new ArrayBuffer(guard + 64 + length + guard);
      new Uint8Array(buffer).fill(0xcc);
      formatRing(buffer, length, { port: 1 }, guard);
      const writer = new RingWriter(buffer, length, guard);
      const reader = new RingReader(buffer, length, guard);
      const inside: Uint8Array[] = [];
      for (const one of actions) {
        if (one === null) {
          assert.deepEqual(reader.read()?.payload ?? null, inside.shift() ?? null);
        } else if (one.length > writer.maxMessage) assert.throws(() => writer.write(one), RangeError);
        else {
          const fits = one.length <= writer.space;
          assert.equal(writer.write(one), fits);
          if (fits) inside.push(one);
        }
      }
      for (const payload of inside) assert.deepEqual(reader.read()?.payload, payload);
      const edges = [...new Uint8Array(buffer, 0, guard), ...new Uint8Array(buffer, guard + 64 + length)];
      assert.ok(edges.every((byte) => byte === 0xcc));
    }),
  );
});

test('property: whatever the memory holds, reader and writer give a message, nothing, or the documented error', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 64 + 96, maxLength: 64 + 96 }),
      fc.uint8Array({ maxLength: 64 }),
      (memory, payload) => {
        const buffer = memory.slice().buffer;
        for (const attempt of [
          () => new RingReader(buffer, 96).read(),
          () => new RingWriter(buffer, 96).write(payload),
          () => new RingWriter(buffer, 96).space,
        ]) {
          try {
            attempt();
          } catch (error) {
            assert.ok(error instanceof V4vRingError, String(error));
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});
