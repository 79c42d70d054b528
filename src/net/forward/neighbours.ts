/** Who is on a link: Ethernet addresses by IPv4 address. Bounded, since anybody on the link can fill it. */

const MOST = 4096;
const MOST_HELD = 64;
/** Milliseconds between two questions for the same address. */
const ASK_AGAIN = 1000;

interface Wanted {
  askedAt: number;
  /** The latest frame to it, with its virtio_net_hdr. */
  frame: Uint8Array;
}

export class Neighbours {
  readonly #macs = new Map<number, Uint8Array>();
  readonly #wanted = new Map<number, Wanted>();

  find(ip: number): Uint8Array | undefined {
    return this.#macs.get(ip);
  }

  /** Takes an address. @returns the frame that waited for it */
  learn(ip: number, bytes: Uint8Array, macAt: number): Uint8Array | null {
    const known = this.#macs.get(ip);
    if (known) {
      for (let i = 0; i < 6; i++) known[i] = bytes[macAt + i] as number;
    } else if (this.#macs.size < MOST) this.#macs.set(ip, bytes.slice(macAt, macAt + 6));
    const wanted = this.#wanted.get(ip);
    if (!wanted) return null;
    this.#wanted.delete(ip);
    return wanted.frame;
  }

  /**
   * Keeps a frame until its receiver is known, in the place of the one before.
   *
   * @returns whether to ask who has the address
   */
  hold(ip: number, frame: Uint8Array, now: number): boolean {
    const wanted = this.#wanted.get(ip);
    const ask = !wanted || now - wanted.askedAt >= ASK_AGAIN;
    if (!wanted && this.#wanted.size >= MOST_HELD) {
      const [oldest] = this.#wanted.keys();
      if (oldest !== undefined) this.#wanted.delete(oldest);
    }
    this.#wanted.set(ip, { askedAt: ask ? now : (wanted?.askedAt ?? now), frame });
    return ask;
  }
}
