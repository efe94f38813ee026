# Copyright (c) mmbombo contributors.
import pytest
import torch

from mmbombo.models.utils import join_images, select_images


def nested(n):
    """Nested tensors, whose first dimension is the image."""
    x = torch.arange(n * 6.).reshape(n, 2, 3)
    return dict(a=x, b=(x + 1, [x + 2]))


@pytest.mark.parametrize('positions, is_view', [
    ([0, 1, 2, 3], True), ([1, 2], True), ([3], True), ([], True),
    ([0, 2], False), ([2, 1], False), ([1, 1], False)])
def test_selected_images_and_their_order(positions, is_view):
    batch = nested(4)
    found = select_images(batch, positions, 4)
    assert torch.equal(found['a'], batch['a'][positions])
    assert type(found['b']) is tuple and type(found['b'][1]) is list
    assert torch.equal(found['b'][1][0], batch['b'][1][0][positions])
    shared = (found['a'].untyped_storage().data_ptr() ==
              batch['a'].untyped_storage().data_ptr())
    assert shared is is_view


def test_what_holds_no_images_is_refused():
    with pytest.raises(TypeError, match='cannot take images out of a float'):
        select_images([torch.zeros(3, 1), 1.], [1], 3)


def test_joined_images_can_be_taken_apart():
    whole = nested(5)
    parts = [select_images(whole, positions, 5)
             for positions in ([0, 1], [2], [3, 4])]
    joined = join_images(parts)
    assert torch.equal(joined['a'], whole['a'])
    assert torch.equal(joined['b'][1][0], whole['b'][1][0])
