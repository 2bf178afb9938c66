// `chervil monitor [WHERE]`: serves the dashboard until Ctrl-C. Called by main.ts.
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type DashboardOptions, isLoopback, serveDashboard } from '../dashboard/server.ts';
import { DatabaseError, isPostgres } from '../monitoring/database.ts';
import { CommandError } from './command-error.ts';

/** Options of the command line. */
export interface MonitorOptions {
  readonly address: string;
  readonly port: number | undefined;
  readonly token: boolean;
  readonly allowHost: readonly string[];
}

/** Where Parsl's visualizer is, too. */
const usualPort = 8080;

/** Resolves when the dashboard was ended by a signal. */
export async function monitor(where: string, options: MonitorOptions): Promise<void> {
  const database = databaseIn(where);
  const settings: DashboardOptions = {
    address: options.address,
    hosts: options.allowHost,
    ...(options.token ? { token: true } : {}),
  };
  // From the start: a large database of Parsl is copied first, and what was copied has to go.
  let isReady = false;
  const signal = new Promise<void>((done) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(name, () => (isReady ? done() : process.exit(130)));
  });
  const dashboard = await served(database, settings, options.port);
  isReady = true;
  for (const note of dashboard.notes) process.stderr.write(`chervil: ${note}\n`);
  process.stdout.write(`${dashboard.url}\n`);
  process.stderr.write(
    isLoopback(options.address)
      ? 'chervil: the dashboard is served to this machine alone; Ctrl-C ends it\n'
      : 'chervil: who has this address with its token sees arguments, output and errors of all tasks; Ctrl-C ends it\n',
  );
  await signal;
  await dashboard.close();
}

/** The database that a directory of runs has, or the one that is named. */
export function databaseIn(where: string): string {
  if (isPostgres(where) || where.startsWith('sqlite:')) return where;
  const path = resolve(where);
  if (!existsSync(path))
    throw new CommandError(
      `there is no ${path}; chervil monitor takes a directory of runs, a monitoring database, or postgres://…, and a run makes one with load({ monitoring: true })`,
    );
  if (!statSync(path).isDirectory()) return path;
  // The directory of one run, such as runinfo/000, shares its parent's database.
  const found = [join(path, 'monitoring.db'), join(dirname(path), 'monitoring.db')].find(existsSync);
  if (found !== undefined) return found;
  throw new CommandError(
    `${path} has no monitoring.db: its runs were not monitored. load({ monitoring: true }) makes one`,
  );
}

async function served(database: string, settings: DashboardOptions, port: number | undefined) {
  try {
    try {
      return await serveDashboard(database, { ...settings, port: port ?? usualPort });
    } catch (error) {
      // Only the port that was asked for will do; the usual one is as good as another.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || port !== undefined) throw error;
      return await serveDashboard(database, { ...settings, port: 0 });
    }
  } catch (error) {
    throw new CommandError(messageFor(error, database, settings.address ?? '', port));
  }
}

function messageFor(error: unknown, database: string, address: string, port: number | undefined): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (error instanceof DatabaseError) return message;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} is taken by another program; without --port a free one is chosen`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `this machine has no address ${address}; 127.0.0.1 is for this machine alone, 0.0.0.0 for every one that can reach it`;
    case 'EACCES':
      return `port ${port} needs the rights of root; choose one above 1023`;
    case 'ERR_SOCKET_BAD_PORT':
      return `there is no port ${port}; ports go from 1 to 65535`;
    default:
      return `${isPostgres(database) ? 'the database' : database} cannot be read: ${message}`;
  }
}
