/** What to write where, so that altp2m works: ready to paste. */

import { atLeast, isRelease } from '../../abi/release.js';

/** Something to paste, and where. */
export interface Recipe {
  readonly of: 'host' | 'guest';
  readonly where: string;
  readonly lines: readonly string[];
}

/** @param release of the running Xen; null: not known */
export function recipes(release: string | null): readonly [host: Recipe, guest: Recipe] {
  const counted = release !== null && isRelease(release) && atLeast(release, '4.21');
  return [
    {
      of: 'host',
      where:
        "Xen's boot option: append to /etc/default/grub, then update-grub (or grub2-mkconfig -o /boot/grub2/grub.cfg), then boot",
      lines: ['GRUB_CMDLINE_XEN="$GRUB_CMDLINE_XEN altp2m=1"'],
    },
    {
      of: 'guest',
      where: "the guest's xl.cfg; it takes effect when the guest is created anew",
      lines: [
        'type = "hvm"           # or "pvh"',
        'altp2m = "external"    # only dom0 may use altp2m on it; "mixed": the guest, too',
        ...(counted ? ['altp2m_count = 10      # views, view 0 included; up to 512'] : []),
        'nestedhvm = 0          # nested virtualisation excludes altp2m',
        '# shadow_memory = 64   # MiB for page tables: only if a view cannot be made (ENOMEM)',
      ],
    },
  ];
}
