// The report of the census, as text that is readable in 80 columns.
import { relative } from 'node:path';
import type { Counts, PackageReport } from './tasks.ts';

const packagesShown = 20;
const importsShown = 10;

/** @param root names of files are told from there */
export function reportText(packages: readonly PackageReport[], all: Counts, root: string): string {
  const largest = [...packages].sort((a, b) => b.lines - a.lines);
  const shown = largest.slice(0, packagesShown);
  const rest = largest.slice(packagesShown);
  const rows = shown.map((one) => [one.name, whole(one.files), whole(one.lines), whole(one.functions), longestOf(one)]);
  if (rest.length > 0) {
    const sum = (of: (one: PackageReport) => number): string => whole(rest.reduce((total, one) => total + of(one), 0));
    rows.push([
      `${rest.length} more`,
      sum((one) => one.files),
      sum((one) => one.lines),
      sum((one) => one.functions),
      '',
    ]);
  }
  rows.push([`all ${packages.length}`, whole(all.files), whole(all.lines), whole(all.functions), longestOf(all)]);
  const imports = Object.entries(all.imports).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const licences = [...groupCount(packages.map(({ licence }) => licence))].sort(
    (a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1),
  );
  const parts = [
    table(['package', 'files', 'lines', 'functions', 'longest function'], rows, [28, 6, 9, 9, 22]),
    longestText(all, root),
    table(
      ['imported most', 'by files'],
      imports.slice(0, importsShown).map(([name, times]) => [name, whole(times)]),
      [28, 8],
    ),
    table(
      ['licence', 'packages'],
      licences.map(([name, times]) => [name, whole(times)]),
      [28, 8],
    ),
  ];
  if (all.problems.length > 0) {
    const told = all.problems
      .slice(0, 5)
      .map((problem) => `  ${clip(problem.replace(`${root}/`, '').replaceAll('\n', ' '), 77)}`);
    const more = all.problems.length > told.length ? [`  and ${all.problems.length - told.length} more`] : [];
    parts.push(
      [
        `${all.problems.length} ${all.problems.length === 1 ? 'file is' : 'files are'} no program:`,
        ...told,
        ...more,
      ].join('\n'),
    );
  }
  return parts.join('\n\n');
}

function longestText({ longest }: Counts, root: string): string {
  if (longest === undefined) return 'No function at all.';
  return `The longest function is ${longest.name}, ${whole(longest.lines)} lines,\nin ${relative(root, longest.file)}:${longest.line}`;
}

function longestOf({ longest }: Counts): string {
  return longest === undefined ? '' : `${whole(longest.lines)} ${longest.name}`;
}

function groupCount(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function table(head: readonly string[], rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const width = widths[index] as number;
        const text = clip(cell, width);
        return index === 0 || index === 4 ? text.padEnd(width) : text.padStart(width);
      })
      .join(' ')
      .trimEnd();
  return [line(head), line(widths.slice(0, head.length).map((width) => '-'.repeat(width))), ...rows.map(line)].join(
    '\n',
  );
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

function whole(count: number): string {
  return count.toLocaleString('en');
}
