# Copyright (c) mmbombo contributors.
import os
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def run_two_processes():
    """Runs a file in two gloo processes; arguments follow the rank.

    A child of pytest could not import a test by name where another package is
    called ``tests``, as in some releases of MMSegmentation.
    """

    def run(file, *arguments):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        environment = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port))
        processes = [
            subprocess.Popen(
                [sys.executable, file, str(rank), *arguments],
                env=environment) for rank in range(2)
        ]
        try:
            codes = [process.wait(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert codes == [0, 0]

    return run
