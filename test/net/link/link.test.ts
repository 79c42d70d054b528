/** Packet sockets, TAP devices and offload switches on real interfaces, in namespaces of the test's own. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadAddon } from '#dist/native/load.js';
import {
  emptyVnetHeader,
  FrameBatch,
  type Link,
  NetDeviceError,
  offloadIsOn,
  PACKET_OUTGOING,
  PacketSocket,
  readNetFeatures,
  readVnetHeader,
  SendQueue,
  setOffload,
  Tap,
  TUN_F_CSUM,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VNET_HEADER,
  writeNetFeatures,
} from '#dist/net/link/index.js';
import { noRig, Rig } from '../rig.js';

const loaded = loadAddon();
const skip = loaded.addon === null ? loaded.reason : (noRig() ?? false);

/** A frame of a protocol that the kernel leaves alone, numbered. */
function putFrame(bytes: Uint8Array, header: number, number: number, size = 60): number {
  bytes.fill(0, header, header + VNET_HEADER + size);
  const at = header + VNET_HEADER;
  bytes.fill(0xff, at, at + 6);
  bytes.set([2, 0, 0, 0, 0, 1, 0x88, 0xb5, number >> 24, number >> 16, number >> 8, number], at + 6);
  return VNET_HEADER + size;
}

const numberOf = (batch: FrameBatch, i: number): number =>
  Buffer.from(batch.bytes.buffer).readUInt32BE(batch.start(i) + 14);

const isOurs = (batch: FrameBatch, i: number): boolean =>
  batch.bytes[batch.start(i) + 12] === 0x88 && batch.bytes[batch.start(i) + 13] === 0xb5;

function error(code: string) {
  return (thrown: unknown): boolean => thrown instanceof NetDeviceError && thrown.code === code;
}

