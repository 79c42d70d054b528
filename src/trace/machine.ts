/** The head of a recording: the machine and the Xen that it is made on, as far as dom0 can find out. */

import type { Release } from '../abi/release.js';
import { XEN_SYSCTL_PHYSCAP_hap, XEN_SYSCTL_PHYSCAP_shadow } from '../abi/sysctl.js';
import { XENVER_commandline, XENVER_extraversion } from '../abi/version.js';
import type { Hypervisor } from '../hypervisor/port.js';
import type { Probe } from './probe.js';
import { layoutsOf } from './tracer.js';

export interface Machine {
  readonly release: Release;
  /** The recording's own members. */
  readonly head: Readonly<Record<string, unknown>>;
  /** What could not be found out, and was assumed. */
  readonly notes: readonly string[];
}

/** Features of processors: words of physinfo's `hw_cap`, and bits. CPUID leaf 1 ECX, and leaf 0x80000001 ECX. */
const VMX = [1, 5] as const;
const SVM = [3, 2] as const;

/** @throws Error when Xen does not tell its version, or one that has no layouts here */
export function describeMachine(hypervisor: Hypervisor, probe: Probe): Machine {
  const version = probe.version();
  const release = version < 0 ? null : layoutsOf(version);
  if (release === null)
    throw new Error('this Xen is older than 4.14 or does not tell its version: it cannot be recorded');
  const running = `${version >>> 16}.${version & 0xffff}`;
  const notes: string[] = [];
  if (running !== release)
    notes.push(`Xen ${running} is newer than what is known; its layouts were taken for ${release}'s`);
  const supported = probe.altp2mSupported();
  const physinfo = probe.physinfo(release);
  if (!physinfo) notes.push('the caller may not ask what the host can do; it was assumed');
  const has = ([word, bit]: readonly [number, number]): boolean => (((physinfo?.words[word] ?? 0) >>> bit) & 1) === 1;
  const capable = (bit: number): boolean => ((physinfo?.capabilities ?? 0) & bit) !== 0;
  const vendor = !supported && has(SVM) && !has(VMX) ? 'amd' : 'intel';
  const told = modelledCpu(hypervisor);
  if (!told) notes.push('VMFUNC, #VE and the monitor trap flag cannot be asked for from dom0; they were assumed');
  const options = probe.text(XENVER_commandline).split(/\s+/);
  return {
    release,
    notes,
    head: {
      format: 'xen-recording/1',
      xen: `${running}${probe.text(XENVER_extraversion)}`,
      release,
      bootedWithAltp2m: supported || options.some((option) => /^altp2m(=(1|on|true|yes|enable))?$/.test(option)),
      ...(capable(XEN_SYSCTL_PHYSCAP_shadow) && { shadow: true }),
      cpu: told ?? {
        vendor,
        count: 1,
        hap: supported || !physinfo || capable(XEN_SYSCTL_PHYSCAP_hap),
        vmfunc: vendor === 'intel',
        ve: vendor === 'intel',
        mtf: vendor === 'intel',
        maxphysaddr: 46,
      },
      hypervisor: `${hypervisor.kind}, recorded by xenctrl`,
    },
  };
}

/** A software Xen knows what its processor can do; nobody else can tell all of it. */
function modelledCpu(hypervisor: Hypervisor): Readonly<Record<string, unknown>> | null {
  const cpu: unknown = hypervisor.kind === 'model' && 'cpu' in hypervisor ? hypervisor.cpu : null;
  if (typeof cpu !== 'object' || cpu === null) return null;
  // processor trace came to the format late: it is told where there is some
  const { pt, ...known } = cpu as Readonly<Record<string, unknown>>;
  return { count: 1, ...known, ...(pt === true ? { pt } : {}) };
}
