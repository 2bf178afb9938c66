// One bound endpoint: owns one server of node:net and hands out the streams it accepts. The transport makes it.
//
// Without a file descriptor for a connection libuv closes it, and Node.js tells nobody. Each connection that is accepted
// therefore looks whether a descriptor is left for the next one.
import { unlink } from 'node:fs/promises';
import { connect, createServer, isIPv6, type ListenOptions, type Server, type Socket as Stream } from 'node:net';
import { type DescriptorLimit, descriptorShortage, limitOf } from '../../base/descriptors.ts';
import { Arrival, serverOptions } from './arrival.ts';
import { type Endpoint, parseEndpoint, showEndpoint } from './endpoint.ts';
import { ZmtpError } from './failures.ts';

/** Who hears about accepted streams. */
export interface ListenerOwner {
  onAccepted(arrival: Arrival, address: string): void;
  onAcceptFailed(endpoint: string, error: Error): void;
  /** No file descriptor is left for the next connection: whoever comes is turned away until one is free. */
  onNoDescriptor(endpoint: string, limit: DescriptorLimit): void;
}

/** An endpoint that is listened on. */
export class Listener {
  /** The endpoint with the port that was chosen. */
  readonly endpoint: string;
  readonly #server: Server;

  private constructor(server: Server, endpoint: string) {
    this.#server = server;
    this.endpoint = endpoint;
  }

  /**
   * Binds. Rejects with {@link ZmtpError}: ENDPOINT when the text is none, BIND when the system says no (its error is the
   * `cause`). A unix socket that a dead process left behind is replaced.
   */
  static async open(text: string, allowIpv6: boolean, owner: ListenerOwner): Promise<Listener> {
    const parsed = parseEndpoint(text);
    if (!parsed.ok) throw new ZmtpError('ENDPOINT', parsed.error);
    const endpoint = parsed.value;
    if (endpoint.kind === 'tcp' && !allowIpv6 && isIPv6(endpoint.host)) {
      throw new ZmtpError('ENDPOINT', `${text} is an IPv6 address, and this socket was made with ipv6: false.`);
    }
    try {
      return await listen(text, endpoint, allowIpv6, owner);
    } catch (cause) {
      if (endpoint.kind === 'ipc' && codeOf(cause) === 'EADDRINUSE' && (await isAbandoned(endpoint.path))) {
        await unlink(endpoint.path);
        return await listen(text, endpoint, allowIpv6, owner).catch((again: unknown) => {
          throw bindError(text, again);
        });
      }
      throw bindError(text, cause);
    }
  }

  static of(server: Server, endpoint: string): Listener {
    return new Listener(server, endpoint);
  }

  /** It does not keep the process alive. */
  unref(): void {
    this.#server.unref();
  }

  /** Accepts no more. Resolves when the endpoint is free again; the streams that were accepted are their owners' to close. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

/** The system's reason of a failed bind: `EADDRINUSE`, `EACCES`, and so on. */
export function bindFailureCode(error: unknown): string | undefined {
  return error instanceof ZmtpError && error.code === 'BIND' ? codeOf(error.cause) : undefined;
}

function listen(text: string, endpoint: Endpoint, allowIpv6: boolean, owner: ListenerOwner): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true, ...serverOptions });
    server.on('connection', (stream) => {
      const address = peerAddress(stream, endpoint);
      owner.onAccepted(Arrival.accepted(stream), address);
      const limit = descriptorShortage();
      if (limit !== undefined) owner.onNoDescriptor(text, limit);
    });
    server.once('error', reject);
    server.listen(listenOptions(endpoint, allowIpv6), () => {
      server.removeListener('error', reject);
      server.on('error', (error) => {
        // That there is none is said here only when libuv lost the one that it keeps for such moments.
        const limit = limitOf(error);
        if (limit === undefined) owner.onAcceptFailed(text, error);
        else owner.onNoDescriptor(text, limit);
      });
      const bound = server.address();
      const actual: Endpoint =
        bound === null || typeof bound === 'string' ? endpoint : { kind: 'tcp', host: bound.address, port: bound.port };
      resolve(Listener.of(server, showEndpoint(actual)));
    });
  });
}

function listenOptions(endpoint: Endpoint, allowIpv6: boolean): ListenOptions {
  if (endpoint.kind === 'ipc') return { path: endpoint.path };
  // Without a host Node listens on :: for both families, and on 0.0.0.0 where there is no IPv6.
  if (endpoint.host === '*') return allowIpv6 ? { port: endpoint.port } : { port: endpoint.port, host: '0.0.0.0' };
  return { port: endpoint.port, host: endpoint.host };
}

function peerAddress(stream: Stream, endpoint: Endpoint): string {
  if (endpoint.kind === 'ipc') return showEndpoint(endpoint);
  return showEndpoint({ kind: 'tcp', host: stream.remoteAddress ?? 'unknown', port: stream.remotePort ?? 0 });
}

/** Whether a unix socket's file is there and nobody listens on it. */
function isAbandoned(path: string): Promise<boolean> {
  if (path.startsWith('\0')) return Promise.resolve(false);
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error) => resolve(codeOf(error) === 'ECONNREFUSED'));
  });
}

function bindError(text: string, cause: unknown): ZmtpError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const advice = codeOf(cause) === 'EADDRINUSE' ? ' Another program listens there; choose another port, or *.' : '';
  return new ZmtpError('BIND', `Cannot listen on ${text}: ${reason}.${advice}`, { cause });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
