// Server-sent events: whoever looks at a run is told when something has changed. Owned by server.ts.
//
// One feed for each run that somebody looks at. It asks the database for one row, and counts only when that row is another; the
// dearer counting is, the longer it waits. News is numbered and the last pieces are kept: a browser that was away says which it
// has seen, and gets those that it missed, or, if they are gone, how things stand now.
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../monitoring/schema.ts';
import type { LiveEvent } from './api.ts';
import { countsOf, findRun } from './run-list.ts';
import { DatabaseGone } from './source.ts';

const periodMs = 1_000;
const keptEvents = 256;
/** A proxy may close what is silent. */
const heartbeatMs = 15_000;

/** Stands for a database or run that was there before. */
const gone = 'gone';

interface Listener {
  readonly send: (text: string) => void;
}

interface Feed {
  readonly run: string;
  readonly events: { readonly id: number; readonly text: string }[];
  readonly listeners: Set<Listener>;
  signature: string;
  timer: NodeJS.Timeout | undefined;
  isBusy: boolean;
}

/** What the feed needs of the database: it may be another one after a while. */
export interface LiveSource {
  readonly db: Kysely<Schema>;
  /** Brings what was copied from elsewhere up to date. */
  refresh(): Promise<void>;
}

export class LiveFeeds {
  readonly #source: LiveSource;
  readonly #feeds = new Map<string, Feed>();
  /** Ends the stream of one who looks. */
  readonly #leavers = new Set<() => void>();
  /** Numbers of another server than this one are recognised by this. */
  readonly #epoch = Date.now();
  #nextId = 1;
  #isClosed = false;

  constructor(source: LiveSource) {
    this.#source = source;
  }

  /**
   * A stream of events about one run, or, with `''`, about the list of runs.
   *
   * @param lastId what the browser has seen last
   */
  open(run: string, lastId: string | undefined, signal: AbortSignal): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let leave = (): void => {};
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        const send = (text: string): void => {
          // Somebody who does not read: the next piece of news tells all that this one does.
          if ((controller.desiredSize ?? 0) < -64) return;
          controller.enqueue(encoder.encode(text));
        };
        const feed = this.#feedOf(run);
        const listener = { send };
        feed.listeners.add(listener);
        const beat = setInterval(() => send(': still here\n\n'), heartbeatMs);
        leave = () => {
          clearInterval(beat);
          this.#leavers.delete(leave);
          feed.listeners.delete(listener);
          if (feed.listeners.size === 0) this.#drop(feed);
          leave = () => {};
          try {
            controller.close();
          } catch {
            // It is closed: the browser went first.
          }
        };
        signal.addEventListener('abort', () => leave(), { once: true });
        this.#leavers.add(leave);
        send('retry: 1000\n\n');
        for (const event of this.#missed(feed, lastId)) send(event);
        void this.#look(feed);
      },
      cancel: () => leave(),
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const leave of this.#leavers) leave();
    for (const feed of this.#feeds.values()) clearTimeout(feed.timer);
    this.#feeds.clear();
  }

  #missed(feed: Feed, lastId: string | undefined): string[] {
    const [epoch, number] = (lastId ?? '').split('-').map(Number);
    const newest = feed.events.at(-1);
    const oldest = feed.events[0];
    if (newest === undefined || oldest === undefined) return [];
    // Never seen one, or what it missed is not kept any more: how it stands now says all.
    if (epoch !== this.#epoch || number === undefined || number < oldest.id - 1) return [newest.text];
    return feed.events.filter(({ id }) => id > number).map(({ text }) => text);
  }

  #feedOf(run: string): Feed {
    const found = this.#feeds.get(run);
    if (found !== undefined) {
      clearTimeout(found.timer);
      return found;
    }
    const made: Feed = { run, events: [], listeners: new Set(), signature: '', timer: undefined, isBusy: false };
    this.#feeds.set(run, made);
    return made;
  }

  /** What was told is kept for a while: the browser may only have lost its connection. */
  #drop(feed: Feed): void {
    clearTimeout(feed.timer);
    feed.timer = setTimeout(() => this.#feeds.delete(feed.run), 60_000);
    feed.timer.unref();
  }

  async #look(feed: Feed): Promise<void> {
    if (feed.isBusy) return;
    feed.isBusy = true;
    clearTimeout(feed.timer);
    const startedAt = performance.now();
    let tookMs = 0;
    try {
      await this.#source.refresh();
      const event = feed.run === '' ? await this.#listNews(feed) : await this.#runNews(feed);
      if (event !== undefined) this.#tell(feed, event);
      tookMs = performance.now() - startedAt;
    } catch (error) {
      // A database that is locked for a moment: it is asked again. The pages tell it when they cannot be answered.
      if (error instanceof DatabaseGone) this.#tellGone(feed);
    }
    feed.isBusy = false;
    if (this.#isClosed || feed.listeners.size === 0) return;
    feed.timer = setTimeout(() => void this.#look(feed), Math.max(periodMs, 5 * tookMs));
  }

  async #runNews(feed: Feed): Promise<LiveEvent | undefined> {
    const { db } = this.#source;
    const run = await findRun(db, feed.run);
    if (run === undefined) {
      this.#tellGone(feed);
      return undefined;
    }
    const signature = [run.written, run.tasks, run.completed, run.memoized, run.failed, run.ended].join();
    if (signature === feed.signature) return undefined;
    feed.signature = signature;
    const counts = await countsOf(db, run.run);
    return {
      run: feed.run,
      at: Date.now(),
      counts,
      completed: run.ended === null ? null : Number(run.ended),
      isGone: false,
    };
  }

  async #listNews(feed: Feed): Promise<LiveEvent | undefined> {
    const { rows } = await sql<Record<string, number | null>>`
      select count(*) as n, sum(tasks) as a, sum(completed) as b, sum(failed) as c, max(ended) as d from runs`.execute(
      this.#source.db,
    );
    const signature = Object.values(rows[0] ?? {}).join();
    if (signature === feed.signature) return undefined;
    feed.signature = signature;
    return { run: '', at: Date.now(), counts: {}, completed: null, isGone: false };
  }

  /** Whoever looks shall ask, and hear why. A run that was never there is told by the answer to the first question. */
  #tellGone(feed: Feed): void {
    if (feed.signature === '' || feed.signature === gone) return;
    feed.signature = gone;
    this.#tell(feed, { run: feed.run, at: Date.now(), counts: {}, completed: null, isGone: true });
  }

  #tell(feed: Feed, event: LiveEvent): void {
    const id = this.#nextId++;
    const text = `id: ${this.#epoch}-${id}\nevent: run\ndata: ${JSON.stringify(event)}\n\n`;
    feed.events.push({ id, text });
    if (feed.events.length > keptEvents) feed.events.shift();
    for (const { send } of feed.listeners) send(text);
  }
}
