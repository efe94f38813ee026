# Copyright (c) mmbombo contributors.
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmdet.structures import SampleList
from mmdet.utils import ConfigType
from torch import Tensor

from mmbombo.models.utils import (evaluation_mode, select_images,
                                  training_progress)
from .teacher_outputs import TeacherOutputs

if TYPE_CHECKING:
    from mmbombo.models.detectors.multi_task_detector import MultiTaskDetector


class StepContext:
    """What a loss may ask about the current batch.

    A weak loss knows annotations and this context, and nothing else. Every
    answer is computed when it is first asked for, and once: the backbone runs
    once per image, and each task head once over all images that any loss
    needs it for. Another network (a moving average, a teacher) also runs once
    per image. With ``forward_mode='per_task'`` each group of images is a
    batch of its own.

    Args:
        model (MultiTaskDetector): The network in training.
        inputs (Tensor): Images ``(N, 3, H, W)``, normalized.
        samples (list[:obj:`DetDataSample`]): Their N samples.

    Attributes:
        plan (dict[str, list[int]]): Per task, the images its head runs on.
    """

    def __init__(self, model: 'MultiTaskDetector', inputs: Tensor,
                 samples: SampleList) -> None:
        self.model = model
        self.inputs = inputs
        self.samples = samples
        self.plan = self._plan()
        # who asks first may be making a pseudo label, without gradient
        self._with_grad = torch.is_grad_enabled()
        self._features: Optional[Tuple[Tensor, ...]] = None
        self._outputs: Dict[str, Any] = {}
        self._others: Dict[str, Optional[TeacherOutputs]] = {}

    def _plan(self) -> Dict[str, List[int]]:
        plan = {task: set(self.annotated(task)) for task in self.tasks}
        for weak_loss in self.model.weak_losses:
            plan[weak_loss.task].update(weak_loss.head_images(self))
        return {task: sorted(images) for task, images in plan.items()}

    @property
    def tasks(self) -> List[str]:
        """list[str]: Names of the tasks."""
        return list(self.model.task_heads)

    @property
    def class_map(self):
        """ClassMap: How detection labels and segmentation ids relate."""
        return self.model.class_map

    @property
    def features(self) -> Tuple[Tensor, ...]:
        """tuple[Tensor]: Feature maps ``(N, C, H_l, W_l)`` of all images."""
        if self._features is None:
            with torch.set_grad_enabled(self._with_grad):
                self._features = self.model.extract_feat(self.inputs)
        return self._features

    @property
    def progress(self) -> float:
        """float: Share of the training that is done, 1 outside a Runner."""
        return training_progress()

    def with_kind(self, kind: str) -> List[int]:
        """Positions of the images that have an annotation kind."""
        return [
            i for i, sample in enumerate(self.samples)
            if kind in sample.annotation_kinds
        ]

    def annotated(self, task: str) -> List[int]:
        """Positions of the images that supervise a task."""
        return self.with_kind(self.model.task_heads[task].annotation_kind)

    def metas(self, images: Sequence[int]) -> List[dict]:
        """Meta information of some images."""
        return [self.samples[i].metainfo for i in images]

    def outputs(self,
                task: str,
                images: Optional[Sequence[int]] = None) -> Any:
        """What a task head says.

        Args:
            task (str): Name of the task.
            images (Sequence[int], optional): Positions of planned images.
                Defaults to None, all images of the plan.

        Returns:
            Any: Nested tensors ``(len(images), ...)``.
        """
        planned = self.plan[task]
        if task not in self._outputs:
            with torch.set_grad_enabled(self._with_grad):
                feats = select_images(self.features, planned,
                                      len(self.samples))
                self._outputs[task] = self.model.task_heads[task](feats)
        if images is None:
            return self._outputs[task]
        positions = [planned.index(i) for i in images]
        return select_images(self._outputs[task], positions, len(planned))

    def logits(self,
               task: str = 'seg',
               images: Optional[Sequence[int]] = None) -> Tensor:
        """Logits ``(n, C, h, w)`` of a dense task's main head."""
        return self.outputs(task, images)[0]

    def features_of(self, by: str,
                    images: Sequence[int]) -> Optional[Tuple[Tensor, ...]]:
        """Feature maps of another network, without gradient.

        Args:
            by (str): Name of the network, such as 'ema'.
            images (Sequence[int]): Positions of n >= 1 images.

        Returns:
            tuple[Tensor] or None: Maps ``(n, C, H_l, W_l)`` of its neck in
            evaluation mode; None while there is no network of that name, as
            before the first EMA update.
        """
        other = self._other(by)
        return None if other is None else other.features(images)

    def outputs_of(self, by: str, task: str,
                   images: Sequence[int]) -> Optional[Any]:
        """What a head of another network says, without gradient.

        Args:
            by (str): Name of the network, such as 'ema'.
            task (str): Name of the task.
            images (Sequence[int]): Positions of n >= 1 images.

        Returns:
            Any or None: Nested tensors ``(n, ...)``, the head's outputs in
            evaluation mode; None while there is no network of that name.
        """
        other = self._other(by)
        return None if other is None else other.outputs(task, images)

    def _other(self, by: str) -> Optional[TeacherOutputs]:
        if by not in self._others:
            self._others[by] = self.model.teachers.ask(by, self.inputs)
        return self._others[by]

    def loss(self,
             task: str,
             targets: Any,
             images: Sequence[int],
             ignore: Any = None) -> dict:
        """The task head's own loss on given targets.

        Args:
            task (str): Name of the task.
            targets (Any): One target per image, as the task head takes them:
                a list of :obj:`InstanceData` for detection, class ids
                ``(n, 1, H, W)`` for segmentation.
            images (Sequence[int]): Positions of n >= 1 planned images.
            ignore (Any): What to ignore, as the task head takes it. Defaults
                to None.

        Returns:
            dict[str, Tensor]: Losses under the head's own names.
        """
        return self.model.task_heads[task].loss_on_targets(
            self.outputs(task, images), targets, self.metas(images), ignore)

    def supervised_loss(self, task: str) -> dict:
        """The task head's loss on the n >= 1 images with its annotation."""
        images = self.annotated(task)
        head = self.model.task_heads[task]
        targets, ignore = head.targets([self.samples[i] for i in images])
        return self.loss(task, targets, images, ignore)

    @torch.no_grad()
    def predict(self,
                task: str,
                images: Sequence[int],
                by: str = 'self',
                cfg: Optional[ConfigType] = None) -> Optional[Any]:
        """Decoded predictions, without gradient, in input pixels.

        Args:
            task (str): Name of the task.
            images (Sequence[int]): Positions of the images.
            by (str): 'self' decodes what the head has said in this step;
                another name asks that network (such as 'ema') in evaluation
                mode. Defaults to 'self'.
            cfg (dict, optional): Values that replace those of the head's
                ``test_cfg``. Defaults to None.

        Returns:
            Any or None: Predictions per image; None while there is no network
            of that name, as before the first EMA update.
        """
        if by == 'self':
            network = self.model
            outputs = self._evaluation_outputs(task, images)
        else:
            network = self.model.teachers.get(by)
            outputs = self.outputs_of(by, task, images)
        if outputs is None:
            return None
        return network.task_heads[task].decode(outputs, self.metas(images),
                                               cfg)

    def _evaluation_outputs(self, task: str, images: Sequence[int]) -> Any:
        """What the head has said in this step, as in evaluation mode."""
        head = self.model.task_heads[task]
        outputs = head.as_evaluation_outputs(self.outputs(task, images))
        if outputs is None:
            feats = select_images(self.features, images, len(self.samples))
            with evaluation_mode(head):
                outputs = head(feats)
        return outputs
