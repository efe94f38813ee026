# Copyright (c) mmbombo contributors.
import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_two_processes(tmp_path):
    """Runs a file in gloo processes; arguments follow the rank.

    A child of pytest could not import a test by name where another package is
    called ``tests``, as in some releases of MMSegmentation.
    """

    def run(file, *arguments, world=2):
        environment = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
            GLOO_STORE=str(tmp_path / 'gloo_store'))
        processes = [
            subprocess.Popen(
                [sys.executable, file, str(rank), *arguments],
                env=environment) for rank in range(world)
        ]
        try:
            codes = [process.wait(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert codes == [0] * world

    return run
