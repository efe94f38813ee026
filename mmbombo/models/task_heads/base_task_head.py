# Copyright (c) mmbombo contributors.
from abc import ABCMeta, abstractmethod
from typing import Any, Callable, List, Optional, Sequence, Tuple

from mmdet.structures import SampleList
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbombo.structures import ClassMap


class BaseTaskHead(BaseModule, metaclass=ABCMeta):
    """What :class:`MultiTaskDetector` asks of a task.

    A task head adapts a head of another library (or of our own) to four
    questions: what does it say about these features, what is its loss on
    these targets, what are the targets of an annotated sample, and what does
    it predict. The detector and the weak losses know nothing else of it.

    Args:
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    #: Annotation kind that supervises the task.
    annotation_kind: str
    #: Whether :meth:`add_predictions` reads the features of whole images.
    predicts_from_features: bool = True

    def __init__(self, init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)

    @abstractmethod
    def forward(self, feats: Tuple[Tensor, ...]) -> Any:
        """Run the head.

        Args:
            feats (tuple[Tensor]): Feature maps ``(N, C, H_l, W_l)``.

        Returns:
            Any: Nested tuples or lists of tensors ``(N, ...)``.
        """

    @abstractmethod
    def targets(self, samples: SampleList) -> Tuple[Any, Any]:
        """The annotation of samples that have it.

        Args:
            samples (list[:obj:`DetDataSample`]): Annotated samples.

        Returns:
            tuple: Targets, and what to ignore (or None), as
            :meth:`loss_on_targets` takes them.
        """

    @abstractmethod
    def loss_on_targets(self, outputs: Any, targets: Any,
                        metas: Sequence[dict], ignore: Any) -> dict:
        """The head's own loss.

        Args:
            outputs (Any): What :meth:`forward` gave, for n >= 1 images.
            targets (Any): Targets of the n images.
            metas (Sequence[dict]): Meta information of the n images.
            ignore (Any): What to ignore in them, or None.

        Returns:
            dict[str, Tensor]: Losses, under keys that contain "loss", and
            diagnostics, under keys that do not.
        """

    @abstractmethod
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList,
                        extract_feat: Callable) -> None:
        """Predict at the original image size and store it in the samples.

        Args:
            feats (tuple[Tensor]): Feature maps of the inputs.
            inputs (Tensor): Images ``(N, 3, H, W)``, for heads that look at
                them in crops.
            samples (list[:obj:`DetDataSample`]): Changed in place.
            extract_feat (Callable): Maps images to feature maps.
        """

    @abstractmethod
    def check_classes(self, class_map: ClassMap) -> None:
        """Raise ``ValueError`` if the head does not fit the class map."""

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise ``ValueError`` if the head does not fit its feature maps.

        Args:
            feats (tuple[Tensor]): Maps ``(N, C, H_l, W_l)`` of an image.
            image_size (int): Its side in pixels.
        """

    def decode(self, outputs: Any, metas: Sequence[dict],
               cfg: Optional[ConfigType]) -> Any:
        """Turn evaluation outputs into predictions in input pixels."""
        raise TypeError(f'{type(self).__name__} has no decoded predictions')

    def as_evaluation_outputs(self, outputs: Any) -> Optional[Any]:
        """Read training outputs as the head gives them in evaluation mode.

        Returns:
            Any or None: None if that is not possible, and the head must be
            run again.
        """
        return outputs


def library_scope(head: ConfigType, default: str) -> ConfigType:
    """Make a head's config resolve its parts in the head's own library.

    ``dict(type='GFLHead', loss_cls=dict(type='QualityFocalLoss'))`` built in
    our scope would look for its loss among ours; one prefix on the head does
    not help its parts.

    Args:
        head (dict): Config of a head; not changed.
        default (str): Library of a type without a prefix.

    Returns:
        dict: The config with ``_scope_`` set.
    """
    head = head.copy()
    prefix, dot, _ = str(head['type']).rpartition('.')
    own_library = dot and '.' not in prefix
    head.setdefault('_scope_', prefix if own_library else default)
    return head


def overridden(head: nn.Module, base: type, names: List[str]) -> List[str]:
    """Which of the methods ``names`` of ``base`` a head replaces."""
    return [
        name for name in names
        if getattr(type(head), name) is not getattr(base, name)
    ]
