# Copyright (c) mmbombo contributors.
import os
import signal

import pytest

from mmbombo.utils import UserError
from mmbombo.utils.processes import in_processes

OFFSET = 0


def begin(offset):
    global OFFSET
    OFFSET = offset


def work(item):
    if item == 'dies':
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 'fails':
        raise UserError('the message')
    return item + OFFSET


def test_results_are_in_order_and_processes_are_prepared():
    found = in_processes(work, range(9), 2, begin, (10, ), chunk=2)
    assert list(found) == [*range(10, 19)]
    assert list(in_processes(work, [], 2)) == []


@pytest.mark.parametrize('item, message', [
    ('dies', 'a process was killed.* fewer --jobs'),
    ('fails', '^the message$'),
])
def test_a_worker_that_dies_ends_it(item, message):
    with pytest.raises(UserError, match=message):
        list(in_processes(work, [1, item, 2, 3], 2))
