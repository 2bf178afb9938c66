// The frame around every page: brand, the pages of the run, whether news comes in, light or dark. Knows every page.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { About, RunDetail } from '../src/dashboard/api.ts';
import { LiveContext, useAsk, useLiveFeed } from './data.ts';
import { shortNumber } from './format.ts';
import { AttentionPage } from './pages/attention.tsx';
import { ExecutorsPage } from './pages/executors.tsx';
import { GraphPage } from './pages/graph.tsx';
import { RunPage } from './pages/run.tsx';
import { RunsPage } from './pages/runs.tsx';
import { TaskPage } from './pages/task.tsx';
import { TasksPage } from './pages/tasks.tsx';
import { TimelinePage } from './pages/timeline.tsx';
import { Icon } from './parts/icon.tsx';
import { Empty } from './parts/messages.tsx';
import { PageHead } from './parts/page-head.tsx';
import { href, type Route, useRoute } from './router.ts';
import { sum, total } from './states.ts';

const pages = [
  { name: '', label: 'Overview', icon: 'overview' },
  { name: 'attention', label: 'Attention', icon: 'attention' },
  { name: 'tasks', label: 'Tasks', icon: 'tasks' },
  { name: 'graph', label: 'Graph', icon: 'graph' },
  { name: 'timeline', label: 'Timeline', icon: 'timeline' },
  { name: 'executors', label: 'Executors', icon: 'executors' },
] as const;

export function App(): JSX.Element {
  const route = useRoute();
  const run = route.path[0] === 'run' ? route.path[1] : undefined;
  const live = useLiveFeed(run);
  const main = useRef<HTMLElement>(null);
  const place = route.path.join('/');
  const isFirst = useRef(true);
  // A reader of screens is told that the page is another one; the title says which.
  useEffect(() => {
    if (!isFirst.current) main.current?.focus({ preventScroll: true });
    isFirst.current = false;
    scrollTo(0, 0);
  }, [place]);
  return (
    <LiveContext.Provider value={live}>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        To the content
      </button>
      <div class="frame">
        <Side run={run} route={route} live={live.state} />
        <main id="main" tabIndex={-1} ref={main}>
          <PageOf key={run ?? ''} route={route} />
        </main>
      </div>
    </LiveContext.Provider>
  );
}

function PageOf({ route }: { route: Route }): JSX.Element {
  const [first, run, page, item] = route.path;
  if (first === undefined) return <RunsPage />;
  if (first === 'run' && run !== undefined) {
    switch (page) {
      case undefined:
        return <RunPage run={run} />;
      case 'attention':
        return <AttentionPage run={run} />;
      case 'tasks':
        return <TasksPage run={run} query={route.query} />;
      case 'task':
        return <TaskPage key={item ?? ''} run={run} task={item ?? ''} />;
      case 'graph':
        return <GraphPage run={run} query={route.query} />;
      case 'timeline':
        return <TimelinePage run={run} />;
      case 'executors':
        return <ExecutorsPage run={run} />;
    }
  }
  return (
    <>
      <PageHead title="Not found" tab="Not found" />
      <Empty title="There is no such page" icon="attention">
        <a href="#/">All runs</a>
      </Empty>
    </>
  );
}

interface SideProps {
  readonly run: string | undefined;
  readonly route: Route;
  readonly live: 'connecting' | 'live' | 'lost' | 'off';
}

function Side({ run, route, live }: SideProps): JSX.Element {
  const about = useAsk<About>('about', false).data;
  return (
    <header class="side">
      <a class="brand" href="#/" aria-label="Chervil monitor: all runs">
        <Icon name="leaf" />
        <span>Chervil</span>
      </a>
      {run === undefined ? <nav aria-label="Pages" class="pages" /> : <RunNav run={run} route={route} />}
      <div class="side-end">
        <LiveMark state={live} />
        <ThemeButton />
        {about !== undefined && (
          <p class="about" title={about.database}>
            {about.database.split('/').slice(-2).join('/')}
            <br />
            {about.madeBy === 'parsl' ? 'made by Python Parsl' : `Chervil ${about.version}`}
          </p>
        )}
      </div>
    </header>
  );
}

function RunNav({ run, route }: { run: string; route: Route }): JSX.Element {
  const detail = useAsk<RunDetail>(`runs/${encodeURIComponent(run)}`).data;
  const now = route.path[2] === 'task' ? 'tasks' : (route.path[2] ?? '');
  return (
    <nav aria-label="Pages of the run" class="pages">
      <a class="page-link back" href="#/">
        <Icon name="back" />
        <span>All runs</span>
      </a>
      <p class="run-name" title={run}>
        {detail?.name ?? '…'}
      </p>
      {pages.map(({ name, label, icon }) => (
        <a
          key={name}
          class="page-link"
          href={href(name === '' ? ['run', run] : ['run', run, name])}
          aria-current={now === name ? 'page' : undefined}
        >
          <Icon name={icon} />
          <span>{label}</span>
          {detail !== undefined && <NavCount name={name} detail={detail} />}
        </a>
      ))}
    </nav>
  );
}

function NavCount({ name, detail }: { name: string; detail: RunDetail }): ComponentChildren {
  if (name === 'tasks') return <span class="nav-count">{shortNumber(total(detail.counts))}</span>;
  const failed = sum(detail.counts, 'failed', 'dep_fail');
  if (name === 'attention' && failed > 0)
    return (
      <span class="nav-count bad">
        {shortNumber(failed)}
        <span class="unseen"> failed tasks</span>
      </span>
    );
  return null;
}

function LiveMark({ state }: { state: SideProps['live'] }): JSX.Element {
  const text = { live: 'Live', connecting: 'Connecting', lost: 'Connection lost', off: '' }[state];
  return (
    <p class={`live-mark ${state}`} role="status">
      <span class="live-dot" aria-hidden="true" />
      {text}
    </p>
  );
}

type Theme = 'auto' | 'light' | 'dark';
const themes: readonly Theme[] = ['auto', 'light', 'dark'];

function ThemeButton(): JSX.Element {
  const [theme, setTheme] = useState<Theme>(storedTheme);
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme;
    try {
      localStorage.setItem('chervil-theme', theme);
    } catch {
      // A browser that keeps nothing: it holds until the page is closed.
    }
    dispatchEvent(new Event('themechange'));
  }, [theme]);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length] as Theme;
  return (
    <button type="button" class="quiet" onClick={() => setTheme(next)} title={`Colours: ${theme}. Change to ${next}.`}>
      <Icon name={theme === 'auto' ? 'auto' : theme} />
      <span>{{ auto: 'System colours', light: 'Light', dark: 'Dark' }[theme]}</span>
      <span class="unseen">: change the colours of the page</span>
    </button>
  );
}

function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem('chervil-theme') as Theme | null;
    return stored !== null && themes.includes(stored) ? stored : 'auto';
  } catch {
    return 'auto';
  }
}
