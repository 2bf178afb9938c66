// One row a worker, its tasks as bars: what ran where and when, and where nothing did. Very many tasks are drawn as how busy a
// worker was; zooming in brings back the single tasks.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Timeline, TimelineBar, TimelineRow } from '../../src/dashboard/api.ts';
import { query as queryText, useAsk } from '../data.ts';
import { clock, counted, duration, number, percent, when } from '../format.ts';
import { prepared } from '../graph/view.ts';
import { Answered, Empty } from '../parts/messages.tsx';
import { PageHead } from '../parts/page-head.tsx';
import { Scroll } from '../parts/scroll.tsx';
import { goTo, href } from '../router.ts';
import { css } from '../states.ts';

const rowHeight = 24;
const axisHeight = 28;

interface Range {
  readonly from: number;
  readonly to: number;
}

export function TimelinePage({ run }: { run: string }): JSX.Element {
  const [range, setRange] = useState<Range | undefined>();
  const [asked, setAsked] = useState<Range | undefined>();
  // While one zooms, what is there is stretched; the server is asked when one rests.
  useEffect(() => {
    const timer = setTimeout(() => setAsked(range), 160);
    return () => clearTimeout(timer);
  }, [range]);
  const path = `runs/${encodeURIComponent(run)}/timeline`;
  const found = useKept(
    useAsk<Timeline>(
      `${path}${queryText({ from: asked && Math.round(asked.from), to: asked && Math.round(asked.to), buckets: 500 })}`,
      asked === undefined,
    ),
  );
  return (
    <div class="timeline-page">
      <PageHead title="Timeline" tab="Timeline" />
      <Answered asked={found} what="the timeline" lines={10}>
        {(timeline) =>
          timeline.rows.length === 0 ? (
            <Empty title="No task has run on a worker yet" icon="timeline">
              <p>As soon as one starts, its worker gets a row here.</p>
            </Empty>
          ) : (
            <Drawing run={run} timeline={timeline} range={range} setRange={setRange} />
          )
        }
      </Answered>
    </div>
  );
}

/** The last answer stays while another window is asked for. */
function useKept(asked: ReturnType<typeof useAsk<Timeline>>): ReturnType<typeof useAsk<Timeline>> {
  const kept = useRef<Timeline | undefined>(undefined);
  if (asked.data !== undefined) kept.current = asked.data;
  return { ...asked, data: asked.data ?? (asked.error === undefined ? kept.current : undefined) };
}

interface DrawingProps {
  readonly run: string;
  readonly timeline: Timeline;
  readonly range: Range | undefined;
  readonly setRange: (range: Range | undefined) => void;
}

