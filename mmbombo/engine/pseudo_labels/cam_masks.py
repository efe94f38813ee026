# Copyright (c) mmbombo contributors.
from typing import Iterable, Sequence

import torch
from mmdet.structures import SampleList
from mmengine.dataset import BaseDataset
from torch import Tensor, nn

from mmbombo.models.context.view import View, resize
from mmbombo.models.utils import unpadded_shape
from mmbombo.registry import TASK_UTILS
from mmbombo.structures.class_names import require_same_classes
from mmbombo.structures.image_labels import ABSENT
from mmbombo.utils import UserError
from mmbombo.weak_labels.cam import mean_cam, normalize_cam
from .mask_writer import MaskWriter, label_ids

SCALES = (.5, 1, 1.5, 2)


@TASK_UTILS.register_module()
class CamMasks(MaskWriter):
    """Class activation maps of the classes that the tags of an image leave.

    A pixel is background where no map reaches the threshold, as in what is
    called CAM in tables of weakly supervised segmentation.

    Args:
        threshold (float): Of maps with a maximum of 1.
        scales (Sequence[float]): Sizes of the image whose maps are averaged,
            each mirrored too. Defaults to (0.5, 1, 1.5, 2).
    """

    def __init__(self,
                 threshold: float,
                 scales: Sequence[float] = SCALES) -> None:
        self.threshold = threshold
        self.views = [(x, flip) for x in scales for flip in (False, True)]

    def prepare(self, model: nn.Module, dataset: BaseDataset) -> None:
        """Compare the tags of the network and of the data set, too."""
        require_same_classes(
            model.classes.get('cls', ()),
            dataset.metainfo.get('cls_classes', ()),
            ('the model', 'the data set'), 'their tags differ')
        super().prepare(model, dataset)

    def ids(self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Iterable[Tensor]:
        """The class of the highest map, or what no tag is about."""
        rest = ~self.rules.any(0)
        for sample, cam in zip(samples, self.maps(model, inputs, samples)):
            scores = torch.stack([
                cam[rule].amax(0) if rule.any() else torch.zeros_like(cam[0])
                for rule in self.rules.T
            ])
            # of several classes without tags none is known: 255
            scores[rest] = self.threshold if rest.sum() == 1 else -1.
            scores[:, scores.amax(0) < self.threshold] = -1.
            yield label_ids(scores, 0.)

    def maps(self, model: nn.Module, inputs: Tensor,
             samples: SampleList) -> Iterable[Tensor]:
        """Maps ``(T, H, W)`` of each image at its original size.

        Those of tags that it has not are 0, all others have a maximum of 1.
        """
        maps = []
        for scale, flip in self.views:
            view = View(model, inputs, samples, scale, flip, None, False,
                        False)
            found = view.outputs('cls')[1]
            maps.append(view.restore(found, found.shape[-2:]))
        for sample, cam in zip(samples, mean_cam(maps)):
            if 'gt_image_label' not in sample:
                raise UserError(
                    f'{sample.img_path} has no tags, which say whose maps '
                    'count (boxes give some with ImplyImageLabels in the test '
                    'pipeline)')
            height, width = unpadded_shape(sample)
            cam = resize(cam[None], inputs.shape[-2:])[..., :height, :width]
            cam = normalize_cam(resize(cam, sample.ori_shape[:2])[0])
            cam[sample.gt_image_label.label == ABSENT] = 0
            yield cam
