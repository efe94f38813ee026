# Copyright (c) mmbombo contributors.
from typing import Callable, List, Sequence, Tuple, Union

import torch
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import ModuleList
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX, SEM_SEG
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError
from mmbombo.weak_labels.crf import crf_params
from .base_task_head import library_scope, overridden, require_num_classes
from .decode_head_loss import decode_head_loss
from .labeled_pixels import LabeledPixelMean, LabeledPixelsOnly
from .map_task_head import MapTaskHead


@MODELS.register_module()
class SegTaskHead(MapTaskHead):
    """Semantic segmentation with heads of MMSegmentation, unchanged.

    Cross-entropy becomes the mean over all labeled pixels of all ranks, see
    :class:`LabeledPixelMean`; other losses are kept from unlabeled pixels,
    see :class:`LabeledPixelsOnly`.

    Args:
        head (dict): Config of the decode head, such as ``model.decode_head``
            of a stock config. Types without a prefix are MMSegmentation's.
        auxiliary_head (dict | list[dict], optional): Heads that only train.
            Defaults to None.
        test_cfg (dict): ``mode='whole'``, or ``mode='slide'`` with
            ``crop_size`` and ``stride``, both (height, width) in pixels. With
            ``crf``, the name of a preset or a dict of
            :class:`~mmbombo.weak_labels.crf.CRFParams`, a dense CRF refines
            the predictions at the original size, not pseudo labels.
            Defaults to ``dict(mode='whole')``.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    tasks = ('seg', )
    annotation_kind = SEM_SEG

    def __init__(self,
                 head: ConfigType,
                 auxiliary_head: Union[ConfigType, List[ConfigType],
                                       None] = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if auxiliary_head is None:
            auxiliary_head = []
        elif isinstance(auxiliary_head, dict):
            auxiliary_head = [auxiliary_head]
        self.head = build_decode_head(head)
        self.auxiliary_heads = ModuleList(
            build_decode_head(cfg) for cfg in auxiliary_head)
        self.test_cfg = {'mode': 'whole', **(test_cfg or {})}
        check_test_cfg(self.test_cfg)
        crf = self.test_cfg.get('crf')
        self.crf = None if crf is None else crf_params(crf)

    @property
    def predicts_from_features(self) -> bool:
        """bool: False where windows have features of their own."""
        return self.test_cfg['mode'] != 'slide'

    @property
    def align_corners(self) -> bool:
        """bool: How the decode head resizes its logits."""
        return self.head.align_corners

    @property
    def num_classes(self) -> int:
        """int: Number of segmentation classes, background included."""
        return self.head.num_classes

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise if the number of classes is not that of the task."""
        for head in (self.head, *self.auxiliary_heads):
            require_num_classes(head, 'seg', classes, head.num_classes)

    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> Tuple[Tensor, ...]:
        """Logits ``(N, num_classes, h, w)`` of the decode head.

        In training those of the auxiliary heads follow.
        """
        heads = [self.head]
        if self.training:
            heads += list(self.auxiliary_heads)
        return tuple(head(feats) for head in heads)

    def targets(self, task: str, samples: SampleList) -> Tuple[Tensor, None]:
        """Ground-truth maps ``(n, 1, H, W)``."""
        maps = [sample.gt_sem_seg.sem_seg for sample in samples]
        return torch.stack(maps), None

    def loss_on_targets(self,
                        task: str,
                        outputs: Tuple[Tensor, ...],
                        targets: Union[Tensor, CandidateMap],
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """The decode heads' losses on class ids ``(n, 1, H, W)``, int64.

        Unlabeled pixels are 255. Instead of one class, a pixel may have a set
        of candidates, see :func:`decode_head_loss`. Losses of auxiliary head
        i are prefixed with ``aux_i.``, as in MMSegmentation.
        """
        losses = decode_head_loss(self.head, outputs[0], targets)
        for i, head in enumerate(self.auxiliary_heads):
            auxiliary = decode_head_loss(head, outputs[1 + i], targets)
            losses.update({
                f'aux_{i}.{key}': value
                for key, value in auxiliary.items()
            })
        return losses

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_sem_seg`` at the original size in the samples."""
        self.store_classes(
            samples, self.full_logits(feats, inputs, samples, extract_feat))

    def input_logits(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                     samples: SampleList, extract_feat: Callable) -> Tensor:
        """Logits ``(N, C, h, w)``, with ``mode='slide'`` of the windows."""
        if self.test_cfg['mode'] == 'slide':
            return self._slide(inputs, extract_feat)
        return self(feats)[0]

    def _slide(self, inputs: Tensor, extract_feat: Callable) -> Tensor:
        """Mean logits ``(N, C, H, W)`` over overlapping windows."""
        crop, step = self.test_cfg['crop_size'], self.test_cfg['stride']
        total, count = 0., 0.
        for top in window_starts(inputs.shape[-2], crop[0], step[0]):
            for left in window_starts(inputs.shape[-1], crop[1], step[1]):
                window = inputs[..., top:top + crop[0], left:left + crop[1]]
                logits = self._resize(
                    self(extract_feat(window))[0], window.shape[-2:])
                if isinstance(total, float):
                    total = logits.new_zeros(logits.shape[:2] +
                                             inputs.shape[-2:])
                    count = logits.new_zeros(inputs.shape[-2:])
                rows = slice(top, top + window.shape[-2])
                columns = slice(left, left + window.shape[-1])
                total[..., rows, columns] += logits
                count[rows, columns] += 1
        return total / count


def build_decode_head(head: ConfigType) -> BaseDecodeHead:
    """Build a decode head, its losses wrapped, or refuse it by name."""
    head = MODELS.build(library_scope(head, 'mmseg'))
    name = type(head).__name__
    if not isinstance(head, BaseDecodeHead):
        raise UserError(
            f'SegTaskHead cannot use {name}: it takes decode heads that give '
            'a map of logits (FPNHead, FCNHead, UPerHead, SegformerHead, '
            '...), not mask-classification heads')
    replaced = overridden(head, BaseDecodeHead,
                          ['loss', 'predict', 'loss_by_feat'])
    if replaced or isinstance(head, BaseCascadeDecodeHead):
        raise UserError(
            f'SegTaskHead cannot use {name}: it needs the output of another '
            'head, or more than a map to train on')
    if head.out_channels == 1:
        raise UserError(
            f'SegTaskHead cannot use {name} with out_channels=1: '
            "MMSegmentation's binary loss fails on images without a labeled "
            'pixel, and weak losses need a channel per class. Give two '
            'classes two channels: num_classes=2 without out_channels and '
            'threshold, and a cross-entropy without use_sigmoid')
    if head.ignore_index != IGNORE_INDEX:
        raise UserError(
            f'{name} has ignore_index={head.ignore_index}, but ignored pixels '
            f'are {IGNORE_INDEX} in all maps; leave it out, and say in the '
            'data set which ids of its files to ignore')
    if isinstance(head.loss_decode, nn.ModuleList):
        head.loss_decode = nn.ModuleList(
            wrap_loss(loss) for loss in head.loss_decode)
    else:
        head.loss_decode = wrap_loss(head.loss_decode)
    return head


def wrap_loss(loss: nn.Module) -> nn.Module:
    """Make unlabeled pixels count for nothing in a decode loss."""
    if not isinstance(loss, CrossEntropyLoss):
        return LabeledPixelsOnly(loss)
    return LabeledPixelMean(loss) if loss.reduction == 'mean' else loss


def check_test_cfg(test_cfg: dict) -> None:
    """Raise ``UserError`` for a test mode that is not complete."""
    mode = test_cfg.get('mode')
    if mode not in ('whole', 'slide'):
        raise UserError("test_cfg.mode of SegTaskHead must be 'whole' or "
                        f"'slide', not {mode!r}")
    if mode == 'slide':
        missing = {'crop_size', 'stride'} - set(test_cfg)
        if missing:
            raise UserError("test_cfg with mode='slide' lacks "
                            f'{sorted(missing)}')
        crop, step = test_cfg['crop_size'], test_cfg['stride']
        if not all(0 < s <= c for s, c in zip(step, crop)):
            raise UserError(
                f'test_cfg has stride={tuple(step)} and crop_size='
                f'{tuple(crop)}: windows a stride apart must be positive, and '
                'cover all pixels (stride at most crop_size)')


def window_starts(size: int, window: int, step: int) -> List[int]:
    """First pixels of windows that cover ``size`` pixels, the last one flush.

    For example ``window_starts(10, 4, 3) == [0, 3, 6]``.
    """
    last = max(size - window, 0)
    return list(range(0, last, step)) + [last]
