/** The client: `await using store = await Xenstore.open()`. */

import { XS_GET_DOMAIN_PATH, XS_IS_DOMAIN_INTRODUCED } from '../abi/xs_wire.js';
import { XsConnection } from './connection.js';
import { XenstoreError } from './error.js';
import { openStore } from './open.js';
import { XenstoreOperations } from './operations.js';
import { checkDomid } from './path.js';
import { joined, strings } from './text.js';
import { runTransaction, type TransactionOptions, XenstoreTransaction } from './transaction.js';
import type { XenstoreTransport } from './transport.js';
import { type WatchOptions, XenstoreWatch } from './watch.js';

export interface XenstoreOptions {
  /**
   * A socket or a device. Default: `XENSTORED_PATH`, else the first that is there of /run/xenstored/socket,
   * /var/run/xenstored/socket, /dev/xen/xenbus and /proc/xen/xenbus.
   */
  readonly path?: string;
}

/** A connection to xenstore. An open one keeps the process alive. */
export class Xenstore extends XenstoreOperations implements Disposable {
  private constructor(connection: XsConnection) {
    super(connection, 0);
  }

  /**
   * Connects to the daemon.
   *
   * @throws XenstoreError ENOENT, ECONNREFUSED: there is none; EACCES: not for the caller; the hint says what mends it
   */
  static async open({ path }: XenstoreOptions = {}): Promise<Xenstore> {
    return Xenstore.over(await openStore(path));
  }

  /** A connection over a stream of bytes that is there already: the model's, a test's. */
  static over(transport: XenstoreTransport): Xenstore {
    return new Xenstore(new XsConnection(transport));
  }

  /** What it is connected to. */
  get name(): string {
    return this.connection.name;
  }

  /** `/local/domain/<domid>`, whether there is such a domain or not. */
  async getDomainPath(domid: number): Promise<string> {
    checkDomid(domid);
    const payload = joined([String(domid)]);
    const [path] = strings(await this.request(XS_GET_DOMAIN_PATH, 'getDomainPath', payload));
    if (path === undefined) throw new XenstoreError('getDomainPath', 'EPROTO', { hint: 'the answer has no path' });
    return path;
  }

  /** Whether the daemon serves this domain. */
  async isDomainIntroduced(domid: number): Promise<boolean> {
    checkDomid(domid);
    const payload = joined([String(domid)]);
    return strings(await this.request(XS_IS_DOMAIN_INTRODUCED, 'isDomainIntroduced', payload))[0] === 'T';
  }

  /**
   * Runs `body` in a transaction, again as long as others change what it is about: it should have no other effects.
   *
   * @throws XenstoreError EAGAIN: others were faster every time
   */
  transaction<Result>(
    body: (transaction: XenstoreTransaction) => Promise<Result>,
    options: TransactionOptions = {},
  ): Promise<Result> {
    return runTransaction(this.connection, body, options);
  }

  /** A transaction to be ended by its own commit() or abort(). {@link transaction} is the easier way. */
  beginTransaction(): Promise<XenstoreTransaction> {
    return XenstoreTransaction.begin(this.connection);
  }

  /** Watches a path and all below it; also `@introduceDomain` and `@releaseDomain`. */
  watch(path: string, options: WatchOptions = {}): Promise<XenstoreWatch> {
    return XenstoreWatch.start(this.connection, path, options);
  }

  /** Requests under way are rejected with ENOTCONN, watches end. Twice is harmless. */
  close(): void {
    this.connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
