# Copyright (c) mmbombo contributors.
from abc import ABCMeta, abstractmethod
from typing import Any, Callable, List, Optional, Sequence, Tuple

from mmdet.structures import DetDataSample, OptSampleList, SampleList
from mmdet.utils import ConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbombo.models.utils import join_images, select_images
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError


class BaseTaskHead(BaseModule, metaclass=ABCMeta):
    """What :class:`MultiTaskDetector` asks of a head.

    A task head adapts a head of another library (or of our own) to four
    questions: what does it say about these features, what is its loss on
    these targets, what are the targets of an annotated sample, and what does
    it predict. The detector and the weak losses know nothing else of it.

    A head of one task sets :attr:`tasks` and :attr:`annotation_kind` and need
    not look at the ``task`` that it is given. A joint head names several
    tasks; it runs once for all of them, and its outputs are a dict of those
    of each task. A head that makes its answer from those of other heads is a
    :class:`DerivedTaskHead`.
    """

    #: What the head predicts.
    tasks: Tuple[str, ...]
    #: Annotation kind that supervises the task of a head that has one.
    annotation_kind: str
    #: Heads, by name, that must have predicted before.
    needs: Tuple[str, ...] = ()
    #: Whether :meth:`add_predictions` reads the features of whole images.
    predicts_from_features: bool = True
    #: Maps inputs to RGB images in 0..255. The detector sets it.
    raw_images: Callable[[Tensor], Tensor]

    def __init__(self, init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)

    def is_annotated(self, task: str, sample: DetDataSample) -> bool:
        """Whether a sample supervises a task of the head."""
        return self.annotation_kind in sample.annotation_kinds

    @abstractmethod
    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> Any:
        """Run the head.

        Args:
            feats (tuple[Tensor]): Feature maps ``(N, C, H_l, W_l)``.
            samples (list[:obj:`DetDataSample`], optional): The N images, for
                heads that read more than features (proposals, regions).
                Defaults to None.

        Returns:
            Any: Nested tuples, lists or dicts of tensors ``(N, ...)``; others
            with :meth:`select` and :meth:`join` of the head's own.
        """

    def part(self, task: str, outputs: Any) -> Any:
        """What a joint head says of one task; other outputs as they are."""
        joint = isinstance(outputs, dict) and task in outputs
        return outputs[task] if joint else outputs

    def select(self, outputs: Any, positions: Sequence[int], size: int) -> Any:
        """Take the outputs of some images out of those of ``size``."""
        return select_images(outputs, positions, size)

    def join(self, outputs: Sequence[Any]) -> Any:
        """Put the outputs of several calls one after the other."""
        return join_images(outputs)

    @abstractmethod
    def targets(self, task: str, samples: SampleList) -> Tuple[Any, Any]:
        """The annotation of samples that have it.

        Args:
            task (str): One of :attr:`tasks`.
            samples (list[:obj:`DetDataSample`]): Annotated samples.

        Returns:
            tuple: Targets, and what to ignore (or None), as
            :meth:`loss_on_targets` takes them.
        """

    @abstractmethod
    def loss_on_targets(self, task: str, outputs: Any, targets: Any,
                        metas: Sequence[dict], ignore: Any) -> dict:
        """The head's own loss.

        Args:
            task (str): One of :attr:`tasks`.
            outputs (Any): What :meth:`forward` gave of the task, for n >= 1
                images.
            targets (Any): Targets of the n images.
            metas (Sequence[dict]): Meta information of the n images.
            ignore (Any): What to ignore in them, or None.

        Returns:
            dict[str, Tensor]: Losses, under keys that contain "loss", and
            diagnostics, under keys that do not.
        """

    @abstractmethod
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Predict at the original image size and store it in the samples.

        Args:
            feats (tuple[Tensor]): Feature maps of the inputs.
            inputs (Tensor): Images ``(N, 3, H, W)``, for heads that look at
                them in crops.
            samples (list[:obj:`DetDataSample`]): Changed in place.
            extract_feat (Callable): Maps images to feature maps.
        """

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise ``UserError`` if the head has another number of classes."""

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise ``UserError`` if the head does not fit its feature maps.

        They are maps ``(1, C, H_l, W_l)`` of an image of that many pixels.
        """

    def decode(self, task: str, outputs: Any, metas: Sequence[dict],
               cfg: Optional[ConfigType]) -> Any:
        """Turn evaluation outputs into predictions in input pixels."""
        raise UserError(f'{type(self).__name__} has no decoded predictions')

    def as_evaluation_outputs(self, outputs: Any) -> Optional[Any]:
        """Read training outputs as the head gives them in evaluation mode.

        None if that is not possible, and the head must be run again.
        """
        return outputs


class DerivedTaskHead(BaseModule, metaclass=ABCMeta):
    """A head that makes its answer from those of other heads.

    It is not trained. It runs after the heads that it :attr:`needs`.
    """

    tasks: Tuple[str, ...]
    needs: Tuple[str, ...]
    predicts_from_features: bool = False

    @abstractmethod
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """See :meth:`BaseTaskHead.add_predictions`."""

    def check_classes(self, classes: TaskClasses) -> None:
        """See :meth:`BaseTaskHead.check_classes`."""

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """See :meth:`BaseTaskHead.check_features`."""


def require_num_classes(head: nn.Module, task: str, classes: TaskClasses,
                        num_classes: int) -> None:
    """Raise ``UserError`` if a head has other than the classes of its task."""
    name = type(head).__name__
    if task not in classes:
        raise UserError(
            f"{name} needs the names of the classes of task '{task}': give "
            f"the model classes=dict({task}=(...), ...)")
    if num_classes != len(classes[task]):
        raise UserError(f'{name} has num_classes={num_classes}, but the task '
                        f"'{task}' has {len(classes[task])} classes: "
                        f'{list(classes[task])}')


def require_map(head: nn.Module, feats: Tuple[Tensor, ...], in_index: int,
                in_channels: int) -> None:
    """Raise ``UserError`` if the map that a head reads is another one."""
    channels = [feat.shape[1] for feat in feats]
    if (not -len(channels) <= in_index < len(channels)
            or channels[in_index] != in_channels):
        raise UserError(
            f'{type(head).__name__} reads map {in_index} (in_index) with '
            f'{in_channels} channels (in_channels), but the maps have '
            f'{channels} channels')


def library_scope(head: ConfigType, default: str) -> ConfigType:
    """Make a head's config resolve its parts in the head's own library.

    ``dict(type='GFLHead', loss_cls=dict(type='QualityFocalLoss'))`` built in
    our scope would look for its loss among ours; one prefix on the head does
    not help its parts.
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
