"""The worker: `python -m gateway.worker`, started by the supervisor only, which tells it what to be.

Roles: `smtp` takes mail on the sockets it inherits, `desk` does background work, `check` only tells whether the
configuration is right. Heartbeat, watchdog and signals are `worker.process`'s.
"""

from gateway.hooks.runner import running_in
from gateway.worker.process import run_worker
from gateway.worker.work import make_work

if __name__ == "__main__":
    run_worker(make_work, running_in)
