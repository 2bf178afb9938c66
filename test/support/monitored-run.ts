// The row of a run, as a writer of the monitoring database is started with it.

/** Columns of `runs` of a run that has done nothing yet. */
export const runRow = {
  run_id: 'a-run',
  name: 'program.ts',
  version: '1',
  began: 1,
  ended: null,
  end_reason: null,
  host: 'h',
  user: 'u',
  directory: '/',
  pid: 1,
  command: '',
  chervil_version: '1',
  node_version: 'v24',
  tasks: 0,
  completed: 0,
  memoized: 0,
  failed: 0,
  sample_ms: 0,
  written: null,
  lag_ms: null,
  lost_events: 0,
};
