"""Many sections by one recipe: in processes of this machine, or on a cluster of Dask."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_smoother.batch.task import Task, perform
from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    Submit = Callable[[Task], "Future[dict[str, Any]]"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster of Dask to use.

    Parameters
    ----------
    address
        Of its scheduler: ``tcp://host:8786``.
    scheduler_file
        That its scheduler wrote; None for ``address``. Without either, Dask's own configuration
        says where it is.
    """

    address: str | None = None
    scheduler_file: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Parameters
    ----------
    report
        Of the section that was done last.
    done, total
        Sections.
    seconds_left
        Estimated from those that were done.
    """

    report: dict[str, Any]
    done: int
    total: int
    seconds_left: float


def run_here(
    tasks: Sequence[Task], tell: Callable[[Progress], None], *, workers: int = 1
) -> list[dict[str, Any]]:
    """Perform tasks in processes of this machine.

    Each section has a process of its own, so that its memory is given back and a process that is
    killed takes no other section with it, and as many threads as there are processors for each
    of the workers.

    Parameters
    ----------
    tasks
        One a section.
    tell
        Told of every section that is done.
    workers
        How many at a time: memory is needed for as many sections.

    Returns
    -------
    list of dict
        Reports, in the order of the tasks.
    """
    threads = str(max((os.cpu_count() or 1) // workers, 1))
    with _threads_of_processes(threads), ThreadPoolExecutor(workers) as pool:
        try:
            return _collected(tasks, lambda task: pool.submit(_perform_alone, task), tell)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # begin no other section
            raise


def _perform_alone(task: Task) -> dict[str, Any]:
    """Perform a task in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(perform, task).result()


def run_on_cluster(
    tasks: Sequence[Task], tell: Callable[[Progress], None], cluster: Cluster
) -> list[dict[str, Any]]:
    """Perform tasks on an existing cluster of Dask.

    Workers have to see the same files under the same paths, and to have this package. A task whose
    worker dies is given to another one, as often as Dask's configuration says
    (``distributed.scheduler.allowed-failures``).

    Parameters
    ----------
    tasks
        One a section.
    tell
        Told of every section that is done.
    cluster
        Which.

    Returns
    -------
    list of dict
        Reports, in the order of the tasks.

    Raises
    ------
    InputError
        If distributed is not installed, or there is no such cluster.
    """
    with _client(cluster) as client:

        def submit(task: Task) -> Any:
            # The same task is to be performed again, for files may have changed.
            return client.submit(perform, task, pure=False)

        return _collected(tasks, submit, tell, wait=_as_dask_completes)


@contextmanager
def _client(cluster: Cluster) -> Iterator[Any]:
    try:
        import dask
        from distributed import Client
    except ImportError as fault:
        raise InputError(
            "Dask's distributed is not installed",
            where="run, --scheduler",
            remedy="Install the extra: pip install 'napari-smoother[dask]'",
        ) from fault
    if cluster.scheduler_file is not None and not Path(cluster.scheduler_file).is_file():
        # Dask would wait for it without an end.
        raise InputError(
            "There is no such file",
            where=f"--scheduler-file {cluster.scheduler_file}",
            remedy="Start the scheduler first: dask scheduler --scheduler-file FILE",
        )
    if cluster == Cluster() and dask.config.get("scheduler-address", None) is None:
        # Dask would start a cluster of its own on this machine.
        raise InputError(
            "Dask's configuration names no scheduler",
            where="run, --dask",
            remedy="Set DASK_SCHEDULER_ADDRESS, or give --scheduler or --scheduler-file",
        )
    try:
        if cluster.scheduler_file is not None:
            client = Client(scheduler_file=cluster.scheduler_file)
        else:
            client = Client(cluster.address)
    except (OSError, ValueError, TimeoutError) as fault:
        raise InputError(
            f"The cluster cannot be reached: {fault}",
            where=cluster.scheduler_file or cluster.address or "Dask's configuration",
            remedy="Check that its scheduler runs, and its address",
        ) from fault
    with client:
        yield client


@contextmanager
def _threads_of_processes(threads: str) -> Iterator[None]:
    """Say how many threads processes begun from here have, where the user has not said it.

    A process reads it as it starts, before anything that is called in it.
    """
    names = ("NAPARI_SMOOTHER_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    unsaid = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(unsaid, threads))
    try:
        yield
    finally:
        for name in unsaid:
            os.environ.pop(name, None)


def _as_dask_completes(futures: Sequence[Any]) -> Iterator[Any]:
    from distributed import as_completed as dask_as_completed

    return iter(dask_as_completed(futures))


def _collected(
    tasks: Sequence[Task],
    submit: Submit,
    tell: Callable[[Progress], None],
    wait: Callable[[Sequence[Any]], Iterator[Any]] = as_completed,
) -> list[dict[str, Any]]:
    """Submit all tasks, and return their reports; one that is lost with its process has failed."""
    began = time.perf_counter()
    futures = [submit(task) for task in tasks]
    places = {id(future): place for place, future in enumerate(futures)}
    # Futures of Dask that wait for the same key are other objects: they are told by their key.
    by_key = {getattr(future, "key", None): place for place, future in enumerate(futures)}
    reports: list[dict[str, Any] | None] = [None] * len(tasks)
    timed = 0
    for done, future in enumerate(wait(futures), start=1):
        place = places.get(id(future))
        if place is None:
            place = by_key[future.key]
        task = tasks[place]
        try:
            report = future.result()
        except Exception as fault:  # the process died, or the worker again and again
            report = {
                "sample": task.sample,
                "path": task.path,
                "status": "failed",
                "error": f"Its process was lost: {type(fault).__name__} {fault}".strip(),
                "seconds": None,
            }
        reports[place] = report
        timed += report["status"] != "unchanged"
        left = len(tasks) - done
        each = (time.perf_counter() - began) / max(timed, 1)
        tell(Progress(report, done, len(tasks), each * left if left else 0.0))
    return [report for report in reports if report is not None]
