// Opens a monitoring database, SQLite or PostgreSQL; for the writer it brings older tables to our version, for readers it leaves
// them as they are (ADR 0070). The writer, the dashboard and the commands open theirs here.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Kysely, PostgresDialect, SqliteDialect, sql } from 'kysely';
import { makeDirectory } from '../base/directory.ts';
import { networkFileSystem } from './file-system.ts';
import { applyMigrations, type Dialect, migrations, oldestRead, type Schema } from './schema.ts';
import { openSqlite, type SqliteConnection } from './sqlite.ts';
import { SqliteReader } from './sqlite-reader.ts';

/** A database that is open. */
export interface MonitoringDatabase extends AsyncDisposable {
  readonly db: Kysely<Schema>;
  readonly dialect: Dialect;
  /** Its path, or its URL without the password. */
  readonly name: string;
  /** `ours`, or `parsl`: the tables are Parsl's own, and none of ours is there. Only for reading. */
  readonly kind: 'ours' | 'parsl';
  /** What is unusual, as sentences for a log. */
  readonly notes: readonly string[];
  /** SQLite: the connection itself, for statements that are prepared once. */
  readonly sqlite: SqliteConnection | undefined;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** `write` makes what is missing, and brings older tables to our version. @default 'read' */
  readonly mode?: 'read' | 'write';
  /** How long a statement waits for others' locks, in milliseconds; a reader lets others work meanwhile. @default 5000 */
  readonly busyMs?: number;
  /** Name of the network file system that it is on, or `false`. @default found out */
  readonly network?: string | false;
}

/** The database cannot be used, and why. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly code: 'MISSING' | 'UNREADABLE' | 'LOCKED' | 'NOT_OURS' | 'TOO_NEW' | 'TOO_OLD' | 'NO_DRIVER' | 'PARSL';
  constructor(code: DatabaseError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
  }
}

/**
 * Opens `where`: a path, `sqlite:///PATH` as Parsl writes it, or `postgres://…`. Throws a {@link DatabaseError}, or what the
 * database itself throws.
 *
 * @example
 * await using monitoring = await openDatabase('runinfo/monitoring.db');
 * const runs = await monitoring.db.selectFrom('runs').selectAll().execute();
 */
export async function openDatabase(where: string, options: OpenOptions = {}): Promise<MonitoringDatabase> {
  return isPostgres(where) ? openPostgres(where, options) : openFile(sqlitePath(where), options);
}

/** Whether it could not be read for others' locks: SQLite's, or those of PostgreSQL (`lock_not_available`). */
export function isLocked(error: unknown): boolean {
  return error instanceof DatabaseError ? error.code === 'LOCKED' : (error as { code?: unknown }).code === '55P03';
}

/** Whether `where` names a PostgreSQL database. */
export function isPostgres(where: string): boolean {
  return /^postgres(?:ql)?(?:\+\w+)?:\/\//.test(where);
}

