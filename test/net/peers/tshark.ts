/** A second opinion on what went over a cable: captured by dumpcap, decrypted and checked by tshark. */

import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EspKeys } from '#dist/net/index.js';
import type { Rig } from '../rig.js';

/** Why there can be none; null: there is one. */
export function noTshark(): string | null {
  const found = spawnSync('sh', ['-c', 'command -v tshark && command -v dumpcap']);
  return found.status === 0 ? null : 'tshark is not installed (apt install tshark)';
}

/** So many times a tenth of a second. */
const QUIET_CHECKS = 8;

/** Captures what goes over an interface. */
export class Capture {
  readonly #dumpcap: ChildProcess;
  readonly #file: string;

  private constructor(dumpcap: ChildProcess, file: string) {
    this.#dumpcap = dumpcap;
    this.#file = file;
  }

  static async start(rig: Rig, namespace: string, device: string, file: string): Promise<Capture> {
    const dumpcap = rig.spawn(namespace, 'dumpcap', ['-q', '-i', device, '-w', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // it names its file once it listens
    await new Promise<void>((resolve, reject) => {
      let told = '';
      dumpcap.stderr?.on('data', (text: Buffer) => {
        told += text.toString();
        if (told.includes('File:')) resolve();
      });
      dumpcap.once('exit', () => reject(new Error(`dumpcap has ended: ${told}`)));
    });
    return new Capture(dumpcap, file);
  }

  /** Ends it when nothing comes any more: it throws away what the kernel still has for it, a lot on a busy machine. */
  async stop(): Promise<void> {
    for (let size = -1, quiet = 0; quiet < QUIET_CHECKS; ) {
      await sleep(100);
      const now = statSync(this.#file).size;
      quiet = now === size ? quiet + 1 : 0;
      size = now;
    }
    const ended = once(this.#dumpcap, 'exit');
    this.#dumpcap.kill('SIGINT');
    await ended;
  }
}

export interface Direction {
  readonly source: string;
  readonly destination: string;
  readonly spi: number;
}

/** What tshark says of ESP packets: 1 good, 0 bad, empty: there is none of that. */
export interface Seen {
  readonly icv: string;
  readonly tcp: string;
  readonly udp: string;
}

const hex = (...parts: readonly Uint8Array[]): string =>
  `0x${parts.map((part) => Buffer.from(part).toString('hex')).join('')}`;

/** Decrypts all ESP packets of a capture. Of tampered ones with AES-GCM version 4.0 says nothing. */
export function decrypt(file: string, version: 4 | 6, keys: EspKeys, directions: readonly Direction[]): Seen[] {
  const gcm = keys.algorithm === 'aes-gcm';
  const ciphers = gcm
    ? `"AES-GCM with 16 octet ICV [RFC4106]","${hex(keys.key, keys.salt)}","NULL",""`
    : `"AES-CBC [RFC3602]","${hex(keys.key)}","HMAC-SHA-256-128 [RFC4868]","${hex(keys.authKey)}"`;
  const options = [
    'esp.enable_encryption_decode:TRUE',
    'esp.enable_authentication_check:TRUE',
    'tcp.check_checksum:TRUE',
    'udp.check_checksum:TRUE',
    ...directions.map(
      ({ source, destination, spi }) =>
        `uat:esp_sa:"IPv${version}","${source}","${destination}","0x${spi.toString(16).padStart(8, '0')}",${ciphers}`,
    ),
  ];
  const fields = ['esp.icv_good', 'tcp.checksum.status', 'udp.checksum.status'];
  const { status, stdout, stderr } = spawnSync(
    'tshark',
    [
      ['-n', '-r', file, '-Y', 'esp', '-T', 'fields', '-E', 'occurrence=l'],
      options.flatMap((option) => ['-o', option]),
      fields.flatMap((field) => ['-e', field]),
    ].flat(),
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`tshark: ${stderr}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [icv = '', tcp = '', udp = ''] = line.split('\t');
      return { icv, tcp, udp };
    });
}