describe('links', { skip }, () => {
  const rig = skip ? null : new Rig();
  let a = '';
  let b = '';
  before(() => {
    if (!rig) return;
    a = rig.netns('a');
    b = rig.netns('b');
    rig.veth('x0@a', 'y0@b');
  });
  after(() => rig?.[Symbol.dispose]());

  test('frames arrive whole and in their order, in batches', async () => {
    using sender = PacketSocket.open('x0', { netns: a });
    using receiver = PacketSocket.open('y0', { netns: b });
    assert.match(sender.mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    assert.equal(sender.mtu, 1500);
    const out = new FrameBatch(64, 256);
    const queue = new SendQueue(sender);
    const seen: number[] = [];
    const receiving = (async () => {
      for await (const batch of receiver.batches()) {
        for (let i = 0; i < batch.count; i++) {
          if (!isOurs(batch, i)) continue;
          assert.equal(batch.length(i), 60);
          seen.push(numberOf(batch, i));
        }
        if (seen.length >= 1000) break;
      }
    })();
    for (let n = 0; n < 1000; n++) {
      if (queue.length === 64) await queue.flush();
      const header = out.header(queue.length);
      queue.add(out.bytes, header, putFrame(out.bytes, header, n));
    }
    await queue.flush();
    await receiving;
    assert.deepEqual(
      seen,
      Array.from({ length: 1000 }, (_, n) => n),
    );
    assert.equal(queue.sent, 1000);
    assert.ok(receiver.statistics().packets >= 1000);
    assert.equal(receiver.statistics().drops, 0);
  });

  test('what nobody takes is dropped by the kernel and counted, and nothing here grows', async () => {
    using sender = PacketSocket.open('x0', { netns: a });
    using receiver = PacketSocket.open('y0', { netns: b, receiveBuffer: 65536 });
    const out = new FrameBatch(64, 2048);
    const queue = new SendQueue(sender);
    for (let n = 0; n < 2048; n++) {
      if (queue.length === 64) await queue.flush();
      const header = out.header(queue.length);
      queue.add(out.bytes, header, putFrame(out.bytes, header, n, 1500));
    }
    await queue.flush();
    const { packets, drops } = receiver.statistics();
    assert.ok(drops > 1000 && packets >= 2048, `${drops} of ${packets}`);
  });

  test("one's own frames are seen when asked for, and marked", async () => {
    using plain = PacketSocket.open('x0', { netns: a });
    using watching = PacketSocket.open('x0', { netns: a, outgoing: true });
    using other = PacketSocket.open('x0', { netns: a });
    const out = new FrameBatch(1, 256);
    const queue = new SendQueue(other);
    queue.add(out.bytes, 0, putFrame(out.bytes, 0, 7));
    await queue.flush();
    await watching.readable();
    const batch = new FrameBatch();
    watching.receive(batch);
    assert.deepEqual([batch.count, batch.packetType(0), numberOf(batch, 0)], [1, PACKET_OUTGOING, 7]);
    assert.equal(plain.receive(batch), 0);
  });

  test('a frame that is longer than its slot is told to be, and cut off', async () => {
    using sender = PacketSocket.open('x0', { netns: a });
    using receiver = PacketSocket.open('y0', { netns: b });
    const out = new FrameBatch(1);
    const queue = new SendQueue(sender);
    queue.add(out.bytes, 0, putFrame(out.bytes, 0, 1, 1000));
    await queue.flush();
    await receiver.readable();
    const small = new FrameBatch(4, 200);
    receiver.receive(small);
    assert.equal(small.truncated(0), true);
    assert.equal(small.length(0), 200 - VNET_HEADER);
  });

  test('a refused frame is counted by its reason, and those behind it go out', async () => {
    using sender = PacketSocket.open('x0', { netns: a });
    const out = new FrameBatch(3, 4096);
    const queue = new SendQueue(sender);
    queue.add(out.bytes, out.header(0), putFrame(out.bytes, out.header(0), 1));
    queue.add(out.bytes, out.header(1), putFrame(out.bytes, out.header(1), 2, 3000)); // beyond the MTU
    queue.add(out.bytes, out.header(2), putFrame(out.bytes, out.header(2), 3));
    await queue.flush();
    assert.equal(queue.sent, 2);
    assert.deepEqual([...queue.refused], [['EMSGSIZE', 1]]);
  });

  test('waiting costs no processor time', async () => {
    using receiver = PacketSocket.open('y0', { netns: b });
    using tap = Tap.open('idle0', { netns: b });
    const stop = new AbortController();
    const reads = [receiver, tap].map((link: Link) => link.batches({ signal: stop.signal }).next());
    await sleep(50);
    const start = process.cpuUsage();
    await sleep(500);
    const { user, system } = process.cpuUsage(start);
    stop.abort();
    await Promise.all(reads);
    assert.ok(user + system < 150_000, `${user + system} us of processor time in half a second`);
  });

  test('a TAP device gives partial checksums when it is asked to, and complete ones else', async () => {
    assert.ok(rig);
    for (const offload of [0, TUN_F_CSUM]) {
      using tap = Tap.open('tap%d', { netns: a, offload });
      assert.match(tap.name, /^tap\d+$/);
      rig.sh(
        'a',
        `ip addr add 10.9.0.1/24 dev ${tap.name}; ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev ${tap.name}`,
      );
      const udp = rig.spawn('a', 'sh', ['-c', 'sleep 0.2; echo hello | timeout 1 bash -c "cat > /dev/udp/10.9.0.2/9"']);
      const header = emptyVnetHeader();
      const found = await firstUdp(tap, header);
      udp.kill();
      assert.equal(found, true);
      assert.equal(header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, offload === 0 ? 0 : VIRTIO_NET_HDR_F_NEEDS_CSUM);
    }
  });

  test('closing twice is harmless, and ends who waits', async () => {
    const receiver = PacketSocket.open('y0', { netns: b });
    const reading = receiver.batches().next();
    await sleep(20);
    receiver.close();
    receiver.close();
    assert.equal((await reading).done, true);
    assert.throws(() => receiver.receive(new FrameBatch()), TypeError);
    await receiver.readable();
  });

  test('an interface that goes away is ENETDOWN, not a busy loop', async () => {
    assert.ok(rig);
    rig.veth('gone0@a', 'gone1@b');
    using receiver = PacketSocket.open('gone0', { netns: a });
    const reading = (async () => {
      for await (const _ of receiver.batches()) {
        // whatever still comes
      }
    })();
    await sleep(50);
    rig.sh('a', 'ip link del gone0');
    await assert.rejects(reading, error('ENETDOWN'));
  });

  test('what cannot be opened says why', () => {
    assert.throws(() => PacketSocket.open('nothere', { netns: a }), error('ENODEV'));
    assert.throws(() => PacketSocket.open('x0', { netns: '/run/netns/nothere' }), error('ENOENT'));
    assert.throws(() => PacketSocket.open('x0', { netns: '/etc/passwd' }), error('EINVAL'));
    for (const name of ['', 'a b', 'a/b', 'x'.repeat(16), '..', 'a\0b']) {
      assert.throws(() => PacketSocket.open(name), RangeError);
    }
    assert.throws(() => PacketSocket.open(7 as unknown as string), TypeError);
    assert.throws(() => PacketSocket.open('x0', { receiveBuffer: -1 }), RangeError);
    assert.throws(() => Tap.open('t0', { offload: 256 }), RangeError);
    assert.throws(() => readNetFeatures('nothere', a), error('ENODEV'));
  });

  test('offloads are read as ethtool shows them, switched, and put back', () => {
    const before = readNetFeatures('x0', a);
    assert.equal(before.driver, 'veth');
    assert.equal(offloadIsOn(before, 'tx'), true);
    assert.equal(before.features.get('tx-checksum-ip-generic')?.on, true);
    const changed = setOffload('x0', 'tx', false, a);
    assert.equal(changed.get('tx-checksum-ip-generic'), true);
    const off = readNetFeatures('x0', a);
    assert.equal(offloadIsOn(off, 'tx'), false);
    assert.equal(offloadIsOn(off, 'tso'), false, 'segmentation goes with the checksums');
    writeNetFeatures('x0', changed, a);
    assert.deepEqual(readNetFeatures('x0', a), before);
    assert.throws(() => writeNetFeatures('x0', new Map([['no-such', true]]), a), error('EOPNOTSUPP'));
    assert.throws(() => writeNetFeatures('x0', new Map([['netns-local', true]]), a), error('EOPNOTSUPP'));
  });
});

async function firstUdp(tap: Tap, header: ReturnType<typeof emptyVnetHeader>): Promise<boolean> {
  for await (const batch of tap.batches({ signal: AbortSignal.timeout(3000) })) {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.start(i);
      if (batch.bytes[at + 12] !== 8 || batch.bytes[at + 13] !== 0 || batch.bytes[at + 23] !== 17) continue;
      readVnetHeader(batch.bytes, batch.header(i), header);
      return true;
    }
  }
  return false;
}

