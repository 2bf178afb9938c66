// SQLite as this Node.js has it: `node:sqlite` where there is one, else the optional package libsql. Both work within a call,
// which suits the writer: it has a process of its own. database.ts opens it, and hands it to kysely.
import { createRequire } from 'node:module';

/** A value of SQLite. */
export type SqliteValue = number | bigint | string | Uint8Array | null;

/** A prepared statement. `reader`: it gives rows. */
export interface SqliteStatement {
  readonly reader: boolean;
  all(parameters: readonly unknown[]): unknown[];
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  iterate(parameters: readonly unknown[]): IterableIterator<unknown>;
}

/** One connection. It is kysely's `SqliteDatabase`, and `exec` besides. */
export interface SqliteConnection {
  prepare(text: string): SqliteStatement;
  exec(text: string): void;
  close(): void;
}

/** What both packages share of a database and a statement. */
interface Native {
  prepare(text: string): NativeStatement;
  exec(text: string): unknown;
  close(): void;
}
interface NativeStatement {
  all(...parameters: unknown[]): unknown[];
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  iterate(...parameters: unknown[]): IterableIterator<unknown>;
}

/** Why no SQLite can be had here. */
export const noSqlite =
  'SQLite needs Node.js 22.13 or later, or the package libsql (npm install libsql), and this Node.js has neither. A PostgreSQL database needs the package pg alone.';

/** Opens a file. Throws what the library throws, or an Error with {@link noSqlite}. */
export function openSqlite(path: string, mode: 'read' | 'write'): SqliteConnection {
  const native = openNative(path, mode);
  return {
    prepare: (text) => {
      const statement = native.prepare(text);
      return {
        reader: givesRows.test(text),
        all: (parameters) => statement.all(...parameters),
        run: (parameters) => statement.run(...parameters),
        iterate: (parameters) => statement.iterate(...parameters),
      };
    },
    exec: (text) => void native.exec(text),
    close: () => native.close(),
  };
}

const givesRows = /^\s*(?:select|with|pragma|values|explain)\b|\breturning\b/i;

const require = createRequire(import.meta.url);

function openNative(path: string, mode: 'read' | 'write'): Native {
  const own = builtIn();
  if (own !== undefined) return new own.DatabaseSync(path, { readOnly: mode === 'read' });
  let Libsql: new (path: string, options: { readonly: boolean }) => Native;
  try {
    Libsql = require('libsql') as typeof Libsql;
  } catch (error) {
    throw new Error(noSqlite, { cause: error });
  }
  return new Libsql(path, { readonly: mode === 'read' });
}

interface NodeSqlite {
  readonly DatabaseSync: new (path: string, options: { readOnly: boolean }) => Native;
}

function builtIn(): NodeSqlite | undefined {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 13)) return undefined;
  // Some versions say at the first use that it is experimental: that is our affair, not the user's.
  const { emitWarning } = process;
  process.emitWarning = (() => {}) as typeof emitWarning;
  try {
    return require('node:sqlite') as NodeSqlite;
  } catch {
    return undefined; // Built without it.
  } finally {
    process.emitWarning = emitWarning;
  }
}
