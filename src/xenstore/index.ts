/** Xenstore: `import { Xenstore } from 'xenctrl/xenstore'`. Re-exports only. */

export { isXenstoreError, XenstoreError, type XenstoreErrorDetails } from './error.js';
export { XenstoreOperations } from './operations.js';
export type { XenstoreAccess, XenstorePermission } from './permissions.js';
export { type TransactionOptions, XenstoreTransaction } from './transaction.js';
export type { TransportListener, XenstoreTransport } from './transport.js';
export { type WatchOptions, type XenstoreChange, XenstoreWatch } from './watch.js';
export { Xenstore, type XenstoreOptions } from './xenstore.js';
