/** The story: what an altp2m view is, what hiding one does, and against whom it protects. */

import { HVMOP_altp2m_set_visibility, HVMOP_altp2m_vcpu_enable_notify } from '../../abi/hvm/hvm_op.js';
import { XENMEM_access } from '../../abi/memory.js';
import type { Release } from '../../abi/release.js';
import { PAGE_SIZE } from '../../abi/xen.js';
import { PROT_READ, PROT_WRITE } from '../../hypervisor/port.js';
import type { Altp2mMode } from '../../model/options.js';
import { ModelXen } from '../../model/xen.js';
import {
  xc_altp2m_change_gfn,
  xc_altp2m_create_view,
  xc_altp2m_get_vcpu_p2m_idx,
  xc_altp2m_set_domain_state,
  xc_altp2m_set_vcpu_enable_notify,
  xc_altp2m_set_visibility,
  xc_altp2m_switch_to_view,
} from '../../xc/altp2m.js';
import { xc_altp2m_set_mem_access_multi } from '../../xc/altp2m_multi.js';
import { xc_map_foreign_range } from '../../xc/foreign_memory.js';
import { type XcInterface, xc_interface_open } from '../../xc/interface.js';
import { type Step, Teller } from './teller.js';

/** A part of the story, with a guest of its own. */
interface Act {
  readonly title: string;
  readonly mode: Altp2mMode;
  readonly tell: (teller: Teller, xch: XcInterface, domid: number) => void;
}

const VE_FRAME = 0x50;
const FRAME = 0x40;
const OTHER = 0x41;
const VIEW = 1;
/** Frames that the view gets entries for: all that the guest uses here. */
const FILLED = Array.from({ length: 0x40 }, (_, i) => FRAME + i);
const RWX = FILLED.map(() => XENMEM_access.rwx);
/** What a guest passes to make the view visible: its number, and 1. */
const MAKE_VISIBLE = [VIEW, 0, 1];
/** What a guest passes to give vCPU 0 its #VE page: 0, padding, the frame. */
const OWN_VE_PAGE = [0, 0, 0, 0, 0, 0, 0, 0, VE_FRAME];

function theView(teller: Teller, xch: XcInterface, domid: number): void {
  const map = (gfn: number) => xc_map_foreign_range(xch, domid, PAGE_SIZE, PROT_READ | PROT_WRITE, gfn);
  teller.dom0Writes(FRAME, 'host', 'two pages of the guest, to tell the views apart', map);
  teller.dom0Writes(OTHER, 'view', '', map);
  teller.dom0('ok', 'altp2m is on: every vCPU runs in view 0', xc_altp2m_set_domain_state, true);
  teller.reads(FRAME, 'host', 'view 0 shows the memory as the host has it');
  teller.vmfunc(0, '#UD', 'VMFUNC is off on a vCPU until it was given a #VE page');
  teller.dom0('ok', 'now it is on', xc_altp2m_set_vcpu_enable_notify, 0, VE_FRAME);
  teller.vmfunc(0, 'in view 0', '');
  teller.dom0('1', 'a second view: empty, and visible', xc_altp2m_create_view, XENMEM_access.rwx);
  const fill = 'filled: in an empty view the first access would fault';
  teller.dom0('ok', fill, xc_altp2m_set_mem_access_multi, VIEW, RWX, FILLED);
  teller.dom0('ok', 'in view 1, frame 0x40 shows the memory of 0x41', xc_altp2m_change_gfn, VIEW, FRAME, OTHER);
  teller.vmfunc(VIEW, 'in view 1', 'the guest enters the view without leaving the processor');
  teller.reads(FRAME, 'view', 'the same address, other memory');
  teller.dom0('ok', 'the view is hidden', xc_altp2m_set_visibility, VIEW, false);
  teller.reads(FRAME, 'view', 'hiding evicts nobody: who is in stays in');
  teller.dom0('1', '', xc_altp2m_get_vcpu_p2m_idx, 0);
  teller.vmfunc(0, 'in view 0', 'it may leave');
  teller.vmfunc(VIEW, '#UD', 'and cannot come back');
  teller.dom0('EINVAL', 'nor can dom0 move it there', xc_altp2m_switch_to_view, VIEW);
  teller.dom0('ok', 'all other calls on a hidden view work', xc_altp2m_change_gfn, VIEW, FRAME, OTHER);
  teller.dom0('ok', 'the view is shown again', xc_altp2m_set_visibility, VIEW, true);
  teller.vmfunc(VIEW, 'in view 1', '');
}

