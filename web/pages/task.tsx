// One task, from its call to its output: every try, where it ran, what it waited for, why it failed.
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Neighbour, OutputText, ResourceRow, TaskDetail, TryRow } from '../../src/dashboard/api.ts';
import { useAsk } from '../data.ts';
import { bytes, clock, counted, duration, moment, number, when } from '../format.ts';
import { Chart } from '../parts/chart.tsx';
import { Icon } from '../parts/icon.tsx';
import { Answered } from '../parts/messages.tsx';
import { Card, Figure, PageHead } from '../parts/page-head.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { StateMark } from '../parts/state.tsx';
import { href } from '../router.ts';
import { looks } from '../states.ts';

export function TaskPage({ run, task }: { run: string; task: string }): JSX.Element {
  const path = `runs/${encodeURIComponent(run)}/tasks/${encodeURIComponent(task)}`;
  const asked = useAsk<TaskDetail>(path);
  return (
    <Answered asked={asked} what="the task" lines={8}>
      {(detail) => <Detail run={run} path={path} task={detail} />}
    </Answered>
  );
}

function Detail({ run, path, task }: { run: string; path: string; task: TaskDetail }): JSX.Element {
  const last = task.tryRows.at(-1);
  return (
    <>
      <PageHead
        title={
          <>
            <span class="mono">{task.app}</span> <span class="muted">#{task.id}</span>
          </>
        }
        tab={`Task ${task.id}, ${task.app}`}
        above={
          <>
            <a href={href(['run', run, 'tasks'])}>Tasks</a> / <StateMark state={task.state} />
          </>
        }
      >
        <nav class="steps" aria-label="Other tasks">
          {task.id > 0 && <a href={href(['run', run, 'task', task.id - 1])}>← {task.id - 1}</a>}
          {!task.isLast && <a href={href(['run', run, 'task', task.id + 1])}>{task.id + 1} →</a>}
          <a href={href(['run', run, 'graph'], { around: String(task.id) })}>
            <Icon name="graph" /> In the graph
          </a>
        </nav>
      </PageHead>
      {task.lostAt !== null && (
        <p class="notice">
          The run gave no sign of life after {when(task.lostAt)}: what became of this task is not known.
        </p>
      )}
      <dl class="figures">
        <Figure
          label="Ran"
          value={duration(task.durationMs)}
          note={last?.started ? `from ${when(last.started)}` : 'not started'}
        />
        <Figure
          label="Waited"
          value={waited(task)}
          note={task.dependsOn.length > 0 ? `for ${counted(task.dependsOn.length, 'task')}` : 'from call to start'}
        />
        <Figure
          label="Tries"
          value={number(task.tries)}
          note={task.tries > 1 ? `${task.tries - 1} failed before` : undefined}
          tone={task.tries > 1 ? 'warn' : ''}
        />
        <Figure
          label="Where"
          value={<span class="figure-text">{task.worker ?? task.host ?? task.executor ?? '–'}</span>}
          note={[task.executor, last?.block ? `block ${last.block}` : null, last?.pid ? `process ${last.pid}` : null]
            .filter(Boolean)
            .join(' · ')}
        />
      </dl>
      {task.errorText !== null && <ErrorCard run={run} task={task} />}
      <Card title="Times" aside={<span class="muted">{moment(task.invoked)}</span>}>
        <Times task={task} />
      </Card>
      {task.tryRows.length > 1 && (
        <Card title="Tries" kind="flush">
          <Tries tries={task.tryRows} />
        </Card>
      )}
      <div class="grid-2">
        <Card title="Arguments and result">
          <dl class="pairs">
            <Pair label="Arguments">{task.inputs}</Pair>
            {(task.state === 'exec_done' || task.state === 'memo_done') && <Pair label="Result">{task.result}</Pair>}
            {task.files.length > 0 && <Pair label="Files">{task.files.join('\n')}</Pair>}
            {task.stage !== null && <Pair label="Stage">{task.stage}</Pair>}
            {task.memo !== null && <Pair label="Memo key">{task.memo}</Pair>}
          </dl>
        </Card>
        <Card title="Depends on, and needed by">
          <Neighbours run={run} label="Waits for" none="nothing" tasks={task.dependsOn} />
          <Neighbours run={run} label="Needed by" none="no task" tasks={task.neededBy} more={task.neededByMore} />
          {task.joins.length > 0 && <Neighbours run={run} label="Joins" none="" tasks={task.joins} />}
          {task.parent !== null && <Neighbours run={run} label="Called by" none="" tasks={[task.parent]} />}
        </Card>
      </div>
      <Output path={path} task={task} />
      {task.resources.length > 0 && <Resources rows={task.resources} />}
    </>
  );
}

function waited({ invoked, tryRows, ended, state, lostAt }: TaskDetail): string {
  const started = tryRows[0]?.started ?? tryRows[0]?.launched;
  if (invoked === null) return '–';
  if (started !== null && started !== undefined) return duration(started - invoked);
  if (state === 'memo_done' || state === 'dep_fail') return ended === null ? '–' : duration(ended - invoked);
  return ended === null ? duration((lostAt ?? Date.now()) - invoked) : '–';
}

