export { type InlineOptions as ThreadsOptions, inline as threads } from './inline.ts';
