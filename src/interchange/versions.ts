// Who may join: compares a manager's versions and payloads with the submitter's. The core asks on each registration, and
// again when it knows the submitter better. Why it is so careful to refuse: docs/adr/0050-whose-version-counts.md.
import { type Era, eraOfRelease, familyOf, type PayloadFamily, type PoolStyle, styleOf } from '../wire/messages/era.ts';
import type { Registration } from '../wire/messages/manager.ts';
import type { VersionPolicy } from './events.ts';

/** What managers are compared with. */
export interface VersionReference {
  parsl: string | undefined;
  /** Major and minor number. */
  python: string | undefined;
  /** Who says so, for people. */
  readonly source: string;
  /** `certain`: others are refused. `likely`: certain once a manager agrees. `guess`: differences are only named. */
  trust: 'certain' | 'likely' | 'guess';
}

/** Why a manager is turned away. `isVersion` tells Parsl's own check from what no policy can allow. */
export interface Mismatch {
  readonly isVersion: boolean;
  readonly reason: string;
  /** Both sides in Parsl's form, for its VersionMismatch. */
  readonly expected: string;
  readonly found: string;
}

/** May it join? A doubtful manager may, until somebody knows better. */
export type Verdict =
  | { readonly joins: 'gladly' }
  | { readonly joins: 'doubtfully'; readonly mismatch: Mismatch }
  | { readonly joins: 'never'; readonly mismatch: Mismatch };

/** `3.11` of `3.11.7`; the text itself when it has no such form. */
export function pythonMinor(version: string): string {
  return /^(\d+\.\d+)(?:\D|$)/.exec(version)?.[1] ?? version;
}

/** What is known before any manager came. */
export function firstReference(policy: VersionPolicy): VersionReference {
  const { parsl, python, installation, onMismatch } = policy;
  if (parsl !== undefined || python !== undefined) {
    return {
      parsl,
      python: python === undefined ? undefined : pythonMinor(python),
      source: 'the command line',
      trust: 'certain',
    };
  }
  // Parsl's own interchange compares with its own installation and asks nobody.
  const isParslsWay = onMismatch === 'end';
  if (installation !== undefined) {
    const { where, ...versions } = installation;
    return { ...versions, source: where, trust: isParslsWay ? 'certain' : 'likely' };
  }
  const trust = isParslsWay ? 'certain' : 'guess';
  return { parsl: undefined, python: undefined, source: 'the first manager', trust };
}

/** Whether this manager can join. Completes `reference` with its versions, or trusts it more, if they agree. */
export function judge(
  policy: VersionPolicy,
  reference: VersionReference,
  submitEras: readonly Era[],
  registration: Registration,
  style: PoolStyle,
): Verdict {
  const payloads = findPayloadMismatch(submitEras, registration, style);
  if (payloads !== undefined) return { joins: 'never', mismatch: payloads };
  // A pool without Python workers cannot disagree about Python.
  if (policy.onMismatch === 'accept' || !registration.runtimes.includes('python')) return { joins: 'gladly' };
  const python = pythonMinor(registration.pythonVersion);
  const parsl = registration.parslVersion;
  const expectedPython = reference.python ?? python;
  const expectedParsl = reference.parsl ?? parsl;
  if (expectedParsl === parsl && expectedPython === python) {
    reference.parsl ??= parsl;
    reference.python ??= python;
    if (reference.trust === 'likely') reference.trust = 'certain';
    return { joins: 'gladly' };
  }
  const mismatch = {
    isVersion: true,
    reason: `it has Parsl ${parsl} and Python ${python}, and not ${expectedParsl} and ${expectedPython} as ${reference.source} says`,
    expected: `py.v=${expectedPython} parsl.v=${expectedParsl}`,
    found: `py.v=${python} parsl.v=${parsl}`,
  };
  return { joins: reference.trust === 'certain' ? 'never' : 'doubtfully', mismatch };
}

/** Why the submitter and this manager cannot work together whatever the policy, if that is known. */
export function findPayloadMismatch(
  submitEras: readonly Era[],
  registration: Registration,
  style: PoolStyle,
): Mismatch | undefined {
  const family = poolFamily(registration, style);
  const { parslVersion, pythonVersion } = registration;
  const versions = {
    expected: 'py.v=? parsl.v=?',
    found: `py.v=${pythonMinor(pythonVersion)} parsl.v=${parslVersion}`,
  };
  if (style === 'two-port' && !submitEras.some((era) => styleOf(era) === 'two-port')) {
    const reason = `its Parsl (${parslVersion}) is of 2025.06.23 or before and wants two ports, for which only submitters as old ask`;
    return { isVersion: false, reason, ...versions };
  }
  if (family === undefined || submitEras.some((era) => familyOf(era) === family)) return undefined;
  const families = [...new Set(submitEras.map(familyOf))].map((name) => releasesOf[name]);
  return {
    isVersion: false,
    reason: `its Parsl (${parslVersion}) packs tasks as in ${releasesOf[family]}, the submitter as in ${families.join(' or ')}; use the same Parsl on both sides`,
    ...versions,
  };
}

const releasesOf = {
  'A-D': '2025.09.15 and before',
  'E-F': '2025.09.22 to 2025.12.08',
  'G-I': '2025.12.15 and after',
} as const satisfies Record<PayloadFamily, string>;

/** Known by their shape for pools of the first and the last releases, for others only if they run a release. */
function poolFamily(registration: Registration, style: PoolStyle): PayloadFamily | undefined {
  if (style === 'two-port') return 'A-D';
  if (registration.drainTime !== undefined) return 'G-I';
  const era = eraOfRelease(registration.parslVersion);
  return era === undefined ? undefined : familyOf(era);
}
