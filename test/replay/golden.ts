/** The recordings of real Xen, for the tests. */

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('../../../test/golden/', import.meta.url);

/** A recording as JSON holds it, with just enough of a shape to change it. */
export interface Recording {
  release: string;
  bootedWithAltp2m: boolean;
  cpu: Record<string, unknown>;
  steps: Row[];
  [key: string]: unknown;
}

export interface Row {
  expect?: { rc?: number; errno?: string; out?: Record<string, unknown>; [key: string]: unknown };
  args?: Record<string, unknown>;
  events?: Row[];
  [key: string]: unknown;
}

/** All of them, or those of one format. */
export function goldenPaths(format: 'any' | 'xen-recording/1' | 'xen-argo-recording/1' = 'any'): string[] {
  const names = readdirSync(FOLDER).filter((name) => /\.json(\.gz)?$/.test(name));
  const ofFormat = (name: string): boolean =>
    format === 'any' || name.includes('-argo') === (format === 'xen-argo-recording/1');
  return names
    .filter(ofFormat)
    .sort()
    .map((name) => fileURLToPath(new URL(name, FOLDER)));
}

/** A fresh copy of a recording. */
export function golden(name: string): Recording {
  return JSON.parse(readFileSync(new URL(`xen-4.17-altp2m-${name}.json`, FOLDER), 'utf8'));
}

/** A recording of a machine of today with one guest, and the steps given. */
export function recordingOf(steps: readonly Row[], changes: Partial<Recording> = {}): Recording {
  return {
    format: 'xen-recording/1',
    xen: '4.17.7',
    release: '4.17',
    bootedWithAltp2m: true,
    cpu: { vendor: 'intel', count: 1, hap: true, vmfunc: true, ve: true, mtf: true, maxphysaddr: 46 },
    hypervisor: 'a test',
    ...changes,
    steps: [...steps],
  };
}

export const GUEST: Row = {
  do: 'createGuest',
  guest: 1,
  type: 'hvm',
  hap: true,
  vcpus: 2,
  nestedVirt: false,
  altp2mModeAtCreate: 'disabled',
  maxmemKiB: 16384,
  populate: { first: 0, count: 256 },
  memory: { '64': '0100aaaa', '65': '0200bbbb', '66': 'b878563412c3', '67': '0300cccc', '68': '0400dddd' },
  expect: { rc: 0 },
};

/** A call of dom0 with its answer: `out`, an errno's name, or nothing. */
export function dom0(call: string, args: Record<string, unknown> = {}, answer: string | Row['args'] = undefined): Row {
  const expect = typeof answer === 'string' ? { rc: -1, errno: answer } : { rc: 0, ...(answer && { out: answer }) };
  return { as: 'dom0', call, args, expect };
}

export function guest(call: string, args: Record<string, unknown>, expect: Record<string, unknown>): Row {
  return { as: 'guest', vcpu: 0, call, args, expect };
}
