# Copyright (c) mmbombo contributors.
from collections import defaultdict
from typing import (TYPE_CHECKING, Any, Callable, Dict, List, Optional,
                    Sequence, Tuple)

import torch
from mmdet.structures import SampleList
from mmdet.utils import ConfigType
from torch import Tensor

from mmbombo.models.utils import (evaluation_mode, raw_images, select_images,
                                  training_progress)
from mmbombo.models.utils.local_step import batch_samples
from mmbombo.structures import ClassMap
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError
from .teachers import TeacherOutputs
from .view import View

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

    Heads are asked by their name, or by a task that one head serves.

    Attributes:
        plan (dict[str, list[int]]): Per head, the images it runs on.
        pseudo_labels (dict[str, dict[int, Tensor]]): Task and position of an
            image to the labels that a weak loss has made for it in this step,
            for losses after it: for 'seg' class ids ``(1, H, W)`` int64.
    """

    def __init__(self, model: 'MultiTaskDetector', inputs: Tensor,
                 samples: SampleList) -> None:
        self.model = model
        self.inputs = inputs
        self.samples = samples
        self.plan = self._plan()
        self.pseudo_labels: Dict[str, Dict[int, Tensor]] = defaultdict(dict)
        # who asks first may be making a pseudo label, without gradient
        self._with_grad = torch.is_grad_enabled()
        self._features: Optional[Tuple[Tensor, ...]] = None
        self._outputs: Dict[str, Any] = {}
        self._others: Dict[str, Optional[TeacherOutputs]] = {}
        self._views: Dict[tuple, View] = {}
        self._raw_images: Optional[Tensor] = None

    def _plan(self) -> Dict[str, List[int]]:
        plan = {
            name:
            {i
             for task in head.tasks
             for i in self.annotated(task, name)}
            for name, head in self.model.trained_heads()
        }
        for weak_loss in self.model.weak_losses:
            if weak_loss.has_started(self):
                for head, images in weak_loss.head_images(self).items():
                    plan[self.model.head_name(head)].update(images)
        return {name: sorted(images) for name, images in plan.items()}

    @property
    def classes(self) -> TaskClasses:
        """dict[str, tuple[str]]: The names of the classes of each task."""
        return self.model.classes

    @property
    def class_map(self) -> Optional[ClassMap]:
        """ClassMap: How detection labels and segmentation ids relate."""
        return self.model.class_map

    @property
    def features(self) -> Tuple[Tensor, ...]:
        """tuple[Tensor]: Feature maps ``(N, C, H_l, W_l)`` of all images."""
        if self._features is None:
            with torch.set_grad_enabled(self._with_grad), batch_samples(
                    self.samples):
                self._features = self.model.extract_feat(self.inputs)
        return self._features

    @property
    def raw_images(self) -> Tensor:
        """Tensor: Images ``(N, 3, H, W)``, RGB in 0 to 255."""
        if self._raw_images is None:
            self._raw_images = raw_images(self.inputs,
                                          self.model.data_preprocessor)
        return self._raw_images

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

    def annotated(self, task: str, head: Optional[str] = None) -> List[int]:
        """Positions of the images that supervise a task, or a head of it."""
        heads = self.model.heads_of(task) if head is None else [
            self.model.task_heads[head]
        ]
        return [
            i for i, sample in enumerate(self.samples) if any(
                x.is_annotated(task, sample) for x in heads)
        ]

    def metas(self, images: Sequence[int]) -> List[dict]:
        """Meta information of some images."""
        return [self.samples[i].metainfo for i in images]

    def outputs(self,
                task: str,
                images: Optional[Sequence[int]] = None) -> Any:
        """What a task head says; of a joint head, what it says of the task.

        Args:
            task (str): Name of the head, or a task that one head serves.
            images (Sequence[int], optional): Positions of planned images.
                Defaults to None, all images of the plan.

        Returns:
            Any: Nested tensors ``(len(images), ...)``.
        """
        name = self.model.head_name(task)
        head, planned = self.model.task_heads[name], self.plan[name]
        if name not in self._outputs:
            with torch.set_grad_enabled(self._with_grad):
                feats = select_images(self.features, planned,
                                      len(self.samples))
                self._outputs[name] = head(feats,
                                           [self.samples[i] for i in planned])
        outputs = head.part(task, self._outputs[name])
        if images is None:
            return outputs
        unplanned = sorted(set(images) - set(planned))
        if unplanned:
            raise UserError(
                f"the head '{name}' is not run on the images {unplanned}; a "
                'weak loss names them in head_images()')
        positions = [planned.index(i) for i in images]
        return head.select(outputs, positions, len(planned))

    def logits(self,
               task: str = 'seg',
               images: Optional[Sequence[int]] = None) -> Tensor:
        """Logits ``(n, C, h, w)`` of a dense task's main head."""
        return self.outputs(task, images)[0]

    def features_of(self, by: str,
                    images: Sequence[int]) -> Optional[Tuple[Tensor, ...]]:
        """Feature maps ``(n, C, H_l, W_l)`` of another network, no gradient.

        None while there is no network of the name ``by``, as before the first
        EMA update.
        """
        other = self._other(by)
        return None if other is None else other.features(images)

    def outputs_of(self, by: str, task: str,
                   images: Sequence[int]) -> Optional[Any]:
        """What a head of another network says, without gradient.

        Its outputs ``(n, ...)`` in evaluation mode; None while there is no
        network of the name ``by``.
        """
        other = self._other(by)
        return None if other is None else other.outputs(task, images)

    def _other(self, by: str) -> Optional[TeacherOutputs]:
        if by not in self._others:
            network = self.model.teachers.get(by)
            self._others[by] = None if network is None else TeacherOutputs(
                by, network, self.inputs, self.samples)
        return self._others[by]

    def loss(self,
             task: str,
             targets: Any,
             images: Sequence[int],
             ignore: Any = None,
             head: Optional[str] = None) -> dict:
        """The task head's own loss on given targets.

        Args:
            task (str): Name of the task.
            targets (Any): One target per image, as the task head takes them:
                a list of :obj:`InstanceData` for detection, class ids
                ``(n, 1, H, W)`` or a :class:`CandidateMap` for segmentation.
            images (Sequence[int]): Positions of n >= 1 planned images.
            ignore (Any): What to ignore, as the task head takes it. Defaults
                to None.
            head (str, optional): Name of the head. Defaults to None, the one
                that serves the task.
        """
        name = head or task
        module = self.model.head(name)
        outputs = module.part(task, self.outputs(name, images))
        return module.loss_on_targets(task, outputs, targets,
                                      self.metas(images), ignore)

    def supervised_loss(self, task: str, head: str) -> dict:
        """A head's loss for a task on the n >= 1 images that supervise it."""
        images = self.annotated(task, head)
        targets, ignore = self.model.task_heads[head].targets(
            task, [self.samples[i] for i in images])
        return self.loss(task, targets, images, ignore, head)

    @torch.no_grad()
    def predict(self,
                task: str,
                images: Sequence[int],
                by: str = 'self',
                cfg: Optional[ConfigType] = None,
                head: Optional[str] = None) -> Optional[Any]:
        """Decoded predictions, without gradient, in input pixels.

        Args:
            task (str): Name of the task.
            images (Sequence[int]): Positions of the images.
            by (str): 'self' decodes what the head has said in this step;
                another name asks that network (such as 'ema') in evaluation
                mode. Defaults to 'self'.
            cfg (dict, optional): Values that replace those of the head's
                ``test_cfg``. Defaults to None.
            head (str, optional): Name of the head. Defaults to None, the one
                that serves the task.

        Returns:
            Any or None: Predictions per image; None while there is no network
            of that name, as before the first EMA update.
        """
        name = head or task
        if by == 'self':
            network = self.model
            outputs = self._evaluation_outputs(name, images)
        else:
            network = self.model.teachers.get(by)
            outputs = self.outputs_of(by, name, images)
        if outputs is None:
            return None
        module = network.head(name)
        return module.decode(task, module.part(task, outputs),
                             self.metas(images), cfg)

    def _evaluation_outputs(self, name: str, images: Sequence[int]) -> Any:
        """What the head has said in this step, as in evaluation mode."""
        head = self.model.head(name)
        outputs = head.as_evaluation_outputs(self.outputs(name, images))
        if outputs is None:
            feats = select_images(self.features, images, len(self.samples))
            with evaluation_mode(head):
                outputs = head(feats, [self.samples[i] for i in images])
        return outputs

    def view(self,
             images: Sequence[int],
             scale: float = 1.,
             flip: bool = False,
             alter: Optional[Callable[[Tensor], Tensor]] = None,
             by: str = 'self',
             train: bool = False) -> Optional[View]:
        """The same images, seen otherwise, by this network or another.

        Class activation maps are a mean over scales and flips; consistency
        compares a weak with a strong view.

        Args:
            images (Sequence[int]): Positions of n >= 1 images.
            scale (float): Of both sides. Defaults to 1.
            flip (bool): Whether to mirror them, left to right. Defaults to
                False.
            alter (Callable, optional): What else to do to the n inputs
                ``(n, 3, H, W)``, such as a change of colors; it must keep
                their size. Defaults to None.
            by (str): 'self', or the name of another network. Defaults to
                'self'.
            train (bool): Whether the network stays in its mode and there is a
                gradient. Defaults to False: evaluation mode and none.

        Returns:
            View or None: Computed once for equal arguments; None while there
            is no network of that name.
        """
        network = self.model if by == 'self' else self.model.teachers.get(by)
        if network is None:
            return None
        key = (tuple(images), scale, flip, alter, by, train)
        if key not in self._views:
            self._views[key] = View(
                network, select_images(self.inputs, images, len(self.samples)),
                [self.samples[i] for i in images], scale, flip, alter, train,
                train and self._with_grad)
        return self._views[key]
