// The tasks of the census that go by reference: plain functions of a module, which every worker imports.
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type LongestFunction, readSource } from './source.ts';

/** A file as it is now. Its size and time are part of a call's arguments, so a changed file is another call. */
export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

export interface Package {
  readonly name: string;
  readonly folder: string;
  readonly licence: string;
  /** Its files in portions, each of which is one task. */
  readonly chunks: readonly (readonly SourceFile[])[];
}

export interface Counts {
  readonly files: number;
  readonly lines: number;
  readonly functions: number;
  readonly longest: LongestFunction | undefined;
  /** How many files import each module. */
  readonly imports: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

export interface PackageReport extends Counts {
  readonly name: string;
  readonly licence: string;
}

const bytesOfChunk = 400_000;
const filesOfChunk = 60;

/** Sorts paths, one a line, into the packages whose folders they stand in. Other tasks follow from what it finds. */
export async function packagesOf(listing: string, root: string): Promise<Package[]> {
  const paths = listing.split('\n').filter((line) => line !== '');
  const files = new Map<string, SourceFile[]>();
  const folders = new Map<string, Promise<string>>();
  // So many at a time that the disk has something to do, and the process few files open.
  for (let at = 0; at < paths.length; at += 64) {
    const portion = await Promise.all(
      paths.slice(at, at + 64).map(async (path) => {
        const [folder, { size, mtimeMs }] = await Promise.all([
          packageFolder(dirname(path), root, folders),
          stat(path),
        ]);
        return { folder, file: { path, bytes: size, modifiedMs: mtimeMs } };
      }),
    );
    for (const { folder, file } of portion) {
      const others = files.get(folder);
      if (others === undefined) files.set(folder, [file]);
      else others.push(file);
    }
  }
  const found = await Promise.all(
    [...files].map(
      async ([folder, members]): Promise<Package> => ({
        folder,
        ...(await manifestOf(folder, root)),
        chunks: chunksOf(members),
      }),
    ),
  );
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Reads and parses files. A file that is no program is counted, and told. */
export async function readFiles(files: readonly SourceFile[]): Promise<Counts> {
  const counts: Counts[] = [];
  for (const { path } of files) {
    const { lines, functions, longest, imports, problem } = readSource(await readFile(path, 'utf8'), path);
    counts.push({
      files: 1,
      lines,
      functions,
      longest,
      imports: Object.fromEntries(imports.map((name) => [name, 1])),
      problems: problem === undefined ? [] : [`${path}: ${problem}`],
    });
  }
  return add(counts);
}

/** Counts of several things together. */
export function add(parts: readonly Counts[]): Counts {
  const imports = new Map<string, number>();
  let longest: LongestFunction | undefined;
  for (const part of parts) {
    for (const [name, times] of Object.entries(part.imports)) imports.set(name, (imports.get(name) ?? 0) + times);
    if (part.longest !== undefined && (longest === undefined || part.longest.lines > longest.lines))
      longest = part.longest;
  }
  const sum = (of: (part: Counts) => number): number => parts.reduce((total, part) => total + of(part), 0);
  return {
    files: sum((part) => part.files),
    lines: sum((part) => part.lines),
    functions: sum((part) => part.functions),
    longest,
    imports: Object.fromEntries(imports),
    problems: parts.flatMap((part) => part.problems),
  };
}

/** The nearest folder upwards whose package.json has a name and a version, but not beyond `root`. */
function packageFolder(folder: string, root: string, known: Map<string, Promise<string>>): Promise<string> {
  const before = known.get(folder);
  if (before !== undefined) return before;
  const found = (async () => {
    if (folder === root) return root;
    const manifest = await manifestText(folder);
    if (manifest !== undefined && /"name"\s*:/.test(manifest) && /"version"\s*:/.test(manifest)) return folder;
    return packageFolder(dirname(folder), root, known);
  })();
  known.set(folder, found);
  return found;
}

async function manifestText(folder: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, 'package.json'), 'utf8');
  } catch {
    return undefined; // Most folders have none.
  }
}

async function manifestOf(folder: string, root: string): Promise<{ name: string; licence: string }> {
  const fallback = folder === root ? '(no package)' : folder;
  let manifest: { name?: unknown; license?: unknown } = {};
  try {
    manifest = JSON.parse((await manifestText(folder)) ?? '{}') as typeof manifest;
  } catch {
    // Not JSON: then it says nothing.
  }
  const { name, license } = manifest;
  const type = typeof license === 'object' && license !== null ? (license as { type?: unknown }).type : license;
  return { name: typeof name === 'string' ? name : fallback, licence: typeof type === 'string' ? type : '(none told)' };
}

function chunksOf(files: readonly SourceFile[]): SourceFile[][] {
  const chunks: SourceFile[][] = [];
  let chunk: SourceFile[] = [];
  let bytes = 0;
  // In order, so that the same files make the same chunks, and the same calls, next time.
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    if (chunk.length > 0 && (bytes + file.bytes > bytesOfChunk || chunk.length === filesOfChunk)) {
      chunks.push(chunk);
      chunk = [];
      bytes = 0;
    }
    chunk.push(file);
    bytes += file.bytes;
  }
  if (chunk.length > 0) chunks.push(chunk);
  return chunks;
}
