// Asks the server, and again when something has changed. What was shown stays until there is something newer: a page never
// blinks. Used by every page.
import { createContext } from 'preact';
import { useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { Counts, LiveEvent, Problem } from '../src/dashboard/api.ts';

/** What went wrong, as the page tells it. */
export class AskError extends Error {
  readonly advice: string | null;
  readonly status: number;

  constructor(message: string, advice: string | null, status: number) {
    super(message);
    this.advice = advice;
    this.status = status;
  }
}

/** @throws AskError */
export async function ask<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(`api/${path}`, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new AskError(
      'The dashboard’s server does not answer.',
      'Is “chervil monitor” still running? This page goes on by itself when it is back.',
      0,
    );
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as Answer;
  const problem = (body ?? {}) as Partial<Problem>;
  throw new AskError(
    problem.error ?? `The server answered with status ${response.status}.`,
    problem.advice ?? null,
    response.status,
  );
}

export interface Asked<Answer> {
  readonly data: Answer | undefined;
  readonly error: AskError | undefined;
  readonly isLoading: boolean;
  readonly again: () => void;
}

/** Live news of the run that is shown; `version` grows with each. */
export interface Live {
  readonly version: number;
  readonly counts: Counts | undefined;
  readonly state: 'connecting' | 'live' | 'lost' | 'off';
}

export const LiveContext = createContext<Live>({ version: 0, counts: undefined, state: 'off' });

/** Listens to the server's events for one run; the browser connects again by itself and tells where it was. */
export function useLiveFeed(run: string | undefined): Live {
  const [live, setLive] = useState<Live>({ version: 0, counts: undefined, state: 'off' });
  useEffect(() => {
    setLive({ version: 0, counts: undefined, state: 'connecting' });
    const source = new EventSource(`api/live${run === undefined ? '' : `?run=${encodeURIComponent(run)}`}`);
    let isFirst = true;
    source.addEventListener('open', () => setLive((before) => ({ ...before, state: 'live' })));
    source.addEventListener('error', () => setLive((before) => ({ ...before, state: 'lost' })));
    source.addEventListener('run', (event) => {
      const news = JSON.parse((event as MessageEvent<string>).data) as LiveEvent;
      // The first tells how things stand, which the pages have just asked for themselves.
      const step = isFirst ? 0 : 1;
      isFirst = false;
      setLive((before) => ({
        version: before.version + step,
        counts: news.isGone ? before.counts : news.counts,
        state: 'live',
      }));
    });
    return () => source.close();
  }, [run]);
  return live;
}

/** Asks for `path` now and whenever there is news, though never more often than the server can bear. `null` asks nothing. */
export function useAsk<Answer>(path: string | null, isLive = true): Asked<Answer> {
  const { version } = useContext(LiveContext);
  const [state, setState] = useState<{ path: string | null; data?: Answer; error?: AskError }>({ path: null });
  const asker = useRef<Asker<Answer> | undefined>(undefined);
  const seen = useRef(version);

  useEffect(() => {
    if (path === null) return;
    const made = new Asker<Answer>(
      path,
      (data) => setState({ path, data }),
      // What is shown stays, unless it is about something else.
      (error) =>
        setState((before) =>
          before.path === path && before.data !== undefined ? { path, data: before.data, error } : { path, error },
        ),
    );
    asker.current = made;
    made.ask();
    return () => made.stop();
  }, [path]);
  useEffect(() => {
    if (seen.current === version) return;
    seen.current = version;
    if (isLive) asker.current?.ask();
  }, [version, isLive]);

  const isCurrent = state.path === path;
  return {
    data: isCurrent ? state.data : undefined,
    error: isCurrent ? state.error : undefined,
    isLoading: path !== null && !(isCurrent && (state.data !== undefined || state.error !== undefined)),
    again: () => asker.current?.askNow(),
  };
}

/** One question that is asked again and again, one at a time. */
class Asker<Answer> {
  readonly #path: string;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #onError: (error: AskError) => void;
  readonly #stop = new AbortController();
  #isBusy = false;
  #isWanted = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(path: string, onAnswer: (answer: Answer) => void, onError: (error: AskError) => void) {
    this.#path = path;
    this.#onAnswer = onAnswer;
    this.#onError = onError;
  }

  ask(): void {
    this.#isWanted = true;
    if (!this.#isBusy) void this.#next();
  }

  /** Somebody wants it, and waits: not only when its turn has come. */
  askNow(): void {
    if (this.#timer === undefined) this.ask();
    else {
      clearTimeout(this.#timer);
      void this.#next();
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }

  async #next(): Promise<void> {
    this.#isBusy = true;
    this.#isWanted = false;
    this.#timer = undefined;
    const startedAt = performance.now();
    try {
      const answer = await ask<Answer>(this.#path, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      this.#failures = 0;
      this.#onAnswer(answer);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const told = error instanceof AskError ? error : new AskError(String(error), null, -1);
      this.#onError(told);
      if (told.status === 0 || told.status >= 500) {
        this.#isWanted = true;
        this.#failures++;
      }
    }
    // A question that is dear is asked less often.
    const dearMs = Math.max(400, 4 * (performance.now() - startedAt));
    const waitMs = this.#failures > 0 ? Math.min(15_000, 500 * 2 ** this.#failures) : dearMs;
    this.#timer = setTimeout(() => {
      this.#isBusy = false;
      this.#timer = undefined;
      if (this.#isWanted) void this.#next();
    }, waitMs);
  }
}

/** The time, every second while `isOn` and the server answers. */
export function useNow(isOn: boolean): number {
  const { state } = useContext(LiveContext);
  const isTicking = isOn && state !== 'lost';
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (!isTicking) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isTicking]);
  return now;
}

export function query(values: Readonly<Record<string, string | number | null | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
