// The JSON API: which question goes to which query, and what of a request is understood. Put together by server.ts.
import { readFileSync } from 'node:fs';
import { type Context, Hono } from 'hono';
import type { Kysely } from 'kysely';
import { isLocked } from '../monitoring/database.ts';
import type { Schema } from '../monitoring/schema.ts';
import { type About, appSorts, type Problem, type State, states, taskSorts } from './api.ts';
import { listApps } from './app-list.ts';
import { attention } from './attention.ts';
import { executors, listBlocks, listManagers, type Stretch } from './executors.ts';
import { graphOfApps, graphOfTasks } from './graph.ts';
import type { LiveFeeds } from './live.ts';
import { outputOf } from './output.ts';
import { plainJson } from './plain-text.ts';
import { runDetail } from './run-detail.ts';
import { findRun, listRuns, type RunRecord } from './run-list.ts';
import { series } from './series.ts';
import { DatabaseGone, type Source } from './source.ts';
import { taskDetail } from './task-detail.ts';
import { countTasks, facets, listTasks, type TaskFilter } from './task-list.ts';
import { timeline } from './timeline.ts';

/** Of lists of which each row is dear: apps, managers, blocks. */
const mostRows = 200;

/** What was asked cannot be answered, and why. */
class AskedWrongly extends Error {
  readonly status: 400 | 404;
  constructor(message: string, status: 400 | 404 = 400) {
    super(message);
    this.status = status;
  }
}

export function routes(source: Source, feeds: LiveFeeds): Hono {
  const api = new Hono();
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };

  api.get('/about', (context) => {
    const about: About = {
      version,
      database: source.name,
      madeBy: source.madeBy,
      notes: source.notes,
      now: Date.now(),
    };
    return context.json(about);
  });
  api.get('/runs', async (context) => {
    await source.refresh();
    return plain(context, await listRuns(source.db, context.req.query('cursor'), limit(context, 50)));
  });
  api.get('/live', (context) => {
    const headers = { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' };
    // Nobody reads what is behind them then, nor says that he goes.
    if (context.req.method === 'HEAD') return context.body(null, 200, headers);
    const run = context.req.query('run') ?? '';
    return context.body(feeds.open(run, context.req.header('last-event-id'), context.req.raw.signal), 200, headers);
  });

  /** A question about one run. */
  const ofRun = (
    path: string,
    answer: (db: Kysely<Schema>, run: RunRecord, context: Context) => Promise<unknown>,
  ): void => {
    api.get(`/runs/:run${path}`, async (context) => {
      const id = context.req.param('run') ?? '';
      await source.check();
      // The same for all of it: another one may take its place in between, where the numbers of runs mean others.
      const { db } = source;
      const run = id.includes('\0') ? undefined : await findRun(db, id);
      if (run === undefined) throw new AskedWrongly(`there is no run ${id} in this database`, 404);
      return plain(context, await answer(db, run, context));
    });
  };
  ofRun('', (db, run) => runDetail(db, run));
  ofRun('/apps', (db, run, context) =>
    listApps(db, run.run, {
      sort: sortOf(context, 'apps', appSorts),
      name: words(context, 'name'),
      offset: whole(context, 'offset', 0, Number.MAX_SAFE_INTEGER) ?? 0,
      limit: whole(context, 'limit', 1, mostRows) ?? mostRows,
    }),
  );
  ofRun('/series', (db, run, context) => series(db, run, whole(context, 'points', 30, 2_000) ?? 240));
  ofRun('/facets', (db, run) => facets(db, run));
  ofRun('/tasks', (db, run, context) => {
    const order = { sort: sortOf(context, 'tasks', taskSorts), isDescending: context.req.query('order') === 'desc' };
    return listTasks(db, run, filterOf(context), order, context.req.query('cursor'), limit(context, 200));
  });
  ofRun('/count', (db, run, context) => countTasks(db, run, filterOf(context)));
  ofRun('/tasks/:task', (db, run, context) => found(db, run, context));
  ofRun('/tasks/:task/output/:stream', async (db, run, context) => {
    const stream = context.req.param('stream');
    if (stream !== 'stdout' && stream !== 'stderr') throw new AskedWrongly(`there is no stream ${stream}`, 404);
    return outputOf(await found(db, run, context), stream, run.directory);
  });
  ofRun('/graph', (db, run, context) => {
    const around = whole(context, 'around', 0, Number.MAX_SAFE_INTEGER);
    if (context.req.query('by') === 'app') return graphOfApps(db, run);
    return graphOfTasks(db, run, {
      app: words(context, 'app'),
      around,
      depth: whole(context, 'depth', 1, 10) ?? 2,
    });
  });
  ofRun('/timeline', (db, run, context) =>
    timeline(db, run, {
      from: number(context, 'from'),
      to: number(context, 'to'),
      buckets: whole(context, 'buckets', 20, 2_000) ?? 400,
    }),
  );
  ofRun('/executors', (db, run) => executors(db, run));
  ofRun('/managers', (db, run, context) => listManagers(db, run, stretch(context)));
  ofRun('/blocks', (db, run, context) => listBlocks(db, run, stretch(context)));
  ofRun('/attention', (db, run) => attention(db, run));

  async function found(db: Kysely<Schema>, run: RunRecord, context: Context) {
    const text = context.req.param('task') ?? '';
    const detail = /^\d{1,15}$/.test(text) ? await taskDetail(db, run, Number(text)) : undefined;
    if (detail === undefined) throw new AskedWrongly(`the run has no task ${text}`, 404);
    return detail;
  }

  api.notFound((context) => context.json({ error: 'there is no such question', advice: null } satisfies Problem, 404));
  api.onError((error, context) => {
    if (error instanceof AskedWrongly) return context.json({ error: error.message, advice: null }, error.status);
    if (error instanceof RangeError) return context.json({ error: error.message, advice: null }, 400);
    if (error instanceof DatabaseGone)
      return context.json(
        { error: error.message, advice: 'What is there now is shown as soon as there is something.' },
        503,
      );
    if (isLocked(error))
      return context.json(
        { error: 'The database is locked by another program.', advice: 'It is asked again in a moment.' },
        503,
      );
    const problem: Problem = {
      error: `The database could not answer: ${error.message}`,
      advice: 'Is it still there, and not being moved or copied over?',
    };
    return context.json(problem, 500);
  });
  return api;
}

