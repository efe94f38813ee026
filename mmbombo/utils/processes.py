# Copyright (c) mmbombo contributors.
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Iterable, Iterator, Optional

from rich.progress import track

from .user_errors import UserError


def in_processes(task: Callable[[Any], Any],
                 items: Iterable[Any],
                 jobs: Optional[int] = None,
                 start: Optional[Callable] = None,
                 shared: tuple = (),
                 chunk: int = 1,
                 title: str = '') -> Iterator[Any]:
    """Results of a task for each of some items, in their order, with a bar.

    The processes are forks, where the system has them, which see what this
    one has. ``multiprocessing.Pool`` waits for ever for the items of a process
    that was killed.

    Args:
        task (Callable): What is done with an item.
        items (Iterable): The items.
        jobs (int, optional): Number of processes. Defaults to None, as many
            as there are cores.
        start (Callable, optional): Called first in each process.
            Defaults to None.
        shared (tuple): Arguments of ``start``. Defaults to ().
        chunk (int): Items that a process is given at once. Defaults to 1.
        title (str): What stands before the bar. Defaults to ''.

    Raises:
        UserError: If a process dies.
    """
    items = list(items)
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in kinds else None)
    with ProcessPoolExecutor(jobs, context, start, shared) as pool:
        try:
            done = pool.map(task, items, chunksize=chunk)
            yield from track(done, title, total=len(items))
        except BrokenProcessPool:
            raise UserError(
                'a process was killed, often for want of memory: run the '
                'same command again, with fewer --jobs') from None
