// The dashboard's server: owns the socket, the feeds and the database. Called by `chervil monitor`.
//
//   browser ── GET / ──────────> guard ──> assets   files of dist/dashboard/page
//           ── GET /api/… ─────> guard ──> routes ──> queries ──> database (only read)
//           <─ events ────────── live  (one question a second while somebody looks)
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { asset } from './assets.ts';
import { guard } from './guard.ts';
import { LiveFeeds } from './live.ts';
import { routes } from './routes.ts';
import { openSource } from './source.ts';

/** How the dashboard is served. */
export interface DashboardOptions {
  /** Address to listen on. @default '127.0.0.1' */
  readonly address?: string;
  /** @default 0: any that is free */
  readonly port?: number;
  /** Who comes must know this. @default a random one when `address` is not loopback, else none */
  readonly token?: string | true;
  /** Further names by which the server may be addressed. @default [] */
  readonly hosts?: readonly string[];
}

/** A dashboard that is being served. */
export interface Dashboard extends AsyncDisposable {
  /** What to open, with the token if one is needed. */
  readonly url: string;
  readonly port: number;
  readonly token: string | undefined;
  /** What is unusual about the database, as sentences. */
  readonly notes: readonly string[];
  close(): Promise<void>;
}

/**
 * Serves the database `where`: a path or `postgres://…`, ours or Python Parsl's. Throws DatabaseError when it cannot be read,
 * and what listening throws (`EADDRINUSE`).
 *
 * @example
 * await using dashboard = await serveDashboard('runinfo/monitoring.db', { port: 8080 });
 * console.log(dashboard.url);
 */
export async function serveDashboard(where: string, options: DashboardOptions = {}): Promise<Dashboard> {
  const { address = '127.0.0.1', port = 0, hosts = [] } = options;
  const token = tokenFor(address, options.token);
  const source = await openSource(where);
  const feeds = new LiveFeeds(source);
  const app = new Hono();
  app.use(guard({ token, hosts }));
  app.route('/api', routes(source, feeds));
  app.get('/:name?', (context) => asset(context, context.req.param('name') ?? 'index.html') ?? context.notFound());

  const server = createServer(getRequestListener(app.fetch));
  // Events go on for as long as somebody looks.
  server.requestTimeout = 0;
  try {
    await listening(server, address, port);
  } catch (error) {
    await source.close();
    throw error;
  }
  const bound = (server.address() as AddressInfo).port;
  const close = async (): Promise<void> => {
    feeds.close();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    await source.close();
  };
  const shown = ['0.0.0.0', '::'].includes(address) ? 'localhost' : address.includes(':') ? `[${address}]` : address;
  return {
    url: `http://${shown}:${bound}/${token === undefined ? '' : `?token=${token}`}`,
    port: bound,
    token,
    notes: source.notes,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Whether only programs of this machine reach that address. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127\./.test(address);
}

function tokenFor(address: string, given: string | true | undefined): string | undefined {
  if (typeof given === 'string') return given;
  return given === true || !isLoopback(address) ? randomBytes(24).toString('base64url') : undefined;
}

function listening(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
