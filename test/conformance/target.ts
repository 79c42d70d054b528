/**
 * What the conformance tests run against: the model, or a real Xen through privcmd or libxen. The tests are the same;
 * `XENCTRL_TEST_TARGET` says which, and a test that needs what the target has not says so and is skipped.
 */

import * as xc from '#dist/index.js';
import { ModelXen } from '#dist/model/index.js';

export type TargetKind = 'model' | 'privcmd' | 'libxen';

export interface Target {
  readonly kind: TargetKind;
  readonly xch: xc.XcInterface;
  /** The software Xen behind `xch`, or null on a real one. */
  readonly model: ModelXen | null;
  /** A second, independent connection to the same Xen. */
  open(): xc.XcInterface;
  /** Why altp2m cannot be tested here, or null: a processor without EPT, or no `altp2m=1`. */
  readonly noAltp2m: string | null;
}

export function targetKind(): TargetKind {
  const kind = process.env['XENCTRL_TEST_TARGET'] ?? 'model';
  if (kind === 'model' || kind === 'privcmd' || kind === 'libxen') return kind;
  throw new TypeError(`XENCTRL_TEST_TARGET=${kind}: use model, privcmd or libxen`);
}

/** Opens the target. The model is made like the lab's Xen: Debian's 4.17 on one processor. */
export function openTarget(): Target {
  const kind = targetKind();
  const model =
    kind === 'model' ? new ModelXen({ release: '4.17', altp2m: true, cpu: { mtf: false, maxphysaddr: 40 } }) : null;
  const open = (): xc.XcInterface =>
    model ? xc.xc_interface_open({ hypervisor: model.connect() }) : xc.xc_interface_open({ backend: kind });
  const xch = open();
  return { kind, xch, model, open, noAltp2m: altp2mMissing(xch) };
}

/** Asks Xen itself: an unknown domain is ESRCH where there is altp2m, and EOPNOTSUPP, before any look at it, where not. */
function altp2mMissing(xch: xc.XcInterface): string | null {
  try {
    xc.xc_altp2m_get_domain_state(xch, 0x7000);
  } catch (error) {
    if (error instanceof xc.XenError && error.code === 'EOPNOTSUPP') {
      return 'this Xen has no altp2m: it needs Intel VMX with EPT and altp2m=1 on its command line';
    }
  }
  return null;
}

/** The errno of a call that must fail, or 'ok'. */
export function outcome(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    if (error instanceof xc.XenError) return error.code;
    throw error;
  }
}
