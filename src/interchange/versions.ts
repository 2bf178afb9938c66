// Who may join: compares a manager's versions and era with the submitter's. The core asks on each registration.
import { type Era, eraOfRelease, familyOf, type PayloadFamily, type PoolStyle } from '../wire/messages/era.ts';
import type { Registration } from '../wire/messages/manager.ts';
import type { VersionPolicy } from './events.ts';

/** What managers are compared with. Starts with what the submitter said and is completed by the first good manager. */
export interface VersionReference {
  parsl: string | undefined;
  /** Major and minor number. */
  python: string | undefined;
}

/** Why a manager is turned away. `isVersion` tells Parsl's own check from what no policy can allow. */
export interface Mismatch {
  readonly isVersion: boolean;
  readonly reason: string;
  /** Both sides in Parsl's form, for its VersionMismatch. */
  readonly expected: string;
  readonly found: string;
}

/** `3.11` of `3.11.7`; the text itself when it has no such form. */
export function pythonMinor(version: string): string {
  return /^(\d+\.\d+)(?:\D|$)/.exec(version)?.[1] ?? version;
}

/** What is known before any manager came. */
export function firstReference(policy: VersionPolicy): VersionReference {
  return { parsl: policy.parsl, python: policy.python === undefined ? undefined : pythonMinor(policy.python) };
}

/**
 * Why this manager cannot join, or `undefined` if it can; then `reference` is completed with its versions.
 */
export function findMismatch(
  policy: VersionPolicy,
  reference: VersionReference,
  submitEra: Era | undefined,
  registration: Registration,
  style: PoolStyle,
): Mismatch | undefined {
  const expected = `py.v=${reference.python ?? '?'} parsl.v=${reference.parsl ?? '?'}`;
  const found = `py.v=${pythonMinor(registration.pythonVersion)} parsl.v=${registration.parslVersion}`;
  const family = poolFamily(registration, style);
  const submitFamily = submitEra === undefined ? undefined : familyOf(submitEra);
  if (family !== undefined && submitFamily !== undefined && family !== submitFamily) {
    const reason = `its Parsl (${registration.parslVersion}) packs tasks as in ${releasesOf[family]}, the submitter as in ${releasesOf[submitFamily]}; use the same Parsl on both sides`;
    return { isVersion: false, reason, expected, found };
  }
  // A pool without Python workers cannot disagree about Python.
  if (policy.onMismatch === 'accept' || !registration.runtimes.includes('python')) return undefined;
  const python = pythonMinor(registration.pythonVersion);
  const parsl = registration.parslVersion;
  if ((reference.parsl ?? parsl) !== parsl || (reference.python ?? python) !== python) {
    return { isVersion: true, reason: `expected ${expected}, found ${found}`, expected, found };
  }
  reference.parsl = parsl;
  reference.python = python;
  return undefined;
}

const releasesOf = {
  'A-D': '2025.09.15 and before',
  'E-F': '2025.09.22 to 2025.12.08',
  'G-I': '2025.12.15 and after',
} as const satisfies Record<PayloadFamily, string>;

/** Known for old pools by their shape, for others only if they run a release. */
function poolFamily(registration: Registration, style: PoolStyle): PayloadFamily | undefined {
  if (style === 'two-port') return 'A-D';
  const era = eraOfRelease(registration.parslVersion);
  return era === undefined ? undefined : familyOf(era);
}