/** What tasks wrote is in it. */
function plain(context: Context, answer: unknown): Response {
  return context.body(plainJson(answer), 200, { 'Content-Type': 'application/json' });
}

function limit(context: Context, usual: number): number {
  return whole(context, 'limit', 1, 1_000) ?? usual;
}

function number(context: Context, name: string): number | undefined {
  const text = context.req.query(name);
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER))
    throw new AskedWrongly(`${name} must be a number, and is '${text.slice(0, 40)}'`);
  return value;
}

function words(context: Context, name: string): string | undefined {
  const text = context.req.query(name) || undefined;
  // No database keeps such a text, and PostgreSQL does not even look for it.
  if (text?.includes('\0')) throw new AskedWrongly(`${name} has a zero byte in it`);
  return text;
}

function whole(context: Context, name: string, least: number, most: number): number | undefined {
  const value = number(context, name);
  if (value === undefined) return undefined;
  if (!Number.isInteger(value)) throw new AskedWrongly(`${name} must be a whole number, and is ${value}`);
  return Math.min(most, Math.max(least, value));
}

function sortOf<Sort extends string>(context: Context, what: string, sorts: readonly [Sort, ...Sort[]]): Sort {
  const sort = context.req.query('sort') ?? sorts[0];
  if (!(sorts as readonly string[]).includes(sort))
    throw new AskedWrongly(`${what} are sorted by ${sorts.join(', ')}, not by '${sort.slice(0, 40)}'`);
  return sort as Sort;
}

function stretch(context: Context): Stretch {
  return {
    text: words(context, 'text'),
    offset: whole(context, 'offset', 0, Number.MAX_SAFE_INTEGER) ?? 0,
    limit: whole(context, 'limit', 1, mostRows) ?? mostRows,
  };
}

function filterOf(context: Context): TaskFilter {
  const text = (name: string): string | undefined => words(context, name);
  const asked = (text('state') ?? '').split(',').filter(Boolean);
  const unknown = asked.find((state) => !(states as readonly string[]).includes(state));
  if (unknown !== undefined)
    throw new AskedWrongly(`there is no state '${unknown.slice(0, 40)}'; there are ${states.join(', ')}`);
  return {
    states: asked as State[],
    app: text('app'),
    executor: text('executor'),
    worker: text('worker'),
    from: number(context, 'from'),
    to: number(context, 'to'),
    idFrom: whole(context, 'idFrom', 0, Number.MAX_SAFE_INTEGER),
    idTo: whole(context, 'idTo', 0, Number.MAX_SAFE_INTEGER),
    name: text('name'),
    error: text('error'),
    isRetried: text('retried') === '1',
  };
}
