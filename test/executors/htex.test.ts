// htex passes the conformance suite.
import { htex } from '#src/executors/htex.js';
import { conformance } from '#src/testing/index.js';

conformance({ name: 'htex', make: () => htex({ maxWorkersPerNode: 2, coresPerWorker: 0.5 }) });