function Drawing({ run, timeline, range, setRange }: DrawingProps): JSX.Element {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const draw = useRef<() => void>(() => {});
  const [hover, setHover] = useState<{ bar: TimelineBar; row: TimelineRow; x: number; y: number } | undefined>();
  const whole: Range = { from: timeline.began, to: timeline.ended };
  const shown = range ?? whole;
  const all = timeline.rows;
  const state = useRef({ shown, timeline });
  state.current = { shown, timeline };

  draw.current = () => {
    const element = canvas.current;
    if (element === null || element.clientWidth === 0) return;
    drawTimeline(prepared(element), {
      timeline,
      shown,
      width: element.clientWidth,
      height: element.clientHeight,
      top: scroller.current?.scrollTop ?? 0,
      hovered: hover?.bar,
    });
  };
  useEffect(() => draw.current());
  const zoom = (factor: number, at = 0.5): void => {
    const { from, to } = state.current.shown;
    const centre = from + (to - from) * at;
    const span = Math.max(20, (to - from) / factor);
    setRange(within({ from: centre - span * at, to: centre + span * (1 - at) }, whole));
  };
  const pan = (part: number): void => {
    const { from, to } = state.current.shown;
    const by = (to - from) * part;
    setRange(within({ from: from + by, to: to + by }, whole));
  };
  const work = useRef({ zoom, pan });
  work.current = { zoom, pan };

  useEffect(() => {
    const element = canvas.current as HTMLCanvasElement;
    const box = scroller.current as HTMLDivElement;
    const stop = new AbortController();
    const { signal } = stop;
    const soon = (): void => void requestAnimationFrame(() => draw.current());
    const watcher = new ResizeObserver(soon);
    watcher.observe(element);
    box.addEventListener('scroll', soon, { signal, passive: true });
    addEventListener('themechange', soon, { signal });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', soon, { signal });
    const gutter = (): number => gutterOf(element.clientWidth, state.current.timeline);
    element.addEventListener(
      'wheel',
      (event) => {
        const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
        if (!(event.ctrlKey || event.metaKey || isSideways)) return;
        event.preventDefault();
        const width = element.clientWidth - gutter();
        if (isSideways) work.current.pan((event.deltaX || event.deltaY) / width);
        else work.current.zoom(Math.exp(-event.deltaY * 0.003), Math.max(0, (event.offsetX - gutter()) / width));
      },
      { signal, passive: false },
    );
    let held: { x: number; moved: number } | undefined;
    element.addEventListener(
      'pointerdown',
      (event) => {
        held = { x: event.offsetX, moved: 0 };
        if (event.pointerType === 'mouse') element.setPointerCapture(event.pointerId);
      },
      { signal },
    );
    element.addEventListener(
      'pointermove',
      (event) => {
        if (held !== undefined) {
          const dx = event.offsetX - held.x;
          held = { x: event.offsetX, moved: held.moved + Math.abs(dx) };
          if (held.moved > 3) work.current.pan(-dx / (element.clientWidth - gutter()));
          return;
        }
        setHover(barAt(state.current, element, box.scrollTop, event.offsetX, event.offsetY));
      },
      { signal },
    );
    element.addEventListener(
      'pointerup',
      (event) => {
        const wasClick = held !== undefined && held.moved <= 3;
        held = undefined;
        if (!wasClick) return;
        const found = barAt(state.current, element, box.scrollTop, event.offsetX, event.offsetY);
        if (found !== undefined) goTo(href(['run', run, 'task', found.bar.task]));
        else if (state.current.timeline.isAggregated)
          work.current.zoom(4, Math.max(0, (event.offsetX - gutter()) / (element.clientWidth - gutter())));
      },
      { signal },
    );
    element.addEventListener('pointercancel', () => (held = undefined), { signal });
    element.addEventListener('pointerleave', () => setHover(undefined), { signal });
    return () => {
      stop.abort();
      watcher.disconnect();
    };
  }, [run]);

  const onKeyDown = (event: KeyboardEvent): void => {
    // The browser's own: back, and larger text.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const action = {
      ArrowLeft: () => pan(-0.15),
      ArrowRight: () => pan(0.15),
      '+': () => zoom(1.6),
      '=': () => zoom(1.6),
      '-': () => zoom(1 / 1.6),
      '0': () => setRange(undefined),
    }[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  };
  const tall = axisHeight + all.length * rowHeight + 8;
  const boxHeight = `min(${tall}px, 68vh)`;
  return (
    <>
      <div class="timeline-bar">
        <p class="muted">
          {counted(all.length, timeline.by)}, {counted(timeline.tries, 'try', 'tries')} between {when(shown.from)} and{' '}
          {when(shown.to)} ({duration(shown.to - shown.from)}).{' '}
          {timeline.isAggregated
            ? `How busy each was${timeline.isSampled ? ', to within a few percent' : ''}; zoom in for single tasks.`
            : 'Each bar is a try; a click opens its task.'}
          {timeline.omitted > 0 && ` ${counted(timeline.omitted, 'more row', 'more rows')} not shown.`}
        </p>
        <div class="zoom" role="group" aria-label="Zoom">
          <button type="button" onClick={() => zoom(2)} aria-label="Closer">
            +
          </button>
          <button type="button" onClick={() => zoom(0.5)} aria-label="Further away">
            −
          </button>
          <button type="button" onClick={() => setRange(undefined)}>
            All
          </button>
        </div>
      </div>
      <div
        class="timeline-box"
        ref={scroller}
        tabIndex={0}
        role="application"
        aria-label="Timeline. Left and right move in time, plus and minus zoom, 0 shows all. The table below says how busy each was."
        onKeyDown={onKeyDown}
        style={{ height: boxHeight }}
      >
        <div style={{ height: `${tall}px` }}>
          <canvas class="timeline-canvas" ref={canvas} style={{ height: boxHeight }} aria-hidden="true" />
        </div>
      </div>
      {hover !== undefined && <Tip hover={hover} timeline={timeline} />}
      {!timeline.isAggregated && <AppLegend timeline={timeline} />}
      <details class="card as-table">
        <summary>As a table</summary>
        <BusyTable timeline={timeline} />
      </details>
    </>
  );
}

function within({ from, to }: Range, whole: Range): Range | undefined {
  const span = to - from;
  if (span >= whole.to - whole.from) return undefined;
  const start = Math.min(Math.max(from, whole.from), whole.to - span);
  return { from: start, to: start + span };
}

