# Copyright (c) mmbombo contributors.
from abc import abstractmethod
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, SampleList
from mmdet.utils import OptConfigType
from mmengine.structures import PixelData
from torch import Tensor

from mmbombo.models.utils import unpadded_shape
from mmbombo.weak_labels.crf import CRFParams, DenseCRF
from .base_task_head import BaseTaskHead


class MapTaskHead(BaseTaskHead):
    """Base of heads that segment: from their logits to the original image."""

    #: How logits are resized.
    align_corners: bool = False
    #: A dense CRF behind the predictions, None without.
    crf: Optional[CRFParams] = None
    #: Whether samples also get ``seg_logits``, for those who merge views.
    keep_logits: bool = False

    @abstractmethod
    def input_logits(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                     samples: SampleList, extract_feat: Callable) -> Tensor:
        """Logits ``(N, C, h, w)`` of the classes, see :meth:`full_logits`."""

    @torch.no_grad()
    def decode(self,
               task: str,
               outputs: Tuple[Tensor, ...],
               metas: Sequence[dict],
               cfg: OptConfigType = None) -> Any:
        """Class ids ``(n, 1, H, W)`` of the input, padding included."""
        logits = self._resize(outputs[0], metas[0]['batch_input_shape'])
        return torch.stack([self._class_ids(logit) for logit in logits])

    def full_logits(self,
                    feats: Tuple[Tensor, ...],
                    inputs: Tensor,
                    samples: SampleList,
                    extract_feat: Callable,
                    possible: Optional[Tensor] = None) -> Iterator[Tensor]:
        """Logits ``(C, H, W)`` of each image at its original size.

        Behind a CRF they are the logarithms of its probabilities. See
        :meth:`add_predictions`; ``possible`` ``(N, C)`` bool are the classes
        that an image may show, None for all.
        """
        with torch.no_grad():
            logits = self.input_logits(feats, inputs, samples, extract_feat)
        return self.restored(logits, inputs, samples, possible)

    @torch.no_grad()
    def restored(self,
                 logits: Tensor,
                 inputs: Tensor,
                 samples: SampleList,
                 possible: Optional[Tensor] = None) -> Iterator[Tensor]:
        """What :meth:`full_logits` says, of logits ``(N, C, h, w)``."""
        # one at a time: all classes at full resolution take much memory
        for i, sample in enumerate(samples):
            logit = self.at_original(logits[i], inputs.shape[-2:], sample)
            if possible is not None:
                logit = logit.masked_fill(~possible[i][:, None, None],
                                          -torch.inf)
            if self.crf is not None:
                image = self.raw_images(inputs[i][None])[0]
                crf = DenseCRF(self._restore(image, sample), self.crf)
                logit = crf(-logit.log_softmax(dim=0)).clamp(min=1e-30).log()
            yield logit

    def store_classes(self, samples: SampleList,
                      logits: Iterable[Tensor]) -> None:
        """Store ``pred_sem_seg`` of logits ``(C, H, W)`` in the samples."""
        for sample, logit in zip(samples, logits):
            ids = self._class_ids(logit)
            sample.pred_sem_seg = PixelData(sem_seg=ids, data=ids)
            if self.keep_logits:
                sample.seg_logits = PixelData(data=logit)

    def at_original(self, maps: Tensor, input_size: Sequence[int],
                    sample: DetDataSample) -> Tensor:
        """Maps ``(C, h, w)`` of a padded input, at the original size."""
        return self._restore(self._resize(maps[None], input_size)[0], sample)

    def _resize(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits ``(n, C, h, w)`` at another size, or as they are."""
        size = tuple(size)
        if logits.shape[-2:] == size:
            return logits
        return F.interpolate(
            # as :meth:`_class_ids` wants them
            logits.contiguous(memory_format=torch.channels_last),
            size=size,
            mode='bilinear',
            align_corners=self.align_corners)

    def _restore(self, logits: Tensor, sample: DetDataSample) -> Tensor:
        """Cut the padding off, then resize to the original image."""
        height, width = unpadded_shape(sample)
        logits = logits[None, :, :height, :width]
        return self._resize(logits, sample.ori_shape[:2])[0]

    def _class_ids(self, logits: Tensor) -> Tensor:
        """Class ids ``(1, H, W)`` of logits ``(C, H, W)``.

        With the classes of a pixel side by side, which on a CPU takes less
        than half of the time.
        """
        return logits.movedim(0, -1).contiguous().argmax(dim=-1)[None]
