/**
 * A scenario: a software Xen and its guests, told as JSON. `docs/scenario.md` describes the format. Every mistake is
 * named with its place in the file, and nothing is made before the whole of it was read.
 */

import { encodeAccess, XENMEM_access, type XenmemAccess } from '../abi/memory.js';
import { RELEASES, type Release, releaseAbi } from '../abi/release.js';
import { ARGO_MODES } from './argo/argo.js';
import type { Guest } from './guest.js';
import { ALTP2M_MODES, type CpuOptions, type GuestOptions, type ModelOptions } from './options.js';
import type { PciDeviceOptions } from './pci/options.js';
import { e1000e, nvme } from './pci/samples.js';
import {
  booleanValue,
  type Fields,
  integerValue,
  listValue,
  oneOf,
  place,
  record,
  ScenarioError,
  uuidValue,
  wrong,
} from './scenario_value.js';
import { ModelXen } from './xen.js';

/** One alternate view that a guest of the scenario has from the start. */
export interface ScenarioView {
  /** Access of the frames that the view takes over from the host. Default rwx. */
  readonly defaultAccess: XenmemAccess;
  /** Default true. */
  readonly visible: boolean;
  /** Access by frame. */
  readonly access: readonly (readonly [gfn: number, access: XenmemAccess])[];
  /** What frames show instead of their own memory. */
  readonly remap: readonly (readonly [gfn: number, to: number])[];
}

/** One guest of a scenario. */
export interface ScenarioGuest extends GuestOptions {
  /** What commands may call the guest by. */
  readonly name?: string;
  /** Leave it paused. Default false. */
  readonly paused?: boolean;
  /** Switch altp2m on. Default: true when it has `views`. */
  readonly altp2mOn?: boolean;
  /** Views 1 and up, in order. */
  readonly views?: readonly ScenarioView[];
}

/** A machine and its guests, in the order of their domain ids (1, 2, ...). */
export interface Scenario extends Omit<ModelOptions, 'arenaPages'> {
  readonly guests: readonly ScenarioGuest[];
}

/** What a scenario became. */
export interface ScenarioRun {
  readonly xen: ModelXen;
  readonly guests: readonly { readonly name: string | null; readonly guest: Guest }[];
}

/** What a model is that nobody described: one HVM guest in mixed mode, with two vCPUs and 64 MiB. */
export const DEFAULT_SCENARIO: Scenario = {
  guests: [
    {
      name: 'guest',
      uuid: '9a2f7c51-4be0-4d3c-8f66-1d5a70c3e201',
      vcpus: 2,
      memoryPages: 0x4000,
      altp2m: 'mixed',
    },
  ],
};

const ACCESS: Readonly<Record<string, XenmemAccess>> = XENMEM_access;
/** Pages: what libxl gives a small guest for page tables, and more than its views need. */
const PAGING_POOL = 2048;
const MAX_VCPUS = 512;
const MAX_PAGES = 2 ** 40;
/** Single pages are made one by one: these take about a second. */
const MAX_SINGLE_PAGES = 2 ** 22;
const MAX_VIEWS = 512;
const MAX_GUESTS = 1000;

const CPU: Fields<CpuOptions> = {
  vendor: oneOf(['intel', 'amd']),
  hap: booleanValue,
  vmfunc: booleanValue,
  ve: booleanValue,
  mtf: booleanValue,
  pt: booleanValue,
  maxphysaddr: integerValue(32, 52),
};

const DEVICES = { e1000e: e1000e(), nvme: nvme() };

/** The name of a device that QEMU makes, too. */
function deviceValue(value: unknown, at: string): PciDeviceOptions {
  return DEVICES[oneOf<keyof typeof DEVICES>(['e1000e', 'nvme'])(value, at)];
}

const VIEW: Fields<Partial<ScenarioView>> = {
  defaultAccess: accessValue,
  visible: booleanValue,
  access: (value, at) => byFrame(value, at, accessValue),
  remap: (value, at) => byFrame(value, at, frameValue),
};

