"""10,000 empty tasks through two workers; prints rate and CPU by process. Used by the bench.

Arguments: number of tasks, and the interchange's command as JSON (empty list: Parsl's own).
"""
import json
import os
import sys
import time

import parsl
import psutil
from chervil_parsl import executor, ready, tell
from parsl.app.app import python_app
from parsl.config import Config


@python_app
def nothing():
    pass


def cpu(pids):
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
        except psutil.NoSuchProcess:
            pass
    return total


def place(process):
    try:
        return process.cwd()
    except psutil.Error:
        return None


if __name__ == "__main__":
    count = int(sys.argv[1])
    command = json.loads(sys.argv[2])
    htex = executor("noops", workers=2, interchange_launch_cmd=command or None, worker_debug=False)
    parsl.load(Config(executors=[htex], strategy="none", usage_tracking=0, initialize_logging=False))
    ready(htex)
    for future in [nothing() for _ in range(200)]:
        future.result()
    interchange = htex.interchange_proc.pid
    groups = {"submitter": [psutil.Process().pid], "interchange": [interchange]}
    # Parsl detaches its pools, but they work in this directory as this program does.
    here = os.getcwd()
    others = [p.pid for p in psutil.process_iter() if p.pid not in (interchange, os.getpid()) and place(p) == here]
    groups["pool and workers"] = others
    if not others:
        raise RuntimeError("no pool")
    before = {name: cpu(pids) for name, pids in groups.items()}
    begin = time.monotonic()
    for future in [nothing() for _ in range(count)]:
        future.result()
    seconds = time.monotonic() - begin
    used = {name: (cpu(pids) - before[name]) * 1e6 / count for name, pids in groups.items()}
    tell("noops", rate=count / seconds, cpu=used, total=sum(used.values()))
    parsl.dfk().cleanup()
