# Copyright (c) mmbombo contributors.
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import OptConfigType
from torch import Tensor, nn

from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.registry import MODELS
from mmbombo.structures import IMAGE_LABEL
from mmbombo.structures.image_labels import UNKNOWN, only_classes
from .local_task_head import has

#: Length of the features that are contrasted.
NUM_FEATURES = 128


@MODELS.register_module()
class LocalClassHead(nn.Module):
    """Learns the one class that an image shows.

    Convolutions with normalization, the mean over the image, and linear
    layers; then softmax and cross-entropy, or a contrastive loss of features.
    Images of which not exactly one class is known to be present are ignored.

    The defaults are InfoPro's "1c2f" for CIFAR. Without ``convs`` and
    ``hidden``, both empty, it is the linear classifier of plain greedy
    training ("0c1f").

    Args:
        in_channels (int): Channels of the map.
        num_classes (int): Number of classes, C.
        convs (Sequence[tuple[int]], optional): Kernel size, channels and
            stride of each convolution. Defaults to None: one of 3x3, to twice
            the channels at stride 2, up to 64, and from 64 on as many at
            stride 1.
        hidden (Sequence[int]): Widths of the linear layers before the last.
            Defaults to (128, ).
        contrast (dict, optional): Config of a loss of features and labels,
            such as ``dict(type='SupConLoss')``. Defaults to None, softmax.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 convs: Optional[Sequence[Tuple[int, int, int]]] = None,
                 hidden: Sequence[int] = (128, ),
                 contrast: OptConfigType = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        if convs is None:
            wide = in_channels >= 64
            convs = [(3, in_channels * (2 - wide), 2 - wide)]
        self.convs = nn.Sequential()
        for kernel, channels, stride in convs:
            self.convs.append(
                ConvModule(
                    in_channels,
                    channels,
                    kernel,
                    stride=stride,
                    padding=kernel // 2,
                    norm_cfg=dict(type='BN')))
            in_channels = channels
        self.linear = nn.Sequential()
        for width in hidden:
            self.linear.extend(
                [nn.Linear(in_channels, width),
                 nn.ReLU(inplace=True)])
            in_channels = width
        self.contrast = contrast and MODELS.build(contrast)
        self.linear.append(
            nn.Linear(in_channels, NUM_FEATURES if contrast else num_classes))

    def loss(self, feat: Tensor, samples: Sequence,
             size: Tuple[int, int]) -> Tensor:
        """The loss of a map ``(N, C, h, w)``; without samples, nothing is
        known of the images."""
        outputs = self.linear(self.convs(feat).mean(dim=(2, 3)))
        labels = torch.full((len(feat), self.num_classes),
                            UNKNOWN,
                            device=feat.device)
        for image, sample in enumerate(samples):
            if has(sample, IMAGE_LABEL, 'gt_image_label'):
                labels[image] = sample.gt_image_label.label.to(labels)
        classes, known = only_classes(labels)
        if self.contrast is not None:
            return self.contrast(outputs[known], classes[known])
        loss = F.cross_entropy(
            full_precision(outputs), classes, reduction='none')
        return weighted_mean(loss, known)
