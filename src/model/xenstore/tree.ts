/** The nodes of the store. They never change: a change makes a new tree that shares what it did not touch. */

export type Access = 'n' | 'r' | 'w' | 'b';

export interface Permission {
  readonly domid: number;
  readonly access: Access;
}

export interface Node {
  readonly value: Uint8Array;
  /** The first one's domain owns it. */
  readonly permissions: readonly Permission[];
  readonly children: ReadonlyMap<string, Node>;
}

/** `['a', 'b']` of `/a/b`. */
export function namesOf(path: string): string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

/** The path above; null above the root. */
export function above(path: string): string | null {
  if (path === '/') return null;
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export function find(root: Node, path: string): Node | undefined {
  let node: Node | undefined = root;
  for (const name of namesOf(path)) node = node?.children.get(name);
  return node;
}

/** Puts a node at a path whose parents are there; null takes away what is there. */
export function replace(root: Node, path: string, node: Node | null): Node {
  const place = (at: Node, names: readonly string[]): Node => {
    const [name, ...rest] = names;
    if (name === undefined) return node ?? at;
    const children = new Map(at.children);
    if (rest.length > 0) {
      const child = at.children.get(name);
      if (!child) throw new Error(`no ${name} on the way to ${path}`);
      children.set(name, place(child, rest));
    } else if (node) children.set(name, node);
    else children.delete(name);
    return { ...at, children };
  };
  return place(root, namesOf(path));
}

/** All paths at and below a path. */
export function* paths(node: Node, path: string): Generator<string> {
  yield path;
  for (const [name, child] of node.children) yield* paths(child, path === '/' ? `/${name}` : `${path}/${name}`);
}

export function count(node: Node, counts: (node: Node) => boolean): number {
  let sum = counts(node) ? 1 : 0;
  for (const child of node.children.values()) sum += count(child, counts);
  return sum;
}

/** What `domid` may do with a node. Domain 0 may everything (`perm_for_conn` in xenstored). */
export function mayRead(node: Node, domid: number): boolean {
  return domid === 0 || isOwner(node, domid) || 'rb'.includes(accessOf(node, domid));
}

export function mayWrite(node: Node, domid: number): boolean {
  return domid === 0 || isOwner(node, domid) || 'wb'.includes(accessOf(node, domid));
}

export function isOwner(node: Node, domid: number): boolean {
  return domid === 0 || node.permissions[0]?.domid === domid;
}

function accessOf(node: Node, domid: number): Access {
  const named = node.permissions.slice(1).find((one) => one.domid === domid);
  return (named ?? node.permissions[0])?.access ?? 'n';
}
