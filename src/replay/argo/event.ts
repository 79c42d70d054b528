/**
 * Rows of an Argo recording that are no Argo calls: domains and pages that come and go, and what their owners do to them.
 * The names of some members are not fixed by the format's description: every name that says what is meant is taken.
 */

import { errnoName } from '../../abi/errno.js';
import type { FrameType } from '../../model/frame_types.js';
import { RecordingError } from '../error.js';
import type { Fields } from '../fields.js';
import type { Difference } from '../result.js';
import { byteOf } from './call.js';
import type { ArgoMachine } from './machine.js';
import { numberOf } from './memory.js';

type Event = (machine: ArgoMachine, row: Fields) => number | undefined;

/** Sent by dom0's toolstack as numbers, `HVMMEM_*`. */
const MEM_TYPES: readonly (FrameType | undefined)[] = ['ram_rw', 'ram_ro', 'mmio_dm', undefined, 'ioreq_server'];

/** By op. A number is an answer of Xen's. */
const EVENTS: Readonly<Record<string, Event>> = {
  create_domain(machine, row) {
    const gfns = framesIn(row.list('populated_gfns'), row.place('populated_gfns'));
    if (row.has('shared_info_gfn')) gfns.push(row.u32('shared_info_gfn'));
    machine.createGuest({
      name: row.string('new'),
      domid: row.u16('newdomid'),
      abi: row.oneOf('newabi', [32, 64]),
      vcpus: row.has('vcpus') ? row.integer('vcpus', 1, 128) : 1,
      gfns,
    });
    return 0;
  },
  pages(machine, row) {
    const listed = row.list('gfns').map((value) => numberOf(value, row.place('gfns')));
    const [first = 0] = listed;
    // of many frames only the first are listed: they follow each other
    const gfns = Array.from({ length: row.integer('npages', 1, 4096) }, (_, i) => listed[i] ?? first + i);
    const pages = machine.addPages(row.string('pages'), row.string('who'), gfns);
    pages.fill(byteOf(row.raw('fill')) ?? 0, row.u32('rx_ptr'), row.u32('tx_ptr'));
    return undefined;
  },
  refill(machine, row) {
    pagesOf(machine, row).fill(byteOf(row.raw('fill')) ?? 0, row.u32('rx_ptr'), row.u32('tx_ptr'));
    return undefined;
  },
  poke(machine, row) {
    pagesOf(machine, row).poke(row.u32('off'), row.u32('value'));
    return undefined;
  },
  bind_virq: (machine, row) => machine.bindVirq(row.string('who'), row.u32('virq'), row.u32('vcpu')),
  set_mem_type(machine, row) {
    const name = first(row, ['mem_type', 'memtype', 'hvmmem', 'type', 'name', 'value']);
    const type = typeof name === 'number' ? MEM_TYPES[name] : String(name).replace(/^(HVMMEM_|p2m_)/, '');
    const known = MEM_TYPES.find((one) => one === type);
    if (!known) throw new RecordingError(`${row.at}: memory type ${JSON.stringify(name)} is not known`);
    setFrameTypes(machine, row, known);
    return undefined;
  },
  memory_mapping(machine, row) {
    const added = first(row, ['add', 'add_mapping', 'map']);
    setFrameTypes(machine, row, added === 0 || added === false ? 'ram_rw' : 'mmio_direct');
    return undefined;
  },
  memory_unmapping(machine, row) {
    setFrameTypes(machine, row, 'ram_rw');
    return undefined;
  },
  enable_logdirty: (machine, row) => logDirty(machine, row, true),
  logdirty_off: (machine, row) => logDirty(machine, row, false),
  destroy_domain(machine, row) {
    machine.destroy(guestOf(machine, row), row.has('zombie') && row.flag('zombie'));
    return undefined;
  },
  release_zombie(machine, row) {
    machine.releaseZombie(guestOf(machine, row));
    return undefined;
  },
  soft_reset(machine, row) {
    machine.softReset(guestOf(machine, row));
    return undefined;
  },
  observe: () => undefined,
};

