/** `version.h`: commands of the xen_version hypercall. They carry no interface version and need no privilege. */

import { struct, versionedStruct } from './layout.js';

export const XENVER_version = 0;
export const XENVER_extraversion = 1;
export const XENVER_compile_info = 2;
export const XENVER_capabilities = 3;
export const XENVER_changeset = 4;
export const XENVER_platform_parameters = 5;
export const XENVER_get_features = 6;
export const XENVER_pagesize = 7;
export const XENVER_guest_handle = 8;
export const XENVER_commandline = 9;
export const XENVER_build_id = 10;
/** Since 4.20, as the three that follow: the same texts without their limits of length. */
export const XENVER_extraversion2 = 11;
export const XENVER_capabilities2 = 12;
export const XENVER_changeset2 = 13;
export const XENVER_commandline2 = 14;

/** Sizes of the fixed character arrays that the commands fill. */
export const XEN_EXTRAVERSION_LEN = 16;
export const XEN_CAPABILITIES_INFO_LEN = 1024;
export const XEN_CHANGESET_INFO_LEN = 64;
export const XEN_COMMANDLINE_LEN = 1024;

export const xen_compile_info = struct('xen_compile_info', 'version.h', 144, {
  compiler: [0, 64],
  compile_by: [64, 16],
  compile_domain: [80, 32],
  compile_date: [112, 32],
});

export const xen_feature_info = struct('xen_feature_info', 'version.h', 8, {
  submap_idx: [0, 4],
  submap: [4, 4],
});

export const xen_platform_parameters = struct('xen_platform_parameters', 'version.h', 8, { virt_start: [0, 8] });

/** Followed by `len` bytes. */
export const xen_build_id = struct('xen_build_id', 'version.h', 4, { len: [0, 4] });

/** What the commands since 4.20 fill; the bytes follow. */
export const xen_varbuf = versionedStruct('xen_varbuf', 'version.h', [['4.20', 4, { len: [0, 4] }]]);
