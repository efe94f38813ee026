# Copyright (c) mmbombo contributors.
import pytest

from mmbombo.datasets.checks import objects_check


class Source:
    source, place, annotation_kinds = 'mine', 'list.txt', ('bbox', )

    def __init__(self, *infos):
        self.infos = infos

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


@pytest.mark.parametrize('infos, warned', [
    ([dict(instances=[]), dict(instances=[1])], False),
    ([dict(instances=[]), dict(instances=[])], True),
    ([dict(instances=[], unlisted_boxes=[[0, 0, 1, 1]])], False),
    ([dict()], False),  # what is read with the sample
])
def test_sources_without_an_object(monkeypatch, infos, warned):
    said = []
    monkeypatch.setattr(objects_check, 'print_log',
                        lambda text, *args: said.append(text))
    objects_check.warn_without_objects(Source(*infos))
    assert bool(said) == warned
    if warned:
        assert "'mine': none of the 2 images of list.txt has an" in said[0]
