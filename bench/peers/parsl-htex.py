"""Parsl's HTEX under the loads of bench/htex.ts, which starts this with the Python of a Parsl release and reads the lines of JSON.

    python parsl-htex.py DIRECTORY encrypted|plain TASKS
"""
import json
import logging
import os
import sys
import time

STARTED = time.perf_counter()

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

directory, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(directory)
logging.disable(logging.CRITICAL)


@parsl.python_app(cache=False)
def add(a, b):
    return a + b


@parsl.python_app(cache=False)
def length(value):
    return len(value)


@parsl.python_app(cache=False)
def make(count):
    return b"\0" * count


@parsl.bash_app
def true():
    return "true"


def say(what, **numbers):
    print(json.dumps({"what": what, **numbers}), flush=True)


def cpu_seconds():
    """User and system time of this process and of all that it has started."""
    parents, times = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(entry)] = int(fields[1])
        times[int(entry)] = int(fields[11]) + int(fields[12])
    total = 0
    for pid, ticks in times.items():
        ancestor = pid
        while ancestor not in (0, 1, os.getpid()):
            ancestor = parents.get(ancestor, 0)
        if ancestor == os.getpid():
            total += ticks
    return total / os.sysconf("SC_CLK_TCK")


def all_at_once(app, arguments):
    """Seconds and CPU seconds of these calls."""
    cpu, begun = cpu_seconds(), time.perf_counter()
    futures = [app(*given) for given in arguments]
    for future in futures:
        future.result()
    return time.perf_counter() - begun, cpu_seconds() - cpu


executor = HighThroughputExecutor(
    label="htex",
    address="127.0.0.1",
    max_workers_per_node=2,
    encrypted=mode == "encrypted",
    provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
)
config = Config(executors=[executor], initialize_logging=False, strategy="none", run_dir=directory)
parsl.load(config)
loaded = time.perf_counter() - STARTED
add(1, 2).result()
say("start", load=loaded * 1000, first=(time.perf_counter() - STARTED) * 1000)
all_at_once(add, [(1, 2)] * 200)

times = []
for number in range(500):
    begun = time.perf_counter()
    add(number, 1).result()
    times.append((time.perf_counter() - begun) * 1000)
times.sort()
say("alone", p50=times[len(times) // 2], p99=times[len(times) * 99 // 100])

for _ in range(3):
    seconds, cpu = all_at_once(add, [(number, 1) for number in range(count)])
    say("no-op", rate=count / seconds, cpu=cpu / count * 1e6)
ten = b"x" * 10_000
for _ in range(3):
    seconds, cpu = all_at_once(length, [(ten,)] * (count // 2))
    say("10 KB", rate=count // 2 / seconds, cpu=cpu / (count // 2) * 1e6)
large = b"x" * 1_000_000
for _ in range(2):
    seconds, cpu = all_at_once(length, [(large,)] * 60)
    say("1 MB arguments", rate=60 / seconds, cpu=cpu / 60 * 1e6)
    seconds, cpu = all_at_once(make, [(1_000_000,)] * 60)
    say("1 MB results", rate=60 / seconds, cpu=cpu / 60 * 1e6)
seconds, cpu = all_at_once(true, [()] * 200)
say("bash", rate=200 / seconds, cpu=cpu / 200 * 1e6)
parsl.dfk().cleanup()
