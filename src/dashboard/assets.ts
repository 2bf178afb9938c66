// The files of the page, as scripts/build.js made them from web/: read once, sent compressed. Asked by server.ts.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Context } from 'hono';

/** A closed list: no path of a request ever becomes a path of the disk. */
const types = {
  'index.html': 'text/html; charset=utf-8',
  'app.js': 'text/javascript; charset=utf-8',
  'layout.js': 'text/javascript; charset=utf-8',
  'app.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const;

type Name = keyof typeof types;

interface Asset {
  readonly plain: Buffer;
  readonly gzip: Buffer;
  readonly brotli: Buffer;
  readonly tag: string;
}

const folder = fileURLToPath(new URL('./page/', import.meta.url));
const loaded = new Map<Name, Asset>();

/** The file of that name, or `undefined` when the page has none. */
export function asset(context: Context, name: string): Response | undefined {
  if (!Object.hasOwn(types, name)) return undefined;
  const known = name as Name;
  const { plain, gzip, brotli, tag } = load(known);
  const headers = { 'Content-Type': types[known], 'Cache-Control': 'no-cache', ETag: tag, Vary: 'Accept-Encoding' };
  if (context.req.header('if-none-match') === tag) return context.body(null, 304, headers);
  const accepted = context.req.header('accept-encoding') ?? '';
  const [body, encoding] = /\bbr\b/.test(accepted)
    ? [brotli, 'br']
    : /\bgzip\b/.test(accepted)
      ? [gzip, 'gzip']
      : [plain, undefined];
  return context.body(new Uint8Array(body), 200, {
    ...headers,
    ...(encoding === undefined ? {} : { 'Content-Encoding': encoding }),
  });
}

function load(name: Name): Asset {
  const found = loaded.get(name);
  if (found !== undefined) return found;
  const plain = readFileSync(`${folder}${name}`);
  const made: Asset = {
    plain,
    gzip: gzipSync(plain),
    brotli: brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
    tag: `"${createHash('sha256').update(plain).digest('base64url').slice(0, 16)}"`,
  };
  loaded.set(name, made);
  return made;
}
