// Which page is shown: all of it stands behind the # of the address, so that the dashboard works under any path, also behind a
// proxy that adds one.
import { useEffect, useState } from 'preact/hooks';

export interface Route {
  /** Between slashes, decoded: `['run', 'ID', 'tasks']`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

export function currentRoute(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const onChange = (): void => setRoute(currentRoute());
    addEventListener('hashchange', onChange);
    return () => removeEventListener('hashchange', onChange);
  }, []);
  return route;
}

/** An address of a page: `href(['run', id, 'tasks'], { state: 'failed' })`. Empty values are left out. */
export function href(path: readonly (string | number)[], query: Readonly<Record<string, string>> = {}): string {
  const kept = Object.entries(query).filter(([, value]) => value !== '');
  const search = new URLSearchParams(kept).toString();
  return `#/${path.map((part) => encodeURIComponent(part)).join('/')}${search === '' ? '' : `?${search}`}`;
}

/** Changes what is asked of this page, without a step in the history. */
export function replaceQuery(query: Readonly<Record<string, string>>): void {
  history.replaceState(null, '', href(currentRoute().path, query));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function goTo(to: string): void {
  location.hash = to;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