const GUEST: Fields<ScenarioGuest> = {
  name: guestName,
  uuid: uuidValue,
  type: oneOf(['hvm', 'pv']),
  hap: booleanValue,
  vcpus: integerValue(1, MAX_VCPUS),
  memoryPages: integerValue(0, MAX_PAGES),
  pages: oneOf(['best', '4K']),
  altp2m: oneOf(ALTP2M_MODES),
  nrAltp2m: integerValue(1, MAX_VIEWS),
  nestedVirt: booleanValue,
  iommu: booleanValue,
  vmtraceSize: integerValue(0, 2 ** 26),
  abi: (value, at) => (value === 32 || value === 64 ? value : wrong(at, value, '32 or 64')),
  paused: booleanValue,
  altp2mOn: booleanValue,
  views: (value, at) => listValue(value, at, MAX_VIEWS - 1).map((one, i) => viewValue(one, `${at}[${i}]`)),
};

const SCENARIO: Fields<Scenario> = {
  release: oneOf<Release>(RELEASES),
  altp2m: booleanValue,
  shadow: booleanValue,
  memSharing: booleanValue,
  pci: (value, at) => ({ devices: listValue(value, at, 2).map((one, i) => deviceValue(one, `${at}[${i}]`)) }),
  argo: (value, at) => ARGO_MODES.find((mode) => mode === value) ?? wrong(at, value, ARGO_MODES.join(', ')),
  v4v: (value, at) =>
    value === 'v9' ? { abi: 'v9' } : typeof value === 'boolean' ? value : wrong(at, value, 'true, false or "v9"'),
  memoryPages: integerValue(1, MAX_PAGES),
  seed: integerValue(0, 2 ** 32 - 1),
  cpu: (value, at) => record(value, at, CPU),
  guests: (value, at) =>
    listValue(value, at, MAX_GUESTS).map((one, i) => record<ScenarioGuest>(one, `${at}[${i}]`, GUEST)),
};

/**
 * Reads a scenario.
 *
 * @param text JSON
 * @throws ScenarioError that names the place: `guests[1].vcpus must be an integer from 1 to 512, not "two"`
 */
