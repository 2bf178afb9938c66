// What depends on what: every app as a box, or every task. A click opens; the table below says the same in words.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Graph, RunDetail } from '../../src/dashboard/api.ts';
import { query as queryText, useAsk } from '../data.ts';
import { counted, number } from '../format.ts';
import { boxes, drawGraph } from '../graph/draw.ts';
import type { LayoutInput, LayoutOutput } from '../graph/layout.ts';
import { CanvasView, prepared } from '../graph/view.ts';
import { Answered, Empty, Loading } from '../parts/messages.tsx';
import { PageHead } from '../parts/page-head.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { StateBar, StateLegend } from '../parts/state.tsx';
import { goTo, href } from '../router.ts';
import { looks } from '../states.ts';

/** Runs up to this size are first shown by task. */
const smallRun = 150;

export function GraphPage({ run, query }: { run: string; query: URLSearchParams }): JSX.Element {
  const path = `runs/${encodeURIComponent(run)}`;
  const detail = useAsk<RunDetail>(path).data;
  const around = query.get('around') ?? '';
  const app = query.get('app') ?? '';
  const depth = query.get('depth') ?? '2';
  const asked = query.get('by');
  const by =
    around !== '' || app !== '' || asked === 'task'
      ? 'task'
      : asked === 'app'
        ? 'app'
        : detail === undefined
          ? undefined
          : (detail.total ?? 0) <= smallRun
            ? 'task'
            : 'app';
  const graph = useAsk<Graph>(
    by === undefined ? null : `${path}/graph${queryText(by === 'app' ? { by } : { by, around, app, depth })}`,
  );
  const to = (values: Record<string, string>): string => href(['run', run, 'graph'], values);
  return (
    <div class="graph-page">
      <PageHead title="Graph" tab="Graph">
        <nav class="switch" aria-label="What is drawn">
          <a href={to({ by: 'app' })} aria-current={by === 'app' ? 'true' : undefined}>
            By app
          </a>
          <a href={to({ by: 'task' })} aria-current={by === 'task' && around === '' ? 'true' : undefined}>
            By task
          </a>
          {around !== '' && (
            <a href={to({ around, depth })} aria-current="true">
              Around #{around}
            </a>
          )}
        </nav>
      </PageHead>
      {around !== '' && (
        <p class="muted">
          Up to {depth} {depth === '1' ? 'step' : 'steps'} from task {around}.{' '}
          <a href={to({ around, depth: String(Math.min(10, Number(depth) + 1)) })}>Further</a>{' '}
          {Number(depth) > 1 && <a href={to({ around, depth: String(Number(depth) - 1) })}>Less far</a>}
        </p>
      )}
      {app !== '' && (
        <p class="muted">
          Tasks of {app} alone. <a href={to({ by: 'task' })}>All tasks</a>
        </p>
      )}
      <Answered asked={graph} what="the graph" lines={10}>
        {(found) =>
          found.nodes.length === 0 ? (
            <Empty title="Nothing to draw yet" icon="graph">
              <p>The first task that is called appears here.</p>
            </Empty>
          ) : (
            <Drawing run={run} graph={found} around={around} />
          )
        }
      </Answered>
    </div>
  );
}

function Drawing({ run, graph, around }: { run: string; graph: Graph; around: string }): JSX.Element {
  const placed = useLayout(graph);
  const counts = useMemo(() => {
    const all: Record<string, number> = {};
    for (const node of graph.nodes)
      for (const [state, count] of Object.entries(node.counts)) all[state] = (all[state] ?? 0) + count;
    return all;
  }, [graph]);
  return (
    <>
      {graph.omitted > 0 && (
        <p class="notice">
          The first {number(graph.nodes.length)} of {number(graph.totalTasks)} tasks are drawn. By app all are; or open
          a task, and see what is around it.
        </p>
      )}
      {graph.isEstimated && (
        <p class="notice">There are very many dependencies: how thick a line is comes from a sample.</p>
      )}
      {placed === undefined ? (
        <Loading what="the layout" lines={8} />
      ) : (
        <GraphCanvas run={run} graph={graph} layout={placed} around={around} />
      )}
      <StateLegend counts={counts} />
      <GraphTable run={run} graph={graph} />
    </>
  );
}

