// What a security mechanism is, and NULL, which has none. The handshake runs one; curveClient.ts and curveServer.ts are the others.
import { commandData, commandName, encodeCommand } from './commands.ts';
import type { PeerFailure } from './failures.ts';

/** How peers of a socket prove who they are. Given to `createSocket`; made by `curveServer()`, `curveClient()`, or {@link nullMechanism}. */
export interface Mechanism {
  readonly name: 'NULL' | 'CURVE';
  readonly isServer: boolean;
  /** Starts the handshake with one peer. `metadata` is what this side tells about itself. */
  begin(metadata: Buffer): MechanismRun;
}

/** A handshake with one peer. A pure machine: commands in, steps out. */
export interface MechanismRun {
  /** The command to send as soon as both greetings are there, if this side speaks first. */
  start(): Buffer | undefined;
  /** What a command of the peer leads to. */
  receive(command: Buffer): MechanismStep;
}

export type MechanismStep =
  | { readonly do: 'send'; readonly command: Buffer }
  | {
      readonly do: 'ready';
      readonly command: Buffer | undefined;
      readonly metadata: Buffer;
      readonly security: Security;
    }
  | { readonly do: 'refuse'; readonly failure: PeerFailure };

/** What a finished handshake leaves behind: NULL leaves nothing, CURVE a key for each message and the peer's name. */
export type Security =
  | { readonly kind: 'plain' }
  | {
      readonly kind: 'boxed';
      readonly channel: Channel;
      /** The peer's long-term public key as Z85. */
      readonly publicKey: string;
    };

/** Seals and opens the frames of one connection. */
export interface Channel {
  /** Bytes a sealed body of `length` bytes takes. */
  sealedBytes(length: number): number;
  /** Writes the sealed body into `target` at `at`. */
  seal(flags: number, body: Uint8Array, target: Uint8Array, at: number): void;
  /** The opened body, or `undefined` when it is not from the peer, or comes for the second time. */
  open(sealed: Buffer): Buffer | undefined;
  /** The flags of the frame that was opened last. */
  openedFlags: number;
}

/** No security: both sides tell READY at once. */
export const nullMechanism: Mechanism = {
  name: 'NULL',
  isServer: false,
  begin: (metadata) => ({
    start: () => encodeCommand('READY', metadata),
    receive(command) {
      const name = commandName(command);
      if (name === 'READY') {
        return { do: 'ready', command: undefined, metadata: commandData(command), security: { kind: 'plain' } };
      }
      return name === 'ERROR' ? refusedByPeer(command) : unexpectedCommand(name, 'READY');
    },
  }),
};

/** The peer sent ERROR: it does not want us, and says why in a few characters. */
export function refusedByPeer(command: Buffer): MechanismStep {
  const data = commandData(command);
  const reason = data.toString('latin1', 1, 1 + (data[0] ?? 0));
  return {
    do: 'refuse',
    failure: { code: 'refused-by-peer', detail: `it refused the handshake: ${JSON.stringify(reason)}` },
  };
}

/** A command that does not belong here. */
export function unexpectedCommand(name: string, expected: string): MechanismStep {
  return {
    do: 'refuse',
    failure: { code: 'protocol', detail: `it sent ${JSON.stringify(name)} where ${expected} belongs` },
  };
}
