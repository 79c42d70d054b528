/** `xenctrl pci inspect`: the MSI-X pages of devices, and what will go wrong when one is given away. */

import type { PlacedBar } from '../../pci/bars.js';
import { type Inspection, inspect as look } from '../../pci/inspect.js';
import type { Command, Outcome } from '../command.js';
import { SOURCE_OPTIONS } from './options.js';
import { ABOUT_SOURCE, readSource, releaseOf, SOURCE } from './source.js';
import { writeSvg } from './svg.js';
import { inspectionLines, legend } from './terminal.js';
import { hex } from './text.js';

/** For JSON: addresses as they are written. */
function barJson({ address, size, unknown, ...bar }: PlacedBar): Record<string, unknown> {
  return {
    ...bar,
    address: address === null ? null : hex(address),
    size: size === null ? null : Number(size),
    ...(unknown ? { why: unknown.why } : {}),
  };
}

/** Of what is not told there is null. */
function json(inspection: Inspection): Record<string, unknown> {
  const {
    sbdf,
    msix,
    problems,
    notes,
    findings,
    bars,
    driver = null,
    iommuGroup = null,
    resetMethods = null,
    irq = null,
    ...rest
  } = inspection;
  return {
    sbdf,
    msix,
    problems,
    notes,
    ...rest,
    driver,
    iommuGroup,
    resetMethods,
    irq,
    bars: bars.map(barJson),
    codes: findings.map(({ code }) => code),
  };
}

export const inspect: Command = {
  name: 'inspect',
  summary: "explain devices' MSI-X pages, and what goes wrong when a guest is given one",
  description: [
    "Xen lets a guest read the MSI-X table and the pending-bit array of its device and never write them, by pages: whatever else is in those pages cannot be written either. This tells which pages they are, what is in them, and what stands in the device's way. It changes nothing and needs no Xen.",
    ABOUT_SOURCE,
    'With --json it is an array with an object for each device. Frames are machine frame numbers; null where they cannot be told, and a problem says why. `msix` is null only for a device without the capability.',
  ],
  operands: [SOURCE, { name: 'SBDF', optional: true }],
  options: [
    ...SOURCE_OPTIONS,
    { name: 'all', help: 'show devices without MSI-X, too' },
    { name: 'svg', value: 'FILE', help: 'also draw the pages into FILE' },
  ],
  examples: [
    ['pci inspect 03:00.0', 'a device of this machine'],
    ['pci inspect dump.txt', 'all devices with MSI-X in text of `lspci -vvxxxx`'],
    ['pci inspect dump.txt 03:00.0 --release 4.17 --svg pages.svg', 'one of them, for Xen 4.17, and its picture'],
    ["pci inspect dump.txt --json | jq '.[] | select(.problems != [])'", 'those with problems, for programs'],
  ],
  run: async (context): Promise<Outcome> => {
    const { machine, chosen, complaints } = await readSource(context);
    const release = releaseOf(context);
    const inspections = chosen.map((fn) => look(fn, machine, release));
    for (const text of complaints) context.note(text);
    const single = inspections.length === 1;
    const shown = inspections.filter(({ msix }) => single || msix !== null || context.options.has('all'));
    const svg = context.options.get('svg');
    if (svg !== undefined) writeSvg(svg, shown);
    const left = inspections.length - shown.length;
    return {
      json: inspections.map(json),
      text: (style, columns) => [
        ...shown.flatMap((one) => [...inspectionLines(one, style, columns), '']),
        ...(shown.some(({ msix }) => msix) ? [legend(style)] : []),
        ...(left > 0 ? [style.quiet(`${left} without MSI-X are not shown: --all`)] : []),
      ],
    };
  },
};
