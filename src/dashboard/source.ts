// The database that is shown. Ours is read as it is; one of Python Parsl is copied into tables of ours first, so that there is
// one set of queries (parsl.ts). Owned by server.ts.
import type { Kysely } from 'kysely';
import { openDatabase } from '../monitoring/database.ts';
import type { Schema } from '../monitoring/schema.ts';
import type { About } from './api.ts';
import { copyOfParsl } from './parsl.ts';

export interface Source {
  readonly db: Kysely<Schema>;
  readonly name: string;
  readonly madeBy: About['madeBy'];
  readonly notes: readonly string[];
  /** Brings a copy up to date, if it is one and something has changed. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/** Throws DatabaseError. */
export async function openSource(where: string): Promise<Source> {
  const opened = await openDatabase(where);
  if (opened.kind === 'parsl') return copyOfParsl(opened);
  return {
    db: opened.db,
    name: opened.name,
    madeBy: 'chervil',
    notes: opened.notes,
    refresh: async () => {},
    close: () => opened.close(),
  };
}
