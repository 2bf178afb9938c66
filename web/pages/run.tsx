// One run at a glance: how far it is, what its tasks and workers do over time, and which apps it is made of.
import type { JSX } from 'preact';
import { useContext, useState } from 'preact/hooks';
import type { AppRow, AppSort, BlockRow, Part, RunDetail, Series, State } from '../../src/dashboard/api.ts';
import { LiveContext, useAsk, useNow } from '../data.ts';
import { ago, counted, duration, moment, number, percent, rate, shortNumber } from '../format.ts';
import { Chart } from '../parts/chart.tsx';
import { Icon } from '../parts/icon.tsx';
import { Answered } from '../parts/messages.tsx';
import { Card, Figure, PageHead } from '../parts/page-head.tsx';
import { Parts, useParts } from '../parts/parts-of-list.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { RunMark, StateBar, StateLegend } from '../parts/state.tsx';
import { href } from '../router.ts';
import { sum, total } from '../states.ts';

export function RunPage({ run }: { run: string }): JSX.Element {
  const path = `runs/${encodeURIComponent(run)}`;
  const asked = useAsk<RunDetail>(path);
  return (
    <Answered asked={asked} what="the run" lines={8}>
      {(detail) => <Overview run={run} path={path} detail={detail} problem={asked.error?.message} />}
    </Answered>
  );
}

interface OverviewProps {
  readonly run: string;
  readonly path: string;
  readonly detail: RunDetail;
  /** What is told above already. */
  readonly problem: string | undefined;
}

function Overview({ run, path, detail, problem }: OverviewProps): JSX.Element {
  const live = useContext(LiveContext);
  const counts = live.counts ?? detail.counts;
  const series = useAsk<Series>(`${path}/series`);
  return (
    <>
      <PageHead title={detail.name} tab={detail.name} above={<RunMark status={detail.status} />}>
        <dl class="facts">
          <dt>Began</dt>
          <dd>{moment(detail.began)}</dd>
          {detail.completed !== null && (
            <>
              <dt>Ended</dt>
              <dd>{moment(detail.completed)}</dd>
            </>
          )}
          <dt>On</dt>
          <dd>
            {detail.user}
            {detail.host !== null && `@${detail.host}`}
          </dd>
          <dt>Directory</dt>
          <dd>
            <code class="path">{detail.directory}</code>
          </dd>
        </dl>
      </PageHead>
      <Figures detail={detail} counts={counts} run={run} />
      <section class="card" aria-label="Tasks by state">
        <StateBar counts={counts} />
        <StateLegend counts={counts} link={(state: State) => href(['run', run, 'tasks'], { state })} />
        {total(counts) === 0 && (
          <p class="muted">{detail.status === 'running' ? 'No task has been called yet.' : 'No task was called.'}</p>
        )}
      </section>
      {total(counts) > 0 && (
        <div class="grid-2">
          <Answered
            asked={series.error?.message === problem ? { ...series, error: undefined } : series}
            what="the charts"
            lines={6}
          >
            {(lines) => <Charts series={lines} detail={detail} />}
          </Answered>
        </div>
      )}
      {total(counts) > 0 && <Apps run={run} path={path} problem={problem} />}
      <Blocks run={run} path={path} />
    </>
  );
}

