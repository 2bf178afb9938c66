// Lines and areas over time, drawn by uPlot on a canvas. What it shows stands beside it as text for those who do not see it.
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { css } from '../states.ts';

/** One line of a chart. */
export interface Line {
  readonly label: string;
  /** Name of a colour in app.css: `--state-running`. */
  readonly colour: string;
  readonly values: readonly (number | null)[];
  readonly isDashed?: boolean;
}

export interface ChartProps {
  readonly title: string;
  /** Starts of the buckets, in milliseconds. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  /** Each stands on those before it. */
  readonly isStacked?: boolean;
  readonly isStepped?: boolean;
  readonly height?: number;
  /** Values are whole numbers. */
  readonly isWhole?: boolean;
  /** How a value is told. */
  readonly show?: (value: number) => string;
  /** What a screen reader says in place of the picture. */
  readonly summary: string;
}

export function Chart(props: ChartProps): JSX.Element {
  const { times, lines, height = 190, title, summary } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const make = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsFor(latest.current, element.clientWidth, height),
        dataOf(latest.current),
        element,
      );
    };
    make();
    const watcher = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    watcher.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    addEventListener('themechange', make);
    dark.addEventListener('change', make);
    return () => {
      watcher.disconnect();
      removeEventListener('themechange', make);
      dark.removeEventListener('change', make);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [lines.length, height]);
  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [times, lines]);

  return (
    <figure class="chart" aria-label={`${title}. ${summary}`} role="img">
      <div ref={box} aria-hidden="true" style={{ minHeight: `${height}px` }} />
    </figure>
  );
}

/** Sums from the last line down, so that the first one stands lowest; drawn from the highest to the lowest. */
function dataOf({ times, lines, isStacked }: ChartProps): uPlot.AlignedData {
  const seconds = times.map((at) => at / 1_000);
  if (!isStacked) return [seconds, ...lines.map(({ values }) => [...values])];
  const sums: number[] = new Array(times.length).fill(0);
  const stacked = lines.map(({ values }) =>
    values.map((value, at) => (sums[at] = (sums[at] as number) + (value ?? 0))),
  );
  return [seconds, ...stacked.reverse()];
}

function optionsFor(props: ChartProps, width: number, height: number): uPlot.Options {
  const { lines, isStacked = false, isStepped = false, show = String } = props;
  const ordered = isStacked ? [...lines].reverse() : lines;
  const paths = isStepped
    ? (uPlot.paths.stepped as (options: object) => uPlot.Series.PathBuilder)({ align: 1 })
    : undefined;
  const axis = {
    stroke: css('--muted'),
    grid: { stroke: css('--line'), width: 1 },
    ticks: { stroke: css('--line'), width: 1, size: 4 },
    font: '12px system-ui, sans-serif',
  };
  return {
    width,
    height,
    // Right of the last mark there is room for half its time.
    padding: [10, 30, 0, 0],
    cursor: { points: { size: 6 }, drag: { x: false, y: false } },
    legend: {
      show: true,
      live: true,
      isolate: true,
      markers: { width: 0, fill: (_plot, index) => css(index === 0 ? '--muted' : (ordered[index - 1] as Line).colour) },
    },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 1) * 1.06)] } },
    axes: [
      { ...axis, space: 70, size: 32, values: timeTicks },
      {
        ...axis,
        ...(props.isWhole ? { incrs: wholeSteps } : {}),
        size: 54,
        values: (_plot, values) => values.map((value) => show(value)),
      },
    ],
    series: [
      { label: 'Time', value: (_plot, at) => (at === null ? '–' : new Date(at * 1_000).toLocaleTimeString('en-GB')) },
      ...ordered.map((line, index): uPlot.Series => {
        const colour = css(line.colour);
        return {
          label: line.label,
          stroke: colour,
          width: isStacked ? 1 : 2,
          ...(isStacked ? { fill: colour } : { fill: `${colour}22` }),
          ...(line.isDashed ? { dash: [5, 4], fill: 'transparent' } : {}),
          ...(paths === undefined ? {} : { paths }),
          points: { show: false },
          value: (plot, shown) => {
            if (shown === null) return '–';
            // Of a stack: without what it stands on.
            const at = plot.cursor.idx;
            const below = isStacked && at !== null && at !== undefined ? plot.data[index + 2]?.[at] : 0;
            return show(shown - (below ?? 0));
          },
        };
      }),
    ],
  };
}

const wholeSteps = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();

function timeTicks(_plot: uPlot, seconds: number[]): string[] {
  const step = (seconds[1] ?? 0) - (seconds[0] ?? 0);
  let day = '';
  return seconds.map((second) => {
    const date = new Date(second * 1_000);
    if (step > 0 && step < 1) return `${date.toLocaleTimeString('en-GB')}.${Math.floor(date.getMilliseconds() / 100)}`;
    if (step > 0 && step < 60) return date.toLocaleTimeString('en-GB');
    const own = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
    const clock = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
    if (step >= 86_400) return own;
    const isNewDay = own !== day && day !== '';
    day = own;
    return isNewDay ? `${clock}\n${own}` : clock;
  });
}
