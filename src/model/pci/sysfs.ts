/**
 * The files that the kernel of a software Xen's dom0 shows devices and drivers as: as much of sysfs as it takes to give
 * a device to a guest. Behaves as Linux's PCI core and its xen-pciback do; a device that pciback seizes has its MSI-X
 * prepared in Xen, and released when it lets it go.
 */

import { type Bar, readBars } from '../../abi/pci/bar.js';
import { readMsix } from '../../abi/pci/msix.js';
import { formatSbdf, parseSbdf } from '../../abi/pci/sbdf.js';
import { readSriov } from '../../abi/pci/sriov.js';
import type { PciFunction } from './function.js';
import type { Pci } from './pci.js';

const DEVICES = '/sys/bus/pci/devices';
const DRIVERS = '/sys/bus/pci/drivers';
const PCIBACK = 'pciback';

/** `IORESOURCE_IO`, `_MEM` and `_MEM_64` of Linux's `ioport.h`. */
const RESOURCE_IO = 0x100;
const RESOURCE_MEM = 0x200;
const RESOURCE_MEM_64 = 0x10_0000;

export interface ModelSysfsOptions {
  /** The drivers that devices are bound to at first, by name of the device. */
  readonly drivers?: Readonly<Record<string, string>>;
  /** Their interrupt lines. */
  readonly irqs?: Readonly<Record<string, number>>;
}

/** An error as node's file system throws it. */
class FileError extends Error {
  readonly code: string;

  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

export class ModelSysfs {
  readonly #pci: Pci;
  /** The driver that each device came with. */
  readonly #drivers: ReadonlyMap<number, string>;
  readonly #irqs: Readonly<Record<string, number>>;
  readonly #bound: Map<number, string>;
  /** Devices that pciback is told to take, as often as it was told. */
  readonly #slots: number[] = [];

  constructor(pci: Pci, { drivers = {}, irqs = {} }: ModelSysfsOptions = {}) {
    this.#pci = pci;
    this.#drivers = new Map(Object.entries(drivers).map(([name, driver]) => [sbdfOf(name, name), driver]));
    this.#bound = new Map(this.#drivers);
    this.#irqs = irqs;
  }

