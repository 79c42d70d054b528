/** The kernel proper inside a compressed kernel image: Xen can unpack it itself, but in an emulator that takes long. */

import { LabError } from './error.js';

/** Offsets in the setup header at the front of a kernel image (Linux, Documentation/x86/boot.rst). */
const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;
/** Behind the compressed stream stands the length of what comes out. */
const LENGTH_FIELD = 4;

/** The xz stream in a kernel image. @throws LabError when it is no such image */
export function xzPayload(image: Buffer): Buffer {
  if (image.length < SECTOR * 2 || image.toString('latin1', MAGIC, MAGIC + 4) !== 'HdrS') {
    throw new LabError('the kernel package holds no kernel image that the lab knows');
  }
  const start = (image.readUInt8(SETUP_SECTORS) + 1) * SECTOR + image.readUInt32LE(PAYLOAD_OFFSET);
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH) - LENGTH_FIELD);
  if (payload.toString('latin1', 1, 5) !== '7zXZ') throw new LabError('the kernel is not compressed with xz');
  return payload;
}
