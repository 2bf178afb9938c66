// All runs of the database, newest first.
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { About, Page, RunRow } from '../../src/dashboard/api.ts';
import { type AskError, ask, useAsk } from '../data.ts';
import { ago, counted, duration, moment, number } from '../format.ts';
import { Answered, Empty, Trouble } from '../parts/messages.tsx';
import { PageHead } from '../parts/page-head.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { RunMark, StateBar } from '../parts/state.tsx';
import { href } from '../router.ts';

export function RunsPage(): JSX.Element {
  const first = useAsk<Page<RunRow>>('runs');
  const about = useAsk<About>('about', false).data;
  return (
    <>
      <PageHead title="Runs" tab="Runs">
        {about !== undefined && <code class="path">{about.database}</code>}
      </PageHead>
      {about?.notes.map((note) => (
        <p key={note} class="notice">
          {note}
        </p>
      ))}
      <Answered asked={first} what="the runs" lines={6}>
        {(page) =>
          page.rows.length === 0 ? (
            <Empty title="No run yet" icon="leaf">
              <p>Start a program whose run is monitored; it appears here by itself.</p>
              <pre class="code">{'await using run = await load({ monitoring: true });'}</pre>
            </Empty>
          ) : (
            <RunList first={page} />
          )
        }
      </Answered>
    </>
  );
}

function RunList({ first }: { first: Page<RunRow> }): JSX.Element {
  const [more, setMore] = useState<{ rows: readonly RunRow[]; next: string | null } | undefined>();
  const [error, setError] = useState<AskError | undefined>();
  const start = first.next;
  useEffect(() => setMore(undefined), [start]);
  const next = more === undefined ? first.next : more.next;
  const fetchMore = async (): Promise<void> => {
    try {
      const page = await ask<Page<RunRow>>(`runs?cursor=${next}`);
      setMore({ rows: [...(more?.rows ?? []), ...page.rows], next: page.next });
      setError(undefined);
    } catch (thrown) {
      setError(thrown as AskError);
    }
  };
  const rows = [...first.rows, ...(more?.rows ?? [])];
  return (
    <>
      <Scroll label="Runs" kind="card">
        <table class="table runs">
          <caption class="unseen">Runs, the newest first</caption>
          <thead>
            <tr>
              <th scope="col">Run</th>
              <th scope="col">State</th>
              <th scope="col" class="wide">
                Tasks
              </th>
              <th scope="col" class="number">
                Failed
              </th>
              <th scope="col" class="number">
                Took
              </th>
              <th scope="col">Began</th>
              <th scope="col" class="rank-1">
                On
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((run) => (
              <RunLine key={run.id} run={run} />
            ))}
          </tbody>
        </table>
      </Scroll>
      {error !== undefined && <Trouble error={error} again={() => void fetchMore()} />}
      {next !== null && (
        <p class="centre">
          <button type="button" onClick={() => void fetchMore()}>
            Older runs
          </button>
        </p>
      )}
    </>
  );
}

function RunLine({ run }: { run: RunRow }): JSX.Element {
  const all = run.total ?? run.succeeded + run.failed;
  const open = Math.max(0, all - run.succeeded - run.failed);
  const counts = {
    exec_done: run.succeeded,
    failed: run.failed,
    ...(run.status === 'running' ? { running: open } : { pending: open }),
  };
  return (
    <tr>
      <td>
        <a class="strong" href={href(['run', run.id])}>
          {run.name}
        </a>
        <span class="sub" title={run.id}>
          {run.id.slice(0, 8)}
          {run.version !== null && run.version !== '' && ` · ${run.version}`}
        </span>
      </td>
      <td>
        <RunMark status={run.status} />
      </td>
      <td class="wide">
        <StateBar counts={counts} thin />
        <span class="sub">
          {counted(all, 'task')}
          {open > 0 && `, ${number(open)} ${run.status === 'running' ? 'to go' : 'not settled'}`}
        </span>
      </td>
      <td class={`number ${run.failed > 0 ? 'bad' : 'muted'}`}>
        {run.failed > 0 ? <a href={href(['run', run.id, 'attention'])}>{number(run.failed)}</a> : '0'}
      </td>
      <td class="number">
        {run.began === null
          ? '–'
          : duration((run.completed ?? (run.status === 'running' ? Date.now() : Number.NaN)) - run.began)}
      </td>
      <td title={moment(run.began)}>
        {run.began === null ? '–' : ago(run.began)}
        <span class="sub">{moment(run.began)}</span>
      </td>
      <td class="rank-1">
        {run.host ?? '–'}
        <span class="sub">{run.user}</span>
      </td>
    </tr>
  );
}
