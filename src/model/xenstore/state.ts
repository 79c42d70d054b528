/** One version of the store and what has been done to it: the whole store, or what a transaction sees of it. */

import type { XsdError } from '../../abi/xs_wire.js';
import {
  above,
  count,
  find,
  isOwner,
  mayRead,
  mayWrite,
  type Node,
  namesOf,
  type Permission,
  paths,
  replace,
} from './tree.js';

/** The daemon's refusal. */
export class Refusal extends Error {
  readonly code: XsdError;

  constructor(code: XsdError) {
    super(code);
    this.code = code;
  }
}

/** A change that watches are told of. */
export interface Change {
  readonly path: string;
  /** Told only to those who watch this very path: it went with a node above it. */
  readonly exact: boolean;
  /** Whether a domain may know of it, by what was there. */
  readonly visible: (domid: number) => boolean;
}

/** What a domain other than 0 may have (the defaults of xenstored's `--quota`). */
export interface Quota {
  readonly nodes: number;
  readonly valueBytes: number;
  readonly watches: number;
  readonly transactions: number;
}

const EMPTY = new Uint8Array(0);

/** The behaviours are those of `tools/xenstore/xenstored_core.c` of Xen 4.17. */
export class State {
  root: Node;
  /** In their order. */
  readonly changes: Change[] = [];
  /** Paths whose nodes were looked at or changed. */
  readonly touched = new Set<string>();
  readonly #quota: Quota;

  constructor(root: Node, quota: Quota) {
    this.root = root;
    this.#quota = quota;
  }

  read(path: string, domid: number): Uint8Array {
    return this.#readable(path, domid).value;
  }

  directory(path: string, domid: number): string[] {
    return [...this.#readable(path, domid).children.keys()];
  }

  permissions(path: string, domid: number): readonly Permission[] {
    return this.#readable(path, domid).permissions;
  }

  write(path: string, value: Uint8Array, domid: number): void {
    if (domid !== 0 && value.length > this.#quota.valueBytes) throw new Refusal('ENOSPC');
    const node = this.#look(path);
    if (node && !mayWrite(node, domid)) throw new Refusal('EACCES');
    if (node) this.#put(path, { ...node, value });
    else this.#create(path, value, domid);
    this.#changed(path);
  }

  mkdir(path: string, domid: number): void {
    const node = this.#look(path);
    if (node) {
      if (!mayWrite(node, domid)) throw new Refusal('EACCES');
      return;
    }
    this.#create(path, EMPTY, domid);
    this.#changed(path);
  }

  /** A node that is not there is as good as removed, if the one above it is there. */
  rm(path: string, domid: number): void {
    const parentPath = above(path);
    if (parentPath === null) throw new Refusal('EINVAL');
    const node = this.#look(path);
    if (!node) {
      if (!this.#mayKnow(path, domid)) throw new Refusal('EACCES');
      if (!this.#look(parentPath)) throw new Refusal('ENOENT');
      return;
    }
    if (!mayWrite(node, domid)) throw new Refusal('EACCES');
    for (const gone of paths(node, path)) {
      this.touched.add(gone);
      this.#changed(gone, gone !== path);
    }
    this.touched.add(parentPath);
    this.root = replace(this.root, path, null);
  }

  setPermissions(path: string, permissions: readonly Permission[], domid: number): void {
    const node = this.#look(path);
    if (!node) throw new Refusal(this.#mayKnow(path, domid) ? 'ENOENT' : 'EACCES');
    if (!isOwner(node, domid)) throw new Refusal('EACCES');
    if (domid !== 0 && permissions[0]?.domid !== domid) throw new Refusal('EPERM');
    this.#changed(path); // those who could see it before are told, too
    this.#put(path, { ...node, permissions });
    this.#changed(path);
  }

  #readable(path: string, domid: number): Node {
    const node = this.#look(path);
    if (node) {
      if (mayRead(node, domid)) return node;
      throw new Refusal('EACCES');
    }
    throw new Refusal(this.#mayKnow(path, domid) ? 'ENOENT' : 'EACCES');
  }

  #look(path: string): Node | undefined {
    this.touched.add(path);
    return find(this.root, path);
  }

  /** Whether a domain may be told that a node is not there: whether it may read the nearest one above that is. */
  #mayKnow(path: string, domid: number): boolean {
    for (let at = above(path); at !== null; at = above(at)) {
      const node = find(this.root, at);
      if (node) return mayRead(node, domid);
    }
    return false;
  }

  #put(path: string, node: Node): void {
    this.touched.add(path);
    this.root = replace(this.root, path, node);
  }

  /** Makes a node and those above it that are missing. They take after the nearest that is there. */
  #create(path: string, value: Uint8Array, domid: number): void {
    const names = namesOf(path);
    let depth = names.length - 1;
    const pathOf = (length: number): string => `/${names.slice(0, length).join('/')}`;
    while (depth > 0 && !find(this.root, pathOf(depth))) depth--;
    const nearest = find(this.root, pathOf(depth));
    if (!nearest || !mayWrite(nearest, domid)) throw new Refusal('EACCES');
    this.#checkQuota(names.length - depth, domid);
    const [owner, ...others] = nearest.permissions;
    // what a domain makes is its own
    const permissions = domid === 0 || !owner ? nearest.permissions : [{ domid, access: owner.access }, ...others];
    this.touched.add(pathOf(depth));
    for (let i = depth + 1; i <= names.length; i++) {
      this.#put(pathOf(i), { value: i === names.length ? value : EMPTY, permissions, children: new Map() });
    }
  }

  #checkQuota(more: number, domid: number): void {
    if (domid === 0) return;
    const owned = count(this.root, (node) => node.permissions[0]?.domid === domid);
    if (owned + more > this.#quota.nodes) throw new Refusal('ENOSPC');
  }

  #changed(path: string, exact = false): void {
    const node = find(this.root, path);
    this.changes.push({ path, exact, visible: (domid) => node === undefined || mayRead(node, domid) });
  }
}
