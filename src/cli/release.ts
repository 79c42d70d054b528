/** How well this package knows the running release. */

import { isRelease, RELEASES } from '../abi/release.js';
import type { XcInterface } from '../xc/interface.js';

export interface ReleaseStatus {
  readonly support: 'full' | 'altp2m only' | 'newer';
  readonly text: string;
}

export function releaseStatus({ xenVersion: { major, minor } }: XcInterface): ReleaseStatus {
  if (isRelease(`${major}.${minor}`)) return { support: 'full', text: 'fully supported' };
  const oldest = RELEASES[0];
  if (major < 4 || (major === 4 && minor < Number(oldest.slice(2)))) {
    return { support: 'altp2m only', text: `older than ${oldest}: the altp2m calls work, domctl and sysctl do not` };
  }
  return { support: 'newer', text: `newer than this package knows (${RELEASES.at(-1)}): what reads is tried` };
}
