// Who may read the dashboard, and what a browser may do with its pages. Asked by server.ts before anything else is done.
//
// The page shows arguments, output and errors of tasks, which belong to whoever ran them. Bound to loopback only programs of
// this machine reach it; a page of another site that the user has open could still try, under a name of its own that it lets
// point here, so the Host header must be one of ours. Bound to anything else, whoever comes needs the token.
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import type { Context, MiddlewareHandler } from 'hono';
import type { Problem } from './api.ts';

const cookieName = 'chervil_token';

/** Nothing from elsewhere, no script or style in the page itself, no frame around it, no form. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Who is let in. */
export interface GuardRules {
  /** What a visitor must know; `undefined` lets everybody in who reaches the port. */
  readonly token: string | undefined;
  /** Names by which the server may be addressed, besides `localhost`, this host's name and plain addresses. */
  readonly hosts: readonly string[];
}

/** Refuses what must not be answered, and puts the headers on what is. */
export function guard(rules: GuardRules): MiddlewareHandler {
  const names = new Set(['localhost', hostname().toLowerCase(), ...rules.hosts.map((host) => host.toLowerCase())]);
  return async (context, next) => {
    const refusal = refusalOf(context, rules, names);
    if (refusal !== undefined) context.res = refusal;
    else await next();
    const { headers } = context.res;
    headers.set('Content-Security-Policy', policy);
    headers.set('X-Content-Type-Options', 'nosniff');
    headers.set('X-Frame-Options', 'DENY');
    headers.set('Referrer-Policy', 'no-referrer');
    headers.set('Cross-Origin-Opener-Policy', 'same-origin');
    headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    if (!headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store');
  };
}

function refusalOf(context: Context, rules: GuardRules, names: ReadonlySet<string>): Response | undefined {
  const host = hostOf(context.req.header('host'));
  // A name that somebody else owns can be made to point here; a plain address cannot.
  if (host === undefined || !(names.has(host) || isIP(host) !== 0))
    return refuse(
      context,
      421,
      `this server does not answer to the name ${host ?? '(none)'}`,
      '--allow-host NAME adds a name',
    );
  if (context.req.method !== 'GET' && context.req.method !== 'HEAD')
    return refuse(context, 405, `${context.req.method} is not understood: everything here is only read`, null);
  const site = context.req.header('sec-fetch-site');
  if (site === 'cross-site' && context.req.header('sec-fetch-mode') !== 'navigate')
    return refuse(context, 403, 'a page of another site asked', null);
  if (rules.token === undefined) return undefined;
  const url = new URL(context.req.url);
  const given = url.searchParams.get('token');
  if (given !== null && isSame(given, rules.token)) {
    // From now on by cookie: the token shall not stay in the address, in the history, or in somebody's screenshot.
    url.searchParams.delete('token');
    const to = `${url.pathname}${url.search}`;
    if (!to.startsWith('/api/')) {
      const cookie = `${cookieName}=${rules.token}; HttpOnly; SameSite=Strict; Path=/`;
      return context.body(null, 302, { Location: `.${to === '/' ? '/' : to}`, 'Set-Cookie': cookie });
    }
    return undefined;
  }
  const known = [bearer(context.req.header('authorization')), cookie(context.req.header('cookie'))];
  if (known.some((one) => one !== undefined && isSame(one, rules.token as string))) return undefined;
  return refuse(
    context,
    401,
    'a token is needed',
    'open the address that chervil monitor printed, with ?token=… at its end',
  );
}

function refuse(context: Context, status: 401 | 403 | 405 | 421, error: string, advice: string | null): Response {
  const problem: Problem = { error, advice };
  return context.json(problem, status);
}

/** The name in a Host header, without port and brackets, in lower case. */
function hostOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d+)?$/i.exec(header.trim());
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '');
}

function bearer(header: string | undefined): string | undefined {
  return /^Bearer (.+)$/.exec(header ?? '')?.[1];
}

function cookie(header: string | undefined): string | undefined {
  return new RegExp(`(?:^|; )${cookieName}=([^;]*)`).exec(header ?? '')?.[1];
}

/** Takes the same time for every wrong token. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
