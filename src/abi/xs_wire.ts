/** `io/xs_wire.h`: the messages of xenstore, which are the same on its socket, its device and its ring. */

import { struct } from './layout.js';

/** `xsd_sockmsg.type`. */
export const XS_CONTROL = 0;
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_INTRODUCE = 8;
export const XS_RELEASE = 9;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
/** From the daemon only: not an answer. */
export const XS_WATCH_EVENT = 15;
/** The answer to what the daemon refuses: the name of an errno. */
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_RESUME = 18;
export const XS_SET_TARGET = 19;
export const XS_RESET_WATCHES = 21;
/** Since Xen 4.9. */
export const XS_DIRECTORY_PART = 22;
export const XS_INVALID = 0xffff;

/** Most bytes after a header. */
export const XENSTORE_PAYLOAD_MAX = 4096;
/** Most bytes of a path that begins with `/`, and of one that is below the caller's own. */
export const XENSTORE_ABS_PATH_MAX = 3072;
export const XENSTORE_REL_PATH_MAX = 2048;

/** What every message begins with. */
export const xsd_sockmsg = struct('xsd_sockmsg', 'io/xs_wire.h', 16, {
  type: [0, 4],
  req_id: [4, 4],
  tx_id: [8, 4],
  len: [12, 4],
});

/** `xsd_errors`: the refusals that there are. */
export const XSD_ERRORS = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;

export type XsdError = (typeof XSD_ERRORS)[number];