  read(path: string): Uint8Array {
    if (path === `${DRIVERS}/${PCIBACK}/slots`) {
      return bytes(this.#slots.map((sbdf) => `${formatSbdf(sbdf)}\n`).join(''));
    }
    const [fn, file] = this.#device(path);
    if (fn && file === 'config') return fn.readConfig();
    if (fn && file === 'resource') return bytes(resource(fn));
    if (fn && file === 'irq') return bytes(`${this.#irqs[fn.name] ?? 0}\n`);
    if (fn && file === 'reset_method') return bytes('flr\n');
    throw new FileError('ENOENT', path);
  }

  /** The kernel answers before this returns. @throws an error with a `code`, as node's file system does */
  write(path: string, text: string): void {
    const [fn, reset] = this.#device(path);
    if (fn && reset === 'reset') return;
    const [, driver = '', file] = new RegExp(`^${DRIVERS}/([^/]+)/([a-z_]+)$`).exec(path) ?? [];
    if (!this.list(DRIVERS).includes(driver)) throw new FileError('ENOENT', path);
    const sbdf = sbdfOf(text.trim(), path);
    if (file === 'bind') this.#bind(sbdf, driver, path);
    else if (file === 'unbind') this.#unbind(sbdf, driver, path);
    else if (driver === PCIBACK && file === 'new_slot') this.#slots.push(sbdf);
    else if (driver === PCIBACK && file === 'remove_slot') this.#removeSlot(sbdf, path);
    else throw new FileError('ENOENT', path);
  }

  link(path: string): string | null {
    const [fn, file] = this.#device(path);
    if (!fn) return null;
    if (file === 'driver') return this.#bound.get(fn.sbdf) ?? null;
    if (file === 'subsystem') return 'pci';
    if (file === 'physfn') return fn.physical?.name ?? null;
    return this.#virtual(fn)[Number(/^virtfn(\d+)$/.exec(file)?.[1] ?? -1)] ?? null;
  }

  list(path: string): readonly string[] {
    if (path === DEVICES) return [...this.#pci.functions.values()].map(({ name }) => name);
    if (path === DRIVERS) return [...new Set([...this.#drivers.values(), PCIBACK])];
    if (path === `${DRIVERS}/${PCIBACK}`) return ['bind', 'new_slot', 'remove_slot', 'slots', 'unbind'];
    const [fn, file] = this.#device(path);
    if (!fn || file !== '') return [];
    const links = ['driver', 'physfn'].filter((name) => this.link(`${path}/${name}`) !== null);
    const virtual = this.#virtual(fn).map((_, i) => `virtfn${i}`);
    return ['config', 'irq', 'reset', 'reset_method', 'resource', 'subsystem', ...links, ...virtual];
  }

  folders(path: string): readonly string[] {
    return path === DRIVERS ? this.list(path) : [];
  }

  #bind(sbdf: number, driver: string, path: string): void {
    const takes = driver === PCIBACK ? this.#slots.includes(sbdf) : this.#drivers.get(sbdf) === driver;
    if (!takes || !this.#pci.functions.has(sbdf)) throw new FileError('ENODEV', path);
    if (this.#bound.has(sbdf)) throw new FileError('EBUSY', path);
    this.#bound.set(sbdf, driver);
    if (driver === PCIBACK) this.#prepare(sbdf, false);
  }

  #unbind(sbdf: number, driver: string, path: string): void {
    if (this.#bound.get(sbdf) !== driver || !this.#pci.functions.has(sbdf)) throw new FileError('ENODEV', path);
    if (driver === PCIBACK) this.#prepare(sbdf, true);
    this.#bound.delete(sbdf);
  }

  /** For a device with the capability. When Xen refuses, pciback complains on the console and goes on. */
  #prepare(sbdf: number, off: boolean): void {
    const config = this.#pci.config(sbdf);
    if (config && readMsix(config).kind === 'present') this.#pci.prepare(sbdf, off);
  }

  #removeSlot(sbdf: number, path: string): void {
    const at = this.#slots.indexOf(sbdf);
    if (at < 0) throw new FileError('ENOENT', path);
    this.#slots.splice(at, 1);
  }

  /** The function whose folder a path is in, and the rest of the path. */
  #device(path: string): readonly [PciFunction | undefined, string] {
    if (!path.startsWith(`${DEVICES}/`)) return [undefined, ''];
    const [name = '', file = ''] = path.slice(DEVICES.length + 1).split('/');
    return [this.#pci.functions.get(parseSbdf(name) ?? -1), file];
  }

  /** The names of a function's virtual ones. */
  #virtual(fn: PciFunction): string[] {
    return [...this.#pci.functions.values()].filter(({ physical }) => physical === fn).map(({ name }) => name);
  }
}

function sbdfOf(text: string, path: string): number {
  const sbdf = parseSbdf(text);
  if (sbdf === undefined) throw new FileError('EINVAL', path);
  return sbdf;
}

/** The lines of BARs 0 to 5 and the ROM: first, last and flags. */
function resource(fn: PciFunction): string {
  const lines = Array.from({ length: 7 }, () => line(0n, 0n, 0));
  const { physical } = fn;
  const bars = physical ? (readSriov(physical.readConfig())?.bars ?? []) : readBars(fn.readConfig());
  const before = physical ? physical.virtualFunctions().findIndex(({ sbdf }) => sbdf === fn.sbdf) : 0;
  for (const bar of bars) {
    if ('problem' in bar || bar.address === 0n) continue;
    const size = sizeOf(fn, bar);
    const first = bar.address + size * BigInt(before);
    const flags = bar.kind === 'io' ? RESOURCE_IO : RESOURCE_MEM | (bar.width === 64 ? RESOURCE_MEM_64 : 0);
    if (size > 0n) lines[bar.index] = line(first, first + size - 1n, flags);
  }
  return `${lines.join('\n')}\n`;
}

function sizeOf(fn: PciFunction, { index, kind }: Bar): bigint {
  if (kind === 'memory') return fn.barSize(index) ?? 0n;
  return BigInt(fn.options.bars?.find((one) => one.index === index)?.size ?? 0);
}

function line(first: bigint, last: bigint, flags: number): string {
  const hex = (value: bigint | number): string => `0x${value.toString(16).padStart(16, '0')}`;
  return `${hex(first)} ${hex(last)} ${hex(flags)}`;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
