"""Worker processes: each makes a share of what one process would make, on cores of its own."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn, TypeVar

import torch

from models.parts.device import free_memory
from utils.errors import InputError
from utils.options.evaluation import JobCount
from utils.system.distributed import Processes

Item = TypeVar("Item")
Share = TypeVar("Share")
Result = TypeVar("Result")

Advance = Callable[[], object]
"""To be called whenever a pair is done."""

_PIXELS_PER_WORKER = 1 << 20  # of one view of all its pairs: what takes longer than a new process
_PATIENCE = 10.0  # seconds that a worker has to remove unfinished files
_STOPS = (signal.SIGINT, signal.SIGTERM)


def count_jobs(
    asked: JobCount, processes: Processes, *, pieces: int, pixels: int, bytes_each: float
) -> int:
    """Number of worker processes that make `pieces` of work; 1: this process makes all.

    "auto" is one for each core that this process may use, as far as they have enough to do and
    memory suffices. It is 1 on a GPU, which one process keeps busy, and where a launcher has
    started several processes.

    Args:
        asked: the option.
        processes: of the launcher, with the device.
        pieces: what can be shared.
        pixels: of one view of all pairs.
        bytes_each: memory that a worker takes.
    """
    if asked != "auto":
        return max(min(asked, pieces), 1)
    if processes.world_size > 1 or processes.device.type != "cpu":
        return 1
    limits = [_usable_cores(), pieces, pixels // _PIXELS_PER_WORKER]
    if (free := free_memory(processes.device)) is not None:
        limits.append(int(free / bytes_each))
    return max(min(limits), 1)


def split(items: Sequence[Item], count: int) -> list[Sequence[Item]]:
    """`count` stretches of neighbouring items; of two lengths, the last ones are the longer."""
    ends = [index * len(items) // count for index in range(count + 1)]
    return [items[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def run_in_workers(
    work: Callable[[Share, Advance], Result],
    shares: Sequence[Share],
    advance: Advance = lambda: None,
) -> list[Result]:
    """Call `work(share, advance)` for each share, each in a process of its own.

    The processes are new ones: forked ones hang once OpenCV or PyTorch have run threads. They share
    the threads of this one and end with it, whatever ends it.

    Args:
        work: what to do; it and the shares travel by pickle.
        shares: at least one.
        advance: called here whenever a worker calls its own.

    Returns:
        The results in the order of the shares.

    Raises:
        InputError: a worker was killed.
        Exception: what `work` raised first in any of the workers; the others are stopped.
    """
    threads = max(torch.get_num_threads() // len(shares), 1)
    workers: list[_Worker] = []
    results: dict[int, Result] = {}
    try:
        for _ in shares:
            workers.append(_Worker(threads))
        for worker, share in zip(workers, shares, strict=True):
            worker.send(pickle.dumps((work, share)))
        while len(results) < len(shares):
            waiting = {
                worker.connection: index
                for index, worker in enumerate(workers)
                if index not in results
            }
            for ready in wait([*waiting]):
                index = next(index for connection, index in waiting.items() if connection is ready)
                kind, content = workers[index].receive()
                if kind == "advance":
                    advance()
                elif kind == "failed":
                    error, trace = content
                    raise error from RuntimeError(f"in a worker process:\n{trace}")
                else:
                    results[index] = content
        return [results[index] for index in range(len(shares))]
    finally:
        for index, worker in enumerate(workers):
            if index not in results:
                worker.process.terminate()
        for worker in workers:
            worker.process.join(_PATIENCE)
            worker.process.kill()


class _Worker:
    """A worker process and the connection to it."""

    def __init__(self, threads: int) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self.connection, its_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(its_end, threads), daemon=True)
        with _without_stops():  # it leaves Ctrl-C to this process from its first moment
            self.process.start()
        its_end.close()

    def send(self, data: bytes) -> None:
        try:
            self.connection.send_bytes(data)
        except (BrokenPipeError, ConnectionResetError):
            self._raise_ended()

    def receive(self) -> tuple[str, Any]:
        try:
            received: tuple[str, Any] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._raise_ended()
        return received

    def _raise_ended(self) -> NoReturn:
        self.process.join(_PATIENCE)
        raise InputError(
            f"a worker process ended unexpectedly (status {self.process.exitcode}); if memory ran "
            "out, lower --jobs"
        )


def _serve(connection: Connection, threads: int) -> None:
    """Receive the work and a share of it, do it, and send what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        work, share = pickle.loads(connection.recv_bytes())
        connection.send(("done", work(share, lambda: connection.send(("advance", None)))))
    except Exception as error:  # noqa: BLE001 - raised again by the process that started this one
        connection.send(("failed", (error, traceback.format_exc())))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it ends: nothing would stop it otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _without_stops() -> Iterator[None]:
    """Hold back stop signals of this thread, and of the processes that it starts meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
