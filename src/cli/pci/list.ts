/** `xenctrl pci list`: all devices, a line each. */

import { type Inspection, inspect } from '../../pci/inspect.js';
import type { Command, Outcome } from '../command.js';
import { type Style, table } from '../style.js';
import { SOURCE_OPTIONS } from './options.js';
import { ABOUT_SOURCE, readSource, releaseOf, SOURCE } from './source.js';
import { framesText } from './terminal.js';
import { classText } from './text.js';

function row({ sbdf, id, label, class: kind, driver, iommuGroup, msix, problems }: Inspection, style: Style): string[] {
  const vectors = msix === null ? '-' : msix.vectors === null ? '?' : String(msix.vectors);
  return [
    sbdf,
    id ?? '-',
    driver ?? (driver === null ? '-' : '?'),
    typeof iommuGroup === 'number' ? String(iommuGroup) : '-',
    vectors,
    msix ? framesText(msix.table).replace(/^frames? /, '') : '-',
    problems.length === 0 ? '-' : style.bad(String(problems.length)),
    style.quiet(label ?? (kind === null ? '' : classText(kind))),
  ];
}

export const list: Command = {
  name: 'list',
  summary: 'list devices: driver, MSI-X vectors, the frames of the table, problems',
  description: [ABOUT_SOURCE],
  operands: [SOURCE],
  options: SOURCE_OPTIONS,
  examples: [
    ['pci list', 'the devices of this machine'],
    ['pci list dump.txt', 'those in text of `lspci -vvxxxx`'],
  ],
  run: async (context): Promise<Outcome> => {
    const { machine, chosen, complaints } = await readSource(context);
    const release = releaseOf(context);
    const inspections = chosen.map((fn) => inspect(fn, machine, release));
    for (const text of complaints) context.note(text);
    return {
      json: {
        devices: inspections.map(
          ({ sbdf, id, label, class: kind, driver = null, iommuGroup = null, physfn, msix, problems }) => ({
            sbdf,
            id,
            label,
            class: kind,
            driver,
            iommuGroup,
            physfn,
            vectors: msix?.vectors ?? (msix === null ? 0 : null),
            problems: problems.length,
          }),
        ),
      },
      text: (style) =>
        table(
          [
            ['DEVICE', 'ID', 'DRIVER', 'GROUP', 'VECTORS', 'TABLE', 'PROBLEMS', ''].map(style.heading),
            ...inspections.map((one) => row(one, style)),
          ],
          [3, 4, 6],
        ),
    };
  },
};
