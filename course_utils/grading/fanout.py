"""Jobs to results over an executor: processes of this machine, or a Dask cluster.

Only a few jobs are under way at a time, so that memory does not grow with the class. A worker that dies takes
the pool with it; what was under way is then tried once more, one at a time, so that the guilty one is known.
"""

import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from course_utils.grading.jobs import Result

AHEAD = 2  # jobs under way for each worker


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def process_pools(workers):
    """Gives a function that opens a new pool of worker processes; the last one is closed at the end."""
    opened = []

    def open_pool():
        _close(opened)
        # spawn: a fork would copy threads of torch and of the database into the worker
        pool = concurrent.futures.ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )
        opened.append(pool)
        return pool

    try:
        yield open_pool, workers
    finally:
        _close(opened)


@contextmanager
def dask_cluster(address):
    """As `process_pools`, over the workers of a Dask cluster.

    Raises:
        ValueError: nobody answers at this address, or there is no worker.
    """
    from distributed import Client

    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler: nobody answers at {address}: {error}") from error
    with client:
        workers = sum(
            worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()
        )
        if not workers:
            raise ValueError(f"scheduler: {address} has no workers")
        yield client.get_executor, workers


def fan_out(jobs, work, open_executor, workers):
    """Yield a `Result` for each job, as they come.

    Args:
        jobs: an iterable, taken from as workers become free.
        work: from a job to a `Result`; it and the jobs can be pickled.
        open_executor: opens a new executor.
        workers: how many jobs it runs at once.
    """
    jobs, again, running = iter(jobs), deque(), {}
    executor = open_executor()
    while True:
        alone = bool(again)
        while len(running) < (1 if alone else AHEAD * workers):
            job = again.popleft() if again else next(jobs, None) if not alone else None
            if job is None:
                break
            try:
                running[executor.submit(work, job)] = job, alone
            except BrokenProcessPool:  # by an earlier job; this one did nothing
                again.append(job)
                if not running:
                    executor = open_executor()
                break
            if alone:
                break
        if not running:
            if again:
                continue
            return
        done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
        broken = False
        for future in done:
            job, was_alone = running.pop(future)
            try:
                yield future.result()
            except BrokenProcessPool:
                broken = True
                if was_alone:
                    yield Result(job.student, "ungraded", "the worker that graded it died, twice")
                else:
                    again.append(job)
            except concurrent.futures.CancelledError:
                yield Result(job.student, "ungraded", "the cluster gave it up")
            except Exception as error:  # a worker that was killed, an answer that cannot be read
                yield Result(
                    job.student, "ungraded", f"its worker failed: {type(error).__name__}: {error}"[:500]
                )
        if broken:
            again.extend(job for job, _ in running.values())
            running.clear()
            executor = open_executor()


def _begin():
    """In a new worker: end with the parent, even where that is killed, and leave interrupts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_death_signal = getattr(ctypes.CDLL(None), "prctl", None) if os.name == "posix" else None
    if set_death_signal:
        set_death_signal(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _close(opened):
    while opened:
        opened.pop().shutdown(wait=True, cancel_futures=True)
