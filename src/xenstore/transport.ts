/** How bytes get to the daemon and back. */

import { connect } from 'node:net';
import { XenstoreError } from './error.js';

/** What a connection is told of. */
export interface TransportListener {
  /** The piece is read before this returns, and may be written over afterwards. */
  received(piece: Uint8Array): void;
  /** Nothing more comes. */
  ended(error: Error | null): void;
}

/** A stream of bytes both ways. */
export interface XenstoreTransport {
  /** What the other end is, for people. */
  readonly name: string;
  /** Whether a request may only be sent once the last one was answered. */
  readonly oneAtATime?: boolean;
  /** Called once, before anything else. */
  listen(listener: TransportListener): void;
  /** Sends one whole message. */
  send(message: Uint8Array): void;
  /** Twice is harmless. Nothing is told afterwards. */
  close(): void;
}

/**
 * Connects to the daemon's socket.
 *
 * @throws XenstoreError ENOENT, ECONNREFUSED: no daemon is there; EACCES: the socket is root's
 */
export function openSocket(path: string): Promise<XenstoreTransport> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const refused = (error: NodeJS.ErrnoException): void => {
      reject(new XenstoreError('open', error.code ?? 'EIO', { path, hint: socketHint(error.code) }));
    };
    socket.once('error', refused);
    socket.once('connect', () => {
      socket.off('error', refused);
      let ended = (_error: Error | null): void => {};
      let failure: Error | null = null;
      socket.on('error', (error) => (failure = error));
      socket.on('close', () => ended(failure));
      resolve({
        name: path,
        listen(listener) {
          ended = listener.ended;
          socket.on('data', listener.received);
        },
        send: (message) => void socket.write(message),
        close() {
          ended = () => {};
          socket.removeAllListeners('data');
          // what was sent still goes out
          socket.end();
          socket.destroySoon();
        },
      });
    });
  });
}

function socketHint(code: string | undefined): string | undefined {
  switch (code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return 'no xenstored listens there';
    case 'EACCES':
    case 'EPERM':
      return 'the socket may not be opened: run as root (sudo)';
    default:
      return undefined;
  }
}
