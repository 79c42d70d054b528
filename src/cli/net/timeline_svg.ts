/** When packets had which checksums, as an SVG picture that stands alone. */

import { writeFileSync } from 'node:fs';
import type { Timeline, TimelineColumn } from '../../net/timeline.js';
import { CommandError } from '../exit.js';

const WIDTH = 900;
const LEFT = 70;
const PLOT = WIDTH - LEFT - 20;
const TOP = 64;
const HEIGHT = 240;

/** From the bottom up; what is no trouble is grey. */
const LAYERS = ['good', 'none', 'other', 'partial', 'corrupt'] as const;

const STYLE = `
    text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
    .title { font-weight: bold; font-size: 15px }
    .quiet { fill: #57606a }
    .back { fill: #ffffff }
    .axis { stroke: #8c959f }
    .good { fill: #9fd8ac } .none { fill: #d0d7de } .other { fill: #afb8c1 }
    .partial { fill: #bf8700 } .corrupt { fill: #cf222e }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .quiet { fill: #8b949e } .back { fill: #0d1117 }
      .good { fill: #23633a } .none { fill: #30363d } .other { fill: #484f58 }
    }`;

/** Writes the picture. @throws CommandError when it cannot be written */
export function writeTimelineSvg(path: string, timeline: Timeline): void {
  try {
    writeFileSync(path, timelineSvg(timeline));
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    throw new CommandError(code, `${path} cannot be written: ${code}`, 'name a file in a folder that is there');
  }
}

export function timelineSvg(timeline: Timeline): string {
  const { columns, width } = timeline;
  const sum = ({ checksums }: TimelineColumn): number => LAYERS.reduce((all, state) => all + checksums[state], 0);
  const highest = Math.max(1, ...columns.map(sum));
  const step = PLOT / Math.max(1, columns.length);
  const bars = LAYERS.map((state) => `  <path class="${state}" d="${layer(columns, state, highest, step)}"/>`);
  const first = columns[0];
  const began = first ? new Date(first.start * 1000).toISOString() : 'no packets';
  const base = TOP + HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${base + 50}" role="img">`,
    `  <title>Checksums of packets over time</title>`,
    `  <style>${STYLE}\n  </style>`,
    `  <rect class="back" width="100%" height="100%"/>`,
    `  <text class="title" x="16" y="24">Checksums of packets over time</text>`,
    ...LAYERS.map((state, i) => legend(state, LEFT + i * 110)),
    ...bars,
    `  <path class="axis" d="M${LEFT} ${base}h${PLOT}M${LEFT} ${base}V${TOP}"/>`,
    `  <text class="quiet" x="${LEFT - 8}" y="${TOP + 5}" text-anchor="end">${highest}</text>`,
    `  <text class="quiet" x="${LEFT - 8}" y="${base}" text-anchor="end">0</text>`,
    `  <text class="quiet" x="${LEFT}" y="${base + 20}">${began}</text>`,
    `  <text class="quiet" x="${LEFT + PLOT}" y="${base + 20}" text-anchor="end">+${seconds(columns.length * width)}</text>`,
    `  <text class="quiet" x="${LEFT}" y="${base + 40}">packets in ${seconds(width)}, a column each</text>`,
    '</svg>\n',
  ].join('\n');
}

function legend(state: string, x: number): string {
  const box = `<rect class="${state}" x="${x}" y="38" width="12" height="12"/>`;
  return `  ${box}<text x="${x + 18}" y="49">${state}</text>`;
}

/** One rectangle a column, on top of those of the layers below. */
function layer(columns: readonly TimelineColumn[], state: string, highest: number, step: number): string {
  const scale = HEIGHT / highest;
  const below = LAYERS.slice(0, LAYERS.indexOf(state as (typeof LAYERS)[number]));
  return columns
    .map(({ checksums }, i) => {
      const count = checksums[state as (typeof LAYERS)[number]];
      if (count === 0) return '';
      const bottom = below.reduce((all, one) => all + checksums[one], 0) * scale;
      // a single bad packet among thousands must be seen
      const tall = Math.max(1, count * scale);
      const y = Math.max(TOP, TOP + HEIGHT - bottom - tall);
      return `M${round(LEFT + i * step)} ${round(y)}h${round(step)}v${round(tall)}h-${round(step)}z`;
    })
    .join('');
}

const round = (value: number): number => Math.round(value * 100) / 100;

function seconds(value: number): string {
  if (value >= 120) return `${Math.round(value / 60)} min`;
  if (value >= 1) return `${round(value)} s`;
  return value >= 1e-3 ? `${round(value * 1e3)} ms` : `${round(value * 1e6)} us`;
}
