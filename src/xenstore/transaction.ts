import { XS_TRANSACTION_END, XS_TRANSACTION_START } from '../abi/xs_wire.js';
import type { XsConnection } from './connection.js';
import { isXenstoreError, XenstoreError } from './error.js';
import { XenstoreOperations } from './operations.js';
import { joined, strings } from './text.js';

/** Many operations of which the others see all or nothing. */
export class XenstoreTransaction extends XenstoreOperations {
  #over = false;

  /** @internal */
  static async begin(connection: XsConnection): Promise<XenstoreTransaction> {
    const payload = await connection.request({
      type: XS_TRANSACTION_START,
      operation: 'transaction',
      txId: 0,
      payload: joined(['']),
    });
    const [text = ''] = strings(payload);
    const id = Number(text);
    if (!/^\d{1,10}$/.test(text) || id === 0 || id > 0xffff_ffff) {
      throw new XenstoreError('transaction', 'EPROTO', { hint: `${JSON.stringify(text)} is no transaction's number` });
    }
    return new XenstoreTransaction(connection, id);
  }

  /**
   * Makes all of it true at once.
   *
   * @throws XenstoreError EAGAIN: what was read or written here has been changed by others; nothing was done
   */
  async commit(): Promise<void> {
    if (this.#over) throw new TypeError('this transaction is over');
    this.#over = true;
    await this.request(XS_TRANSACTION_END, 'commit', joined(['T']));
  }

  /** Forgets all of it. After {@link commit}, and twice, harmless. */
  async abort(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    await this.request(XS_TRANSACTION_END, 'abort', joined(['F']));
  }
}

export interface TransactionOptions {
  /** How often it is tried, while others change what it is about. Default 20. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

/** @internal */
export async function runTransaction<Result>(
  connection: XsConnection,
  body: (transaction: XenstoreTransaction) => Promise<Result>,
  { attempts = 20, signal }: TransactionOptions,
): Promise<Result> {
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new RangeError(`attempts must be an integer of 1 or more, not ${attempts}`);
  }
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    const transaction = await XenstoreTransaction.begin(connection);
    let result: Result;
    try {
      result = await body(transaction);
      signal?.throwIfAborted();
    } catch (error) {
      // what went wrong is told, not that it could not be told to the daemon
      await transaction.abort().catch(() => {});
      throw error;
    }
    try {
      await transaction.commit();
      return result;
    } catch (error) {
      if (!isXenstoreError(error, 'EAGAIN')) throw error;
      if (attempt === attempts) {
        throw new XenstoreError('transaction', 'EAGAIN', { hint: `others were first ${attempts} times` });
      }
    }
    await pause(attempt);
  }
}

/** Longer and longer, and never as long as the other who tries. */
function pause(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.random() * Math.min(100, 2 ** attempt)));
}
