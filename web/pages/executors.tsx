// Executors, the managers of their nodes, and their blocks with what happened to them.
import type { JSX } from 'preact';
import type { BlockRow, ExecutorRow, Executors, Managers, NodeRow, Part } from '../../src/dashboard/api.ts';
import { useAsk } from '../data.ts';
import { ago, bytes, counted, duration, moment, number, when } from '../format.ts';
import { Answered, Empty } from '../parts/messages.tsx';
import { Card, PageHead } from '../parts/page-head.tsx';
import { Parts, useParts } from '../parts/parts-of-list.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { href } from '../router.ts';

export function ExecutorsPage({ run }: { run: string }): JSX.Element {
  const path = `runs/${encodeURIComponent(run)}`;
  const asked = useAsk<Executors>(`${path}/executors`);
  return (
    <>
      <PageHead title="Executors" tab="Executors" />
      <Answered asked={asked} what="the executors" lines={6}>
        {(found) =>
          found.executors.length === 0 ? (
            <Empty title="No executor has been used" icon="executors">
              <p>An executor appears with its first task.</p>
            </Empty>
          ) : (
            <>
              <div class="tiles">
                {found.executors.map((executor) => (
                  <ExecutorTile key={executor.executor} run={run} executor={executor} isOver={found.isOver} />
                ))}
              </div>
              <Nodes path={path} problem={asked.error?.message} />
              <Blocks path={path} problem={asked.error?.message} />
            </>
          )
        }
      </Answered>
    </>
  );
}

/** Of a run that is over only what was not done is worth telling. */
function ExecutorTile({ run, executor, isOver }: { run: string; executor: ExecutorRow; isOver: boolean }): JSX.Element {
  const { workers, busy } = executor;
  const left = (count: number | null): number | null => (isOver && count === 0 ? null : count);
  const rows: [string, number | null][] = [
    ['Outstanding', left(executor.outstanding)],
    ['Queued', left(executor.queued)],
    ['Managers', isOver ? null : executor.managers],
    ['Blocks', isOver ? null : executor.blocks],
  ];
  return (
    <section class="card tile" aria-label={`Executor ${executor.executor}`}>
      <div class="card-head">
        <h2>{executor.executor}</h2>
        <span class="muted">{executor.kind !== executor.executor && executor.kind}</span>
      </div>
      {executor.executor === '_parsl_internal' && (
        <p class="muted">The program itself: here run the bodies of join apps.</p>
      )}
      {workers !== null && !isOver && (
        <p class="meter-line">
          <span class="meter" role="img" aria-label={`${busy ?? 0} of ${workers} workers busy`}>
            <span
              class="state-running"
              style={{ width: `${workers === 0 ? 0 : Math.min(100, ((busy ?? 0) / workers) * 100)}%` }}
            />
          </span>
          <span>
            <strong>{number(busy ?? 0)}</strong> of {counted(workers, 'worker')} busy
          </span>
        </p>
      )}
      <dl class="facts">
        {rows.map(
          ([label, value]) =>
            value !== null && (
              <>
                <dt>{label}</dt>
                <dd>{number(value)}</dd>
              </>
            ),
        )}
        {executor.facts.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd class="break">{value}</dd>
          </>
        ))}
      </dl>
      <p>
        <a href={href(['run', run, 'tasks'], { executor: executor.executor })}>Its tasks</a>
      </p>
    </section>
  );
}

interface ListProps {
  readonly path: string;
  /** What is told above already. */
  readonly problem: string | undefined;
}

const managersShown = 100;

function Nodes({ path, problem }: ListProps): JSX.Element | null {
  const parted = useParts<Managers>(`${path}/managers`, managersShown, 'text');
  const { part, text } = parted;
  if (part === undefined ? parted.asked.error === undefined : part.total === 0 && text === '') return null;
  return (
    <Card
      title="Managers"
      aside={
        part !== undefined && (
          <span class="muted">
            {part.isOver ? counted(part.total, 'manager') : `${number(part.active)} of ${number(part.total)} active`}
          </span>
        )
      }
      kind="flush"
    >
      <Parts parted={parted} what="managers" hint="host, name, block, or why it went" problem={problem}>
        {(found) => <NodeTable nodes={found.rows} isOver={found.isOver} now={found.now} />}
      </Parts>
    </Card>
  );
}