function Figures({
  detail,
  counts,
  run,
}: {
  detail: RunDetail;
  counts: RunDetail['counts'];
  run: string;
}): JSX.Element {
  const all = total(counts);
  const succeeded = sum(counts, 'exec_done', 'memo_done');
  const failed = sum(counts, 'failed', 'dep_fail');
  const isRunning = detail.status === 'running';
  const now = useNow(isRunning);
  const end = detail.completed ?? (isRunning ? now : detail.lastActivity);
  const tookMs = detail.began === null || end === null ? null : end - detail.began;
  return (
    <dl class="figures">
      <Figure
        label="Done"
        value={shortNumber(succeeded)}
        note={`of ${shortNumber(all)} · ${percent(succeeded, all)}`}
        tone={succeeded === all && all > 0 ? 'good' : ''}
      />
      <Figure
        label="Failed"
        value={failed > 0 ? <a href={href(['run', run, 'attention'])}>{shortNumber(failed)}</a> : '0'}
        note={failed > 0 ? `${percent(failed, all)} of all` : 'none'}
        tone={failed > 0 ? 'bad' : ''}
      />
      {isRunning ? (
        <>
          <Figure
            label="Rate"
            value={rate(detail.perSecond)}
            note={detail.perSecond > 0 ? 'tasks, last 15 s' : 'nothing ended lately'}
          />
          <Figure
            label="Time left"
            value={detail.remainingMs === null ? '–' : duration(detail.remainingMs)}
            note={tookMs === null ? undefined : `running for ${duration(tookMs)}`}
          />
          <Figure
            label="Workers busy"
            value={detail.workersBusy === null ? '–' : number(detail.workersBusy)}
            note={detail.workersTotal === null ? 'not told' : `of ${number(detail.workersTotal)}`}
          />
        </>
      ) : (
        <>
          <Figure
            label="Took"
            value={duration(tookMs)}
            note={
              detail.completed === null
                ? `last word ${detail.lastActivity === null ? 'never' : ago(detail.lastActivity)}`
                : undefined
            }
          />
          <Figure
            label="Rate"
            value={tookMs !== null && tookMs > 0 ? rate((succeeded + failed) / (tookMs / 1_000)) : '–'}
            note="tasks, on average"
          />
          <Figure
            label="Remembered"
            value={shortNumber(counts.memo_done ?? 0)}
            note={(counts.memo_done ?? 0) > 0 ? 'results from before' : 'nothing from before'}
          />
        </>
      )}
    </dl>
  );
}

function Charts({ series, detail }: { series: Series; detail: RunDetail }): JSX.Element {
  const perSecond = (values: readonly number[]): number[] => values.map((value) => (value / series.bucketMs) * 1_000);
  const most = (values: readonly (number | null)[]): number => values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
  const hasWorkers = series.workers.some((value) => value !== null);
  const doneRate = perSecond(series.doneIn);
  const showCount = (value: number): string => shortNumber(Math.round(value));
  const showRate = (value: number): string =>
    value < 1
      ? String(Math.round(value * 100) / 100)
      : value < 10
        ? String(Math.round(value * 10) / 10)
        : shortNumber(Math.round(value));
  return (
    <>
      <Card title="Tasks over time">
        <Chart
          title="Tasks over time"
          summary={`At most ${counted(most(series.running), 'task')} running and ${number(most(series.waiting))} waiting at once; at the end ${number(series.done.at(-1) ?? 0)} done and ${number(series.failed.at(-1) ?? 0)} failed.`}
          times={series.times}
          isStacked
          isStepped
          isWhole
          show={showCount}
          lines={[
            { label: 'Done', colour: '--state-exec_done', values: series.done },
            { label: 'Failed', colour: '--state-failed', values: series.failed },
            { label: 'Running', colour: '--state-running', values: series.running },
            { label: 'Queued', colour: '--state-launched', values: series.queued },
            { label: 'Waiting', colour: '--state-pending', values: series.waiting },
          ]}
        />
      </Card>
      <Card title="Tasks ended per second">
        <Chart
          title="Tasks ended per second"
          summary={`At most ${most(doneRate).toFixed(1)} a second.`}
          times={series.times}
          show={showRate}
          isStepped
          lines={[
            { label: 'Done', colour: '--state-exec_done', values: doneRate },
            { label: 'Failed', colour: '--state-failed', values: perSecond(series.failedIn) },
          ]}
        />
      </Card>
      <Card title="In progress">
        <Chart
          title="Tasks queued and running"
          summary={`At most ${number(most(series.queued))} queued and ${number(most(series.running))} running at once.`}
          times={series.times}
          isStepped
          isWhole
          show={showCount}
          lines={[
            { label: 'Running', colour: '--state-running', values: series.running },
            { label: 'Queued', colour: '--state-launched', values: series.queued },
          ]}
        />
      </Card>
      <Card title="Workers">
        {series.busy.length === 0 && !hasWorkers ? (
          <p class="muted">
            {detail.status === 'running'
              ? 'No executor has told of its workers yet.'
              : 'The database does not tell how many workers there were.'}
          </p>
        ) : (
          <Chart
            title="Workers busy"
            summary={`At most ${most(series.busy).toFixed(1)} workers busy${hasWorkers ? ` of ${number(most(series.workers))}` : ''}.`}
            times={series.times}
            isStepped
            isWhole
            show={showRate}
            lines={[
              { label: 'Busy', colour: '--state-running', values: series.busy },
              ...(hasWorkers
                ? [{ label: 'Workers', colour: '--muted', values: series.workers, isDashed: true } as const]
                : []),
            ]}
          />
        )}
      </Card>
    </>
  );
}

