"""Pools of Chervil that were started without --python: what a submitter of Parsl is told, under either interchange."""
import os

import parsl
from chervil_parsl import executor, failure, tell
from parsl.app.app import python_app
from parsl.config import Config
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

pool = os.environ["CHERVIL_POOL"]


def double(number):
    return 2 * number


if __name__ == "__main__":
    options = {"launch_cmd": DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", pool), "block_error_handler": True}
    htexes = [
        executor(label, provider=LocalProvider(init_blocks=1, max_blocks=1, launcher=SimpleLauncher()), **options, **more)
        for label, more in (("Chervil", {}), ("Parsl", {"interchange_launch_cmd": ["interchange.py"]}))
    ]
    parsl.load(Config(executors=htexes, strategy="none", strategy_period=1, usage_tracking=0))
    futures = [python_app(double, executors=[htex.label])(1) for htex in htexes]
    told = {htex.label: failure(future) for htex, future in zip(htexes, futures)}
    log = os.path.join(htexes[0].logdir, "interchange.log")
    parsl.dfk().cleanup()
    with open(log) as file:
        refusals = [line.strip() for line in file if "Refused" in line]
    tell("no_python", told=told, refusals=refusals)
