/** `xenctrl argo listen`: prints the messages that come to a port of this domain. */

import { ArgoDriver } from '../../argo/driver.js';
import { type DeviceOptions, OpenXtSocket } from '../../argo/openxt.js';
import { openxtArgo } from '../../argo/openxt_device.js';
import type { V4vMessage } from '../../v4v/ring.js';
import type { XcInterface } from '../../xc/interface.js';
import type { Command, Context, Emitted, Outcome } from '../command.js';
import { CommandError, UsageError } from '../exit.js';
import { XEN_OPTIONS } from '../option_list.js';
import { onXen } from '../session.js';
import { padEnd } from '../style.js';
import { DATAGRAM, numberOption, readDomid, readPort } from './operands.js';

export interface ListenOptions {
  readonly port: number;
  readonly partner?: number;
  /** Bytes of the ring. */
  readonly length?: number;
  /** End after so many messages. */
  readonly count?: number;
}

/** Hands over messages until `signal` fires or there were enough. @returns how many there were */
export function listenOn(
  xch: XcInterface,
  { count = Number.POSITIVE_INFINITY, ...options }: ListenOptions,
  signal: AbortSignal,
  hear: (message: V4vMessage) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const driver = new ArgoDriver(xch);
    let heard = 0;
    const cleanUp = (): void => {
      signal.removeEventListener('abort', end);
      ring.release();
      driver.close();
    };
    const end = (): void => {
      cleanUp();
      resolve(heard);
    };
    const read = (): void => {
      try {
        while (heard < count) {
          const message = ring.reader.read();
          if (!message) break;
          hear(message);
          heard++;
        }
        if (heard >= count) end();
        else driver.hasRead();
      } catch (error) {
        cleanUp();
        reject(error);
      }
    };
    const ring = openRing(driver, options, read);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** As {@link listenOn}, through the kernel's own driver, which gives datagrams only. */
export function listenOnDevice(
  { count = Number.POSITIVE_INFINITY, ...options }: ListenOptions & Pick<DeviceOptions, 'calls'>,
  signal: AbortSignal,
  hear: (message: V4vMessage) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = new OpenXtSocket(options);
    let heard = 0;
    const end = (): void => socket.close();
    socket.on('error', reject);
    socket.on('close', () => {
      signal.removeEventListener('abort', end);
      resolve(heard);
    });
    socket.on('message', (payload, source) => {
      if (heard >= count) return;
      hear({ payload, source, messageType: DATAGRAM });
      if (++heard >= count) end();
    });
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
  });
}

/** Makes the ring, or closes the driver. */
function openRing(
  driver: ArgoDriver,
  options: Omit<ListenOptions, 'count'>,
  onReadable: () => void,
): ReturnType<ArgoDriver['ring']> {
  try {
    return driver.ring({ ...options, onReadable });
  } catch (error) {
    driver.close();
    throw error;
  }
}

const WIDTHS = [6, 10, 10, 6] as const;

function columns(cells: readonly string[]): string {
  return cells.map((cell, i) => padEnd(cell, WIDTHS[i] ?? 0)).join('  ');
}

/** Printable text as it is, anything else in hexadecimal. */
function shown(payload: Uint8Array): string {
  const text = Buffer.from(payload).toString('utf8');
  return /^[\P{C}\n\t]*$/u.test(text) && !text.includes('\ufffd')
    ? JSON.stringify(text)
    : Buffer.from(payload).toString('hex');
}

function emitted({ source, messageType, payload }: V4vMessage): Emitted {
  const type = `0x${messageType.toString(16)}`;
  return {
    json: {
      domid: source.domain,
      aport: source.port,
      message_type: messageType,
      length: payload.length,
      hex: Buffer.from(payload).toString('hex'),
    },
    text: () => [columns([`${source.domain}`, `${source.port}`, type, `${payload.length}`, shown(payload)])],
  };
}

async function run(context: Context): Promise<Outcome> {
  const port = readPort(context.operands[0] ?? '', 'PORT');
  const count = numberOption(context, 'count');
  const length = numberOption(context, 'size');
  const seconds = numberOption(context, 'timeout', 1e6);
  if (length !== undefined && (length % 16 !== 0 || length < 48)) {
    throw new UsageError('--size must be a multiple of 16, 48 or more');
  }
  if (count === 0) throw new UsageError('--count must be 1 or more');
  return await onXen(context, async (session) => {
    const from = context.options.get('from');
    const options = {
      port,
      ...(from === undefined ? {} : { partner: readDomid(session, from) }),
      ...(length === undefined ? {} : { length }),
      ...(count === undefined ? {} : { count }),
    };
    const stops = seconds === undefined ? [] : [AbortSignal.timeout(seconds * 1000)];
    const stop = AbortSignal.any([context.signal, ...stops]);
    let first = true;
    const hear = (message: V4vMessage): void => {
      const head = first && !context.options.has('json');
      first = false;
      if (head) {
        const names = columns(['DOMAIN', 'PORT', 'TYPE', 'BYTES', 'PAYLOAD']);
        context.emit({ json: null, text: (style) => [style.heading(names)] });
      }
      context.emit(emitted(message));
    };
    const byKernel = session.xen.kind !== 'model' && openxtArgo().dgram;
    const heard = await (byKernel
      ? listenOnDevice(options, stop, hear)
      : listenOn(session.xen.xch, options, stop, hear));
    if (count !== undefined && heard < count && !context.signal.aborted) {
      throw new CommandError('ERR_TIMEOUT', `${heard} of ${count} messages came in ${seconds} seconds`);
    }
    return { json: undefined, text: () => [] };
  });
}

export const listen: Command = {
  name: 'listen',
  summary: 'print the messages that come to a port of this domain',
  description: [
    'Registers a ring, and unregisters it at the end: Ctrl-C, --count or --timeout. With --json each message is a line of JSON. Only one program of a domain can listen at a time. Where the Argo driver of OpenXT is loaded (/dev/argo_dgram), it goes through that, and hears datagrams only.',
  ],
  operands: [{ name: 'PORT' }],
  options: [
    ...XEN_OPTIONS,
    { name: 'from', value: 'DOMAIN', help: 'take messages of this domain only; without it Xen needs mac-permissive=1' },
    { name: 'count', value: 'N', help: 'end after N messages' },
    { name: 'timeout', value: 'SECONDS', help: 'end after so long' },
    { name: 'size', value: 'BYTES', help: 'bytes of the ring, a multiple of 16; default 16320' },
  ],
  examples: [
    ['argo listen 80 --from 3', 'what domain 3 sends to port 80'],
    ['argo listen 80 --count 1 --json | jq -r .hex', 'the first message of anybody, in hexadecimal'],
  ],
  run,
};
