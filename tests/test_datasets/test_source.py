# Copyright (c) mmbombo contributors.
"""What all sources share."""
import gc

import pytest
from mmengine.dataset import BaseDataset

from mmbombo.datasets.source import SourceMixin


class CountingSource(SourceMixin, BaseDataset):
    """Notes how many objects a collection of garbage would pass over."""

    def __init__(self):
        self.declare(('bbox', ), 'counting')
        super().__init__()

    def load_data_list(self):
        self.passed_over = gc.get_freeze_count()
        return [dict(img_path='0.jpg')]


@pytest.fixture
def unfrozen():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_a_source_is_listed_without_a_look_at_older_objects(unfrozen):
    source = CountingSource()
    assert len(source) == 1
    assert source.passed_over > 10000
    assert gc.get_freeze_count() == 0


def test_objects_that_somebody_else_froze_stay_so(unfrozen):
    gc.freeze()
    frozen = gc.get_freeze_count()
    assert CountingSource().passed_over <= frozen
    assert gc.get_freeze_count() > frozen * .9
