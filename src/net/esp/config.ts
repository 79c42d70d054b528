/** Tunnels described in JSON (docs/esp.md has the form). No message has a part of a key. */

import type { EspKeys } from './algorithm.js';
import { ESP_ALGORITHMS, layoutOf } from './algorithm.js';
import type { EspInbound, EspOutbound, EspTunnelOptions } from './options.js';

/** The configuration says something that cannot be. The message begins with where: `outbound.key`. */
export class EspConfigError extends Error {
  override readonly name = 'EspConfigError';
  readonly code = 'ERR_ESP_CONFIG';
  /** The setting, such as `outbound.key`; empty: the whole. */
  readonly setting: string;

  constructor(setting: string, problem: string) {
    super(setting === '' ? problem : `${setting} ${problem}`);
    this.setting = setting;
  }
}

/** What a tunnel is made of, but for what only programs set. */
export type EspConfig = Omit<EspTunnelOptions, 'crypto' | 'device'>;

type Settings = Readonly<Record<string, unknown>>;

const TUNNEL = [
  'local',
  'remote',
  'outbound',
  'inbound',
  'mtu',
  'df',
  'ttl',
  'dscp',
  'ecn',
  'natT',
  'selectors',
  'historic',
] as const;
const SA = ['spi', 'algorithm', 'key', 'salt', 'icvLength', 'authKey', 'esn', 'sequence'];

/** Reads a tunnel's description. @throws EspConfigError */
export function parseEspConfig(text: string): EspConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // the parser's own message would quote what is there, which may be a key
    throw new EspConfigError('', 'this is no JSON');
  }
  const settings = object('', value, TUNNEL);
  const config: Record<string, unknown> = {
    local: string('local', settings['local']),
    remote: string('remote', settings['remote']),
  };
  for (const name of ['mtu', 'ttl'] as const) {
    if (settings[name] !== undefined) config[name] = integer(name, settings[name]);
  }
  choice(config, settings, 'df', ['copy', 'set', 'clear']);
  choice(config, settings, 'ecn', ['normal', 'compatible']);
  choice(config, settings, 'historic', ['2005-07', '2005-07-let-through']);
  const { dscp, natT, selectors, outbound, inbound } = settings;
  if (dscp !== undefined) config['dscp'] = dscp === 'copy' ? dscp : integer('dscp', dscp);
  if (natT !== undefined) config['natT'] = readNatT(natT);
  if (selectors !== undefined) config['selectors'] = readSelectors(selectors);
  if (outbound !== undefined) config['outbound'] = readSa('outbound', outbound, []);
  if (inbound !== undefined) config['inbound'] = readSa('inbound', inbound, ['replayWindow']);
  return config as unknown as EspConfig;
}

function readNatT(value: unknown): Settings {
  const settings = object('natT', value, ['localPort', 'remotePort']);
  return Object.fromEntries(Object.entries(settings).map(([name, port]) => [name, integer(`natT.${name}`, port)]));
}

function readSelectors(value: unknown): Settings {
  const settings = object('selectors', value, ['local', 'remote']);
  return Object.fromEntries(
    Object.entries(settings).map(([name, list]) => {
      if (!Array.isArray(list)) throw new EspConfigError(`selectors.${name}`, 'must be a list of networks');
      return [name, list.map((network, i) => string(`selectors.${name}[${i}]`, network))];
    }),
  );
}

function readSa(name: string, value: unknown, more: readonly string[]): EspOutbound | EspInbound {
  const settings = object(name, value, [...SA, ...more]);
  const sa: Record<string, unknown> = {
    spi: integer(`${name}.spi`, settings['spi']),
    keys: readKeys(name, settings),
  };
  if (settings['esn'] !== undefined) {
    if (typeof settings['esn'] !== 'boolean') throw new EspConfigError(`${name}.esn`, 'must be true or false');
    sa['esn'] = settings['esn'];
  }
  if (settings['sequence'] !== undefined) sa['sequence'] = bigint(`${name}.sequence`, settings['sequence']);
  if (settings['replayWindow'] !== undefined) {
    sa['replayWindow'] = integer(`${name}.replayWindow`, settings['replayWindow']);
  }
  return sa as unknown as EspOutbound;
}

function readKeys(name: string, settings: Settings): EspKeys {
  const { algorithm } = settings;
  if (!ESP_ALGORITHMS.some((one) => one === algorithm)) {
    throw new EspConfigError(`${name}.algorithm`, `must be one of ${ESP_ALGORITHMS.join(', ')}`);
  }
  const gcm = algorithm === 'aes-gcm';
  for (const foreign of gcm ? ['authKey'] : ['salt', 'icvLength']) {
    if (settings[foreign] !== undefined) throw new EspConfigError(`${name}.${foreign}`, `is not for ${algorithm}`);
  }
  const key = bytes(`${name}.key`, settings['key']);
  if (gcm && settings['salt'] === undefined && [20, 28, 36].includes(key.length)) {
    throw new EspConfigError(
      `${name}.key`,
      `has ${key.length} bytes: give the last 4, which are the salt, as ${name}.salt`,
    );
  }
  const keys = gcm
    ? {
        algorithm,
        key,
        salt: bytes(`${name}.salt`, settings['salt']),
        ...(settings['icvLength'] === undefined
          ? {}
          : { icvLength: integer(`${name}.icvLength`, settings['icvLength']) }),
      }
    : { algorithm, key, authKey: bytes(`${name}.authKey`, settings['authKey']) };
  try {
    layoutOf(keys as EspKeys);
  } catch (error) {
    throw new EspConfigError(`${name}:`, (error as Error).message);
  }
  return keys as EspKeys;
}

function object(name: string, value: unknown, known: readonly string[]): Settings {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new EspConfigError(name, `${name === '' ? 'this is no' : 'must be an'} object of settings`);
  }
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    throw new EspConfigError(name === '' ? key : `${name}.${key}`, `is no setting; there are: ${known.join(', ')}`);
  }
  return value as Settings;
}

function string(name: string, value: unknown): string {
  if (typeof value !== 'string') throw new EspConfigError(name, value === undefined ? 'is missing' : 'must be a text');
  return value;
}

function bytes(name: string, value: unknown): Uint8Array {
  const digits = string(name, value).replace(/^0x/i, '').replace(/[\s:]/g, '');
  if (!/^([0-9a-f]{2})+$/i.test(digits)) throw new EspConfigError(name, 'must be bytes in hexadecimal');
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/** A number, or a text with one, which may be hexadecimal. */
function bigint(name: string, value: unknown): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === 'string' && /^(0x[0-9a-f]+|\d+)$/i.test(value)) return BigInt(value);
  throw new EspConfigError(name, value === undefined ? 'is missing' : 'must be a whole number');
}

function integer(name: string, value: unknown): number {
  const number = bigint(name, value);
  if (number > 0xffffffffn) throw new EspConfigError(name, `must be at most 4294967295, not ${number}`);
  return Number(number);
}

function choice(config: Record<string, unknown>, settings: Settings, name: string, choices: readonly string[]): void {
  const value = settings[name];
  if (value === undefined) return;
  if (!choices.some((one) => one === value)) throw new EspConfigError(name, `must be one of ${choices.join(', ')}`);
  config[name] = value;
}