export function parseScenario(text: string): Scenario {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new ScenarioError(`not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const scenario = { guests: [], ...record(value, '', SCENARIO) };
  checkUnique(scenario, 'name');
  checkUnique(scenario, 'uuid');
  checkAccess(scenario);
  if (scenario.v4v && scenario.argo !== undefined) throw new ScenarioError('v4v and argo exclude each other');
  scenario.guests.forEach(({ pages, memoryPages = 0 }, i) => {
    if (pages !== '4K' || memoryPages <= MAX_SINGLE_PAGES) return;
    throw new ScenarioError(`guests[${i}].memoryPages must be at most ${MAX_SINGLE_PAGES} with pages "4K"`);
  });
  return scenario;
}

/**
 * Makes what a scenario tells of.
 *
 * @throws ScenarioError when Xen would refuse such a machine or guest
 */
export function runScenario(scenario: Scenario): ScenarioRun {
  const { guests, ...machine } = scenario;
  const xen = new ModelXen(machine);
  return { xen, guests: guests.map((guest, i) => startGuest(xen, guest, `guests[${i}]`)) };
}

function startGuest(xen: ModelXen, options: ScenarioGuest, at: string): ScenarioRun['guests'][number] {
  const { name = null, paused = false, views = [], altp2mOn = views.length > 0, ...rest } = options;
  const guest = attempt(at, () => xen.createGuest(rest));
  const { altp2m, isHvm } = guest.domain;
  if (isHvm) guest.domain.pagingPool.resize(PAGING_POOL);
  if (altp2mOn) {
    if (!isHvm || !xen.altp2mSupported || (rest.altp2m ?? 'disabled') === 'disabled') {
      const why = xen.altp2mSupported ? 'the guest has no altp2m mode' : 'this machine has no altp2m';
      throw new ScenarioError(`${place(at, 'altp2mOn')}: altp2m cannot be switched on: ${why}`);
    }
    done(place(at, 'altp2mOn'), altp2m.setActive(true));
  }
  if (views.length > 0 && !altp2mOn) throw new ScenarioError(`${place(at, 'views')} needs altp2mOn, which is false`);
  views.forEach((view, i) => {
    addView(xen, guest, view, `${at}.views[${i}]`);
  });
  if (paused) guest.domain.pauseCount = 1;
  return { name, guest };
}

function addView(xen: ModelXen, { domain: { altp2m } }: Guest, view: ScenarioView, at: string): void {
  // "default" means the host's default access, which is rwx in a new guest
  const code = (access: XenmemAccess): number =>
    access === XENMEM_access.default ? XENMEM_access.rwx : encodeAccess(access, releaseAbi(xen.release));
  const index = altp2m.create(code(view.defaultAccess));
  if (index < 0) throw new ScenarioError(`${at}: the guest can have ${altp2m.views.length} views, view 0 included`);
  for (const [gfn, access] of view.access) altp2m.setMemAccess(index, gfn, code(access));
  for (const [gfn, to] of view.remap) {
    const rc = altp2m.changeGfn(index, gfn, to, false);
    if (rc < 0) throw new ScenarioError(`${at}.remap: the guest has no memory at frame ${hex(gfn)} or ${hex(to)}`);
  }
  altp2m.setVisibility(index, view.visible);
}

function attempt<T>(at: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new ScenarioError(`${at}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function done(at: string, rc: number): void {
  if (rc < 0) throw new ScenarioError(`${at}: Xen answers ${rc}`);
}

function viewValue(value: unknown, at: string): ScenarioView {
  return { defaultAccess: XENMEM_access.rwx, visible: true, access: [], remap: [], ...record(value, at, VIEW) };
}

function accessValue(value: unknown, at: string): XenmemAccess {
  return ACCESS[oneOf(Object.keys(ACCESS))(value, at)] ?? XENMEM_access.rwx;
}

function guestName(value: unknown, at: string): string {
  // digits alone are an id
  if (typeof value === 'string' && /^(?!\d+$)[\w.+-]{1,64}$/.test(value)) return value;
  return wrong(at, value, 'a name of letters, digits and . + - _, not of digits alone');
}

function frameValue(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  const number = typeof value === 'string' && /^(0x[0-9a-f]+|\d+)$/i.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(number) ? number : wrong(at, value, 'a frame number such as 64 or "0x40"');
}

/** An object whose keys are frame numbers. */
function byFrame<T>(value: unknown, at: string, read: (value: unknown, at: string) => T): (readonly [number, T])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrong(at, value, 'an object of frame numbers');
  }
  return Object.entries(value).map(([key, one]) => [frameValue(key, at), read(one, place(at, key))]);
}

function checkUnique({ guests }: Scenario, key: 'name' | 'uuid'): void {
  const seen = new Map<string, number>();
  guests.forEach((guest, i) => {
    const value = guest[key]?.toLowerCase();
    if (value === undefined) return;
    const before = seen.get(value);
    if (before !== undefined) throw new ScenarioError(`guests[${i}].${key} is that of guests[${before}], too`);
    seen.set(value, i);
  });
}

/** r_pw is known to some releases only; the mistake is found here so that it has a place. */
function checkAccess({ release = '4.17', guests }: Scenario): void {
  guests.forEach(({ views = [] }, i) => {
    views.forEach((view, j) => {
      const accesses: XenmemAccess[] = [view.defaultAccess, ...view.access.map(([, one]) => one)];
      for (const access of accesses) {
        attempt(`guests[${i}].views[${j}]`, () => encodeAccess(access, releaseAbi(release)));
      }
    });
  });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