/** As wide as the longest name of a worker wants, though never more than a part of it all. */
function gutterOf(width: number, timeline: Timeline): number {
  const longest = timeline.rows.reduce((most, { worker }) => Math.max(most, worker.length), 0);
  return Math.min(longest * 7 + 22, Math.max(84, width * 0.22));
}

function barAt(
  { shown, timeline }: { shown: Range; timeline: Timeline },
  canvas: HTMLCanvasElement,
  top: number,
  x: number,
  y: number,
): { bar: TimelineBar; row: TimelineRow; x: number; y: number } | undefined {
  const gutter = gutterOf(canvas.clientWidth, timeline);
  const row = timeline.rows[Math.floor((y - axisHeight + top) / rowHeight)];
  if (row === undefined || x < gutter || y < axisHeight) return undefined;
  const msPerPixel = (shown.to - shown.from) / (canvas.clientWidth - gutter);
  const at = shown.from + (x - gutter) * msPerPixel;
  const near = row.bars.filter(
    (bar) => bar.from - 2 * msPerPixel <= at && (bar.to ?? timeline.now) + 2 * msPerPixel >= at,
  );
  const bar = near.at(-1);
  return bar === undefined ? undefined : { bar, row, x, y: y };
}

interface Picture {
  readonly timeline: Timeline;
  readonly shown: Range;
  readonly width: number;
  readonly height: number;
  readonly top: number;
  readonly hovered: TimelineBar | undefined;
}

function drawTimeline(context: CanvasRenderingContext2D, picture: Picture): void {
  const { timeline, shown, width, height, top } = picture;
  const gutter = gutterOf(width, timeline);
  const scale = (width - gutter - 8) / (shown.to - shown.from);
  const xOf = (at: number): number => gutter + (at - shown.from) * scale;
  const colours = {
    text: css('--text'),
    muted: css('--muted'),
    line: css('--line'),
    surface: css('--surface'),
    busy: css('--state-running'),
    failed: css('--state-failed'),
    track: css('--track'),
  };
  context.font = '12px system-ui, sans-serif';
  context.textBaseline = 'middle';
  const step = niceStep((shown.to - shown.from) / Math.max(2, (width - gutter) / 110));
  const offset = new Date(shown.from).getTimezoneOffset() * 60_000;
  const marks: number[] = [];
  for (let at = Math.ceil((shown.from - offset) / step) * step + offset; at <= shown.to; at += step) marks.push(at);
  const first = Math.max(0, Math.floor(top / rowHeight));
  const last = Math.min(timeline.rows.length, Math.ceil((top + height) / rowHeight));
  for (let index = first; index < last; index++) {
    const row = timeline.rows[index] as TimelineRow;
    const y = axisHeight + index * rowHeight - top;
    context.fillStyle = colours.track;
    context.fillRect(gutter, y + 3, width - gutter - 8, rowHeight - 6);
    context.save();
    context.beginPath();
    context.rect(gutter, y, width - gutter - 8, rowHeight);
    context.clip();
    context.strokeStyle = colours.line;
    for (const at of marks) stroke(context, Math.round(xOf(at)) + 0.5, y, y + rowHeight);
    if (timeline.isAggregated) drawBusy(context, timeline, row, y, xOf, colours);
    else drawBars(context, timeline, row, y, xOf, colours.failed, picture.hovered, colours.text);
    context.restore();
    context.fillStyle = colours.text;
    context.fillText(fitted(context, row.worker, gutter - 14), 4, y + rowHeight / 2);
  }
  // The scale stands above what scrolls.
  context.fillStyle = colours.surface;
  context.fillRect(0, 0, width, axisHeight);
  context.fillStyle = colours.muted;
  context.strokeStyle = colours.line;
  for (const at of marks) {
    const x = Math.round(xOf(at)) + 0.5;
    stroke(context, x, axisHeight - 5, axisHeight);
    const label = clock(at, step < 1_000);
    const half = context.measureText(label).width / 2;
    context.fillText(label, Math.min(width - 2 * half - 2, Math.max(gutter, x - half)), axisHeight / 2 - 1);
  }
}

function stroke(context: CanvasRenderingContext2D, x: number, from: number, to: number): void {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, from);
  context.lineTo(x, to);
  context.stroke();
}

function drawBusy(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  row: TimelineRow,
  y: number,
  xOf: (at: number) => number,
  colours: { readonly busy: string; readonly failed: string },
): void {
  const bucketMs = (timeline.to - timeline.from) / timeline.buckets;
  const inner = rowHeight - 6;
  row.busy.forEach((share, bucket) => {
    if (share <= 0) return;
    const left = xOf(timeline.from + bucket * bucketMs);
    const wide = xOf(timeline.from + (bucket + 1) * bucketMs) - left;
    const tall = Math.max(1.5, share * inner);
    context.fillStyle = colours.busy;
    context.fillRect(left, y + 3 + inner - tall, wide + 0.4, tall);
    if ((row.failed[bucket] ?? 0) > 0) {
      context.fillStyle = colours.failed;
      context.fillRect(left, y + 3, Math.max(1.5, wide), 3);
    }
  });
}

