# Copyright (c) mmbombo contributors.
"""A further process of ours, which does what it is told to.

Unlike the ``Baseline``, which must not import mmbombo.
"""
from multiprocessing.connection import Connection
from typing import Callable, Dict

from torch import multiprocessing

#: Seconds that a process has to end by itself.
PATIENCE = 30


class Worker:
    """The process, as seen from here.

    Args:
        prepare (Callable): A function of a module; called in the process, it
            gives its commands, a dict of functions without arguments.
        *args: Arguments of the function.
    """

    def __init__(self, prepare: Callable[..., Dict[str, Callable]],
                 *args) -> None:
        context = multiprocessing.get_context('spawn')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=obey, args=(theirs, prepare, args), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, command: str):
        """What a command returns."""
        self.tell(command)
        return self.hear()

    def tell(self, command: str) -> None:
        """Begin a command, for :meth:`hear` to wait for."""
        self.pipe.send(command)

    def hear(self):
        """What the command returns."""
        return self.pipe.recv()

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(PATIENCE)
        self.process.terminate()


def obey(pipe: Connection, prepare: Callable, args: tuple) -> None:
    """The process: commands until the pipe is closed."""
    commands = prepare(*args)
    while True:
        try:
            pipe.send(commands[pipe.recv()]())
        except EOFError:
            return
