// A list of which the server tells a stretch at a time: what is looked for in it, where one is, and the way on. The table itself
// is the page's. What was shown stays until the next stretch is there, so that nobody loses his place or the focus.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Part } from '../../src/dashboard/api.ts';
import { type Asked, query, useAsk } from '../data.ts';
import { number } from '../format.ts';
import { Icon } from './icon.tsx';
import { Loading, Trouble } from './messages.tsx';

export interface Parted<Answer> {
  readonly asked: Asked<Answer>;
  /** The newest answer, also while the next one is awaited. */
  readonly part: Answer | undefined;
  /** What else was asked for with `part`. */
  readonly shown: Readonly<Record<string, string>>;
  readonly text: string;
  readonly size: number;
  readonly look: (text: string) => void;
  readonly go: (offset: number) => void;
}

/** Asks for `size` rows of the list at `path`, of which `search` is the name of the text to look for. */
export function useParts<Answer extends Part<unknown>>(
  path: string,
  size: number,
  search: string,
  further: Readonly<Record<string, string>> = {},
): Parted<Answer> {
  const [text, setText] = useState('');
  const [offset, setOffset] = useState(0);
  const order = JSON.stringify(further);
  useEffect(() => setOffset(0), [order]);
  const asked = useAsk<Answer>(
    `${path}${query({ ...further, [search]: text, offset: offset === 0 ? null : offset, limit: size })}`,
  );
  const last = useRef<{ part: Answer | undefined; shown: Readonly<Record<string, string>> }>({
    part: undefined,
    shown: further,
  });
  if (asked.data !== undefined) last.current = { part: asked.data, shown: further };
  return {
    asked,
    ...last.current,
    text,
    size,
    look: (next) => {
      setText(next);
      setOffset(0);
    },
    go: setOffset,
  };
}

interface Props<Answer> {
  readonly parted: Parted<Answer>;
  /** In the plural: `apps`. */
  readonly what: string;
  /** What can be looked for. */
  readonly hint: string;
  /** What the page tells already of what is wrong. */
  readonly problem: string | undefined;
  readonly children: (part: Answer) => ComponentChildren;
}

/** The field to search by, the rows, and the way on; of a short list only the rows. */
export function Parts<Answer extends Part<unknown>>({
  parted,
  what,
  hint,
  problem,
  children,
}: Props<Answer>): JSX.Element {
  const { asked, part, text, size } = parted;
  const isNews = asked.error !== undefined && asked.error.message !== problem;
  const trouble = isNews && <Trouble error={asked.error} again={asked.again} />;
  if (part === undefined) return trouble || <Loading what={what} />;
  const isLong = part.total > size || text !== '';
  return (
    <>
      {trouble}
      {isLong && <Find parted={parted} what={what} hint={hint} />}
      {part.rows.length === 0 ? <p class="muted pad">None of the {what} fits.</p> : children(part)}
      {isLong && <Pager parted={parted} part={part} what={what} />}
    </>
  );
}

function Find<Answer>({ parted, what, hint }: { parted: Parted<Answer>; what: string; hint: string }): JSX.Element {
  const [value, setValue] = useState(parted.text);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <div class="search find" role="search" aria-label={`Search ${what}`}>
      <Icon name="search" />
      <input
        type="search"
        aria-label={`Search ${what} by ${hint}`}
        placeholder={hint}
        value={value}
        onInput={(event) => {
          const next = event.currentTarget.value;
          setValue(next);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => parted.look(next.trim()), 250);
        }}
      />
    </div>
  );
}

function Pager<Answer>({
  parted,
  part,
  what,
}: {
  parted: Parted<Answer>;
  part: Part<unknown>;
  what: string;
}): JSX.Element {
  const { size, go } = parted;
  const end = part.offset + part.rows.length;
  const step = (label: string, to: number, isThere: boolean): JSX.Element => (
    // Not disabled: who has pressed it to the end would lose his place.
    <button
      type="button"
      aria-disabled={isThere ? undefined : 'true'}
      onClick={() => {
        if (isThere) go(to);
      }}
    >
      {label}
      <span class="unseen"> of the {what}</span>
    </button>
  );
  return (
    <div class="pager" role="group" aria-label={`Pages of the ${what}`}>
      <p role="status">
        {part.rows.length === 0 ? 0 : number(part.offset + 1)}–{number(end)} of {number(part.total)} {what}
        {parted.text !== '' && ' that fit'}
      </p>
      {part.total > size && (
        <>
          {step('Previous page', Math.max(0, part.offset - size), part.offset > 0)}
          {step('Next page', part.offset + size, end < part.total)}
        </>
      )}
    </div>
  );
}
