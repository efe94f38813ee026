# Copyright (c) mmbombo contributors.
"""Whether the cells of a dense head lie where its priors say."""
from typing import Optional, Sequence

from torch import Tensor, nn

from mmbombo.utils import UserError


def check_level_strides(head: nn.Module, feats: Sequence[Tensor],
                        in_indices: Optional[Sequence[int]],
                        image_size: int) -> None:
    """Compare the strides that a dense head states with those of its maps.

    With others it would look for objects at places and of sizes that its maps
    do not show. A head without stated strides is not judged. Of all maps
    ``feats`` it gets those of ``in_indices``, None means all; ``image_size``
    is the side of the image that they show, in pixels.
    """
    strides = getattr(getattr(head, 'prior_generator', None), 'strides', None)
    if strides is None:
        return
    found = [image_size / max(x.shape[-2:]) for x in feats]
    indices = list(range(len(feats)) if in_indices is None else in_indices)
    fits = len(indices) == len(strides) and all(-len(feats) <= i < len(feats)
                                                for i in indices)
    # sizes may be rounded either way, and a map of one cell may have any
    # stride from the image's size on
    if not fits or any(
            abs(image_size / pixels - cells) >= 1
            for i, stride in zip(indices, strides)
            for pixels, cells in zip(stride, feats[i].shape[:-3:-1])):
        raise UserError(
            f'{type(head).__name__} cannot use its feature maps: its strides '
            f'are {[x[0] for x in strides]}, in_indices of DetTaskHead is '
            f'{in_indices}, and the strides of maps 0 to {len(feats) - 1} are '
            f'{[round(x, 1) for x in found]}; change in_indices, or the '
            'strides of the head (anchor_generator, prior_generator, strides)')
