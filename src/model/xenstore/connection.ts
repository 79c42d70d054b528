/** One connection to the model's store: bytes in, bytes out. */

import { encodeXsMessage, type XsMessage, XsMessageReader } from '../../abi/xs_message.js';
import * as xs from '../../abi/xs_wire.js';
import { type Change, Refusal, State } from './state.js';
import type { ModelXenstore } from './store.js';
import { find, type Node, type Permission } from './tree.js';

/** What a connection tells whoever opened it. */
export interface ConnectionListener {
  received(piece: Uint8Array): void;
  ended(error: Error | null): void;
}

interface Watch {
  /** As it was given: events of a relative one are relative. */
  readonly given: string;
  readonly path: string;
  readonly token: string;
}

interface Transaction {
  readonly base: Node;
  readonly state: State;
}

const NAME = /^[A-Za-z0-9\-_@]+$/;
const SPECIAL = /^@(introduceDomain|releaseDomain)$/;

type Handler = (this: ModelXenstoreConnection, message: XsMessage) => Uint8Array | undefined;

/** Fits as the transport of a client in the same process; answers come in a later turn, as over a socket. */
export class ModelXenstoreConnection {
  readonly name = 'model';
  readonly domid: number;
  readonly #store: ModelXenstore;
  readonly #reader = new XsMessageReader();
  readonly #watches: Watch[] = [];
  readonly #transactions = new Map<number, Transaction>();
  readonly #out: Uint8Array[] = [];
  #listener: ConnectionListener | null = null;
  #closed = false;

  /** @internal */
  constructor(store: ModelXenstore, domid: number) {
    this.#store = store;
    this.domid = domid;
  }

  listen(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  /** Takes a piece of the stream of requests. */
  send(piece: Uint8Array): void {
    if (this.#closed) return;
    try {
      this.#reader.take(piece, (message) => this.#answer(message));
    } catch (error) {
      // as xenstored does with whoever does not keep to the protocol
      const listener = this.#listener;
      this.close();
      setImmediate(() => listener?.ended(error instanceof Error ? error : null));
    }
  }

  close(): void {
    this.#closed = true;
    this.#listener = null;
    this.#store.forget(this);
  }

  /** @internal */
  tell({ path, exact }: Change): void {
    for (const watch of this.#watches) {
      if (watch.path !== path && (exact || !isBelow(path, watch.path))) continue;
      this.#event(watch, path);
    }
  }

  #event(watch: Watch, path: string): void {
    // what a relative watch is told is relative, too
    const told = watch.given === watch.path ? path : path.slice(watch.path.length - watch.given.length);
    this.#give({ type: xs.XS_WATCH_EVENT, reqId: 0, txId: 0, payload: texts(told, watch.token) });
  }

  #give(message: XsMessage): void {
    this.#out.push(encodeXsMessage(message));
    if (this.#out.length > 1) return;
    setImmediate(() => {
      const pieces = this.#out.splice(0);
      for (const piece of pieces) this.#listener?.received(piece);
    });
  }

  #answer(message: XsMessage): void {
    const { type, reqId, txId } = message;
    const reply = (replyType: number, payload: Uint8Array): void =>
      this.#give({ type: replyType, reqId, txId, payload });
    try {
      const handler = HANDLERS.get(type);
      if (!handler) throw new Refusal('ENOSYS');
      reply(type, handler.call(this, message) ?? texts('OK'));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reply(xs.XS_ERROR, texts(error.code));
      return;
    }
    if (type === xs.XS_WATCH) {
      const watch = this.#watches.at(-1);
      if (watch) this.#event(watch, watch.path);
    }
  }