/** Laid out in a worker. While only states change, nothing moves. */
function useLayout(graph: Graph): LayoutOutput | undefined {
  const shape = useMemo(
    () => `${graph.by} ${graph.nodes.map(({ id }) => id).join()} ${graph.edges.map(([a, b]) => `${a}-${b}`).join()}`,
    [graph],
  );
  const [placed, setPlaced] = useState<{ shape: string; output: LayoutOutput } | undefined>();
  useEffect(() => {
    const worker = new Worker(new URL('layout.js', document.baseURI), { type: 'module' });
    const { width, height } = boxes[graph.by];
    const input: LayoutInput = {
      count: graph.nodes.length,
      width,
      height,
      edges: graph.edges.map(([from, to]) => [from, to]),
    };
    worker.onmessage = ({ data }: MessageEvent<LayoutOutput>) => setPlaced({ shape, output: data });
    worker.postMessage(input);
    return () => worker.terminate();
  }, [shape]);
  return placed?.shape === shape ? placed.output : undefined;
}

interface CanvasProps {
  readonly run: string;
  readonly graph: Graph;
  readonly layout: LayoutOutput;
  readonly around: string;
}

function GraphCanvas({ run, graph, layout, around }: CanvasProps): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const view = useRef<CanvasView | undefined>(undefined);
  const draw = useRef<() => void>(() => {});
  const hit = useRef<(x: number, y: number) => number | undefined>(() => undefined);
  const [chosen, setChosen] = useState<number | undefined>(() =>
    around === '' ? undefined : graph.nodes.findIndex(({ task }) => task === Number(around)),
  );
  const [isCut, setIsCut] = useState(false);
  const showAll = (): void => {
    view.current?.fit(layout.width, layout.height);
    setIsCut(false);
  };
  const open = (index: number): void => {
    const node = graph.nodes[index];
    if (node === undefined) return;
    goTo(node.task === null ? href(['run', run, 'tasks'], { app: node.app }) : href(['run', run, 'task', node.task]));
  };
  const opener = useRef(open);
  opener.current = open;

  hit.current = (x, y) => {
    const { width, height } = boxes[graph.by];
    for (let index = graph.nodes.length - 1; index >= 0; index--)
      if (
        Math.abs(x - (layout.x[index] as number)) <= width / 2 &&
        Math.abs(y - (layout.y[index] as number)) <= height / 2
      )
        return index;
    return undefined;
  };
  draw.current = () => {
    const element = canvas.current;
    const shown = view.current;
    if (element === null || shown === undefined || element.clientWidth === 0) return;
    drawGraph(prepared(element), { graph, layout, camera: shown.camera, chosen, ...shown.port });
  };
  useEffect(() => {
    const element = canvas.current as HTMLCanvasElement;
    let frame = 0;
    const soon = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => draw.current());
    };
    const made = new CanvasView(element, {
      onChange: soon,
      onHover(x, y) {
        const index = hit.current(x, y);
        element.style.cursor = index === undefined ? 'grab' : 'pointer';
        setChosen(index);
      },
      onClick(x, y) {
        const index = hit.current(x, y);
        if (index !== undefined) opener.current(index);
      },
    });
    view.current = made;
    const watcher = new ResizeObserver(soon);
    watcher.observe(element);
    addEventListener('themechange', soon);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', soon);
    return () => {
      cancelAnimationFrame(frame);
      watcher.disconnect();
      removeEventListener('themechange', soon);
      dark.removeEventListener('change', soon);
      made.close();
    };
  }, []);
  // What can be read is better than what is complete; "All" shows the rest.
  const least = graph.by === 'app' ? 0.6 : graph.nodes.length <= 400 ? 0.5 : undefined;
  useEffect(() => {
    setIsCut(view.current?.fit(layout.width, layout.height, least) === false);
    const place = chosen === undefined || chosen < 0 ? undefined : chosen;
    if (place !== undefined) view.current?.show(layout.x[place] as number, layout.y[place] as number);
  }, [layout]);
  useEffect(() => draw.current());

  const onKeyDown = (event: KeyboardEvent): void => {
    // The browser's own: back, and larger text.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const way = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (way !== undefined) {
      event.preventDefault();
      const next = nearest(layout, chosen, way as [number, number]);
      setChosen(next);
      view.current?.show(layout.x[next] as number, layout.y[next] as number);
    } else if (event.key === '+' || event.key === '=') view.current?.zoom(1.25);
    else if (event.key === '-') view.current?.zoom(0.8);
    else if (event.key === '0') showAll();
    else if (event.key === 'Enter' && chosen !== undefined) open(chosen);
  };
  return (
    <div class="canvas-box">
      <canvas
        class="graph-canvas"
        ref={canvas}
        style={{ '--tall': `${Math.ceil(layout.height * 1.1) + 90}px` }}
        tabIndex={0}
        role="application"
        aria-label={`Graph of ${counted(graph.nodes.length, graph.by)}. Arrow keys go from one to the next, Enter opens, plus and minus zoom. The table below says the same.`}
        onKeyDown={onKeyDown}
        onPointerLeave={() => setChosen(undefined)}
      />
      <div class="zoom" role="group" aria-label="Zoom">
        <button type="button" onClick={() => view.current?.zoom(1.4)} aria-label="Closer">
          +
        </button>
        <button type="button" onClick={() => view.current?.zoom(0.7)} aria-label="Further away">
          −
        </button>
        <button type="button" onClick={showAll}>
          All
        </button>
      </div>
      <p class="canvas-note" role="status">
        {describe(graph, chosen) || (isCut ? 'This is a part: drag to move, or press “All”.' : '')}
      </p>
    </div>
  );
}

