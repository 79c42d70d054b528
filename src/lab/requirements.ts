/** What must be installed on the machine, and the one line that says what is missing. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isStatic } from './elf.js';
import { LabError } from './error.js';
import type { LabEngine } from './options.js';
import { findProgram, programPath } from './processes.js';

/** What the machine has. A parameter, so that tests can say something else. */
export interface Machine {
  /** As in PATH. */
  readonly path: string;
  /** Put before absolute paths of files; '' is the machine itself. */
  readonly root: string;
}

export const THIS_MACHINE: Machine = { path: programPath(), root: '' };

/** Everything that a run needs from the machine, found. */
export interface Tools {
  /** Compressed hypervisor. */
  readonly xen: string;
  readonly busybox: string;
  readonly emulator: string;
  /** Bochs only: its BIOS and a VGA BIOS. */
  readonly firmware: { readonly bios: string; readonly vga: string } | null;
}

const XEN_IMAGE = /^xen-(\d+)\.(\d+)-amd64\.gz$/;
const BOCHS_BIOS = '/usr/share/bochs/BIOS-bochs-latest';
/** Either will do: Debian's bochs depends on one of two packages, and its own link dangles with the second. */
const VGA_BIOSES = ['/usr/share/bochs/VGABIOS-lgpl-latest', '/usr/share/seabios/vgabios-stdvga.bin'];
const BOCHS_TERMINAL = '/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so';

/**
 * Finds what an engine needs.
 *
 * @throws LabError with one line: what is missing, and the command that installs it
 */
export function findTools(engine: LabEngine, machine: Machine = THIS_MACHINE): Tools {
  const missing = new Set<string>();
  const need = (found: string | null | undefined, name: string): string => {
    if (!found) missing.add(name);
    return found ?? '';
  };
  const program = (name: string): string | null => findProgram(name, machine.path);
  const file = (path: string): string | null => (existsSync(machine.root + path) ? machine.root + path : null);

  const xen = need(newestXen(`${machine.root}/boot`), 'xen-hypervisor-4.17-amd64');
  const busybox = need(staticBusybox(program('busybox')), 'busybox-static');
  need(program('xz'), 'xz-utils');
  const tools =
    engine === 'qemu'
      ? { xen, busybox, emulator: need(program('qemu-system-x86_64'), 'qemu-system-x86'), firmware: null }
      : {
          xen,
          busybox,
          emulator: need(program('bochs-bin'), 'bochs'),
          firmware: {
            bios: need(file(BOCHS_BIOS), 'bochsbios'),
            vga: need(
              VGA_BIOSES.map(file).find((path) => path !== null),
              'seabios',
            ),
          },
        };
  if (engine === 'bochs') need(file(BOCHS_TERMINAL), 'bochs-term');
  if (missing.size > 0) throw new LabError(missingMessage(engine, [...missing], machine));
  return tools;
}

function missingMessage(engine: LabEngine, missing: readonly string[], machine: Machine): string {
  const list = missing.join(' ');
  if (findProgram('apt-get', machine.path) === null) {
    return `the ${engine} lab needs the Debian packages ${list}, and this machine has no apt-get: use a Debian 12 machine or container`;
  }
  return `the ${engine} lab misses packages: apt-get install -y --no-install-recommends ${list}`;
}

function newestXen(boot: string): string | null {
  let names: string[];
  try {
    names = readdirSync(boot);
  } catch {
    return null;
  }
  const found = names
    .map((name) => XEN_IMAGE.exec(name))
    .filter((match) => match !== null)
    .map((match) => ({ name: match[0], order: Number(match[1]) * 1000 + Number(match[2]) }))
    .sort((a, b) => b.order - a.order)[0];
  return found ? `${boot}/${found.name}` : null;
}

/** The package `busybox` has one that needs libraries, which are not there when dom0 begins. */
function staticBusybox(file: string | null): string | null {
  return file !== null && isStatic(readFileSync(file)) ? file : null;
}