const appsShown = 15;

function Apps({ run, path, problem }: { run: string; path: string; problem: string | undefined }): JSX.Element {
  const [sort, setSort] = useState<AppSort>('tasks');
  // What it is asked with comes back as `shown`: so its `sort` is one of these.
  const parted = useParts<Part<AppRow>>(`${path}/apps`, appsShown, 'name', { sort });
  const all = parted.part?.total;
  return (
    <Card
      title="Apps"
      aside={all !== undefined && parted.text === '' && <span class="muted">{counted(all, 'app')}</span>}
      kind="flush"
    >
      <Parts parted={parted} what="apps" hint="part of the name" problem={problem}>
        {({ rows }) => <AppTable run={run} apps={rows} sort={parted.shown['sort'] as AppSort} onSort={setSort} />}
      </Parts>
    </Card>
  );
}

interface AppTableProps {
  readonly run: string;
  readonly apps: readonly AppRow[];
  readonly sort: AppSort;
  readonly onSort: (sort: AppSort) => void;
}

function AppTable({ run, apps, sort, onSort }: AppTableProps): JSX.Element {
  const most = apps.reduce((largest, app) => Math.max(largest, app.total), 1);
  const head = (label: string, by: AppSort, kind?: string): JSX.Element => (
    <th scope="col" class={kind} aria-sort={sort !== by ? 'none' : by === 'name' ? 'ascending' : 'descending'}>
      <button type="button" class="sort" onClick={() => onSort(by)}>
        {label}
        <span aria-hidden="true" class="sort-mark">
          {sort !== by ? '↕' : by === 'name' ? '↑' : '↓'}
        </span>
      </button>
    </th>
  );
  return (
    <Scroll label="Apps">
      <table class="table">
        <thead>
          <tr>
            {head('App', 'name')}
            {head('Tasks', 'tasks', 'number')}
            <th scope="col" class="wide">
              State
            </th>
            {head('Failed', 'failed', 'number')}
            <th scope="col" class="number rank-1">
              Median
            </th>
            <th scope="col" class="number rank-1">
              95 %
            </th>
          </tr>
        </thead>
        <tbody>
          {apps.map((app) => {
            const failed = sum(app.counts, 'failed', 'dep_fail');
            return (
              <tr key={app.app}>
                <td>
                  <a class="strong" href={href(['run', run, 'tasks'], { app: app.app })}>
                    {app.app}
                  </a>
                </td>
                <td class="number">{number(app.total)}</td>
                <td class="wide">
                  <span style={{ display: 'block', width: `${Math.max(4, (app.total / most) * 100)}%` }}>
                    <StateBar counts={app.counts} thin />
                  </span>
                </td>
                <td class={`number ${failed > 0 ? 'bad' : 'muted'}`}>
                  {failed > 0 ? (
                    <a href={href(['run', run, 'tasks'], { app: app.app, state: 'failed,dep_fail' })}>
                      {number(failed)}
                    </a>
                  ) : (
                    '0'
                  )}
                </td>
                <td class="number rank-1">{duration(app.medianMs)}</td>
                <td class="number rank-1">{duration(app.slowMs)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

const eventsShown = 12;

function Blocks({ run, path }: { run: string; path: string }): JSX.Element | null {
  // Those of which something happened last: what happened last in the run is among it.
  const asked = useAsk<Part<BlockRow>>(`${path}/blocks?limit=${eventsShown}`).data;
  if (asked === undefined || asked.total === 0) return null;
  const events = asked.rows
    .flatMap((block) => block.history.map((event) => ({ block, event })))
    .sort((a, b) => b.event.at - a.event.at);
  return (
    <Card
      title="Blocks: why they came and went"
      aside={
        <a href={href(['run', run, 'executors'])}>
          All {number(asked.total)} <Icon name="arrow" />
        </a>
      }
    >
      <ol class="events">
        {events.slice(0, eventsShown).map(({ block, event }, index) => (
          <li key={index}>
            <time>{moment(event.at)}</time>
            <span>
              <strong>
                {block.executor} {block.block}
              </strong>{' '}
              <span class={`word status-${event.status.toLowerCase()}`}>
                {event.status.toLowerCase().replace('_', ' ')}
              </span>
              {event.reason !== null && <span class="muted"> {event.reason}</span>}
            </span>
          </li>
        ))}
      </ol>
    </Card>
  );
}