function drawBars(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  row: TimelineRow,
  y: number,
  xOf: (at: number) => number,
  failed: string,
  hovered: TimelineBar | undefined,
  text: string,
): void {
  for (const bar of row.bars) {
    const left = xOf(bar.from);
    const wide = Math.max(1.5, xOf(bar.to ?? timeline.now) - left - 0.5);
    context.fillStyle = colourOfApp(bar.app);
    context.fillRect(left, y + 3, wide, rowHeight - 6);
    if (bar.isFailed) {
      context.fillStyle = failed;
      context.fillRect(left, y + rowHeight - 8, wide, 5);
    }
    if (hovered?.task === bar.task && hovered.tryNumber === bar.tryNumber) {
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.strokeRect(left, y + 3, wide, rowHeight - 6);
    }
    if (wide > 60) {
      context.fillStyle = '#fff';
      context.fillText(
        fitted(context, `${timeline.apps[bar.app]} #${bar.task}`, wide - 10),
        left + 5,
        y + rowHeight / 2 + 0.5,
      );
    }
  }
}

/** Neighbours in the list get colours that lie far apart; all of them dark enough for white text. */
function colourOfApp(app: number): string {
  return `hsl(${(205 + app * 137.508) % 360} 45% ${app % 2 === 0 ? 38 : 33}%)`;
}

function niceStep(ms: number): number {
  const steps = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5,
    108e5, 216e5, 432e5, 864e5,
  ];
  return steps.find((step) => step >= ms) ?? Math.ceil(ms / 864e5) * 864e5;
}

function fitted(context: CanvasRenderingContext2D, text: string, room: number): string {
  if (context.measureText(text).width <= room) return text;
  // The end of a worker's name tells it from its neighbours.
  let shown = text;
  while (shown.length > 2 && context.measureText(`…${shown}`).width > room) shown = shown.slice(1);
  return `…${shown}`;
}

function Tip({
  hover,
  timeline,
}: {
  hover: { bar: TimelineBar; row: TimelineRow; x: number; y: number };
  timeline: Timeline;
}): JSX.Element {
  const { bar, row } = hover;
  return (
    <p class="canvas-note floating" role="status">
      <strong>
        {timeline.apps[bar.app]} #{bar.task}
      </strong>
      {bar.tryNumber > 0 && `, try ${bar.tryNumber + 1}`} on {row.worker}: {clock(bar.from, true)},{' '}
      {duration((bar.to ?? timeline.now) - bar.from)}
      {bar.to === null && ' so far'}
      {bar.isFailed && ', failed'}
    </p>
  );
}

const legendShown = 16;

function AppLegend({ timeline }: { timeline: Timeline }): JSX.Element {
  const used = useMemo(() => {
    const found = new Set<number>();
    for (const row of timeline.rows) for (const bar of row.bars) found.add(bar.app);
    return [...found].sort((a, b) => a - b);
  }, [timeline]);
  const hasFailed = timeline.rows.some(({ bars }) => bars.some(({ isFailed }) => isFailed));
  return (
    <ul class="legend">
      {used.slice(0, legendShown).map((app) => (
        <li key={app}>
          <span class="mark">
            <span class="dot" style={{ backgroundColor: colourOfApp(app) }} aria-hidden="true" />
            {timeline.apps[app]}
          </span>
        </li>
      ))}
      {hasFailed && (
        <li>
          <span class="mark">
            <span class="dot state-failed" aria-hidden="true" />
            try failed
          </span>
        </li>
      )}
    </ul>
  );
}

function BusyTable({ timeline }: { timeline: Timeline }): JSX.Element {
  const span = timeline.to - timeline.from;
  return (
    <Scroll label="Timeline as a table">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{timeline.by === 'worker' ? 'Worker' : 'Host'}</th>
            <th scope="col" class="number">
              Tries
            </th>
            <th scope="col" class="number">
              Busy
            </th>
            <th scope="col" class="number">
              Share
            </th>
          </tr>
        </thead>
        <tbody>
          {timeline.rows.map((row, index) => (
            <tr key={`${row.worker} ${index}`}>
              <td>{row.worker}</td>
              <td class="number">{number(row.tries)}</td>
              <td class="number">{duration(row.busyMs)}</td>
              <td class="number">{percent(row.busyMs, span)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