const OTHER_NAMES: Readonly<Record<string, string>> = {
  memory_mapping_remove: 'memory_unmapping',
  unmapping: 'memory_unmapping',
  logdirty_on: 'enable_logdirty',
  disable_logdirty: 'logdirty_off',
};

/** What a row's op does. @throws RecordingError nobody knows it */
export function readEvent(row: Fields): (machine: ArgoMachine) => Difference[] {
  const op = row.string('op');
  const name = OTHER_NAMES[op] ?? op;
  const event = Object.hasOwn(EVENTS, name) ? EVENTS[name] : undefined;
  if (!event) throw new RecordingError(`${row.place('op')}: ${op} is not known`);
  return (machine) => {
    // what Xen refused did nothing
    if (name !== 'bind_virq' && row.has('rc') && Number(row.raw('rc')) < 0) return [];
    const rc = event(machine, row);
    if (rc === undefined || !row.has('rc') || row.raw('rc') === rc) return [];
    return [
      { what: 'rc', expected: row.raw('rc'), got: rc },
      { what: 'errno', expected: row.raw('errno'), got: rc < 0 ? errnoName(rc) : '0' },
    ];
  };
}

/** Frames of a range, first and last, or of several such ranges. */
function framesIn(range: readonly unknown[], at: string): number[] {
  if (range.some(Array.isArray)) return range.flatMap((one) => framesIn(Array.isArray(one) ? one : [one, one], at));
  const [first = 0, last = -1] = range.map((value) => numberOf(value, at));
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function pagesOf(machine: ArgoMachine, row: Fields): NonNullable<ReturnType<ArgoMachine['pageSets']['get']>> {
  const pages = machine.pageSets.get(row.string('pages'));
  if (!pages) throw new RecordingError(`${row.place('pages')}: there are no pages ${row.string('pages')}`);
  return pages;
}

/** The member that has one of these names. */
function first(row: Fields, names: readonly string[]): unknown {
  return row.raw(names.find((name) => row.has(name)) ?? '');
}

/** The domain that a row is about: the one that a member names, by name or id; else the one that acts. */
function targetOf(machine: ArgoMachine, row: Fields): string {
  for (const key of row.keys()) {
    if (['who', 'domid', 'op', 'phase', 'note', 'errno'].includes(key)) continue;
    const value = row.raw(key);
    if (typeof value === 'string' && machine.has(value)) return value;
    const named = /dom|target|victim/.test(key) && typeof value === 'number' ? machine.nameOf(value) : null;
    if (named !== null) return named;
  }
  return row.string('who');
}

/** As {@link targetOf}, where dom0 cannot be meant. */
function guestOf(machine: ArgoMachine, row: Fields): string {
  const name = targetOf(machine, row);
  if (name !== 'dom0') return name;
  throw new RecordingError(`${row.at} names no domain that there is`);
}

function setFrameTypes(machine: ArgoMachine, row: Fields, type: FrameType): void {
  const { frameTypes } = machine.domain(targetOf(machine, row));
  const gfns = first(row, ['gfn', 'gfns', 'first_gfn', 'start_gfn', 'pfn', 'first_pfn']);
  const listed = (Array.isArray(gfns) ? gfns : [gfns]).map((value) => numberOf(value, row.place('gfn')));
  const count = Number(first(row, ['nr', 'count', 'npages', 'nr_mfns', 'nr_gfns']) ?? listed.length);
  const [start = 0] = listed;
  for (let i = 0; i < Math.max(count, listed.length); i++) frameTypes.set(listed[i] ?? start + i, type);
}

function logDirty(machine: ArgoMachine, row: Fields, on: boolean): undefined {
  machine.domain(targetOf(machine, row)).frameTypes.logDirty(on);
}
