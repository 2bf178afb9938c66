"""A small workflow under Parsl's own monitoring: success, failure, retries, dependencies, a join, a remembered call."""
import sys

import parsl
from parsl.app.app import bash_app, join_app, python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.monitoring.monitoring import MonitoringHub
from parsl.providers import LocalProvider


@python_app
def double(number):
    return 2 * number


@python_app(cache=True)
def slow(number):
    import time

    end = time.time() + 3
    while time.time() < end:
        number += 1
    return 1


@python_app
def collect(more, inputs=()):
    return sum(inputs) + more


@python_app
def fails(number):
    raise ValueError(f"quality {number} is <b>out of range</b>")


@python_app
def follows(number):
    return number


@python_app
def flaky(path):
    import os

    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "the second try"
    raise OSError("not yet")


@bash_app
def speak(word, stdout=None, stderr=None):
    return f"echo {word}; echo aside >&2"


@join_app
def fan(count):
    return [double(n) for n in range(count)]


def main():
    hub = MonitoringHub(
        hub_address="127.0.0.1",
        workflow_name="monitored.py",
        workflow_version="7",
        resource_monitoring_interval=1,
    )
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=2,
        # A busy machine takes longer than its usual limit.
        address_probe_timeout=120,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with parsl.load(Config(executors=[executor], monitoring=hub, retries=1)):
        doubled = [double(n) for n in range(3)]
        total = collect(slow(0), inputs=doubled)
        broken = fails(7)
        victim = follows(broken)
        second = flaky(sys.argv[1])
        spoken = speak("hello", stdout=parsl.AUTO_LOGNAME, stderr=parsl.AUTO_LOGNAME)
        fanned = fan(3)
        last = follows(victim)
        total.result()
        for future in [slow(0), broken, victim, second, spoken, fanned, last]:
            print(future.tid, type(future.exception()).__name__, flush=True)


if __name__ == "__main__":
    main()
