/** Colours, where they are wanted; and text in columns. */

import { stripVTControlCharacters, styleText } from 'node:util';

/** What a piece of text is, not how it looks. */
export interface Style {
  readonly heading: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warning: (text: string) => string;
  /** Less important. */
  readonly quiet: (text: string) => string;
  /** To be typed as it stands. */
  readonly literal: (text: string) => string;
  readonly dom0: (text: string) => string;
  readonly guest: (text: string) => string;
}

type Format = Parameters<typeof styleText>[0];

/** @param colour false: plain text */
export function makeStyle(colour: boolean): Style {
  const as =
    (format: Format) =>
    (text: string): string =>
      colour ? styleText(format, text, { validateStream: false }) : text;
  return {
    heading: as('bold'),
    good: as('green'),
    bad: as(['red', 'bold']),
    warning: as('yellow'),
    quiet: as('dim'),
    literal: as('cyan'),
    dom0: as('cyan'),
    guest: as('magenta'),
  };
}

/** Whether a stream gets colours: FORCE_COLOR decides, else NO_COLOR, else whether it is a terminal that has them. */
export function wantsColour(env: NodeJS.ProcessEnv, isTTY: boolean): boolean {
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  const refused = env['NO_COLOR'];
  if (refused !== undefined && refused !== '') return false;
  return isTTY && env['TERM'] !== 'dumb';
}

/** Characters that a text takes on the screen. */
export function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - width(text)));
}

/** Rows in columns, two blanks apart; columns whose numbers are in `right` are aligned to the right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, width(cell));
    });
  }
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const room = widths[i] ?? 0;
        return right.includes(i) ? ' '.repeat(room - width(cell)) + cell : padEnd(cell, room);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Breaks a text at blanks into lines of at most `columns`, each after `indent`. */
export function wrap(text: string, columns: number, indent = ''): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    const glue = line === indent ? '' : ' ';
    if (line !== indent && width(line) + glue.length + width(word) > columns) {
      lines.push(line);
      line = indent + word;
    } else line += glue + word;
  }
  lines.push(line);
  return lines;
}
