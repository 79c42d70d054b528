/** The addon's part for xenstore's device (`native/binding_xenbus.cc`). */

export interface XenbusAddon {
  /** Opens `/dev/xen/xenbus`, or whatever is at `path`. The handle, or a negative errno. */
  openXenbus(path: string): NativeXenbus | number;
}

export interface NativeXenbus {
  /** Bytes that came, at most as many as there is room for; 0: the end; -11: none now. */
  read(bytes: Uint8Array): number;
  /** Sends one message. Blocks while xenstored has no room for it. */
  write(bytes: Uint8Array): number;
  /** Has the event loop call `listener` while there is something to read; null ends it. 0, or a negative errno. */
  onReadable(listener: (() => void) | null): number;
  close(): number;
}