function NodeTable({ nodes, isOver, now }: { nodes: readonly NodeRow[]; isOver: boolean; now: number }): JSX.Element {
  const isHere = ({ isActive }: NodeRow): boolean => isActive === true && !isOver;
  return (
    <Scroll label="Managers">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Host</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Workers
            </th>
            <th scope="col">Block</th>
            <th scope="col" class="number">
              Cores
            </th>
            <th scope="col" class="number">
              Memory
            </th>
            <th scope="col">Heartbeat</th>
            <th scope="col">Runtime</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={`${node.executor} ${node.manager}`} class={isHere(node) ? '' : 'faded'}>
              <td>
                <strong>{node.host}</strong>
                <span class="sub" title={node.manager}>
                  {node.manager}
                </span>
              </td>
              <td>
                <span class="mark">
                  <span class={`dot state-${isHere(node) ? 'exec_done' : 'pending'}`} aria-hidden="true" />
                  {isHere(node) ? 'Active' : 'Gone'}
                </span>
                {(node.reason !== null || (node.isActive && isOver)) && (
                  <span class="sub">{node.reason ?? 'with its run'}</span>
                )}
              </td>
              <td class="number">
                {node.workers === null ? '–' : number(node.workers)}
                {isHere(node) && node.busy !== null && <span class="sub">{number(node.busy)} busy</span>}
              </td>
              <td>
                {node.block ?? '–'}
                <span class="sub">{node.executor}</span>
              </td>
              <td class="number">{node.cpus ?? '–'}</td>
              <td class="number">{bytes(node.memory)}</td>
              <td title={moment(node.lastHeartbeat)}>
                {node.lastHeartbeat === null
                  ? '–'
                  : isOver
                    ? when(node.lastHeartbeat, now)
                    : ago(node.lastHeartbeat, now)}
                {node.since !== null && node.lastHeartbeat !== null && node.lastHeartbeat - node.since >= 1_000 && (
                  <span class="sub">there for {duration(node.lastHeartbeat - node.since)}</span>
                )}
              </td>
              <td>{runtimeOf(node)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** `python 3.11.7`, or `node-24.1.0` where the version tells it all. */
function runtimeOf({ runtime, version }: NodeRow): string {
  if (runtime !== null && version?.startsWith(runtime)) return version;
  return [runtime, version].filter(Boolean).join(' ') || '–';
}

const blocksShown = 50;

function Blocks({ path, problem }: ListProps): JSX.Element | null {
  const parted = useParts<Part<BlockRow>>(`${path}/blocks`, blocksShown, 'text');
  const { part, text } = parted;
  if (part === undefined ? parted.asked.error === undefined : part.total === 0 && text === '') return null;
  return (
    <Card
      title="Blocks"
      aside={part !== undefined && <span class="muted">{counted(part.total, 'block')}, the last changed first</span>}
    >
      <Parts parted={parted} what="blocks" hint="block, job, state, or reason" problem={problem}>
        {({ rows }) => <BlockList blocks={rows} />}
      </Parts>
    </Card>
  );
}

function BlockList({ blocks }: { blocks: readonly BlockRow[] }): JSX.Element {
  return (
    <ul class="blocks">
      {blocks.map((block) => (
        <li key={`${block.executor} ${block.block}`}>
          <h3>
            {block.executor} {block.block}{' '}
            <span class={`word status-${block.status.toLowerCase()}`}>
              {block.status.toLowerCase().replace('_', ' ')}
            </span>
            {block.job !== null && <span class="muted"> job {block.job}</span>}
          </h3>
          <ol class="events">
            {block.history.map((event, index) => (
              <li key={index}>
                <time>{moment(event.at)}</time>
                <span>
                  {event.status.toLowerCase().replace('_', ' ')}
                  {event.reason !== null && <span class="muted"> {event.reason}</span>}
                  {event.detail !== null && <pre class="code">{event.detail}</pre>}
                </span>
              </li>
            ))}
          </ol>
        </li>
      ))}
    </ul>
  );
}
