// Sockets for tests: they close with the test, and what happens to them can be waited for.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type CommonOptions,
  createCertificates,
  createSocket,
  curveClient,
  curveServer,
  type DealerSocket,
  type Mechanism,
  nullMechanism,
  type Peer,
  type PeerFailure,
  type ReplierSocket,
  type RequesterSocket,
  type RouterSocket,
  readCertificates,
} from '#src/wire/zmtp/socket.js';
import { Happenings } from './happenings.ts';

export interface Message {
  readonly frames: Buffer[];
  readonly peer: Peer;
}

/** What a test can wait for on a socket. */
export interface Watched {
  readonly messages: Happenings<Message>;
  readonly joined: Happenings<Peer>;
  readonly left: Happenings<{ readonly peer: Peer; readonly failure: PeerFailure }>;
  readonly failed: Happenings<{ readonly address: string; readonly failure: PeerFailure }>;
  readonly drained: Happenings<Peer | undefined>;
}

interface ByType {
  readonly dealer: DealerSocket;
  readonly router: RouterSocket;
  readonly req: RequesterSocket;
  readonly rep: ReplierSocket;
}

/** A socket that closes, without lingering, when the test ends. `answer` is called for each message, after it was recorded. */
export function watchedSocket<Type extends keyof ByType>(
  t: TestContext,
  type: Type,
  options: CommonOptions & { readonly answer?: (message: Message) => void } = {},
): ByType[Type] & { readonly seen: Watched } {
  const seen: Watched = {
    messages: new Happenings(),
    joined: new Happenings(),
    left: new Happenings(),
    failed: new Happenings(),
    drained: new Happenings(),
  };
  const make = createSocket as (options: object) => unknown;
  const socket = make({
    type,
    ...options,
    onMessage(frames: Buffer[], peer: Peer) {
      seen.messages.push({ frames, peer });
      options.answer?.({ frames, peer });
    },
    onDrain: seen.drained.push,
    onPeerJoined: seen.joined.push,
    onPeerLeft: (peer: Peer, failure: PeerFailure) => seen.left.push({ peer, failure }),
    onPeerFailed: (address: string, failure: PeerFailure) => seen.failed.push({ address, failure }),
  }) as ByType[Type] & { seen: Watched };
  socket.seen = seen;
  t.after(() => socket.close({ lingerMs: 0 }));
  return socket;
}

/** A way to secure a link, ready for use at both ends, here and in other implementations. */
export interface Security {
  readonly name: 'NULL' | 'CURVE';
  readonly server: Mechanism;
  readonly client: Mechanism;
  /** Z85 keys, for foreign peers; `undefined` with NULL. */
  readonly keys: { readonly server: KeyTexts; readonly client: KeyTexts } | undefined;
  /** Where the key files are; '' with NULL. */
  readonly directory: string;
}

interface KeyTexts {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** NULL, and CURVE with new keys in a directory that goes when the test ends. */
export async function securities(t: TestContext): Promise<readonly [Security, Security]> {
  const base = await mkdtemp(join(tmpdir(), 'chervil-zmtp-'));
  t.after(() => rm(base, { recursive: true }));
  const directory = await createCertificates(base);
  const { server, client, allowed } = await readCertificates(directory);
  return [
    { name: 'NULL', server: nullMechanism, client: nullMechanism, keys: undefined, directory: '' },
    {
      name: 'CURVE',
      server: await curveServer({ ...server, allow: allowed }),
      client: await curveClient({ ...client, serverKey: server.publicKey }),
      keys: { server, client },
      directory,
    },
  ];
}

/** Frames of texts. */
export const frames = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text));

/** Texts of frames. */
export const texts = (message: Message | readonly Buffer[]): string[] =>
  ('frames' in message ? message.frames : message).map(String);