test('wrong arguments of the addon are answered', { skip }, () => {
  const { addon } = loaded;
  assert.ok(addon);
  for (const wrong of [undefined, null, 7, 'a\0b', {}]) {
    assert.equal(addon.openPacketSocket(wrong as never, null, false, false, 0), -22);
    assert.equal(addon.openTap(wrong as never, null, 0, false), -22);
    assert.equal(addon.readNetFeatures(wrong as never, null), -22);
    assert.equal(addon.writeNetFeatures('lo', null, wrong as never, new Uint32Array(2)), -22);
  }
  assert.equal(addon.openPacketSocket('lo', 7 as never, false, false, 0), -22);
  assert.equal(addon.openPacketSocket('lo', null, 1 as never, false, 0), -22);
  assert.equal(addon.writeNetFeatures('lo', null, new Uint32Array(1), new Uint32Array(2)), -22);
  assert.equal(addon.writeNetFeatures('lo', null, new Uint32Array(99), new Uint32Array(99)), -22);
  const native = addon.openPacketSocket('lo', null, false, false, 0);
  assert.ok(typeof native === 'object');
  const bytes = new Uint8Array(1000);
  for (const slot of [-1, 0, 10, 1001, 0.5, Number.NaN, '5']) {
    assert.equal(native.receive(bytes, slot as number, new Int32Array(8)), -22);
  }
  assert.equal(native.receive(bytes, 500, new Int32Array(3)), -22);
  assert.equal(native.receive(new Uint16Array(500) as never, 500, new Int32Array(8)), -22);
  assert.equal(native.send(bytes, Uint32Array.of(0, 1001), 0, 1), -22);
  assert.equal(native.send(bytes, Uint32Array.of(4294967295, 4294967295), 0, 1), -22);
  assert.equal(native.send(bytes, Uint32Array.of(0, 60), 0, 2), -22);
  assert.equal(native.send(bytes, Uint32Array.of(0, 60), 1, 1), -22);
  assert.equal(native.send(bytes, Uint32Array.of(0, 60), 4294967295, 2), -22);
  assert.equal(native.send(bytes, Uint32Array.of(0, 60), 0, 0), 0);
  assert.equal(native.select(true, false), -22, 'nobody listens');
  assert.equal(native.statistics(new Uint32Array(1)), -22);
  native.close();
  native.close();
  assert.equal(native.receive(bytes, 500, new Int32Array(8)), -9);
  assert.equal(native.send(bytes, Uint32Array.of(0, 60), 0, 1), -9);
  assert.equal(native.statistics(new Uint32Array(2)), -9);
  assert.equal(native.onReady(null), -9);
  assert.equal(native.select(true, true), -9);
});
