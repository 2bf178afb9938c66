"""A run that never ends by itself: prints who belongs to it, so that a test can kill it and look who goes on."""
import signal
import sys

import parsl
from chervil_parsl import executor, patience, ready, tell
from parsl.app.app import python_app
from parsl.config import Config


@python_app
def pool_pid():
    import os

    return os.getppid()


@python_app
def wait():
    import time

    time.sleep(3600)


if __name__ == "__main__":
    htex = executor("doomed", workers=2, encrypted=sys.argv[1] == "encrypted")
    parsl.load(Config(executors=[htex], strategy="none", usage_tracking=0))
    ready(htex)
    pool = pool_pid().result(timeout=patience)
    waiting = [wait() for _ in range(10)]
    tell("running", interchange=htex.interchange_proc.pid, pool=pool)
    signal.pause()
