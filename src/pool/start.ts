#!/usr/bin/env node
// The worker pool as a program of its own, to stand where Parsl starts its process_worker_pool.py.
import { workerPool } from './main.ts';

process.exit(await workerPool(process.argv.slice(2)));
