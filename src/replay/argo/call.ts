/** Rows of an Argo recording that are hypercalls: made again, and everything that came of them compared. */

import {
  XEN_ARGO_OP_notify,
  XEN_ARGO_OP_sendv,
  xen_argo_ring,
  xen_argo_ring_data,
  xen_argo_ring_data_ent,
} from '../../abi/argo.js';
import { errnoName } from '../../abi/errno.js';
import { __HYPERVISOR_argo_op } from '../../abi/xen.js';
import { RecordingError } from '../error.js';
import { Fields } from '../fields.js';
import type { Difference } from '../result.js';
import type { ArgoMachine } from './machine.js';
import { type MemoryItem, numberOf } from './memory.js';
import { compareRings, type SentMessage } from './rings.js';

const ENT = xen_argo_ring_data_ent;
const FLAG_NAMES = ['EXISTS', 'SHARED', 'EMPTY', 'SUFFICIENT', 'EMSGSIZE', 'EBUSY'];

/** A call row, read. */
export interface CallRow {
  readonly who: string;
  readonly args: readonly number[];
  readonly items: readonly MemoryItem[];
  readonly expected: Fields;
}

export function readCallRow(fields: Fields): CallRow {
  const args = fields.list('args', 5).map((arg, i) => numberOf(arg, `${fields.place('args')}[${i}]`));
  if (args.length !== 5) throw new RecordingError(`${fields.place('args')} must have 5 entries`);
  const request = fields.has('req') ? fields.object('req') : null;
  const fill = fields.raw('payload_fill') ?? request?.raw('payload_fill');
  const items = fields.list('mem').map((item, i) => readItem(new Fields(item, `${fields.place('mem')}[${i}]`), fill));
  if (fill !== undefined && request?.has('iovs')) items.push(...filledPayloads(request, fill, items));
  return { who: fields.string('who'), args, items, expected: fields };
}

/** Pieces of a message that no item lists, because a byte says all that is in them. */
function filledPayloads(request: Fields, fill: unknown, items: readonly MemoryItem[]): MemoryItem[] {
  return request.list('iovs').flatMap((one, i) => {
    const iov = new Fields(one, `${request.place('iovs')}[${i}]`);
    const address = numberOf(iov.raw('ptr'), iov.place('ptr'));
    if (items.some((item) => item.address === address)) return [];
    return [{ name: `payload${i}`, address, bytes: new Uint8Array(iov.u32('len')).fill(byteOf(fill) ?? 0) }];
  });
}

/** `hex`, or `payload_fill`: a byte that is repeated. It may stand at the row, too. */
function readItem(fields: Fields, fillOfRow: unknown): MemoryItem {
  const length = fields.u32('len');
  const address = numberOf(fields.raw('addr'), fields.place('addr'));
  const name = fields.string('name');
  const fill = fields.raw('payload_fill') ?? fillOfRow;
  if (fields.has('hex') && fields.string('hex').length === length * 2) {
    return { name, address, bytes: fields.bytes('hex', { length }) };
  }
  const byte = fields.has('hex') && fill === undefined ? fields.bytes('hex', { length: 1 })[0] : byteOf(fill);
  if (byte === undefined) throw new RecordingError(`${fields.at} says neither hex nor payload_fill`);
  return { name, address, bytes: new Uint8Array(length).fill(byte) };
}

/** Bytes are numbers, or two hexadecimal digits. */
export function byteOf(value: unknown): number | undefined {
  if (typeof value === 'string' && /^(0x)?[0-9a-f]{1,2}$/i.test(value)) return Number.parseInt(value, 16);
  return typeof value === 'number' && value >= 0 && value <= 0xff ? value : undefined;
}

/** Makes the call. @returns what was otherwise than recorded */
export function takeCall(machine: ArgoMachine, row: CallRow): Difference[] {
  const { who, args, items, expected } = row;
  const before = items.map(({ bytes }) => bytes.slice());
  const register = machine.call(who, __HYPERVISOR_argo_op, args, items);
  const rc = register | 0;
  const differences: Difference[] = [];
  const compare = (what: string, got: unknown): void => {
    const wanted = expected.raw(what);
    if (JSON.stringify(wanted) !== JSON.stringify(got)) differences.push({ what, expected: wanted, got });
  };
  compare('rc', rc);
  compare('errno', rc < 0 ? errnoName(rc) : '0');
  // dom0's register passes through its kernel, which leaves 32 bits of it
  const abi = expected.oneOf('abi', [32, 64]);
  if (expected.has('raw_rax')) compare('raw_rax', `0x${BigInt.asUintN(abi, BigInt(register)).toString(16)}`);
  compare(
    'out',
    items
      .filter(({ bytes }, i) => Buffer.compare(bytes, before[i] ?? bytes) !== 0)
      .map(({ name, bytes }) => ({ name, hex: Buffer.from(bytes).toString('hex') })),
  );
  const command = (args[0] ?? 0) % 2 ** 32;
  if (expected.has('ents')) compare('ents', command === XEN_ARGO_OP_notify ? decodeEntries(items) : []);
  differences.push(...compareRings(machine, expected.list('rings'), sentMessage(command, rc, row)));
  const signalled = machine.takeSignalled().sort();
  const wanted = expected.list('virq').map(String).sort();
  if (signalled.join() !== wanted.join()) differences.push({ what: 'virq', expected: wanted, got: signalled });
  return differences;
}

/** The entries of a notify, as they are after it; also those that it was not told of. */
function decodeEntries(items: readonly MemoryItem[]): unknown[] {
  const data = items.find(({ name }) => name === 'ring_data');
  if (!data) return [];
  const view = new DataView(data.bytes.buffer, data.bytes.byteOffset, data.bytes.length);
  const there = Math.floor((data.bytes.length - xen_argo_ring_data.size) / ENT.size);
  return Array.from({ length: there }, (_, i) => {
    const at = xen_argo_ring_data.size + i * ENT.size;
    const flags = view.getUint16(at + ENT.at.flags, true);
    return {
      aport: view.getUint32(at, true),
      domid: view.getUint16(at + 4, true),
      flags,
      flagnames: FLAG_NAMES.map((name, bit) => (flags & (1 << bit) ? `${name} ` : '')).join(''),
      space_required: view.getUint32(at + ENT.at.space_required, true),
      max_message_size: view.getUint32(at + ENT.at.max_message_size, true),
    };
  });
}

/** Where a message went, when the call sent one. */
function sentMessage(command: number, rc: number, { who, args, items }: CallRow): SentMessage | null {
  const [, address] = args;
  const sent = items.find((item) => item.address === address && item.bytes.length >= xen_argo_ring.at.reserved);
  if (command !== XEN_ARGO_OP_sendv || rc < 0 || !sent) return null;
  const view = new DataView(sent.bytes.buffer, sent.bytes.byteOffset, sent.bytes.length);
  return { from: who, aport: view.getUint32(8, true), domid: view.getUint16(12, true), length: rc };
}