/** The path in `sqlite:///PATH`, or the path that it is. */
export function sqlitePath(where: string): string {
  return resolve(where.replace(/^sqlite:\/\/\//, '').replace(/^file:\/\//, ''));
}

async function openFile(path: string, options: OpenOptions): Promise<MonitoringDatabase> {
  const { mode = 'read', busyMs = 5_000 } = options;
  if (mode === 'read' && !existsSync(path)) {
    throw new DatabaseError(
      'MISSING',
      `There is no monitoring database ${path}. load({ monitoring: true }) makes one in its run directory's parent.`,
    );
  }
  if (mode === 'write') makeDirectory(dirname(path));
  const connection = openSqlite(path, mode);
  const notes: string[] = [];
  try {
    connection.exec(`pragma busy_timeout = ${Math.round(busyMs)}`);
    if (mode === 'write') {
      // Of a file that is made now. Rows of tasks are short, and larger pages make their trees flatter.
      connection.exec('pragma page_size = 8192');
      const network = options.network ?? networkFileSystem(path);
      if (network) {
        connection.exec('pragma journal_mode = delete');
        notes.push(
          `${path} is on ${network}, where SQLite cannot write and be read at once: readers and other runs will wait for one another. A local disk, or PostgreSQL, is better.`,
        );
      } else {
        const [row] = connection.prepare('pragma journal_mode = wal').all([]) as { journal_mode: string }[];
        if (row?.journal_mode !== 'wal')
          notes.push(
            `${path}: SQLite does not use its WAL here (${row?.journal_mode}); readers and writers will wait for one another.`,
          );
      }
      // With WAL nothing is corrupt after a crash of the machine; the last batches may be missing.
      connection.exec(network ? 'pragma synchronous = full' : 'pragma synchronous = normal');
      connection.exec('pragma cache_size = -32000');
    }
    const onEnd = (cause: unknown): DatabaseError =>
      new DatabaseError(
        'LOCKED',
        `${path} is locked by another program, and was for ${Math.round(busyMs)} ms. Try again when that has written.`,
        cause,
      );
    const db = new Kysely<Schema>({
      dialect:
        mode === 'read'
          ? new SqliteReader(connection, { ms: busyMs, onEnd })
          : new SqliteDialect({ database: connection }),
    });
    const kind = await prepare(db, 'sqlite', path, mode);
    return opened(db, 'sqlite', path, kind, notes, connection);
  } catch (error) {
    connection.close();
    throw mode === 'read' ? whyUnread(error, path) : error;
  }
}

/** What SQLite says of a file that it cannot read, as a sentence with what to do about it. */
function whyUnread(error: unknown, path: string): unknown {
  const { message } = error as Error;
  if (/readonly database|unable to open/i.test(message))
    return new DatabaseError(
      'UNREADABLE',
      `${path} cannot be read where it is: ${message}. SQLite makes files beside a database also when it only reads. Copy it, with the files ${path}-wal and ${path}-shm if they are there, to a directory that you can write to.`,
      error,
    );
  if (/not a database/i.test(message))
    return new DatabaseError(
      'NOT_OURS',
      `${path} is no monitoring database: SQLite does not know it as its own.`,
      error,
    );
  return error;
}

async function openPostgres(url: string, options: OpenOptions): Promise<MonitoringDatabase> {
  const { mode = 'read', busyMs = 5_000 } = options;
  const pg = postgresDriver();
  const pool = new pg.Pool({
    connectionString: withUser(url.replace(/^postgres(?:ql)?(?:\+\w+)?:/, 'postgres:')),
    max: mode === 'write' ? 1 : 4,
    connectionTimeoutMillis: 10_000,
    options: `-c lock_timeout=${Math.round(busyMs)} -c synchronous_commit=off`,
    // bigint comes as text otherwise; ours are below 2^53.
    types: {
      getTypeParser: ((type: number, format?: 'text' | 'binary') =>
        type === 20 ? Number : pg.types.getTypeParser(type, format as 'text')) as never,
    },
  });
  // A connection that breaks while nobody uses it; the next statement will tell.
  pool.on('error', () => {});
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  const name = url.replace(/:[^:@/]*@/, '@');
  try {
    const kind = await prepare(db, 'postgres', name, mode);
    return opened(db, 'postgres', name, kind, [], undefined);
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

function opened(
  db: Kysely<Schema>,
  dialect: Dialect,
  name: string,
  kind: 'ours' | 'parsl',
  notes: readonly string[],
  sqlite: SqliteConnection | undefined,
): MonitoringDatabase {
  const close = (): Promise<void> => db.destroy();
  return { db, dialect, name, kind, notes, sqlite, close, [Symbol.asyncDispose]: close };
}

/** Looks whose tables these are; for writing makes or renews ours. */
async function prepare(
  db: Kysely<Schema>,
  dialect: Dialect,
  name: string,
  mode: 'read' | 'write',
): Promise<'ours' | 'parsl'> {
  const found = await look(db, dialect);
  if (found.kind === 'ours' && found.version === migrations.length) return 'ours';
  if (found.kind === 'ours' && found.version > migrations.length) {
    throw new DatabaseError(
      'TOO_NEW',
      `${name} was made by a later Chervil: its tables have version ${found.version}, and this one knows ${migrations.length}. Use that Chervil, or another database.`,
    );
  }
  if (mode === 'write') {
    if (found.kind === 'parsl')
      throw new DatabaseError(
        'PARSL',
        `${name} has Parsl's own tables, and Chervil writes no others' tables. Name another database.`,
      );
    await migrate(db, dialect);
    return 'ours';
  }
  switch (found.kind) {
    case 'parsl':
      return 'parsl';
    case 'ours':
      if (found.version >= oldestRead) return 'ours';
      throw new DatabaseError(
        'TOO_OLD',
        `${name} has tables of version ${found.version}, and this Chervil reads them from ${oldestRead} on. The next run that writes to it brings it up to date; or now: chervil monitor prune --keep 100000 -d ${name}. If it cannot be written, do that to a copy.`,
      );
    case 'empty':
      throw new DatabaseError('NOT_OURS', `${name} is no monitoring database: it has none of the tables.`);
  }
}

type Found =
  | { readonly kind: 'ours'; readonly version: number }
  | { readonly kind: 'parsl' }
  | { readonly kind: 'empty' };

async function look(db: Kysely<Schema>, dialect: Dialect): Promise<Found> {
  const tables =
    dialect === 'sqlite'
      ? sql<{ name: string }>`select name from sqlite_master where type = 'table'`
      : sql<{ name: string }>`select table_name as name from information_schema.tables
          where table_schema = current_schema() and table_type = 'BASE TABLE'`;
  const names = (await tables.execute(db)).rows.map((row) => row.name);
  if (names.includes('chervil_schema')) {
    const row = await db.selectFrom('chervil_schema').select('version').executeTakeFirst();
    return { kind: 'ours', version: row?.version ?? 0 };
  }
  return names.includes('workflow') ? { kind: 'parsl' } : { kind: 'empty' };
}

/** One at a time: several runs may begin with the same empty file. */
async function migrate(db: Kysely<Schema>, dialect: Dialect): Promise<void> {
  await db.connection().execute(async (one) => {
    await sql.raw(dialect === 'sqlite' ? 'begin immediate' : 'begin').execute(one);
    try {
      if (dialect === 'postgres') await sql`select pg_advisory_xact_lock(${sql.lit(lockNumber)})`.execute(one);
      const found = await look(one, dialect);
      const version = found.kind === 'ours' ? found.version : 0;
      if (version < migrations.length) await applyMigrations(one, dialect, version);
      await sql`commit`.execute(one);
    } catch (error) {
      await sql`rollback`.execute(one).catch(() => {}); // The first error says why.
      throw error;
    }
  });
}

const lockNumber = 0x63_68_65_72;

const require = createRequire(import.meta.url);

function postgresDriver(): typeof import('pg') {
  try {
    return require('pg') as typeof import('pg');
  } catch (error) {
    throw new DatabaseError(
      'NO_DRIVER',
      'A PostgreSQL database needs the package pg, which is not installed: npm install pg',
      error,
    );
  }
}

/** As psql does: without a user in the URL, it is the one of this process. */
function withUser(url: string): string {
  return /^postgres:\/\/[^/@]+@/.test(url) || process.env['PGUSER']
    ? url
    : url.replace('postgres://', `postgres://${userInfo().username}@`);
}