  /** Runs a request on what its transaction sees, or on the store itself. */
  on<Result>({ txId }: XsMessage, run: (state: State) => Result): Result {
    if (txId !== 0) return run(this.#transaction(txId).state);
    const state = new State(this.#store.root, this.#store.quota);
    const result = run(state);
    if (state.changes.length > 0) this.#store.replaceRoot(state.root, state.changes);
    return result;
  }

  start({ txId }: XsMessage): Uint8Array {
    if (txId !== 0) throw new Refusal('EBUSY');
    if (this.domid !== 0 && this.#transactions.size >= this.#store.quota.transactions) throw new Refusal('ENOSPC');
    const base = this.#store.root;
    const id = this.#store.newTransaction();
    this.#transactions.set(id, { base, state: new State(base, this.#store.quota) });
    return texts(String(id));
  }

  /** EAGAIN: a node that the transaction looked at or changed is not any more what it was when it began. */
  end({ txId, payload }: XsMessage): void {
    const [answer] = split(payload);
    if (answer !== 'T' && answer !== 'F') throw new Refusal('EINVAL');
    const { base, state } = this.#transaction(txId);
    this.#transactions.delete(txId);
    if (answer === 'F') return;
    const now = this.#store.root;
    if (now !== base && [...state.touched].some((path) => differs(find(base, path), find(now, path)))) {
      throw new Refusal('EAGAIN');
    }
    if (state.changes.length > 0) this.#store.replaceRoot(merged(base, now, state), state.changes);
  }

  watch({ payload }: XsMessage): void {
    const [given = '', token] = split(payload);
    if (token === undefined) throw new Refusal('EINVAL');
    const path = SPECIAL.test(given) ? given : this.path(given);
    if (this.#watches.some((one) => one.path === path && one.token === token)) throw new Refusal('EEXIST');
    if (this.domid !== 0 && this.#watches.length >= this.#store.quota.watches) throw new Refusal('E2BIG');
    this.#watches.push({ given, path, token });
  }

  unwatch({ payload }: XsMessage): void {
    const [given = '', token] = split(payload);
    const path = SPECIAL.test(given) ? given : this.path(given);
    const at = this.#watches.findIndex((one) => one.path === path && one.token === token);
    if (at < 0) throw new Refusal('ENOENT');
    this.#watches.splice(at, 1);
  }

  resetWatches(): void {
    this.#watches.length = 0;
    this.#transactions.clear();
  }

  isIntroduced({ payload }: XsMessage): Uint8Array {
    return texts(this.#store.isIntroduced(domidOf(payload)) ? 'T' : 'F');
  }

  /** A path from the root on. */
  path(given: string | undefined): string {
    if (given === undefined) throw new Refusal('EINVAL');
    const longest = given.startsWith('/') ? xs.XENSTORE_ABS_PATH_MAX : xs.XENSTORE_REL_PATH_MAX;
    const path = given.startsWith('/') ? given : `/local/domain/${this.domid}/${given}`;
    if (given.length > longest) throw new Refusal('EINVAL');
    if (
      path !== '/' &&
      !path
        .slice(1)
        .split('/')
        .every((name) => NAME.test(name))
    )
      throw new Refusal('EINVAL');
    return path;
  }

  #transaction(txId: number): Transaction {
    const transaction = this.#transactions.get(txId);
    if (!transaction) throw new Refusal('ENOENT');
    return transaction;
  }
}

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [
    xs.XS_READ,
    function (message) {
      return this.on(message, (state) => state.read(this.path(onlyPath(message)), this.domid));
    },
  ],
  [
    xs.XS_DIRECTORY,
    function (message) {
      const list = this.on(message, (state) => texts(...state.directory(this.path(onlyPath(message)), this.domid)));
      if (list.length > xs.XENSTORE_PAYLOAD_MAX) throw new Refusal('E2BIG');
      return list;
    },
  ],
  [xs.XS_DIRECTORY_PART, directoryPart],
  [
    xs.XS_GET_PERMS,
    function (message) {
      const list = this.on(message, (state) => state.permissions(this.path(onlyPath(message)), this.domid));
      return texts(...list.map(({ access, domid }) => `${access}${domid}`));
    },
  ],
  [
    xs.XS_WRITE,
    function (message) {
      const end = message.payload.indexOf(0);
      if (end < 0) throw new Refusal('EINVAL');
      const path = this.path(latin1(message.payload.subarray(0, end)));
      this.on(message, (state) => state.write(path, message.payload.slice(end + 1), this.domid));
      return undefined;
    },
  ],
  [
    xs.XS_MKDIR,
    function (message) {
      this.on(message, (state) => state.mkdir(this.path(onlyPath(message)), this.domid));
      return undefined;
    },
  ],
  [
    xs.XS_RM,
    function (message) {
      this.on(message, (state) => state.rm(this.path(onlyPath(message)), this.domid));
      return undefined;
    },
  ],
  [
    xs.XS_SET_PERMS,
    function (message) {
      const [given, ...entries] = split(message.payload);
      const path = this.path(given);
      if (entries.length === 0) throw new Refusal('EINVAL');
      const permissions = entries.map(permissionOf);
      this.on(message, (state) => state.setPermissions(path, permissions, this.domid));
      return undefined;
    },
  ],
  [xs.XS_TRANSACTION_START, ModelXenstoreConnection.prototype.start],
  [xs.XS_TRANSACTION_END, nothing(ModelXenstoreConnection.prototype.end)],
  [xs.XS_WATCH, nothing(ModelXenstoreConnection.prototype.watch)],
  [xs.XS_UNWATCH, nothing(ModelXenstoreConnection.prototype.unwatch)],
  [xs.XS_RESET_WATCHES, nothing(ModelXenstoreConnection.prototype.resetWatches)],
  [xs.XS_GET_DOMAIN_PATH, ({ payload }) => texts(`/local/domain/${domidOf(payload)}`)],
  [xs.XS_IS_DOMAIN_INTRODUCED, ModelXenstoreConnection.prototype.isIntroduced],
]);

function nothing(run: (this: ModelXenstoreConnection, message: XsMessage) => void): Handler {
  return function (message) {
    run.call(this, message);
    return undefined;
  };
}

/** The names from an offset on, as many as fit; an empty name after the last. */
function directoryPart(this: ModelXenstoreConnection, message: XsMessage): Uint8Array {
  const [given, digits = ''] = split(message.payload);
  const offset = Number(digits);
  const path = this.path(given);
  if (!/^\d+$/.test(digits)) throw new Refusal('EINVAL');
  const names = this.on(message, (state) => state.directory(path, this.domid));
  const whole = texts(...names, '');
  const generation = texts(generationOf(names));
  const room = xs.XENSTORE_PAYLOAD_MAX - generation.length;
  const rest = whole.subarray(offset, offset + room);
  const end = offset + rest.length >= whole.length ? rest.length : rest.lastIndexOf(0) + 1;
  return Buffer.concat([generation, rest.subarray(0, end)]);
}

/** Changes with the names. */
function generationOf(names: readonly string[]): string {
  let sum = names.length;
  for (const name of names) for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) >>> 0;
  return String(sum);
}

/** Whether a node is another, in what the node itself says and in which children it has. */
function differs(before: Node | undefined, now: Node | undefined): boolean {
  if (before === now) return false;
  if (!before || !now || before.value !== now.value || before.permissions !== now.permissions) return true;
  return (
    before.children.size !== now.children.size || [...before.children.keys()].some((name) => !now.children.has(name))
  );
}

/** What the transaction did, done to the store as it is now: elsewhere it may have changed. */
function merged(base: Node, now: Node, { root, touched }: State): Node {
  if (now === base) return root;
  const merge = (path: string, mine: Node, theirs: Node | undefined, was: Node | undefined): Node => {
    if (mine === was && theirs) return theirs;
    const children = new Map(theirs?.children);
    for (const name of was?.children.keys() ?? []) if (!mine.children.has(name)) children.delete(name);
    for (const [name, child] of mine.children) {
      const below = path === '/' ? `/${name}` : `${path}/${name}`;
      children.set(name, merge(below, child, theirs?.children.get(name), was?.children.get(name)));
    }
    const own = touched.has(path) || !theirs ? mine : theirs;
    return { value: own.value, permissions: own.permissions, children };
  };
  return merge('/', root, now, base);
}

function isBelow(path: string, top: string): boolean {
  return top === '/' ? path.startsWith('/') : path.startsWith(`${top}/`);
}

function permissionOf(text: string): Permission {
  const [, access, digits] = /^([nrwb])(\d{1,5})$/.exec(text) ?? [];
  if (access === undefined || digits === undefined) throw new Refusal('EINVAL');
  return { access: access as Permission['access'], domid: Number(digits) };
}

function domidOf(payload: Uint8Array): number {
  const [digits = ''] = split(payload);
  if (!/^\d{1,5}$/.test(digits)) throw new Refusal('EINVAL');
  return Number(digits);
}

/** The path of a request that is nothing else: it ends with its only NUL. */
function onlyPath({ payload }: XsMessage): string {
  if (payload.indexOf(0) !== payload.length - 1) throw new Refusal('EINVAL');
  return latin1(payload.subarray(0, -1));
}

function split(payload: Uint8Array): string[] {
  const parts = latin1(payload).split('\0');
  parts.pop(); // what has no NUL is none
  return parts;
}

function texts(...parts: readonly string[]): Uint8Array {
  return Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
