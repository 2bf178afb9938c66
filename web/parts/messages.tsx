// What a page shows when it has nothing else to show: nothing there, not there yet, or something went wrong.
import type { ComponentChildren, JSX } from 'preact';
import type { AskError, Asked } from '../data.ts';
import { Icon, type IconName } from './icon.tsx';

export function Empty({
  title,
  icon,
  children,
}: {
  title: string;
  icon: IconName;
  children?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children !== undefined && <div class="empty-text">{children}</div>}
    </div>
  );
}

/** Grey shapes in the place of what is being fetched; shown only when that takes longer than a blink. */
export function Loading({ what, lines = 4 }: { what: string; lines?: number }): JSX.Element {
  return (
    <div class="loading" role="status">
      <span class="unseen">Loading {what} …</span>
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} class="bone" />
      ))}
    </div>
  );
}

export function Trouble({ error, again }: { error: AskError; again?: () => void }): JSX.Element {
  return (
    <div class="trouble" role="alert">
      <Icon name="attention" />
      <div>
        <p class="trouble-what">{error.message}</p>
        {error.advice !== null && <p>{error.advice}</p>}
        {again !== undefined && (
          <button type="button" onClick={again}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

/** Shows what was asked for, or in its place why it is not there. */
export function Answered<Answer>({
  asked,
  what,
  lines,
  children,
}: {
  asked: Asked<Answer>;
  what: string;
  lines?: number;
  children: (answer: Answer) => ComponentChildren;
}): JSX.Element {
  if (asked.data === undefined)
    return asked.error === undefined ? (
      <Loading what={what} {...(lines === undefined ? {} : { lines })} />
    ) : (
      <Trouble error={asked.error} again={asked.again} />
    );
  return (
    <>
      {asked.error !== undefined && <Trouble error={asked.error} again={asked.again} />}
      {children(asked.data)}
    </>
  );
}
