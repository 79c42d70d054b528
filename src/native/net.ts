/** What the native addon does with packets (`native/binding_net.cc`). All give -22 for wrong arguments. */

export interface NetAddon {
  /** The folded sum of 16-bit words in network byte order, going on from `initial` (`native/checksum.cc`). */
  checksumSum(bytes: Uint8Array, offset: number, length: number, initial: number): number;
  /**
   * Classifies `count` packets (`native/packet.cc`), and completes those that are partial if `finish`.
   *
   * @param places offset, length and link type of each
   * @param states filled with an index of CHECKSUM_STATES for each: what it was
   * @param verdicts counters, one for each of VERDICTS: added to
   * @returns 0, or -22, which the place of any packet may cause: those before it are done then
   */
  classifyPackets(
    bytes: Uint8Array,
    places: Uint32Array,
    count: number,
    finish: boolean,
    states: Uint8Array,
    verdicts: Uint32Array,
  ): number;
  /**
   * A NAT (`native/nat.cc`).
   *
   * @param rules of 64 bytes each, as `src/net/nat/rules.ts` encodes them
   * @param options seed, connections at most, ports as of 2005, the historic mistake, whether to complete, ten timeouts
   */
  openNat(rules: Uint8Array, options: Float64Array): NativeNatTranslator | number;
}

/** A NAT's rules and connections. */
export interface NatTranslator {
  /**
   * Translates `count` packets in place.
   *
   * @param places offset, length and link type of each
   * @param seconds when each came
   * @param states what its checksum is, an index of CHECKSUM_STATES, or 255: filled in
   * @param outcomes filled with an index of NAT_OUTCOMES
   * @param counters packets, added to: one for each of VERDICTS, one for each of NAT_OUTCOMES, and the partial ones
   * @returns 0, -22, or -9 after close
   */
  translate(
    bytes: Uint8Array,
    places: Uint32Array,
    seconds: Float64Array,
    count: number,
    states: Uint8Array,
    outcomes: Uint8Array,
    counters: Float64Array,
  ): number;
  /** How many it remembers. */
  connections(): number;
  close(): void;
}

/** The addon's, which finds packets as it goes, too. */
export interface NativeNatTranslator extends NatTranslator {
  /**
   * Translates the packets of a pcap's records, as many as there is room for and are there as a whole.
   *
   * @param records where the first is and where the bytes end, then what all have in common (`PcapRecords`): link type,
   *   whether they are in the other byte order, nanoseconds of a tick. The first becomes where to go on.
   * @param places filled as the other arrays are
   * @returns how many, -22, or -9 after close
   */
  translatePcap(
    bytes: Uint8Array,
    records: Uint32Array,
    places: Uint32Array,
    seconds: Float64Array,
    nanoseconds: Uint32Array,
    states: Uint8Array,
    outcomes: Uint8Array,
    counters: Float64Array,
  ): number;
}
