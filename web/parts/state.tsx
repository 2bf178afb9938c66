// How the state of a task or of a run is shown: a coloured mark with its name, and bars of many tasks.
import type { JSX } from 'preact';
import type { Counts, RunStatus, State } from '../../src/dashboard/api.ts';
import { number, percent } from '../format.ts';
import { barOrder, looks, runLooks, total } from '../states.ts';

export function StateMark({ state }: { state: State }): JSX.Element {
  const { label, meaning } = looks[state];
  return (
    <span class="mark" title={`${state}: ${meaning}`}>
      <span class={`dot state-${state}`} aria-hidden="true" />
      {label}
    </span>
  );
}

export function RunMark({ status }: { status: RunStatus }): JSX.Element {
  const { label, tone } = runLooks[status];
  return (
    <span class="mark">
      <span class={`dot state-${tone} ${status === 'running' ? 'beats' : ''}`} aria-hidden="true" />
      {label}
    </span>
  );
}

/** A bar with a part for each state. Its title and its text for screen readers have the numbers. */
export function StateBar({ counts, thin = false }: { counts: Counts; thin?: boolean }): JSX.Element {
  const all = total(counts);
  const parts = barOrder.filter((state) => (counts[state] ?? 0) > 0);
  const text = parts
    .map((state) => `${number(counts[state] as number)} ${looks[state].label.toLowerCase()}`)
    .join(', ');
  return (
    <span class={thin ? 'bar thin' : 'bar'} role="img" aria-label={text === '' ? 'no tasks' : text} title={text}>
      {parts.map((state) => (
        <span key={state} class={`state-${state}`} style={{ flexGrow: (counts[state] as number) / all }} />
      ))}
    </span>
  );
}

/** What the colours of a bar mean, with numbers. */
export function StateLegend({ counts, link }: { counts: Counts; link?: (state: State) => string }): JSX.Element {
  const all = total(counts);
  return (
    <ul class="legend">
      {barOrder
        .filter((state) => (counts[state] ?? 0) > 0)
        .map((state) => {
          const inside = (
            <>
              <StateMark state={state} />
              <strong>{number(counts[state] as number)}</strong>
              <span class="muted">{percent(counts[state] as number, all)}</span>
            </>
          );
          return <li key={state}>{link === undefined ? inside : <a href={link(state)}>{inside}</a>}</li>;
        })}
    </ul>
  );
}
