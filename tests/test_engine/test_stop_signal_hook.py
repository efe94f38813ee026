# Copyright (c) mmbombo contributors.
"""A second signal ends a process whose step does not end."""
import signal
import subprocess
import sys
import time

import pytest

HANGS = '''
import time
from mmbombo.engine.hooks import StopSignalHook
with StopSignalHook().listening():
    print('begun', flush=True)
    time.sleep(60)
    time.sleep(60)
'''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process(number):
    with subprocess.Popen([sys.executable, '-c', HANGS],
                          stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line == 'begun\n':
                break
        for pause in (.1, 1.2):  # the same one again: the terminal's
            process.send_signal(number)
            time.sleep(pause)
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(30) == -number
