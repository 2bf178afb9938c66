// All tasks of a run: filtered, sorted, and as many as there are. What is asked for stands in the address, so that it can be
// kept and sent.
import type { JSX } from 'preact';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type Facets, type Page, states, type TaskCount, type TaskRow } from '../../src/dashboard/api.ts';
import { type AskError, ask, query as queryText, useAsk, useNow } from '../data.ts';
import { duration, moment, number, when } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { Empty, Loading, Trouble } from '../parts/messages.tsx';
import { PageHead } from '../parts/page-head.tsx';
import { StateMark } from '../parts/state.tsx';
import { type Column, VirtualTable } from '../parts/virtual-table.tsx';
import { goTo, href, replaceQuery } from '../router.ts';
import { looks } from '../states.ts';

const names = [
  'state',
  'app',
  'executor',
  'worker',
  'name',
  'error',
  'from',
  'to',
  'idFrom',
  'idTo',
  'retried',
] as const;
type Filters = Readonly<Partial<Record<(typeof names)[number] | 'sort' | 'order', string>>>;

const pageSize = 200;

export function TasksPage({ run, query }: { run: string; query: URLSearchParams }): JSX.Element {
  const filters: Filters = Object.fromEntries(query.entries());
  const path = `runs/${encodeURIComponent(run)}`;
  const change = (changed: Filters): void => {
    const merged: Record<string, string> = { ...filters, ...changed };
    replaceQuery(merged);
  };
  const wanted = Object.fromEntries(names.map((name) => [name, filters[name]]));
  const count = useAsk<TaskCount>(`${path}/count${queryText(wanted)}`).data;
  const isFiltered = names.some((name) => (filters[name] ?? '') !== '');
  return (
    <div class="tasks-page">
      <PageHead title="Tasks" tab="Tasks">
        <p class="muted" role="status">
          {count === undefined
            ? ''
            : `${count.isExact ? '' : 'more than '}${number(count.count)} ${isFiltered ? 'fit' : 'in all'}`}
        </p>
      </PageHead>
      <FilterBar run={run} path={path} filters={filters} change={change} isFiltered={isFiltered} />
      <TaskTable
        key={queryText({ ...wanted, sort: filters.sort, order: filters.order })}
        run={run}
        asked={`${path}/tasks`}
        wanted={{ ...wanted, sort: filters.sort, order: filters.order }}
        count={count}
        sort={{ by: filters.sort ?? 'id', isDescending: filters.order === 'desc' }}
        onSort={(by) => {
          const isSame = (filters.sort ?? 'id') === by;
          // What is looked for first: the longest, the latest.
          const order = isSame ? (filters.order === 'desc' ? '' : 'desc') : by === 'id' ? '' : 'desc';
          change({ sort: by === 'id' ? '' : by, order });
        }}
        isFiltered={isFiltered}
      />
    </div>
  );
}

interface BarProps {
  readonly run: string;
  readonly path: string;
  readonly filters: Filters;
  readonly change: (changed: Filters) => void;
  readonly isFiltered: boolean;
}

const stateGroups: readonly { readonly label: string; readonly value: string }[] = [
  { label: 'All states', value: '' },
  { label: 'Any failure', value: 'failed,dep_fail' },
  { label: 'Not over', value: 'pending,launched,running,running_ended,joining,fail_retryable' },
  ...states.map((state) => ({ label: looks[state].label, value: state })),
];

