# Copyright (c) mmbombo contributors.
"""Whether the cells of a dense head lie where its priors say."""
from typing import List, Optional, Sequence, Tuple

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
    num_maps = len(feats)
    indices = list(range(num_maps) if in_indices is None else in_indices)
    problems = [
        f'there is no map {i}' for i in indices
        if not -num_maps <= i < num_maps
    ]
    if len(indices) != len(strides):
        problems.append(f'it has strides for {len(strides)} levels, but gets '
                        f'{len(indices)} maps')
    problems = problems or wrong_levels(strides, [feats[i] for i in indices],
                                        image_size)
    if problems:
        found = ', '.join(stride_text(x, image_size) for x in feats)
        raise UserError(
            f'{type(head).__name__} cannot use its feature maps: '
            f'{"; ".join(problems)}. in_indices of DetTaskHead is '
            f'{in_indices}, the strides of maps 0 to {num_maps - 1} are '
            f'{found}; change in_indices, or the strides of the head '
            '(anchor_generator, prior_generator, strides)')


def wrong_levels(strides: Sequence[Tuple[int, int]], maps: Sequence[Tensor],
                 image_size: int) -> List[str]:
    """A line per level whose stride is not that of its map."""
    lines = []
    for level, (stride, feat) in enumerate(zip(strides, maps)):
        # sizes may be rounded either way, and a map of one cell may have any
        # stride from the image's size on
        fits = all(
            abs(image_size / pixels - cells) < 1
            for pixels, cells in zip(stride, feat.shape[:-3:-1]))
        if not fits:
            stated = stride[0] if len(set(stride)) == 1 else tuple(stride)
            lines.append(f'level {level} has stride {stated} in the head, '
                         f'but its map {stride_text(feat, image_size)}')
    return lines


def stride_text(feat: Tensor, image_size: int) -> str:
    """The stride of a map ``(N, C, H, W)``, as far as its size shows it."""
    cells = max(feat.shape[-2:])
    at_least = '' if cells > 1 else ' or more'
    return f'{image_size / cells:.3g}{at_least}'
