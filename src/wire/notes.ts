// What a worker tells about a task before its result: that its body began, and where; what it prints. Chervil peers only: they travel
// as items of the type `chervil_note` beside the results, and the interchange passes them on unread.
import type { Result } from '../base/result.ts';
import type { Place } from '../task/ports.ts';

/** A note about a task. */
export type Note =
  | { readonly what: 'running'; readonly place: Place }
  | { readonly what: 'output'; readonly stream: 'stdout' | 'stderr'; readonly text: string };

const kinds = { running: 0x72, stdout: 0x6f, stderr: 0x65 } as const;

/** A note as bytes. */
export function writeNote(note: Note): Uint8Array {
  if (note.what === 'running') return Buffer.from(`r${JSON.stringify(note.place)}`);
  return Buffer.from(`${note.stream === 'stdout' ? 'o' : 'e'}${note.text}`);
}

/** Whether it is the note that a body began. */
export function isRunningNote(bytes: Uint8Array): boolean {
  return bytes[0] === kinds.running;
}

/**
 * The place of a note `running`, which stands in `bytes` from `start` to `end`; `undefined` when it cannot be read. A worker says the
 * same with every task: what came lately is known again, and is the same object.
 */
export function readPlaceNote(bytes: Uint8Array, start: number, end: number): Place | undefined {
  for (const one of lately) if (isSame(one.bytes, bytes, start, end)) return one.place;
  // A copy: the bytes are a part of all that came with them.
  const own = bytes.slice(start, end);
  const note = readNote(own);
  if (!note.ok || note.value.what !== 'running') return undefined;
  const { place } = note.value;
  lately.unshift({ bytes: own, place });
  if (lately.length > mostLately) lately.pop();
  return place;
}

const lately: { readonly bytes: Uint8Array; readonly place: Place }[] = [];
const mostLately = 8;

function isSame(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  // Workers of a pool differ in their last characters.
  for (let at = known.length - 1; at >= 0; at--) if (known[at] !== bytes[start + at]) return false;
  return true;
}

/** The note again. Never throws. */
export function readNote(bytes: Uint8Array): Result<Note> {
  if (bytes.length === 0) return { ok: false, error: 'an empty note' };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + 1, bytes.length - 1).toString('utf8');
  switch (bytes[0]) {
    case kinds.stdout:
      return { ok: true, value: { what: 'output', stream: 'stdout', text } };
    case kinds.stderr:
      return { ok: true, value: { what: 'output', stream: 'stderr', text } };
    case kinds.running: {
      const place = knownPlace(text);
      return place === undefined
        ? { ok: false, error: 'a place that cannot be read' }
        : { ok: true, value: { what: 'running', place } };
    }
    default:
      return { ok: false, error: `an unknown note, ${bytes[0]}` };
  }
}

/** Each worker says the same of itself with every task: it is read once, and is one object. */
const places = new Map<string, Place | undefined>();
const mostPlaces = 20_000;

function knownPlace(text: string): Place | undefined {
  const known = places.get(text);
  if (known !== undefined) return known;
  const place = readPlace(text);
  if (places.size >= mostPlaces) places.clear();
  places.set(text, place);
  return place;
}

function readPlace(text: string): Place | undefined {
  try {
    const value = JSON.parse(text) as Partial<Place> | null;
    if (typeof value?.host !== 'string' || typeof value.worker !== 'string') return undefined;
    return {
      host: value.host,
      worker: value.worker,
      ...(typeof value.block === 'string' ? { block: value.block } : {}),
    };
  } catch {
    // Not JSON: of another version.
    return undefined;
  }
}
