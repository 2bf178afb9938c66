// A table of any length, of which only the rows in sight are in the page. For screen readers it is a table with all its rows;
// arrow keys go from row to row.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface Column<Row> {
  readonly name: string;
  readonly label: string;
  /** Of a grid: `minmax(8rem, 1fr)`. */
  readonly width: string;
  readonly isNumber?: boolean;
  /** Left out where there is little room; 1 goes first. */
  readonly rank?: 1 | 2 | 3;
  readonly cell: (row: Row) => ComponentChildren;
  /** The table can be sorted by it. */
  readonly sort?: string;
}

interface Props<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
  /** How many there are in all, if that is known. */
  readonly total: number | undefined;
  /** Called when the end comes in sight. */
  readonly onEnd: () => void;
  readonly sort?: { readonly by: string; readonly isDescending: boolean };
  readonly onSort?: (by: string) => void;
  readonly onTop?: (isAtTop: boolean) => void;
  readonly footer?: ComponentChildren;
}

const rowHeight = 40;
const spare = 10;

export function VirtualTable<Row>(props: Props<Row>): JSX.Element {
  const { columns, rows, total, sort } = props;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });

  useLayoutEffect(() => {
    const element = box.current as HTMLDivElement;
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight });
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    element.addEventListener('scroll', measure, { passive: true });
    return () => {
      watcher.disconnect();
      element.removeEventListener('scroll', measure);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - spare);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + spare);
  const isNearEnd = last + 30 >= rows.length;
  const isAtTop = view.top < rowHeight;
  useEffect(() => {
    if (isNearEnd) props.onEnd();
  }, [isNearEnd, rows.length]);
  useEffect(() => props.onTop?.(isAtTop), [isAtTop]);

  const template = { '--columns': columns.map(({ width }) => width).join(' ') };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = (event.target as HTMLElement).closest<HTMLElement>('[aria-rowindex]');
    if (step === undefined || row === null) return;
    event.preventDefault();
    const to = Number(row.getAttribute('aria-rowindex')) + step;
    const target = box.current?.querySelector<HTMLElement>(`[aria-rowindex="${to}"] a`);
    target?.focus();
    target?.scrollIntoView({ block: 'nearest' });
  };

  return (
    <div
      class="vtable"
      role="table"
      aria-label={props.label}
      aria-rowcount={total === undefined ? -1 : total + 1}
      ref={box}
      onKeyDown={onKeyDown}
      tabIndex={0}
      style={template}
    >
      <div role="rowgroup" class="vhead">
        <div role="row" class="vrow" aria-rowindex={1}>
          {columns.map((column) => (
            <Head key={column.name} column={column} sort={sort} onSort={props.onSort} />
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: `${rows.length * rowHeight}px`, position: 'relative' }}>
        <div role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows.slice(first, last).map((row, index) => (
            <div key={props.keyOf(row)} role="row" class="vrow" aria-rowindex={first + index + 2}>
              {columns.map((column) => (
                <span
                  key={column.name}
                  role="cell"
                  class={`cell-${column.name} ${column.isNumber ? 'number' : ''} ${rankClass(column.rank)}`}
                >
                  {column.cell(row)}
                </span>
              ))}
            </div>
          ))}
        </div>
      </div>
      {props.footer}
    </div>
  );
}

function Head<Row>({
  column,
  sort,
  onSort,
}: {
  column: Column<Row>;
  sort: Props<Row>['sort'];
  onSort: Props<Row>['onSort'];
}): JSX.Element {
  const isSorted = column.sort !== undefined && sort?.by === column.sort;
  const direction = !isSorted ? undefined : sort?.isDescending ? 'descending' : 'ascending';
  return (
    <span
      role="columnheader"
      class={`${column.isNumber ? 'number' : ''} ${rankClass(column.rank)}`}
      aria-sort={direction ?? (column.sort === undefined ? undefined : 'none')}
    >
      {column.sort === undefined || onSort === undefined ? (
        column.label
      ) : (
        <button type="button" class="sort" onClick={() => onSort(column.sort as string)}>
          {column.label}
          <span aria-hidden="true" class="sort-mark">
            {direction === undefined ? '↕' : direction === 'ascending' ? '↑' : '↓'}
          </span>
        </button>
      )}
    </span>
  );
}

const rankClass = (rank: number | undefined): string => (rank === undefined ? '' : `rank-${rank}`);
