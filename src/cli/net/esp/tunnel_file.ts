/** What `encap` and `decap` have in common: the tunnel's file, and captures that are read and written. */

import { readFileSync, statSync } from 'node:fs';
import { CaptureError } from '../../../net/capture/error.js';
import { FileSink, FileSource, StreamSink, StreamSource } from '../../../net/capture/file.js';
import type { ByteSource } from '../../../net/capture/reader.js';
import type { ByteSink } from '../../../net/capture/writer.js';
import type { EspCapture } from '../../../net/esp/capture.js';
import { type EspConfig, EspConfigError, parseEspConfig } from '../../../net/esp/config.js';
import { EspTunnel } from '../../../net/esp/tunnel.js';
import type { Context, Operand, Option, Outcome } from '../../command.js';
import { CommandError, UsageError } from '../../exit.js';
import { makeStyle } from '../../style.js';

export const CAPTURES: readonly Operand[] = [{ name: 'IN' }, { name: 'OUT' }];

export const CONFIG: Option = { name: 'config', value: 'FILE', help: 'the tunnel: addresses, keys, in JSON' };

export const ABOUT_CONFIG =
  'FILE describes the tunnel as this end sees it; docs/esp.md has all settings. Keys are hexadecimal, and are never printed:\n{"local": "192.0.2.1", "remote": "192.0.2.2",\n "outbound": {"spi": 4096, "algorithm": "aes-gcm", "key": "000102..0f", "salt": "a0a1a2a3"},\n "inbound": {...}}';

/** Makes the tunnel that `--config` describes. @throws UsageError */
export function openTunnel({ operands, options, note }: Context, direction: 'outbound' | 'inbound'): EspTunnel {
  const file = options.get('config');
  if (file === undefined) throw new UsageError('--config FILE is missing', '`--help` shows what is in it');
  const config = readConfig(file);
  if (config[direction] === undefined) throw new UsageError(`${file}: ${direction} is missing`);
  // others who can read the file can read all that goes through the tunnel
  if (statSync(file).mode & 0o044) note(`${file} can be read by others, and has keys: chmod 600 ${file}`);
  try {
    return new EspTunnel({ ...config, device: operands[0] ?? '' });
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`);
  }
}

/** @throws UsageError */
export function readConfig(file: string): EspConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  try {
    return parseEspConfig(text);
  } catch (error) {
    if (!(error instanceof EspConfigError)) throw error;
    throw new UsageError(`${file}: ${error.message}`, 'docs/esp.md has all settings');
  }
}

type Pass = (
  source: ByteSource,
  sink: ByteSink,
  stopped: (soFar: Readonly<EspCapture>) => boolean,
) => Promise<EspCapture>;

const PACKETS_A_NOTE = 50_000;

/** Has `pass` read IN and write OUT; `-` is the standard input and output. */
export async function passCaptures(context: Context, pass: Pass): Promise<EspCapture> {
  const { operands, options, signal, progress } = context;
  const [input = '', output = ''] = operands;
  if (output === '-' && options.has('json')) {
    throw new UsageError('the packets and --json cannot both go to the standard output', 'name a file for OUT');
  }
  let at = input;
  try {
    await using source = input === '-' ? new StreamSource(process.stdin) : await FileSource.open(input);
    at = output;
    await using sink = output === '-' ? new StreamSink(process.stdout) : await FileSink.create(output);
    at = '';
    const result = await pass(source, sink, ({ packets }) => {
      if (packets % PACKETS_A_NOTE === 0 && packets > 0) progress(`${packets} packets`);
      return signal.aborted;
    });
    if (signal.aborted) throw new CommandError('ERR_INTERRUPTED', 'interrupted: nothing was written');
    await sink.commit();
    return result;
  } catch (error) {
    if (error instanceof CaptureError) throw new CommandError(error.code, `${input}: ${error.message}`);
    const { code } = error as NodeJS.ErrnoException;
    if (at === '' || code === undefined) throw error;
    throw new UsageError(`${at} cannot be ${at === input ? 'read' : 'written'}: ${code}`);
  } finally {
    progress('');
  }
}

/** Those that are not 0, as `name 3`, the most frequent first. */
export function counted(counts: Readonly<Record<string, number>>): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

/** What the command did, beside the packets when they go to the standard output. */
export function beside({ operands, note }: Context, outcome: Outcome): Outcome {
  if (operands[1] !== '-') return outcome;
  for (const line of outcome.text(makeStyle(false), 100)) note(line);
  return { ...outcome, text: () => [] };
}