function ErrorCard({ run, task }: { run: string; task: TaskDetail }): JSX.Element {
  return (
    <Card
      title={task.state === 'dep_fail' ? 'Why it never ran' : 'Why it failed'}
      kind="error-card"
      aside={task.errorCode !== null && <code>{task.errorCode}</code>}
    >
      {task.rootTask !== null && (
        <p>
          It began with <NeighbourLink run={run} task={task.rootTask} />
        </p>
      )}
      <Code text={task.errorText as string} label="Error with its stack" />
    </Card>
  );
}

/** Text of a task, as it is: Preact makes text nodes of it, never markup. */
function Code({ text, label }: { text: string; label: string }): JSX.Element {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1_500);
  };
  return (
    <div class="code-box">
      <pre class="code" tabIndex={0} role="region" aria-label={label}>
        {text}
      </pre>
      {navigator.clipboard !== undefined && (
        <button type="button" class="copy" onClick={() => void copy()}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      )}
    </div>
  );
}

interface Span {
  readonly label: string;
  readonly tone: string;
  readonly from: number;
  readonly to: number;
}

/** The task's life as a bar for each try: waiting, queued, running, and the way back. */
function Times({ task }: { task: TaskDetail }): JSX.Element {
  const lines: { name: string; spans: Span[] }[] = [];
  const now = task.lostAt ?? Date.now();
  const end = task.ended ?? now;
  const add = (spans: Span[], label: string, tone: string, from: number | null, to: number | null): void => {
    if (from !== null && to !== null && to >= from) spans.push({ label, tone, from, to });
  };
  let since = task.invoked;
  for (const one of task.tryRows) {
    const spans: Span[] = [];
    const isLast = one === task.tryRows.at(-1);
    const over = isLast ? end : (one.returned ?? one.ended ?? end);
    add(spans, 'Waiting', 'pending', since, one.launched ?? one.started ?? over);
    add(spans, 'Queued', 'launched', one.launched, one.started ?? over);
    add(spans, 'Running', one.error === null ? 'running' : 'failed', one.started, one.ended ?? over);
    add(
      spans,
      task.state === 'joining' || task.joins.length > 0 ? 'Joining' : 'Answer on its way',
      task.joins.length > 0 ? 'joining' : 'running_ended',
      one.ended,
      over,
    );
    lines.push({ name: task.tryRows.length > 1 ? `Try ${one.number + 1}` : '', spans });
    since = over;
  }
  if (lines.length === 0) {
    const spans: Span[] = [];
    add(spans, 'Waiting', 'pending', task.invoked, end);
    lines.push({ name: '', spans });
  }
  const from = task.invoked ?? 0;
  const all = Math.max(1, end - from);
  return (
    <>
      <div class="lanes">
        {lines.map(({ name, spans }) => (
          <div class="lane" key={name}>
            {name !== '' && <span class="lane-name">{name}</span>}
            <div class="lane-bars">
              {spans.map(({ label, tone, from: start, to }) => (
                <span
                  key={`${label}${start}`}
                  class={`lane-bar state-${tone}`}
                  style={{
                    left: `${((start - from) / all) * 100}%`,
                    width: `${Math.max(0.3, ((to - start) / all) * 100)}%`,
                  }}
                  title={`${label}: ${duration(to - start)}`}
                />
              ))}
            </div>
          </div>
        ))}
        <div class="lane-scale muted" aria-hidden="true">
          <span>0</span>
          <span>{duration(all / 2)}</span>
          <span>{duration(all)}</span>
        </div>
      </div>
      <ol class="moments">
        {task.history.map(({ state, at, tryNumber }, index) => (
          <li key={index}>
            <StateMark state={state} />
            <span class="mono">{clock(at, true)}</span>
            <span class="muted">
              {index === 0 ? 'called' : `+${duration(at - (task.history[index - 1]?.at ?? at))}`}
              {task.tryRows.length > 1 && index > 0 ? ` · try ${tryNumber + 1}` : ''}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

function Tries({ tries }: { tries: readonly TryRow[] }): JSX.Element {
  return (
    <Scroll label="Tries">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Try</th>
            <th scope="col">Where</th>
            <th scope="col" class="number">
              Queued
            </th>
            <th scope="col" class="number">
              Ran
            </th>
            <th scope="col">How it ended</th>
          </tr>
        </thead>
        <tbody>
          {tries.map((one) => {
            const end = one.ended ?? one.returned;
            return (
              <tr key={one.number}>
                <td>{one.number + 1}</td>
                <td>
                  {one.worker ?? one.host ?? one.executor ?? '–'}
                  <span class="sub">
                    {[one.executor, one.block && `block ${one.block}`].filter(Boolean).join(' · ')}
                  </span>
                </td>
                <td class="number">
                  {one.launched !== null && one.started !== null ? duration(one.started - one.launched) : '–'}
                </td>
                <td class="number">{one.started !== null && end !== null ? duration(end - one.started) : '–'}</td>
                <td class="break">
                  {one.error === null ? (
                    end === null ? (
                      looks.running.label
                    ) : (
                      'Succeeded'
                    )
                  ) : (
                    <details>
                      <summary class="bad">{one.error}</summary>
                      <Code text={one.errorText ?? one.error} label={`Error of try ${one.number + 1}`} />
                    </details>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

function Pair({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  const isMissing = children === null || children === undefined || children === '';
  return (
    <>
      <dt>{label}</dt>
      <dd>{isMissing ? <span class="muted">not kept</span> : <pre class="value">{children}</pre>}</dd>
    </>
  );
}

function NeighbourLink({ run, task }: { run: string; task: Neighbour }): JSX.Element {
  return (
    <a class="chip" href={href(['run', run, 'task', task.id])} title={looks[task.state].label}>
      <span class={`dot state-${task.state}`} aria-hidden="true" />
      {task.app} #{task.id}
      <span class="unseen">, {looks[task.state].label}</span>
    </a>
  );
}

function Neighbours({
  run,
  label,
  none,
  tasks,
  more = 0,
}: {
  run: string;
  label: string;
  none: string;
  tasks: readonly Neighbour[];
  more?: number;
}): JSX.Element {
  return (
    <div class="neighbours">
      <h3>{label}</h3>
      {tasks.length === 0 ? (
        <span class="muted">{none}</span>
      ) : (
        <ul class="chips">
          {tasks.map((task) => (
            <li key={task.id}>
              <NeighbourLink run={run} task={task} />
            </li>
          ))}
          {more > 0 && <li class="muted">and {number(more)} more</li>}
        </ul>
      )}
    </div>
  );
}

function Output({ path, task }: { path: string; task: TaskDetail }): JSX.Element | null {
  const streams = (['stdout', 'stderr'] as const).filter(
    (stream) => task[stream] !== null || task.tails.some((tail) => tail.stream === stream),
  );
  if (streams.length === 0) return null;
  return (
    <div class={streams.length > 1 ? 'grid-2' : ''}>
      {streams.map((stream) => (
        <Stream key={stream} path={path} stream={stream} />
      ))}
    </div>
  );
}

function Stream({ path, stream }: { path: string; stream: 'stdout' | 'stderr' }): JSX.Element {
  const asked = useAsk<OutputText>(`${path}/output/${stream}`);
  return (
    <Card title={stream} aside={asked.data !== undefined && <span class="muted">{bytes(asked.data.size)}</span>}>
      <Answered asked={asked} what={stream} lines={3}>
        {({ path: file, text, offset, problem }) => (
          <>
            {file !== '' && (
              <p class="path-line">
                <code class="path">{file}</code>
              </p>
            )}
            {problem !== null ? (
              <p class="muted">It cannot be shown: {problem}.</p>
            ) : text === '' ? (
              <p class="muted">It is empty.</p>
            ) : (
              <>
                {offset > 0 && <p class="muted">The end of it; {bytes(offset)} stand before.</p>}
                <Code text={text} label={`The end of ${stream}`} />
              </>
            )}
          </>
        )}
      </Answered>
    </Card>
  );
}

function Resources({ rows }: { rows: readonly ResourceRow[] }): JSX.Element {
  const last = Math.max(...rows.map(({ tryNumber }) => tryNumber));
  const shown = rows.filter(({ tryNumber }) => tryNumber === last);
  const times = shown.map(({ at }) => at);
  const cores = shown.map((row, index) => {
    const before = shown[index - 1];
    if (before === undefined || row.cpuSeconds === null || before.cpuSeconds === null || row.at <= before.at)
      return null;
    return Math.max(0, (row.cpuSeconds - before.cpuSeconds) / ((row.at - before.at) / 1_000));
  });
  const most = (values: readonly (number | null)[]): number => values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
  const memory = shown.map((row) => row.memory);
  const end = shown.at(-1);
  return (
    <Card
      title="Resources"
      aside={
        <span class="muted">
          peak {bytes(most(memory))} · CPU {duration((end?.cpuSeconds ?? 0) * 1_000)} · read {bytes(end?.read)} ·
          written {bytes(end?.written)}
        </span>
      }
    >
      {shown.length < 2 ? (
        <p class="muted">One sample alone: the task was shorter than the time between two.</p>
      ) : (
        <div class="grid-2">
          <Chart
            title="Memory"
            summary={`At most ${bytes(most(memory))}.`}
            times={times}
            height={150}
            show={bytes}
            lines={[{ label: 'Memory', colour: '--state-joining', values: memory }]}
          />
          <Chart
            title="Cores used"
            summary={`At most ${most(cores).toFixed(1)} cores.`}
            times={times}
            height={150}
            show={(value) => String(Math.round(value * 100) / 100)}
            lines={[{ label: 'Cores', colour: '--state-running', values: cores }]}
          />
        </div>
      )}
    </Card>
  );
}
