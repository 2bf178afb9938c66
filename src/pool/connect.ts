// Finding the interchange: of the addresses that a pool was given, the first at which it answers. main.ts calls it once.

import { readInterchangeMessage, writeManagerMessage } from '../wire/messages/manager.ts';
import { createSocket, type DealerSocket, type Mechanism, type PeerFailure } from '../wire/zmtp/socket.ts';

export interface ConnectOptions {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly uid: string;
  readonly mechanism: Mechanism;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Called for everything that comes after the first answer. */
  readonly onMessage: (frames: readonly Uint8Array[]) => void;
  readonly onLost: (failure: PeerFailure) => void;
  /** @param isChervil whether the interchange is Chervil's, and not Python's */
  readonly onFound: (socket: DealerSocket, isChervil: boolean) => void;
}

/**
 * Connects to the interchange. With several addresses each is probed under a name of its own; the one that answers first is used.
 *
 * @throws Error when none answers in time, with what is known of each
 */
export async function connectToInterchange(options: ConnectOptions): Promise<void> {
  const { addresses, port } = options;
  const endpoints = addresses.map((address) => `tcp://${address.includes(':') ? `[${address}]` : address}:${port}`);
  const troubles = new Map<string, string>();
  const only = endpoints.length === 1 ? endpoints[0] : undefined;
  const endpoint = only ?? (await probeAll(endpoints, options, troubles));
  await open(endpoint, options, troubles);
}

/** The first endpoint that answers. */
async function probeAll(
  endpoints: readonly string[],
  options: ConnectOptions,
  troubles: Map<string, string>,
): Promise<string> {
  const probes = endpoints.map((endpoint, index) =>
    probe(endpoint, `${options.uid}-probe-${index}`, options, troubles),
  );
  try {
    return await within(Promise.race(probes.map(({ answered }) => answered)), options, troubles);
  } finally {
    await Promise.all(probes.map(({ socket }) => socket.close({ lingerMs: 0 })));
  }
}

function probe(
  endpoint: string,
  identity: string,
  options: ConnectOptions,
  troubles: Map<string, string>,
): { socket: DealerSocket; answered: Promise<string> } {
  let onAnswer: (endpoint: string) => void = () => {};
  const answered = new Promise<string>((resolve) => {
    onAnswer = resolve;
  });
  const socket = createSocket({
    type: 'dealer',
    identity,
    mechanism: options.mechanism,
    onMessage: () => onAnswer(endpoint),
    onPeerFailed: (_, failure) => troubles.set(endpoint, failure.detail),
  });
  socket.connect(endpoint);
  socket.send([writeManagerMessage({ type: 'connection_probe' })]);
  return { socket, answered };
}

/**
 * The socket that stays. It probes as well, so that it is used only once the interchange has answered on it; the answer tells whose
 * interchange it is.
 */
async function open(endpoint: string, options: ConnectOptions, troubles: Map<string, string>): Promise<void> {
  let isFound = false;
  let isChervil = false;
  let onAnswer: () => void = () => {};
  const answered = new Promise<void>((resolve) => {
    onAnswer = resolve;
  });
  const socket = createSocket({
    type: 'dealer',
    identity: options.uid,
    mechanism: options.mechanism,
    highWaterMark: 0,
    reconnect: { minMs: 50, maxMs: 2_000 },
    onMessage(frames) {
      if (isFound) {
        options.onMessage(frames);
        return;
      }
      const answer = readInterchangeMessage(frames);
      isFound = true;
      isChervil = answer.ok && answer.value.type === 'welcome';
      options.onFound(socket, isChervil);
      onAnswer();
    },
    onPeerLeft: (_, failure) => isFound && options.onLost(failure),
    onPeerFailed(_, failure) {
      troubles.set(endpoint, failure.detail);
      if (isFound) options.onLost(failure);
    },
    onPeerJoined: () => isFound && options.onFound(socket, isChervil),
  });
  socket.connect(endpoint);
  socket.send([writeManagerMessage({ type: 'connection_probe', isChervil: true })]);
  try {
    await within(answered, options, troubles);
  } catch (error) {
    await socket.close({ lingerMs: 0 });
    throw error;
  }
}

function within<Value>(
  wanted: Promise<Value>,
  { timeoutMs, signal, addresses, port }: ConnectOptions,
  troubles: Map<string, string>,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const found = [...troubles].map(([endpoint, trouble]) => `${endpoint}: ${trouble}`).join('; ');
      reject(
        new Error(
          `No interchange answered within ${timeoutMs / 1_000} s at ${addresses.join(', ')}, port ${port}. ${found || 'Do both sides use the same certificates, or none?'}`,
        ),
      );
    }, timeoutMs);
    const onAbort = (): void => reject(new Error(`stopped by ${String(signal.reason)}`));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    wanted.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    });
  });
}
