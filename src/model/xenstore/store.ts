/** The software xenstored: its nodes, transactions, watches and domains. Connections speak the wire's protocol to it. */

import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { ModelXenstoreConnection } from './connection.js';
import type { Change, Quota } from './state.js';
import { find, type Node, replace } from './tree.js';

const QUOTA: Quota = { nodes: 1000, valueBytes: 2048, watches: 128, transactions: 10 };

export interface ModelXenstoreOptions {
  /** What a domain other than 0 may have. Default, as xenstored's: 1000 nodes, 2048 bytes, 128 watches, 10 transactions. */
  readonly quota?: Partial<Quota>;
}

/**
 * A store with the paths that every dom0's has: `/tool`, `/local/domain/0`, `/vm`. Connect to it with
 * `Xenstore.over(store.connect())`.
 */
export class ModelXenstore {
  /** @internal */
  readonly quota: Quota;
  #root: Node = { value: new Uint8Array(0), permissions: [{ domid: 0, access: 'n' }], children: new Map() };
  readonly #connections = new Set<ModelXenstoreConnection>();
  readonly #domains = new Set<number>([0]);
  #nextTransaction = 1;

  constructor({ quota = {} }: ModelXenstoreOptions = {}) {
    this.quota = { ...QUOTA, ...quota };
    const { permissions, children } = this.#root;
    for (const path of ['/tool', '/local', '/local/domain', '/local/domain/0', '/vm']) {
      this.#root = replace(this.#root, path, { value: new Uint8Array(0), permissions, children });
    }
  }

  /** A connection of a domain's; 0 is the toolstack's. */
  connect(domid = 0): ModelXenstoreConnection {
    const connection = new ModelXenstoreConnection(this, domid);
    this.#connections.add(connection);
    return connection;
  }

  /** A domain appears: it gets its folder, which it may read, and `@introduceDomain` is told. */
  introduce(domid: number): void {
    if (this.#domains.has(domid)) return;
    this.#domains.add(domid);
    const path = `/local/domain/${domid}`;
    if (!find(this.#root, path)) {
      const permissions = [
        { domid: 0, access: 'n' },
        { domid, access: 'r' },
      ] as const;
      this.#root = replace(this.#root, path, { value: new Uint8Array(0), permissions, children: new Map() });
    }
    this.#tell([{ path: '@introduceDomain', exact: true, visible: (to) => to === 0 }]);
  }

  /** A domain goes. */
  release(domid: number): void {
    if (domid === 0 || !this.#domains.delete(domid)) return;
    this.#tell([{ path: '@releaseDomain', exact: true, visible: (to) => to === 0 }]);
  }

  isIntroduced(domid: number): boolean {
    return this.#domains.has(domid);
  }

  /**
   * Serves dom0's protocol on a socket, to any program that speaks it: `XENSTORED_PATH=... xenstore-ls`.
   *
   * @returns resolves once it listens
   */
  serve(path: string): Promise<Disposable> {
    mkdirSync(dirname(path), { recursive: true });
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      const connection = this.connect();
      connection.listen({ received: (piece) => void socket.write(piece), ended: () => void socket.end() });
      socket.on('data', (piece) => connection.send(piece));
      socket.on('error', () => connection.close());
      socket.on('close', () => {
        sockets.delete(socket);
        connection.close();
      });
    });
    const stop = (): void => {
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(path, { force: true });
    };
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => resolve({ [Symbol.dispose]: stop }));
    });
  }

  /** @internal */
  get root(): Node {
    return this.#root;
  }

  /** Takes a new version of the nodes and tells the watches. @internal */
  replaceRoot(root: Node, changes: readonly Change[]): void {
    this.#root = root;
    this.#tell(changes);
  }

  /** @internal */
  newTransaction(): number {
    return this.#nextTransaction++;
  }

  /** @internal */
  forget(connection: ModelXenstoreConnection): void {
    this.#connections.delete(connection);
  }

  /** One event for each change that is not like the one before. */
  #tell(changes: readonly Change[]): void {
    for (const connection of this.#connections) {
      let last = '';
      for (const change of changes) {
        if (change.path === last || !change.visible(connection.domid)) continue;
        last = change.path;
        connection.tell(change);
      }
    }
  }
}
