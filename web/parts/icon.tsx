// The few pictures of the page, drawn as lines. Decoration: what they mean stands beside them as text.
import type { JSX } from 'preact';

const paths = {
  overview: 'M4 19V11M10 19V5M16 19v-6M21 19H3',
  attention: 'M12 4 2.800 20h18.400zM12 10v4.500M12 17.300v.2',
  tasks: 'M8.500 6H21M8.500 12H21M8.500 18H21M4 6h.01M4 12h.01M4 18h.01',
  graph:
    'M6 8.500v7M8.300 7.500l7 3.500M8.300 16.800l7-3.600M6 3.500a2.500 2.500 0 1 0 .01 0M6 15.500a2.500 2.500 0 1 0 .01 0M18 9.500a2.500 2.500 0 1 0 .01 0',
  timeline: 'M3 6h8M8 12h9M13 18h8',
  executors: 'M4 5h16v6H4zM4 13h16v6H4zM7.500 8h.01M7.500 16h.01',
  back: 'M15 5l-7 7 7 7',
  search: 'M10.500 4a6.500 6.500 0 1 0 .01 0M15.500 15.500 21 21',
  light:
    'M12 8a4 4 0 1 0 .01 0M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5',
  dark: 'M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500Z',
  auto: 'M12 3a9 9 0 1 0 .01 0M12 3v18M12 7h6M12 12h9M12 17h6',
  done: 'M4.500 12.500l5 5 10-11',
  arrow: 'M5 12h14M13 6l6 6-6 6',
  leaf: 'M12 22V11M12 12.500C6 12.500 3.500 9 3.500 4c5.500 0 8.500 3 8.500 8.500ZM12 16.500c0-5 3-8 8.500-8 0 5-2.500 8-8.500 8Z',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
