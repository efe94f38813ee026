# Copyright (c) mmbombo contributors.
from typing import Optional, Sequence, Tuple

import torch.nn.functional as F
from mmdet.utils import ConfigType
from torch import Tensor

from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.registry import MODELS
from mmbombo.structures.image_labels import only_classes
from .cls_task_head import ClsTaskHead


@MODELS.register_module()
class SingleLabelTaskHead(ClsTaskHead):
    """Classification of images that show one class each: softmax.

    The loss is the cross-entropy, as a mean over all images of all ranks of
    which exactly one class is known to be present. Arguments are those of the
    base class.
    """

    def loss_on_targets(self,
                        task: str,
                        outputs: Tuple[Tensor, Tensor],
                        targets: Tensor,
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """The cross-entropy on labels ``(n, C)``."""
        classes, known = only_classes(targets)
        loss = F.cross_entropy(
            full_precision(outputs[0]), classes, reduction='none')
        return dict(loss_cls=self.loss_weight * weighted_mean(loss, known))

    def decode(self,
               task: str,
               outputs: Tuple[Tensor, Tensor],
               metas: Sequence[dict],
               cfg: Optional[ConfigType] = None) -> Tensor:
        """Probabilities ``(n, C)``, which add up to 1."""
        return full_precision(outputs[0]).softmax(1)
