// Numbers, times and sizes as people read them. Used by every page.

const numbers = new Intl.NumberFormat('en');

/** `1,234,567` */
export function number(count: number): string {
  return numbers.format(count);
}

/** `950`, `12.3k`, `1.2M`: where room is scarce. */
export function shortNumber(count: number): string {
  if (count < 10_000) return number(count);
  if (count < 999_500) return `${Number((count / 1_000).toPrecision(3))}k`;
  return `${Number((count / 1_000_000).toPrecision(3))}M`;
}

/** `12 tasks`, `1 task` */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** `3 ms`, `1.24 s`, `3 m 20 s`, `2 h 5 m`, `3 d 4 h`; a dash when unknown. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return '–';
  if (ms < 0) return '0 ms';
  if (ms < 10) return `${ms < 1 && ms > 0 ? ms.toFixed(2) : ms.toFixed(ms % 1 === 0 ? 0 : 1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(2)} s`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} m`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3_600)} h`;
}

/** `3 minutes ago` */
export function ago(at: number, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - at) / 1_000));
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${counted(Math.floor(seconds / 86_400), 'day')} ago`;
}

const two = (value: number): string => String(value).padStart(2, '0');

/** `2026-11-20 14:03:07`, in the time of this browser. */
export function moment(at: number | null | undefined): string {
  if (at === null || at === undefined) return '–';
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

/** `14:03:07` of today, `11-20 14:03:07` of another day. */
export function when(at: number | null | undefined, now = Date.now()): string {
  if (at === null || at === undefined) return '–';
  const date = new Date(at);
  const isToday = date.toDateString() === new Date(now).toDateString();
  return isToday ? clock(at) : `${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

/** `14:03:07`, with milliseconds when asked. */
export function clock(at: number | null | undefined, withMs = false): string {
  if (at === null || at === undefined) return '–';
  const date = new Date(at);
  const seconds = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return withMs ? `${seconds}.${String(date.getMilliseconds()).padStart(3, '0')}` : seconds;
}

/** `1.5 GiB` */
export function bytes(size: number | null | undefined): string {
  if (size === null || size === undefined) return '–';
  if (size < 1_024) return `${Math.round(size)} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = size;
  let at = -1;
  while (value >= 1_024 && at < units.length - 1) {
    value /= 1_024;
    at++;
  }
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ${units[at]}`;
}

/** `3.4 /s` */
export function rate(perSecond: number): string {
  if (perSecond <= 0) return '0/s';
  if (perSecond < 0.1) return `${(perSecond * 60).toFixed(1)}/min`;
  return `${perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond))}/s`;
}

/** `12 %`, never `100 %` for less than all nor `0 %` for more than nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '–';
  const value = (part / whole) * 100;
  if (value > 0 && value < 1) return '<1 %';
  if (value > 99 && value < 100) return '>99 %';
  return `${Math.round(value)} %`;
}
