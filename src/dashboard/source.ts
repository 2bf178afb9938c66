// The database that is shown. Ours is read as it is; one of Python Parsl is copied into tables of ours first, so that there is
// one set of queries (parsl.ts). Owned by server.ts.
//
// A file may be deleted, and another run may make a new one in its place, while the dashboard is served: an open file would go on
// to show what was, without a word. So it is looked at before each question.
import { statSync } from 'node:fs';
import type { Kysely } from 'kysely';
import { isPostgres, openDatabase, sqlitePath } from '../monitoring/database.ts';
import type { Schema } from '../monitoring/schema.ts';
import type { About } from './api.ts';
import { copyOfParsl } from './parsl.ts';

/** What is shown of a database, as long as it is that one. */
export interface Opened {
  readonly db: Kysely<Schema>;
  readonly name: string;
  readonly madeBy: About['madeBy'];
  readonly notes: readonly string[];
  /** Brings a copy up to date, if it is one and something has changed. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

export interface Source extends Opened {
  /** Sees to it that `db` is the database that is there now. Throws {@link DatabaseGone}, or why it cannot be opened. */
  check(): Promise<void>;
}

/** The file is not where it was. */
export class DatabaseGone extends Error {
  override readonly name = 'DatabaseGone';
}

/** Throws DatabaseError. */
export async function openSource(where: string): Promise<Source> {
  const opened = await open(where);
  if (!isPostgres(where)) return new FileSource(where, opened);
  return { ...opened, check: async () => {} };
}

async function open(where: string): Promise<Opened> {
  // Who looks wants to know by then that nothing can be told.
  const opened = await openDatabase(where, { busyMs: 2_000 });
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

class FileSource implements Source {
  readonly #where: string;
  readonly #path: string;
  #opened: Opened;
  #identity: string;
  #reopening: Promise<void> | undefined;

  constructor(where: string, opened: Opened) {
    this.#where = where;
    this.#path = sqlitePath(where);
    this.#opened = opened;
    this.#identity = this.#look();
  }

  get db(): Kysely<Schema> {
    return this.#opened.db;
  }

  get name(): string {
    return this.#opened.name;
  }

  get madeBy(): About['madeBy'] {
    return this.#opened.madeBy;
  }

  get notes(): readonly string[] {
    return this.#opened.notes;
  }

  async check(): Promise<void> {
    const identity = this.#look();
    if (identity === this.#identity) return;
    this.#reopening ??= this.#reopen(identity).finally(() => {
      this.#reopening = undefined;
    });
    await this.#reopening;
  }

  async refresh(): Promise<void> {
    await this.check();
    await this.#opened.refresh();
  }

  close(): Promise<void> {
    return this.#opened.close();
  }

  async #reopen(identity: string): Promise<void> {
    const before = this.#opened;
    this.#opened = await open(this.#where);
    this.#identity = identity;
    await before.close();
  }

  /** Which file it is: another one under the same name has another number. */
  #look(): string {
    const stat = statSync(this.#path, { throwIfNoEntry: false });
    if (stat === undefined) throw new DatabaseGone(`${this.#path} is not there any more: it was moved or deleted.`);
    return `${stat.dev} ${stat.ino}`;
  }
}
