// Endpoints as text: `tcp://host:port`, `tcp://[::1]:port`, `tcp://*:*`, `ipc:///path`, `ipc://@abstract`. Pure; used by
// listeners and connectors.
import type { Result } from '../../base/result.ts';

/** An endpoint taken apart. `host` of `*` means all interfaces; `port` 0 means any free one. */
export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'ipc'; readonly path: string };

/** The system's limit on the path of a unix socket, without its final zero byte. */
const longestPathBytes = 107;

/** Takes an endpoint apart; the error is a sentence. */
export function parseEndpoint(text: string): Result<Endpoint> {
  const bad = (why: string): Result<Endpoint> => ({
    ok: false,
    error: `${JSON.stringify(text)} is not an endpoint: ${why}. Try tcp://127.0.0.1:5555, tcp://[::1]:*, or ipc:///path/of/socket.`,
  });
  if (text.startsWith('ipc://')) {
    const path = text.slice(6);
    if (path === '' || path === '@') return bad('the path is missing');
    if (Buffer.byteLength(path) > longestPathBytes)
      return bad(`a path of a unix socket has at most ${longestPathBytes} bytes`);
    return { ok: true, value: { kind: 'ipc', path: path.startsWith('@') ? `\0${path.slice(1)}` : path } };
  }
  if (!text.startsWith('tcp://')) return bad('it begins with neither tcp:// nor ipc://');
  const match = /^tcp:\/\/(?:\[([^\]\s]+)\]|([^:[\]\s/]+)):(\*|\d{1,5})$/.exec(text);
  if (match === null) return bad('host and port are needed, and an IPv6 address in brackets');
  const port = match[3] === '*' ? 0 : Number(match[3]);
  if (port > 65_535) return bad('a port is at most 65535');
  return { ok: true, value: { kind: 'tcp', host: match[1] ?? match[2]!, port } };
}

/** The text of an endpoint. */
export function showEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'ipc') return `ipc://${endpoint.path.replace(/^\0/, '@')}`;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `tcp://${host}:${endpoint.port}`;
}
