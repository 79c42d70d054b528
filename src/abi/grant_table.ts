/** `grant_table.h`: grants of memory between domains. */

import { struct } from './layout.js';

export const GNTTABOP_query_size = 6;
export const GNTTABOP_get_version = 10;

/** What an operation says in its `status`; negative ones are 16-bit numbers there. */
export const GNTST_okay = 0;
export const GNTST_bad_domain = -2;
export const GNTST_permission_denied = -8;

/** `flags` of an entry. */
export const GTF_permit_access = 1;
export const GTF_type_mask = 3;
export const GTF_readonly = 1 << 2;
/** The other domain has it mapped, and may write it. */
export const GTF_reading = 1 << 3;
export const GTF_writing = 1 << 4;

const H = 'grant_table.h';

export const grant_entry_v1 = struct('grant_entry_v1', H, 8, { flags: [0, 2], domid: [2, 2], frame: [4, 4] });
export const gnttab_query_size = struct('gnttab_query_size', H, 16, {
  dom: [0, 2],
  nr_frames: [4, 4],
  max_nr_frames: [8, 4],
  status: [12, 2],
});
export const gnttab_get_version = struct('gnttab_get_version', H, 8, { dom: [0, 2], pad: [2, 2], version: [4, 4] });
