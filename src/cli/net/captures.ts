/** The captures that commands read and write. */

import { statSync } from 'node:fs';
import { CaptureError } from '../../net/capture/error.js';
import { FileSink, FileSource, StreamSink, StreamSource } from '../../net/capture/file.js';
import { type Passed, type PassOptions, passCapture } from '../../net/capture/pass.js';
import type { Context, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { makeStyle } from '../style.js';

/** Milliseconds between two pictures of the progress bar. */
const REDRAW = 100;
const BAR = 30;

/** Goes through the capture IN, which is looked at only. */
export async function readCaptureFile(context: Context, input: string, work: PassOptions['work']): Promise<Passed> {
  return await reported(context, input, input, async (at) => {
    await using source = await openSource(input);
    at.file = '';
    return await pass(context, source, { work });
  });
}

/** Goes through the capture IN and writes it to OUT, changed; `-` is the standard input and output. */
export async function rewriteCaptureFile(
  context: Context,
  [input, output]: readonly [string, string],
  work: Pick<PassOptions, 'scan' | 'work'>,
): Promise<Passed> {
  if (output === '-' && context.options.has('json')) {
    throw new UsageError('the packets and --json cannot both go to the standard output', 'name a file for OUT');
  }
  if (isSame(input, output)) {
    throw new UsageError(`${output} is IN as well, and would be lost were this to fail`, 'name another file for OUT');
  }
  return await reported(context, input, output, async (at) => {
    await using source = await openSource(input);
    at.file = output;
    await using sink = output === '-' ? new StreamSink(process.stdout) : await FileSink.create(output);
    at.file = '';
    const passed = await pass(context, source, { ...work, sink });
    await sink.commit();
    return passed;
  });
}

async function openSource(input: string): Promise<FileSource | StreamSource> {
  return input === '-' ? new StreamSource(process.stdin) : await FileSource.open(input);
}

function isSame(input: string, output: string): boolean {
  const [one, other] = [input, output].map((path) => statSync(path, { throwIfNoEntry: false }));
  return one !== undefined && other !== undefined && one.isFile() && one.dev === other.dev && one.ino === other.ino;
}

async function pass(
  { progress, signal }: Context,
  source: FileSource | StreamSource,
  options: PassOptions,
): Promise<Passed> {
  const start = performance.now();
  let drawn = start;
  const passed = await passCapture(source, {
    ...options,
    stopped: (position) => {
      const now = performance.now();
      if (now - drawn > REDRAW) {
        drawn = now;
        progress(progressText(position, source.size, now - start));
      }
      return signal.aborted;
    },
  });
  if (passed.stopped) throw new CommandError('ERR_INTERRUPTED', 'interrupted: nothing was written');
  return passed;
}

/** How far it is, as a bar where that is known. */
export function progressText(position: number, size: number, milliseconds: number): string {
  const rate = `${Math.round(position / 1000 / milliseconds)} MB/s`;
  if (size === 0) return `${Math.round(position / 1e6)} MB, ${rate}`;
  const share = Math.min(1, position / size);
  const done = Math.round(share * BAR);
  const left = Math.ceil(((size - position) / position) * (milliseconds / 1000));
  return `[${'#'.repeat(done)}${'.'.repeat(BAR - done)}] ${Math.floor(share * 100)} %, ${rate}, ${left} s left`;
}

/** Says of errors which file they are about, and what to do. `at.file`: the one that is being opened. */
async function reported(
  { progress, note }: Context,
  input: string,
  output: string,
  work: (at: { file: string }) => Promise<Passed>,
): Promise<Passed> {
  const at = { file: input };
  try {
    const passed = await work(at);
    progress('');
    const name = input === '-' ? 'the standard input' : input;
    if (passed.rest > 0) note(`${name} ends in the middle of a packet, ${passed.rest} bytes that are left as they are`);
    return passed;
  } catch (error) {
    progress('');
    if (error instanceof CaptureError) throw new CommandError(error.code, `${input}: ${error.message}`);
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof CommandError || error instanceof UsageError) throw error;
    if (at.file === '') throw new CommandError(code, `${input} or ${output}: ${code} while packets were passed`);
    throw new UsageError(`${at.file} cannot be ${at.file === input ? 'read' : 'written'}: ${code}`);
  }
}

/** The result, on stderr when the packets go to the standard output. */
export function beside({ operands, note }: Context, outcome: Outcome): Outcome {
  if (operands[1] !== '-') return outcome;
  for (const line of outcome.text(makeStyle(false), 100)) note(line);
  return { ...outcome, text: () => [] };
}
