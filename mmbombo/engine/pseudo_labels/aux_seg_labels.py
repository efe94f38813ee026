# Copyright (c) mmbombo contributors.
from typing import Dict, Iterable, Iterator, Sequence, Tuple, Union

import torch
from mmdet.structures import SampleList
from PIL import Image
from torch import Tensor, nn

from mmbombo.models.layers import propagate
from mmbombo.models.task_heads import AuxSegTaskHead
from mmbombo.models.utils import valid_cells
from mmbombo.registry import TASK_UTILS
from mmbombo.structures import IMAGE_LABEL, SALIENCY
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.utils import UserError
from mmbombo.visualization import label_map_image
from mmbombo.weak_labels.cam import normalize_cam
from mmbombo.weak_labels.cam_saliency import fuse_cam_saliency, refine_saliency
from mmbombo.weak_labels.crf import DenseCRF, crf_params
from .cam_masks import SCALES, CamMasks
from .mask_writer import MaskWriter


@TASK_UTILS.register_module()
class AuxSegLabels(CamMasks):
    """The masks and saliency maps of AuxSegNet's next stage.

    In stage 0 the masks are activation maps of a classifier fused with the
    saliency maps that there are, see :func:`fuse_cam_saliency`. Of a whole
    network the affinity across tasks moves the activation maps, and a CRF
    refines the mean of its saliency and of the map that there is, which in
    the published code is that of the data set in every stage.

    That the maps of a classifier are a mean over scales is ours: the published
    code does not make them.

    Args:
        threshold (float): Of activation maps. Defaults to 0.2.
        scales (Sequence[float]): Sizes of the image whose maps are averaged,
            each mirrored too, where there is no affinity. Defaults to (0.5, 1,
            1.5, 2).
        initial (bool): Whether the labels are those of stage 0, for which a
            whole network is only read for its classifier. Defaults to False.
        crf (str | dict, optional): Parameters of the CRF, see
            :class:`CRFParams`, or None for no CRF. Defaults to 'aux_sal'.
    """
    folders = dict(
        MaskWriter.folders,
        saliency='8-bit gray PNG: 255 is salient with certainty')

    def __init__(self,
                 threshold: float = 0.2,
                 scales: Sequence[float] = SCALES,
                 initial: bool = False,
                 crf: Union[str, dict, None] = 'aux_sal') -> None:
        super().__init__(threshold, scales)
        self.initial = initial
        self.crf = None if crf is None else crf_params(crf)

    def write(self, model: nn.Module, inputs: Tensor,
              samples: SampleList) -> Iterable[Dict[str, Image.Image]]:
        """Make the mask and the saliency map of each image."""
        for sample in samples:
            for kind in (IMAGE_LABEL, SALIENCY):
                if f'gt_{kind}' not in sample:
                    raise UserError(f'{sample.img_path} has no {kind}: give '
                                    'its source this kind')
        # the pixels of a tag that is several classes, or none, are unknown
        sets = torch.cat([~self.rules.any(0, keepdim=True), self.rules])[None]
        for sample, cam, saliency in zip(
                samples, *self.cams_and_saliency(model, inputs, samples)):
            numbers = fuse_cam_saliency(cam, saliency,
                                        sample.gt_image_label.label,
                                        self.threshold)
            ids = CandidateMap(numbers[None, None],
                               sets.to(numbers.device)).single_classes()
            gray = (saliency.clamp(min=0) * 255).round().byte().cpu().numpy()
            yield dict(
                masks=label_map_image(ids[0, 0].cpu().numpy(), self.styles),
                saliency=Image.fromarray(gray))

    def cams_and_saliency(
            self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Tuple[Iterable[Tensor], Iterable[Tensor]]:
        """Maps ``(T, H, W)`` and saliency ``(H, W)`` at the original size."""
        head = model.head('cls')
        given = [sample.gt_saliency.data[0] for sample in samples]
        if self.initial or not isinstance(head, AuxSegTaskHead):
            return self.maps(model, inputs, samples), given
        outputs, affinity = head.with_affinity(
            model.extract_feat(inputs), samples)
        if affinity is None:
            cams = self.maps(model, inputs, samples)
        else:
            cams = moved_maps(head, outputs['cls'][1], affinity, inputs,
                              samples)
        if 'sal' not in outputs:
            return cams, given
        return cams, self.saliency(head, outputs['sal'][0], given, inputs,
                                   samples)

    def saliency(self, head: AuxSegTaskHead, logits: Tensor,
                 given: Sequence[Tensor], inputs: Tensor,
                 samples: SampleList) -> Iterator[Tensor]:
        """The mean of what the network says and of what is given, refined."""
        size = inputs.shape[-2:]
        for i, sample in enumerate(samples):
            own = head.at_original(logits[i].float().sigmoid(), size,
                                   sample)[0]
            mean = torch.where(given[i] < 0, own, (own + given[i]) / 2)
            if self.crf is not None:
                image = head.raw_images(inputs[i][None])[0]
                crf = DenseCRF(head.at_original(image, size, sample), self.crf)
                mean = refine_saliency(mean, crf)
            yield mean


def moved_maps(head: AuxSegTaskHead, maps: Tensor, affinity: Tensor,
               inputs: Tensor, samples: SampleList) -> Iterator[Tensor]:
    """Maps ``(T, H, W)`` at the original size, moved by an affinity.

    Each has a maximum of 1 before, not again behind it.
    """
    size = inputs.shape[-2:]
    inside = valid_cells([x.metainfo for x in samples], maps.shape[-2:], size,
                         maps.device)
    maps = normalize_cam(maps.float().relu() * inside[:, None])
    maps = propagate(maps, affinity, head.transpose)
    for sample, cam in zip(samples, maps):
        yield head.at_original(cam, size, sample)
