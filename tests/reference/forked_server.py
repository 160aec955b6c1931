"""Jobs in processes that can be killed, forked from a server that has imported everything.

A test file has a function ``serve()`` that prepares the server and ends with `serve_jobs`; its
tests talk to a `Server` of that file.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def serve_jobs(jobs, prepare=lambda job: None):
    """For each line, a job, fork a process that does it, maybe kill it; tell how it ended.

    Parameters
    ----------
    jobs : dict of str to callable
        Called with what the line holds besides the name, ``job``, and ``delay``: the seconds
        after which the process is killed.
    prepare : callable
        Called with each job before the fork.
    """
    print("serving", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        do, delay = jobs[job.pop("job")], job.pop("delay", None)
        prepare(job)
        pid = os.fork()
        if not pid:
            try:
                do(**job)
                os._exit(0)
            except BaseException as error:  # the child must not go on as a second server
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


def wait_for_signal(*said):
    """Within a job: tell the test that it can send its signal, and wait for good."""
    print("ready", os.getpid(), *said, flush=True)
    while True:  # in Python, as long as a slow update would take
        signal.pause()


class Server:
    """The server, seen from the tests; closed at the end of a ``with``.

    Parameters
    ----------
    module : str
        Whose ``serve()`` runs in it.
    *before : str
        Command that the server's is appended to.
    """

    def __init__(self, module, *before):
        code = f"from {module} import serve; serve()"
        one_thread = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", code],
            cwd=ROOT, env=os.environ | one_thread | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.read() == "serving"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.__exit__(*error)

    def read(self):
        return self.process.stdout.readline().rstrip()

    def start(self, job, out, **params):
        line = json.dumps({"job": job, "out": out} | params, default=str)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def do(self, job, out, **params):
        """Results of a job that runs to its end."""
        self.start(job, out, **params)
        assert self.read() == "ended 0"
        with np.load(f"{out}.npz") as arrays:
            return dict(arrays)

    def kill(self, job, out, delay, **params):
        """Whether a job was killed so many seconds after its start, before it ended."""
        self.start(job, out, delay=delay, **params)
        said = self.read()
        assert said in ("ended 0", f"ended {-signal.SIGKILL}")
        return said != "ended 0"

    def send(self, number, job, out, **params):
        """Send a signal to a job that waits for it; what it said besides, and how it ended."""
        self.start(job, out, **params)
        ready, pid, *said = self.read().split()
        assert ready == "ready", ready
        os.kill(int(pid), number)
        return said, self.read()
