/**
 * A domain that exists already when a recording begins: the steps that make one like it, from questions that change
 * nothing. What cannot be asked is told as a note.
 */

import { atLeast, type Release } from '../abi/release.js';
import type { Probe } from './probe.js';

type Step = Readonly<Record<string, unknown>>;

const MODES = ['disabled', 'mixed', 'external', 'limited'] as const;
const PHASE = 'before the recording';
/** What toolstacks back memory with: the largest pages that fit. */
const BACKED = 'best';
/** Views of a domain when nothing else is known. */
const USUAL_VIEWS = 10;

export interface ExistingDomain {
  readonly steps: readonly Step[];
  readonly notes: readonly string[];
}

/** Null: there is no such domain, or Xen does not tell. */
export function describeDomain(probe: Probe, release: Release, domid: number, guest: number): ExistingDomain | null {
  const info = probe.domain(release, domid);
  if (!info) return null;
  const { hvm = 0, hap = 0, paused = 0, max_vcpu_id = -1, tot_pages = 0, max_pages = 0, shutdown_reason = -1 } = info;
  const mode = hvm ? probe.altp2mMode(domid) : 0;
  const active = mode !== 0 && probe.altp2mActive(domid);
  const views = active ? probe.altp2mViews(release, domid) : [];
  const steps: Step[] = [];
  const notes = [
    `domain ${domid} existed before the recording: what its page tables and the page of #VE information were like could not be asked`,
  ];
  steps.push({
    phase: PHASE,
    do: 'createGuest',
    guest,
    domid,
    type: hvm ? 'hvm' : 'pv',
    hap: hap === 1,
    vcpus: Math.max(1, max_vcpu_id + 1),
    online: info['nr_online_vcpus'] ?? 0,
    nestedVirt: false,
    altp2mModeAtCreate: atLeast(release, '4.19') ? (MODES[mode] ?? 'disabled') : 'disabled',
    ...(mode !== 0 && atLeast(release, '4.21') && { nrAltp2m: Math.max(USUAL_VIEWS, views.length + 1) }),
    maxmemKiB: Math.max(max_pages, tot_pages) * 4,
    populate: tot_pages > 0 ? { first: 0, count: tot_pages } : null,
    pages: BACKED,
    memory: {},
    driven: false,
    expect: { rc: 0 },
  });
  const highest = probe.highestFrame(domid);
  if (highest >= 0 && tot_pages > 0 && highest !== tot_pages - 1) {
    notes.push(
      `domain ${domid} has ${tot_pages} pages up to frame 0x${highest.toString(16)}: where they are could not be asked`,
    );
  }
  if (max_vcpu_id < 0) notes.push(`domain ${domid} had no vCPUs yet: how many it may have could not be asked`);
  const call = (name: string, args: Step): void => {
    steps.push({ phase: PHASE, as: 'dom0', call: name, args, target: domid, expect: { rc: 0 } });
  };
  const pool = hvm ? probe.pagingPool(release, domid) : null;
  if (pool !== null) call('xc_set_paging_mempool_size', { bytes: pool });
  if (mode !== 0 && !atLeast(release, '4.19')) call('xc_hvm_param_set', { param: 'ALTP2M', value: mode });
  if (!paused) call('xc_domain_unpause', {});
  if (active) {
    call('xc_altp2m_set_domain_state', { state: 1 });
    describeViews(views, domid, call, notes);
    describeVcpus(probe, domid, max_vcpu_id + 1, call, notes);
  }
  if (shutdown_reason >= 0) call('xc_domain_shutdown', { reason: shutdown_reason });
  return { steps, notes };
}

type Call = (name: string, args: Step) => void;

/** `views`: the default access of each beside view 0, null where there is none. */
function describeViews(views: readonly (number | null)[], domid: number, call: Call, notes: string[]): void {
  for (const access of views) call('xc_altp2m_create_view', { default_access: access ?? 7 });
  views.forEach((access, i) => {
    if (access === null) call('xc_altp2m_destroy_view', { view: i + 1 });
  });
  if (views.length > 0) notes.push(`what the views of domain ${domid} held, and which were hidden, could not be asked`);
}

function describeVcpus(probe: Probe, domid: number, count: number, call: Call, notes: string[]): void {
  const indices = Array.from({ length: count }, (_, vcpu) => probe.altp2mIndex(domid, vcpu) ?? 0);
  const [first = 0] = indices;
  if (first !== 0) call('xc_altp2m_switch_to_view', { view: first });
  if (indices.some((index) => index !== first)) notes.push(`the vCPUs of domain ${domid} ran in several views`);
}
