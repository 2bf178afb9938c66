// Executors, the managers of their nodes, and their blocks with what happened to them.
import type { JSX } from 'preact';
import type { BlockRow, ExecutorRow, Executors, NodeRow } from '../../src/dashboard/api.ts';
import { useAsk } from '../data.ts';
import { ago, bytes, counted, duration, moment, number } from '../format.ts';
import { Answered, Empty } from '../parts/messages.tsx';
import { Card, PageHead } from '../parts/page-head.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { href } from '../router.ts';

export function ExecutorsPage({ run }: { run: string }): JSX.Element {
  const asked = useAsk<Executors>(`runs/${encodeURIComponent(run)}/executors`);
  return (
    <>
      <PageHead title="Executors" tab="Executors" />
      <Answered asked={asked} what="the executors" lines={6}>
        {(found) =>
          found.executors.length === 0 && found.nodes.length === 0 && found.blocks.length === 0 ? (
            <Empty title="No executor has been used" icon="executors">
              <p>An executor appears with its first task.</p>
            </Empty>
          ) : (
            <>
              <div class="tiles">
                {found.executors.map((executor) => (
                  <ExecutorTile key={executor.executor} run={run} executor={executor} />
                ))}
              </div>
              <Nodes nodes={found.nodes} now={found.now} />
              <Blocks blocks={found.blocks} />
            </>
          )
        }
      </Answered>
    </>
  );
}

function ExecutorTile({ run, executor }: { run: string; executor: ExecutorRow }): JSX.Element {
  const { workers, busy } = executor;
  const rows: [string, number | null][] = [
    ['Outstanding', executor.outstanding],
    ['Queued', executor.queued],
    ['Managers', executor.managers],
    ['Blocks', executor.blocks],
  ];
  return (
    <section class="card tile" aria-label={`Executor ${executor.executor}`}>
      <div class="card-head">
        <h2>{executor.executor}</h2>
        <span class="muted">{executor.kind !== executor.executor && executor.kind}</span>
      </div>
      {workers !== null && (
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

function Nodes({ nodes, now }: { nodes: readonly NodeRow[]; now: number }): JSX.Element | null {
  if (nodes.length === 0) return null;
  const active = nodes.filter(({ isActive }) => isActive);
  return (
    <Card
      title="Managers"
      aside={
        <span class="muted">
          {active.length} of {nodes.length} active
        </span>
      }
      kind="flush"
    >
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
              <tr key={`${node.executor} ${node.manager}`} class={node.isActive ? '' : 'faded'}>
                <td>
                  <strong>{node.host}</strong>
                  <span class="sub" title={node.manager}>
                    {node.manager}
                  </span>
                </td>
                <td>
                  <span class="mark">
                    <span class={`dot state-${node.isActive ? 'exec_done' : 'pending'}`} aria-hidden="true" />
                    {node.isActive ? 'Active' : 'Gone'}
                  </span>
                  {node.reason !== null && <span class="sub">{node.reason}</span>}
                </td>
                <td class="number">
                  {node.workers === null ? '–' : number(node.workers)}
                  {node.isActive && node.busy !== null && <span class="sub">{number(node.busy)} busy</span>}
                </td>
                <td>
                  {node.block ?? '–'}
                  <span class="sub">{node.executor}</span>
                </td>
                <td class="number">{node.cpus ?? '–'}</td>
                <td class="number">{bytes(node.memory)}</td>
                <td title={moment(node.lastHeartbeat)}>
                  {node.lastHeartbeat === null ? '–' : ago(node.lastHeartbeat, now)}
                  {node.since !== null && node.lastHeartbeat !== null && (
                    <span class="sub">there for {duration(node.lastHeartbeat - node.since)}</span>
                  )}
                </td>
                <td>{[node.runtime, node.version].filter(Boolean).join(' ') || '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}

function Blocks({ blocks }: { blocks: readonly BlockRow[] }): JSX.Element | null {
  if (blocks.length === 0) return null;
  return (
    <Card title="Blocks" aside={<span class="muted">{counted(blocks.length, 'block')}</span>}>
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
    </Card>
  );
}