function FilterBar({ run, path, filters, change, isFiltered }: BarProps): JSX.Element {
  const facets = useAsk<Facets>(`${path}/facets`).data;
  const hasMore = ['executor', 'worker', 'from', 'to', 'idFrom', 'idTo', 'retried'].some(
    (name) => (filters[name as keyof Filters] ?? '') !== '',
  );
  const [isOpen, setIsOpen] = useState(hasMore);
  const select = (
    name: 'app' | 'executor' | 'worker',
    label: string,
    all: string,
    values: readonly string[] = [],
  ): JSX.Element => (
    <label class="field">
      <span>{label}</span>
      <select value={filters[name] ?? ''} onChange={(event) => change({ [name]: event.currentTarget.value })}>
        <option value="">{all}</option>
        {/* What is asked for may not be there yet. */}
        {[...new Set([...(filters[name] ? [filters[name] as string] : []), ...values])].map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
  const isKnownGroup = stateGroups.some(({ value }) => value === (filters.state ?? ''));
  return (
    <form class="filters" role="search" aria-label="Filter tasks" onSubmit={(event) => event.preventDefault()}>
      <Search run={run} filters={filters} change={change} />
      <label class="field">
        <span>State</span>
        <select value={filters.state ?? ''} onChange={(event) => change({ state: event.currentTarget.value })}>
          {!isKnownGroup && <option value={filters.state}>Several</option>}
          {stateGroups.map(({ label, value }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {select('app', 'App', 'All apps', facets?.apps)}
      <button type="button" class="quiet" aria-expanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
        {isOpen ? 'Fewer filters' : 'More filters'}
      </button>
      {isFiltered && (
        <button type="button" class="quiet" onClick={() => goTo(href(['run', run, 'tasks']))}>
          Clear
        </button>
      )}
      {isOpen && (
        <div class="more-filters">
          {select('executor', 'Executor', 'All executors', facets?.executors)}
          {(facets === undefined || facets.workers.length > 0 || filters.worker) &&
            select('worker', 'Worker or host', 'All workers', facets?.workers)}
          <Text name="idFrom" label="From task" mode="numeric" filters={filters} change={change} />
          <Text name="idTo" label="To task" mode="numeric" filters={filters} change={change} />
          <Time name="from" label="Called from" filters={filters} change={change} />
          <Time name="to" label="Called until" filters={filters} change={change} />
          <label class="check">
            <input
              type="checkbox"
              checked={filters.retried === '1'}
              onChange={(event) => change({ retried: event.currentTarget.checked ? '1' : '' })}
            />
            Tried more than once
          </label>
        </div>
      )}
    </form>
  );
}

type SearchKind = 'name' | 'error' | 'id';

/** One field for three questions: a number opens the task, else the beginning of a name or of an error. */
function Search({ run, filters, change }: Pick<BarProps, 'run' | 'filters' | 'change'>): JSX.Element {
  const [kind, setKind] = useState<SearchKind>(filters.error ? 'error' : 'name');
  const [text, setText] = useState(filters.error ?? filters.name ?? '');
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const shown = filters.error ?? filters.name ?? '';
  const [lastShown, setLastShown] = useState(shown);
  // Cleared or changed from elsewhere.
  if (lastShown !== shown) {
    setLastShown(shown);
    setText(shown);
  }
  useEffect(() => () => clearTimeout(timer.current), []);
  const apply = (value: string, of: SearchKind): void => {
    clearTimeout(timer.current);
    if (of === 'id') {
      if (/^\s*#?\d+\s*$/.test(value)) goTo(href(['run', run, 'task', value.replaceAll(/\D/g, '')]));
      return;
    }
    change({ name: of === 'name' ? value.trim() : '', error: of === 'error' ? value.trim() : '' });
  };
  return (
    <div class="search">
      <Icon name="search" />
      <select
        aria-label="Search by"
        value={kind}
        onChange={(event) => {
          const next = event.currentTarget.value as SearchKind;
          setKind(next);
          if (text !== '' && next !== 'id') apply(text, next);
        }}
      >
        <option value="name">App begins with</option>
        <option value="error">Error begins with</option>
        <option value="id">Task number</option>
      </select>
      <input
        type="search"
        aria-label="Search text"
        placeholder={{ name: 'align…', error: 'RangeError…', id: '42, then Enter' }[kind]}
        value={text}
        onInput={(event) => {
          const value = event.currentTarget.value;
          setText(value);
          clearTimeout(timer.current);
          if (kind !== 'id') timer.current = setTimeout(() => apply(value, kind), 250);
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') apply(text, kind);
        }}
      />
    </div>
  );
}

function Text({
  name,
  label,
  mode,
  filters,
  change,
}: {
  name: 'idFrom' | 'idTo';
  label: string;
  mode: 'numeric';
  filters: Filters;
  change: BarProps['change'];
}): JSX.Element {
  return (
    <label class="field short">
      <span>{label}</span>
      <input
        type="text"
        inputMode={mode}
        pattern="[0-9]*"
        value={filters[name] ?? ''}
        onChange={(event) => change({ [name]: event.currentTarget.value.replaceAll(/\D/g, '') })}
      />
    </label>
  );
}

function Time({
  name,
  label,
  filters,
  change,
}: {
  name: 'from' | 'to';
  label: string;
  filters: Filters;
  change: BarProps['change'];
}): JSX.Element {
  const at = Number(filters[name] || Number.NaN);
  const value = Number.isNaN(at) ? '' : moment(at).replace(' ', 'T');
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="datetime-local"
        step={1}
        value={value}
        onChange={(event) => {
          const chosen = new Date(event.currentTarget.value).getTime();
          change({ [name]: Number.isNaN(chosen) ? '' : String(chosen) });
        }}
      />
    </label>
  );
}

interface TableProps {
  readonly run: string;
  readonly asked: string;
  readonly wanted: Readonly<Record<string, string | undefined>>;
  readonly count: TaskCount | undefined;
  readonly sort: { readonly by: string; readonly isDescending: boolean };
  readonly onSort: (by: string) => void;
  readonly isFiltered: boolean;
}

function TaskTable({ run, asked, wanted, count, sort, onSort, isFiltered }: TableProps): JSX.Element {
  const first = useFirst(`${asked}${queryText({ ...wanted, limit: pageSize })}`);
  const [rest, setRest] = useState<{ rows: readonly TaskRow[]; next: string | null } | undefined>();
  const [error, setError] = useState<AskError | undefined>();
  const isFetching = useRef(false);
  const next = rest === undefined ? (first.data?.next ?? null) : rest.next;
  const fetchMore = useCallback(async () => {
    if (next === null || isFetching.current) return;
    isFetching.current = true;
    try {
      const page = await ask<Page<TaskRow>>(`${asked}${queryText({ ...wanted, limit: pageSize, cursor: next })}`);
      setRest((before) => ({ rows: [...(before?.rows ?? []), ...page.rows], next: page.next }));
      setError(undefined);
    } catch (thrown) {
      setError(thrown as AskError);
    } finally {
      isFetching.current = false;
    }
  }, [asked, next, wanted]);
  // What follows the first part is kept as it was fetched, until one goes back to the top.
  first.hold(rest !== undefined);
  const onTop = (isAtTop: boolean): void => {
    if (isAtTop && rest !== undefined) {
      setRest(undefined);
      first.again();
    }
  };
  if (first.data === undefined)
    return first.error === undefined ? (
      <Loading what="the tasks" lines={12} />
    ) : (
      <Trouble error={first.error} again={first.again} />
    );
  const rows = [...first.data.rows, ...(rest?.rows ?? [])];
  if (rows.length === 0)
    return (
      <Empty title={isFiltered ? 'No task fits' : 'No task yet'} icon="tasks">
        {isFiltered ? (
          <a href={href(['run', run, 'tasks'])}>Show all tasks</a>
        ) : (
          <p>They appear as soon as one is called.</p>
        )}
      </Empty>
    );
  return (
    <VirtualTable
      label="Tasks"
      columns={columnsFor(run)}
      rows={rows}
      keyOf={(row) => row.id}
      total={count?.isExact ? count.count : undefined}
      onEnd={() => void fetchMore()}
      onTop={onTop}
      sort={sort}
      onSort={onSort}
      footer={error === undefined ? undefined : <Trouble error={error} again={() => void fetchMore()} />}
    />
  );
}

/** The first part; it follows the run as long as nothing else is shown below it. */
function useFirst(path: string): ReturnType<typeof useAsk<Page<TaskRow>>> & { hold: (isHeld: boolean) => void } {
  const [isHeld, setIsHeld] = useState(false);
  const asked = useAsk<Page<TaskRow>>(path, !isHeld);
  return { ...asked, hold: (wanted) => wanted !== isHeld && setIsHeld(wanted) };
}

function columnsFor(run: string): readonly Column<TaskRow>[] {
  return [
    {
      name: 'id',
      label: 'Task',
      width: '5.5rem',
      isNumber: true,
      sort: 'id',
      cell: (row) => (
        <a class="strong" href={href(['run', run, 'task', row.id])}>
          {row.id}
        </a>
      ),
    },
    { name: 'app', label: 'App', width: 'minmax(7rem, 1.1fr)', cell: (row) => <span title={row.app}>{row.app}</span> },
    { name: 'state', label: 'State', width: '10.5rem', cell: (row) => <StateMark state={row.state} /> },
    {
      name: 'duration',
      label: 'Ran',
      width: '6rem',
      isNumber: true,
      sort: 'duration',
      cell: (row) => <RunTime row={row} />,
    },
    {
      name: 'tries',
      label: 'Tries',
      width: '5rem',
      isNumber: true,
      rank: 1,
      sort: 'tries',
      cell: (row) => (row.tries > 1 ? <strong>{row.tries}</strong> : <span class="muted">{row.tries}</span>),
    },
    {
      name: 'worker',
      label: 'Worker',
      width: 'minmax(6rem, 1fr)',
      rank: 2,
      cell: (row) => <span title={row.executor ?? ''}>{row.worker ?? row.host ?? row.executor ?? ''}</span>,
    },
    {
      name: 'ended',
      label: 'Ended',
      width: '8rem',
      rank: 2,
      sort: 'ended',
      cell: (row) => <span title={moment(row.ended)}>{row.ended === null ? '' : when(row.ended)}</span>,
    },
    {
      name: 'error',
      label: 'Error',
      width: 'minmax(6rem, 1.8fr)',
      rank: 1,
      cell: (row) => (row.error === null ? '' : <span title={row.error}>{row.error}</span>),
    },
  ];
}

/** Of a task that runs it grows while one looks. */
function RunTime({ row }: { row: TaskRow }): JSX.Element {
  const isRunning = row.state === 'running' && row.started !== null && row.durationMs === null;
  const now = useNow(isRunning);
  if (!isRunning) return <>{duration(row.durationMs)}</>;
  return <span class="running">{duration(now - (row.started as number))}</span>;
}
