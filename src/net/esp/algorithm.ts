/** The ciphers of ESP: their names, the lengths of their keys, and how they lay out a packet. */

/**
 * - `aes-gcm`: RFC 4106, Linux' `rfc4106(gcm(aes))`.
 * - `aes-cbc-hmac-sha256`: RFC 3602 with RFC 4868's HMAC-SHA-256-128; Linux' `cbc(aes)` with `auth-trunc hmac(sha256) .. 128`
 *   (its plain `auth` truncates to 96 bits, which is none of the RFC's).
 */
export const ESP_ALGORITHMS = ['aes-gcm', 'aes-cbc-hmac-sha256'] as const;
export type EspAlgorithm = (typeof ESP_ALGORITHMS)[number];

/** Keys of AES-GCM. Linux and IKE have key and salt as one, the salt last. */
export interface GcmKeys {
  readonly algorithm: 'aes-gcm';
  /** 16, 24 or 32 bytes. */
  readonly key: Uint8Array;
  /** 4 bytes. */
  readonly salt: Uint8Array;
  /** 16 (the default), 12 or 8 bytes. */
  readonly icvLength?: number;
}

/** Keys of AES-CBC with HMAC-SHA-256-128. */
export interface CbcKeys {
  readonly algorithm: 'aes-cbc-hmac-sha256';
  /** 16, 24 or 32 bytes. */
  readonly key: Uint8Array;
  /** 32 bytes. */
  readonly authKey: Uint8Array;
}

export type EspKeys = GcmKeys | CbcKeys;

/** How a packet is laid out: `SPI 4 | sequence 4 | IV | encrypted: payload, padding, 2 bytes | ICV`. */
export interface EspLayout {
  readonly ivLength: number;
  readonly icvLength: number;
  /** What the encrypted part's length is a multiple of. */
  readonly block: number;
  /** Bytes that do not depend on the payload: SPI, sequence, IV, padding's length, next header, ICV. */
  readonly overhead: number;
}

/** SPI and sequence number. */
export const ESP_HEADER = 8;

/** How packets with these keys are laid out. @throws RangeError that names what has a wrong length, never the key itself */
export function layoutOf(keys: EspKeys): EspLayout {
  checkLength('key', keys.key, [16, 24, 32]);
  switch (keys.algorithm) {
    case 'aes-gcm': {
      checkLength('salt', keys.salt, [4]);
      const icvLength = keys.icvLength ?? 16;
      if (![8, 12, 16].includes(icvLength)) throw new RangeError(`icvLength must be 8, 12 or 16, not ${icvLength}`);
      return layout(8, icvLength, 4);
    }
    case 'aes-cbc-hmac-sha256':
      checkLength('authKey', keys.authKey, [32]);
      return layout(16, 16, 16);
    default:
      throw new RangeError(`algorithm must be one of ${ESP_ALGORITHMS.join(', ')}`);
  }
}

function layout(ivLength: number, icvLength: number, block: number): EspLayout {
  return { ivLength, icvLength, block, overhead: ESP_HEADER + ivLength + 2 + icvLength };
}

function checkLength(name: string, bytes: unknown, lengths: readonly number[]): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (lengths.includes(bytes.length)) return;
  throw new RangeError(
    `${name} must have ${lengths.join(', ').replace(/, (\d+)$/, ' or $1')} bytes, not ${bytes.length}`,
  );
}
