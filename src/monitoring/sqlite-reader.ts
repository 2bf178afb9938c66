// kysely's dialect for those who only read SQLite. Called by database.ts.
//
// SQLite works within a call: one that waits there for another program's lock keeps everybody waiting, also who asks for
// something else. So its own wait is none, and a statement that finds a lock is tried again a little later, for as long as the
// reader is patient (ADR 0071). Statements do not wait for one another: whoever reads has no transactions.
import {
  type CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { SqliteConnection } from './sqlite.ts';

/** How long a reader waits for others' locks, and what is thrown then. */
export interface Patience {
  readonly ms: number;
  readonly onEnd: (cause: unknown) => Error;
}

export class SqliteReader implements Dialect {
  readonly #database: SqliteConnection;
  readonly #patience: Patience;

  constructor(database: SqliteConnection, patience: Patience) {
    this.#database = database;
    this.#patience = patience;
  }

  createDriver(): Driver {
    this.#database.exec('pragma busy_timeout = 0');
    const connection = new ReadingConnection(this.#database, this.#patience);
    const refuse = async (): Promise<never> => {
      throw new Error('a reader has no transactions');
    };
    return {
      init: async () => {},
      acquireConnection: async () => connection,
      releaseConnection: async () => {},
      beginTransaction: refuse,
      commitTransaction: refuse,
      rollbackTransaction: refuse,
      destroy: async () => this.#database.close(),
    };
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): DialectAdapter {
    return new SqliteAdapter();
  }

  // biome-ignore lint/suspicious/noExplicitAny: kysely's own signature.
  createIntrospector(db: Kysely<any>): DatabaseIntrospector {
    return new SqliteIntrospector(db);
  }
}

/** No event tells that a lock is gone. At first it is looked soon: most are there for one write. */
const firstPauseMs = 5;
const longestPauseMs = 50;

class ReadingConnection implements DatabaseConnection {
  readonly #database: SqliteConnection;
  readonly #patience: Patience;

  constructor(database: SqliteConnection, patience: Patience) {
    this.#database = database;
    this.#patience = patience;
  }

  async executeQuery<Row>({ sql, parameters }: CompiledQuery): Promise<QueryResult<Row>> {
    const startedAt = performance.now();
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        return { rows: this.#database.prepare(sql).all(parameters) as Row[] };
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (performance.now() - startedAt >= this.#patience.ms) throw this.#patience.onEnd(error);
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  // biome-ignore lint/correctness/useYield: what it would give, nobody asks for.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('a reader asks for parts, and streams nothing');
  }
}

/** SQLITE_BUSY and its kinds, as node:sqlite and libsql tell it. */
function isBusy(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return typeof errcode === 'number' ? (errcode & 0xff) === 5 : String(code).startsWith('SQLITE_BUSY');
}
