"""The workflow of the matrix, submitted by Python's Parsl: an executor for each interchange and pool, all at work at once.

Prints a line of JSON for each, and once more, with encryption.
"""
import json
import os
import traceback
from concurrent.futures import ThreadPoolExecutor

import parsl
from parsl.app.app import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

patience = 90
interchange = json.loads(os.environ["CHERVIL_INTERCHANGE"])
pool = os.environ["CHERVIL_POOL"]
sides = ["Parsl", "Chervil"]


def executor(encrypted, broker, workers):
    options = {}
    if broker == "Chervil":
        options["interchange_launch_cmd"] = interchange
    if workers == "Chervil":
        options["launch_cmd"] = DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", pool)
    return HighThroughputExecutor(
        label="%s_%s" % (broker, workers),
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=0.01,
        heartbeat_period=1,
        heartbeat_threshold=60,
        encrypted=encrypted,
        provider=LocalProvider(init_blocks=0, min_blocks=0, max_blocks=1, launcher=SimpleLauncher()),
        **options,
    )


def double(number):
    return 2 * number


def refuse(text):
    raise ValueError(text)


def echo(data):
    return data


def named(first, *, second, third=3):
    return [first, second, third]


def pool_here():
    import os

    return "Chervil" if "CHERVIL_WORKER" in os.environ else "Parsl"


def interchange_of(htex):
    with open(os.path.join(htex.logdir, "interchange.log")) as file:
        return "Parsl" if "parsl.executors.high_throughput.interchange" in file.read() else "Chervil"


def die():
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def shown(error):
    return type(error).__name__


def workflow(htex):
    def run(function, *args, **named):
        return python_app(function, executors=[htex.label])(*args, **named)

    htex.scale_out_facade(1)
    facts = {}
    facts["value"] = run(double, 21).result(timeout=patience) == 42
    error = run(refuse, "as it was said").exception(timeout=patience)
    facts["exception"] = shown(error) if str(error) == "as it was said" else repr(error)
    data = bytes(range(256)) * 4096
    facts["large"] = run(echo, data).result(timeout=patience) == data
    facts["named"] = run(named, 1, second="two").result(timeout=patience) == [1, "two", 3]
    many = [run(double, number) for number in range(50)]
    facts["many"] = [future.result(timeout=patience) for future in many] == [2 * number for number in range(50)]
    facts["lost"] = shown(run(die).exception(timeout=patience))
    facts["after"] = run(double, 4).result(timeout=patience) == 8
    ran = [interchange_of(htex), run(pool_here).result(timeout=patience)]
    if "_".join(ran) != htex.label:
        facts["error"] = "not as meant, but %s" % ran
    return facts


def told(htex):
    try:
        return workflow(htex)
    except BaseException:
        return {"error": traceback.format_exc()}


if __name__ == "__main__":
    for encrypted in [False, True]:
        executors = [executor(encrypted, broker, workers) for broker in sides for workers in sides]
        parsl.load(Config(executors=executors, strategy="none", usage_tracking=0, initialize_logging=False))
        with ThreadPoolExecutor() as threads:
            for htex, facts in zip(executors, threads.map(told, executors)):
                broker, workers = htex.label.split("_")
                row = {"interchange": broker, "pool": workers, "functions": "Python", "encrypted": encrypted}
                print(json.dumps({**row, **facts}), flush=True)
        parsl.dfk().cleanup()
        parsl.clear()
