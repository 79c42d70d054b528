/**
 * A set of frame ranges in which a frame is as often as it was added: Xen's `mmio_ro_ranges`, counted. Two virtual
 * functions can have their MSI-X tables on one page, and the first that lets go of it must not take it from the other.
 *
 * What is kept is not the ranges but where the count changes, and by how much: a range adds 1 at its first frame and
 * takes 1 back behind its last. How often a frame is in the set is the sum of the changes up to it. The changes are the
 * leaves of a B-tree, which knows of each subtree the sum of its changes and the least sum of the first of them. So every
 * operation takes O(log n) steps, however the ranges overlap, and looks at few places in memory.
 */

/** Entries of a node, at most. */
const WIDTH = 64;
const NO_LEASTS = new Int32Array(0);

/** A leaf's entries are changes of the count, by frame; another node's are its children, by their first frames. */
class Node {
  count = 0;
  readonly keys = new Float64Array(WIDTH + 1);
  /** The change, or the sum of the child's. */
  readonly sums = new Int32Array(WIDTH + 1);
  /** The least sum of the child's first changes, however many: at most 0, which is that of none. Of a leaf: unused. */
  readonly leasts: Int32Array;
  /** Null: it is a leaf. */
  readonly children: Node[] | null;

  constructor(leaf: boolean) {
    this.children = leaf ? null : [];
    this.leasts = leaf ? NO_LEASTS : new Int32Array(WIDTH + 1);
  }

