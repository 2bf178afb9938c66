#!/usr/bin/env node
// The interchange as a program of its own, to stand where Parsl starts its interchange.py.
import { interchangeMain } from './main.ts';

process.exitCode = await interchangeMain(process.argv.slice(2));
