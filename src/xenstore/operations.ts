/** What can be done with nodes, in a transaction and outside of one. */

import {
  XS_DIRECTORY,
  XS_DIRECTORY_PART,
  XS_GET_PERMS,
  XS_MKDIR,
  XS_READ,
  XS_RM,
  XS_SET_PERMS,
  XS_WRITE,
} from '../abi/xs_wire.js';
import type { XsConnection } from './connection.js';
import { isXenstoreError, XenstoreError } from './error.js';
import { checkPath, checkWatchPath, valueBytes } from './path.js';
import { formatPermissions, parsePermission, type XenstorePermission } from './permissions.js';
import { ascii, joined, strings } from './text.js';

/** Children that a folder may be said to have, in bytes, before the daemon is taken for mad. */
const LARGEST_FOLDER = 4 << 20;

/** How often a folder may change while its parts are read. */
const RESTARTS = 16;

/**
 * Paths begin with `/`, or are meant below the caller's own domain (`/local/domain/0` of dom0). All calls reject with
 * XenstoreError: ENOENT, no such node; EACCES, not allowed to the caller; ENOTCONN, the connection ended. What is no
 * path or does not fit into a message is refused with TypeError or RangeError before anything is sent.
 */
export abstract class XenstoreOperations {
  /** @internal */
  protected readonly connection: XsConnection;
  readonly #txId: number;

  /** @internal */
  constructor(connection: XsConnection, txId: number) {
    this.connection = connection;
    this.#txId = txId;
  }

  /** A node's value as text. */
  async read(path: string): Promise<string> {
    return Buffer.from(await this.readBytes(path)).toString('utf8');
  }

  async readBytes(path: string): Promise<Uint8Array> {
    checkPath(path);
    return await this.request(XS_READ, 'read', joined([path]), path);
  }

  /** As {@link read}; undefined when there is no such node. */
  async readIfThere(path: string): Promise<string | undefined> {
    try {
      return await this.read(path);
    } catch (error) {
      if (isXenstoreError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /**
   * Sets a node's value; the node and those above it are made if need be.
   *
   * @throws XenstoreError ENOSPC, EQUOTA: more than the caller may have
   */
  async write(path: string, value: string | Uint8Array): Promise<void> {
    checkPath(path);
    await this.request(XS_WRITE, 'write', joined([path], valueBytes(value)), path);
  }

  /** Makes a node without a value; one that is there stays as it is. */
  async mkdir(path: string): Promise<void> {
    checkPath(path);
    await this.request(XS_MKDIR, 'mkdir', joined([path]), path);
  }

  /** Takes a node away, and all below it. ENOENT: not even the node above it is there. */
  async rm(path: string): Promise<void> {
    checkPath(path);
    if (path === '/') throw new RangeError('the root of xenstore cannot be removed');
    await this.request(XS_RM, 'rm', joined([path]), path);
  }

  /** The names of a node's children, however many. */
  async directory(path: string): Promise<string[]> {
    checkPath(path);
    try {
      return strings(await this.request(XS_DIRECTORY, 'directory', joined([path]), path));
    } catch (error) {
      if (!isXenstoreError(error, 'E2BIG')) throw error;
      return await this.#directoryInParts(path);
    }
  }

  async getPermissions(path: string): Promise<XenstorePermission[]> {
    checkWatchPath(path);
    const entries = strings(await this.request(XS_GET_PERMS, 'getPermissions', joined([path]), path));
    return entries.map((entry) => {
      const permission = parsePermission(entry);
      if (permission) return permission;
      throw new XenstoreError('getPermissions', 'EPROTO', { path, hint: `${JSON.stringify(entry)} is no permission` });
    });
  }

  /** EPERM, EACCES: only the owner may, and only dom0 may give a node to another domain. */
  async setPermissions(path: string, permissions: readonly XenstorePermission[]): Promise<void> {
    checkWatchPath(path);
    await this.request(XS_SET_PERMS, 'setPermissions', joined([path, ...formatPermissions(permissions)]), path);
  }

  /** @internal */
  protected request(type: number, operation: string, payload: Uint8Array, path?: string): Promise<Uint8Array> {
    return this.connection.request({ type, operation, txId: this.#txId, payload, path });
  }

  /** Each part begins with a number that changes with the folder; the last one ends with an empty name. */
  async #directoryInParts(path: string): Promise<string[]> {
    for (let attempt = 0; attempt < RESTARTS; attempt++) {
      const names = await this.#directoryAtOnce(path);
      if (names) return names;
    }
    throw new XenstoreError('directory', 'EAGAIN', { path, hint: 'it changes faster than it can be read' });
  }

  /** Null: it changed meanwhile. */
  async #directoryAtOnce(path: string): Promise<string[] | null> {
    let generation: string | undefined;
    let list = '';
    while (list.length < LARGEST_FOLDER) {
      const part = ascii(await this.request(XS_DIRECTORY_PART, 'directory', joined([path, String(list.length)]), path));
      const end = part.indexOf('\0');
      const names = part.slice(end + 1);
      if (end < 0 || names === '') break;
      generation ??= part.slice(0, end);
      if (generation !== part.slice(0, end)) return null;
      list += names;
      if (names === '\0' || names.endsWith('\0\0')) return list.split('\0').slice(0, -2);
    }
    throw new XenstoreError('directory', 'EPROTO', { path, hint: 'the list of children has no end' });
  }
}