  /** How many entries have a key of at most `frame`: the first so many. */
  upTo(frame: number): number {
    let low = 0;
    for (let high = this.count; low < high; ) {
      const middle = (low + high) >> 1;
      if ((this.keys[middle] as number) <= frame) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Sum of the first `entries`. */
  sumOf(entries: number): number {
    let sum = 0;
    for (let i = 0; i < entries; i++) sum += this.sums[i] as number;
    return sum;
  }

  /** Takes entry `i` on a run over the changes. */
  take(i: number, running: Running): void {
    const sum = this.sums[i] as number;
    running.least = Math.min(running.least, running.sum + (this.children ? (this.leasts[i] as number) : sum));
    running.sum += sum;
  }

  /** Makes room for an entry at `i`. */
  open(i: number): void {
    this.keys.copyWithin(i + 1, i, this.count);
    this.sums.copyWithin(i + 1, i, this.count);
    if (this.children) this.leasts.copyWithin(i + 1, i, this.count);
    this.count++;
  }

  /** Takes entry `i` out. */
  shut(i: number): void {
    this.keys.copyWithin(i, i + 1, this.count);
    this.sums.copyWithin(i, i + 1, this.count);
    if (this.children) {
      this.leasts.copyWithin(i, i + 1, this.count);
      this.children.splice(i, 1);
    }
    this.count--;
  }

  /** Entry `i` is this child, which has changed. */
  refresh(i: number, child: Node): void {
    const running = { sum: 0, least: 0 };
    for (let entry = 0; entry < child.count; entry++) child.take(entry, running);
    this.keys[i] = child.keys[0] as number;
    this.sums[i] = running.sum;
    this.leasts[i] = running.least;
  }

  /** The upper half of a node that has become too wide, or null. */
  split(): Node | null {
    if (this.count <= WIDTH) return null;
    const kept = this.count >> 1;
    const upper = new Node(this.children === null);
    upper.count = this.count - kept;
    upper.keys.set(this.keys.subarray(kept, this.count));
    upper.sums.set(this.sums.subarray(kept, this.count));
    if (this.children) {
      upper.leasts.set(this.leasts.subarray(kept, this.count));
      upper.children?.push(...this.children.splice(kept));
    }
    this.count = kept;
    return upper;
  }
}

/** Sums of changes, taken in the order of their frames. */
interface Running {
  sum: number;
  /** The least that {@link sum} was after any of them, or at the beginning. */
  least: number;
}

export class RangeSet {
  #root = new Node(true);

  /** Whether no frame is in the set. */
  get isEmpty(): boolean {
    return this.#root.count === 0;
  }

  /** Adds each frame from `first` to `last` once more. */
  add(first: number, last: number): void {
    checkRange(first, last);
    this.#change(first, 1);
    this.#change(last + 1, -1);
  }

  /**
   * Takes each frame from `first` to `last` out once.
   *
   * @throws RangeError when one of them is not in the set; nothing is changed then
   */
  remove(first: number, last: number): void {
    checkRange(first, last);
    if (!this.containsAll(first, last)) {
      throw new RangeError(`frames 0x${first.toString(16)} to 0x${last.toString(16)} are not all in the set`);
    }
    this.#change(first, -1);
    this.#change(last + 1, 1);
  }

  contains(frame: number): boolean {
    return this.count(frame) > 0;
  }

  /** How often a frame is in the set. */
  count(frame: number): number {
    let total = 0;
    for (let node = this.#root; ; ) {
      const entries = node.upTo(frame);
      const child = node.children?.[entries - 1];
      if (!child) return total + node.sumOf(entries);
      total += node.sumOf(entries - 1);
      node = child;
    }
  }

  /** Whether every frame from `first` to `last` is in the set. */
  containsAll(first: number, last: number): boolean {
    const count = this.count(first);
    if (count === 0) return false;
    const running = { sum: count, least: count };
    between(this.#root, first, last, running);
    return running.least > 0;
  }

  /** Whether any frame from `first` to `last` is in the set. */
  overlaps(first: number, last: number): boolean {
    // behind a frame that is not in the set the count can only go up
    return this.contains(first) || this.#nextChange(first) <= last;
  }

  /** The runs of frames that are in the set, from the lowest on; neighbouring ones are one. */
  *ranges(): Generator<readonly [first: number, last: number]> {
    let count = 0;
    let first = 0;
    for (const [key, change] of changesOf(this.#root)) {
      if (count === 0) first = key;
      count += change;
      if (count === 0) yield [first, key - 1];
    }
  }

  /** The first frame behind `frame` at which the count changes, or infinity. */
  #nextChange(frame: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (let node: Node | undefined = this.#root; node; ) {
      const entries: number = node.upTo(frame);
      if (entries < node.count) next = node.keys[entries] as number;
      node = node.children?.[entries - 1];
    }
    return next;
  }

  /** Changes the count at a key. */
  #change(key: number, by: number): void {
    const upper = put(this.#root, key, by);
    if (upper) {
      const root = new Node(false);
      for (const child of [this.#root, upper]) insertChild(root, root.count, child);
      this.#root = root;
    }
    while (this.#root.children && this.#root.count <= 1) this.#root = this.#root.children[0] ?? new Node(true);
  }
}

function insertChild(node: Node, i: number, child: Node): void {
  node.open(i);
  node.children?.splice(i, 0, child);
  node.refresh(i, child);
}

/** Changes the count at a key. Where nothing changes any more there is no entry. @returns the half that did not fit, or null */
function put(node: Node, key: number, by: number): Node | null {
  const entries = node.upTo(key);
  if (node.children) {
    const i = Math.max(entries - 1, 0);
    const child = node.children[i] as Node;
    const upper = put(child, key, by);
    if (child.count === 0) node.shut(i);
    else node.refresh(i, child);
    if (upper) insertChild(node, i + 1, upper);
    return node.split();
  }
  if (entries > 0 && node.keys[entries - 1] === key) {
    const change = (node.sums[entries - 1] as number) + by;
    node.sums[entries - 1] = change;
    if (change === 0) node.shut(entries - 1);
    return null;
  }
  node.open(entries);
  node.keys[entries] = key;
  node.sums[entries] = by;
  return node.split();
}

/** Runs over the changes behind `first`, up to that at `last`. */
function between(node: Node, first: number, last: number, running: Running): void {
  const from = node.upTo(first);
  const to = node.upTo(last);
  if (!node.children) {
    for (let i = from; i < to; i++) node.take(i, running);
    return;
  }
  // of the children at both ends a part; of those between them all
  for (let i = Math.max(from - 1, 0); i < to; i++) {
    if (i >= from && i < to - 1) node.take(i, running);
    else between(node.children[i] as Node, first, last, running);
  }
}

function* changesOf(node: Node): Generator<readonly [key: number, change: number]> {
  for (let i = 0; i < node.count; i++) {
    const child = node.children?.[i];
    if (child) yield* changesOf(child);
    else yield [node.keys[i] as number, node.sums[i] as number];
  }
}

function checkRange(first: number, last: number): void {
  if (Number.isSafeInteger(first) && Number.isSafeInteger(last) && first >= 0 && last >= first) return;
  throw new RangeError(`a range is of frames, from the first to the last, not ${first} to ${last}`);
}