function describe(graph: Graph, chosen: number | undefined): string {
  const node = chosen === undefined ? undefined : graph.nodes[chosen];
  if (node === undefined) return '';
  const needs = graph.edges.filter(([, to]) => to === chosen).length;
  const neededBy = graph.edges.filter(([from]) => from === chosen).length;
  const states = Object.entries(node.counts)
    .map(([state, count]) => {
      const { label } = looks[state as keyof typeof looks];
      return node.task === null ? `${number(count)} ${label.toLowerCase()}` : label;
    })
    .join(', ');
  const name = node.task === null ? `${node.app}: ${counted(node.total, 'task')}` : `${node.app} #${node.task}`;
  return `${name}, ${states}. Needs ${needs}, needed by ${neededBy}.`;
}

/** The node that lies next in a direction. */
function nearest(layout: LayoutOutput, from: number | undefined, [dx, dy]: [number, number]): number {
  if (from === undefined || from < 0) return 0;
  const x = layout.x[from] as number;
  const y = layout.y[from] as number;
  let best = from;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let index = 0; index < layout.x.length; index++) {
    const along = ((layout.x[index] as number) - x) * dx + ((layout.y[index] as number) - y) * dy;
    if (index === from || along <= 1) continue;
    const aside = Math.abs(((layout.x[index] as number) - x) * dy) + Math.abs(((layout.y[index] as number) - y) * dx);
    const cost = along + 2 * aside;
    if (cost < bestCost) {
      bestCost = cost;
      best = index;
    }
  }
  return best;
}

const rowsShown = 200;

function GraphTable({ run, graph }: { run: string; graph: Graph }): JSX.Element {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <details class="card as-table" onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {isOpen && <GraphRows run={run} graph={graph} />}
    </details>
  );
}

function GraphRows({ run, graph }: { run: string; graph: Graph }): JSX.Element {
  const needs = graph.nodes.map(() => [] as number[]);
  for (const [from, to] of graph.edges) needs[to]?.push(from);
  const nameOf = (index: number): string => {
    const node = graph.nodes[index];
    return node === undefined ? '' : node.task === null ? node.app : `#${node.task}`;
  };
  return (
    <Scroll label="Graph as a table">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{graph.by === 'app' ? 'App' : 'Task'}</th>
            <th scope="col">State</th>
            <th scope="col">Needs</th>
          </tr>
        </thead>
        <tbody>
          {graph.nodes.slice(0, rowsShown).map((node, index) => (
            <tr key={node.id}>
              <td>
                <a
                  href={
                    node.task === null
                      ? href(['run', run, 'tasks'], { app: node.app })
                      : href(['run', run, 'task', node.task])
                  }
                >
                  {node.app} {node.task !== null && `#${node.task}`}
                </a>
              </td>
              <td class="wide">
                <StateBar counts={node.counts} thin />
              </td>
              <td>{(needs[index] ?? []).slice(0, 12).map(nameOf).join(', ') || 'nothing'}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {graph.nodes.length > rowsShown && (
        <p class="muted pad">and {counted(graph.nodes.length - rowsShown, 'more row', 'more rows')}; see Tasks</p>
      )}
    </Scroll>
  );
}