/** What comes before the other acts, in short. */
function prepare(teller: Teller): void {
  teller.dom0('ok', '', xc_altp2m_set_domain_state, true);
  teller.reads(FRAME, 'host', '');
}

function hide(teller: Teller): void {
  teller.dom0('1', '', xc_altp2m_create_view, XENMEM_access.rwx);
  teller.dom0('ok', '', xc_altp2m_set_mem_access_multi, VIEW, RWX, FILLED);
  teller.dom0('ok', '', xc_altp2m_set_visibility, VIEW, false);
  teller.vmfunc(VIEW, '#UD', 'the view is hidden');
}

function hidden(teller: Teller): void {
  prepare(teller);
  teller.dom0('ok', '', xc_altp2m_set_vcpu_enable_notify, 0, VE_FRAME);
  hide(teller);
}

function undoes(teller: Teller, wanted: string, why: string): void {
  teller.hypercall(
    'HVMOP_altp2m set_visibility(self, 1, visible)',
    HVMOP_altp2m_set_visibility,
    MAKE_VISIBLE,
    wanted,
    why,
  );
}

const ACTS: readonly Act[] = [
  { title: 'A view, and hiding it', mode: 'mixed', tell: theView },
  {
    title: 'Mixed mode: the guest can undo it',
    mode: 'mixed',
    tell(teller) {
      hidden(teller);
      undoes(teller, 'ok', 'in mixed mode a guest may make the very same call on itself');
      teller.vmfunc(VIEW, 'in view 1', 'so hiding protects nothing from it');
    },
  },
  {
    title: 'External mode: it cannot',
    mode: 'external',
    tell(teller) {
      hidden(teller);
      undoes(teller, 'EPERM', 'only dom0 may use altp2m on this guest');
      teller.vmfunc(VIEW, '#UD', 'hidden it stays: here hiding protects');
    },
  },
  {
    title: 'Limited mode: it may get #VE, and nothing else',
    mode: 'limited',
    tell(teller) {
      prepare(teller);
      teller.hypercall(
        'HVMOP_altp2m vcpu_enable_notify(self, 0, 0x50)',
        HVMOP_altp2m_vcpu_enable_notify,
        OWN_VE_PAGE,
        'ok',
        'the one altp2m call that the guest may make',
      );
      hide(teller);
      undoes(teller, 'EPERM', 'not this one');
      teller.vmfunc(VIEW, '#UD', 'here hiding protects, too');
    },
  },
];

/** Has the whole story happen on a software Xen. */
export function tellStory(release: Release): Step[] {
  const xen = new ModelXen({ release });
  using xch = xc_interface_open({ hypervisor: xen });
  return ACTS.flatMap(({ title, mode, tell }) => {
    const guest = xen.createGuest({ memoryPages: 0x200, altp2m: mode });
    const teller = new Teller(xch, guest, title);
    if (tell !== theView) writeHost(xch, guest.domid);
    tell(teller, xch, guest.domid);
    return teller.steps;
  });
}

/** What the guest finds in its frame, in the acts that do not tell of it. */
function writeHost(xch: XcInterface, domid: number): void {
  using page = xc_map_foreign_range(xch, domid, PAGE_SIZE, PROT_READ | PROT_WRITE, FRAME);
  page.bytes.set(new TextEncoder().encode('host'));
}
