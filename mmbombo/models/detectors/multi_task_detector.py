# Copyright (c) mmbombo contributors.
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmdet.models.detectors import BaseDetector
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import ModuleDict, ModuleList
from torch import Tensor, nn

from mmbombo.models.context import (StepContext, Teachers, group_images,
                                    mean_over_groups)
from mmbombo.models.utils import (PROBE_SIZE, freeze_unreached_parameters,
                                  probe_features, raw_images, select_images,
                                  zero_loss)
from mmbombo.registry import MODELS
from mmbombo.structures.class_names import resolve_classes
from mmbombo.utils import UserError


@MODELS.register_module()
class MultiTaskDetector(BaseDetector):
    """One network, several tasks, partial annotations.

    The backbone and neck run once per image. Each task head is supervised by
    the images that have its annotation; weak losses supervise it on the
    others. The detector knows tasks and annotation kinds; it knows no data
    set, and no convention of another library: the task heads do.

    Heads have names. The name of a head that serves one task is usually that
    task, as in ``dict(det=..., seg=...)``, and prefixes its losses; two heads
    may serve one task, and a joint head several.

    In training a batch goes through the network in one of two ways:

    - 'joint': all images together, at one size.
    - 'per_task', as in `Box for Mask and Mask for Box
      <https://arxiv.org/abs/2411.17536>`_: the images are grouped by their
      annotation kinds, which gives a detection batch and a segmentation
      batch. Each group has its own forward pass through backbone, neck and
      heads, so that batch normalization sees one group at a time (there is
      one set of running statistics), and may have its own size. Losses are
      summed and there is one backward pass. Images with both kinds are one
      group that supervises both tasks, unless ``forward_groups`` says which
      task's batch they belong to; if a task is annotated in several groups,
      its loss is the mean over them, weighted by images.

    Without batch statistics and resizing both ways give the same losses for
    data of one kind per image.

    Args:
        backbone (dict): Config of the backbone, such as
            ``dict(type='mmdet.ResNet', ...)``.
        task_heads (dict[str, dict]): Name to the config of a head, such as
            ``dict(det=dict(type='DetTaskHead', ...))``.
        classes (dict[str, Sequence[str]], optional): Task to the names of its
            classes, such as ``dict(det=('cat', ), cls=('cat', ))``. Defaults
            to None, those of the class map.
        class_map (dict, optional): Arguments of
            :class:`~mmbombo.structures.ClassMap`, for weak losses that make a
            label of one task from the other's; ``det_classes`` and
            ``seg_classes`` default to ``classes``. Defaults to None.
        neck (dict, optional): Config of the neck. Defaults to None.
        weak_losses (Sequence[dict]): Configs of the weak losses. Defaults to
            none, which is naive partial training.
        forward_mode (str): 'joint' or 'per_task'. Defaults to 'joint'.
        forward_groups (dict[str, Sequence[str]], optional): Task to the names
            of the sources that make up its batch; only with 'per_task'. An
            oracle, whose images have both kinds, keeps the batches of partial
            training with it. Defaults to None, groups of equal kinds.
        batch_resize (dict, optional): Config of what resizes each group in
            training, ``dict(type='DetBatchResize', ...)``; only with
            'per_task'. Defaults to None.
        data_preprocessor (dict, optional): Config of the preprocessor.
            Defaults to None.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    def __init__(self,
                 backbone: ConfigType,
                 task_heads: Dict[str, ConfigType],
                 classes: Optional[Dict[str, Sequence[str]]] = None,
                 class_map: OptConfigType = None,
                 neck: OptConfigType = None,
                 weak_losses: Sequence[ConfigType] = (),
                 forward_mode: str = 'joint',
                 forward_groups: Optional[Dict[str, Sequence[str]]] = None,
                 batch_resize: OptConfigType = None,
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(
            data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.classes, self.class_map = resolve_classes(classes, class_map)
        self.backbone = MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        self.task_heads = ModuleDict({
            name: MODELS.build(cfg)
            for name, cfg in task_heads.items()
        })
        for name, head in self.task_heads.items():
            if name in head.tasks and len(head.tasks) > 1:
                raise UserError(
                    f"task_heads: '{name}' is also one of the tasks "
                    f'{head.tasks} of that head; give it another name')
        self.weak_losses = ModuleList(MODELS.build(cfg) for cfg in weak_losses)
        if forward_mode not in ('joint', 'per_task'):
            raise UserError("forward_mode must be 'joint' or 'per_task', not "
                            f'{forward_mode!r}')
        if forward_mode == 'joint' and (batch_resize or forward_groups):
            raise UserError('batch_resize and forward_groups need '
                            "forward_mode='per_task': a joint batch has one "
                            'size and one forward')
        unknown = sorted({*(forward_groups or ())} - {*self.tasks})
        if unknown:
            raise UserError(f'forward_groups names the task(s) {unknown}, '
                            f'but the model has {self.tasks}')
        self.forward_mode = forward_mode
        self.forward_groups = forward_groups
        self.batch_resize = (None if batch_resize is None else
                             MODELS.build(batch_resize))
        self.teachers = Teachers()
        for head in self.task_heads.values():
            head.check_classes(self.classes)
            check_needs(head, self.task_heads)
            head.raw_images = partial(
                raw_images, preprocessor=self.data_preprocessor)
        for weak_loss in self.weak_losses:
            weak_loss.check_model(self)
        feats = probe_features(self)
        if feats is not None:
            for head in self.task_heads.values():
                head.check_features(feats, PROBE_SIZE)
            freeze_unreached_parameters(self, feats)

    @property
    def tasks(self) -> List[str]:
        """list[str]: All tasks that a head serves, each once."""
        return list(
            dict.fromkeys(task for head in self.task_heads.values()
                          for task in head.tasks))

    def trained_heads(self) -> List[Tuple[str, nn.Module]]:
        """Name and module of each head that is not made from others."""
        return [(name, head) for name, head in self.task_heads.items()
                if not head.needs]

    def heads_of(self, task: str) -> List[nn.Module]:
        """All heads that serve a task and are trained for it."""
        return [head for _, head in self.trained_heads() if task in head.tasks]

    def head_name(self, name: str) -> str:
        """Name of the head that is called so, or alone serves the task."""
        if name in self.task_heads:
            return name
        names = [x for x, head in self.trained_heads() if name in head.tasks]
        if len(names) != 1:
            raise UserError(
                f"no head is named '{name}', and {len(names)} serve a task "
                f'of that name; the heads are {sorted(self.task_heads)}')
        return names[0]

    def head(self, name: str) -> nn.Module:
        """The head of :meth:`head_name`."""
        return self.task_heads[self.head_name(name)]

    def set_teacher(self, name: str, model: nn.Module) -> None:
        """Let the weak losses ask another network by a name, such as 'ema'."""
        self.teachers.set(name, model)

    def extract_feat(self, batch_inputs: Tensor) -> Tuple[Tensor, ...]:
        """Feature maps ``(N, C, H_l, W_l)`` of backbone and neck."""
        feats = self.backbone(batch_inputs)
        if isinstance(feats,
                      Tensor):  # of a single map, some in MMSegmentation
            feats = (feats, )
        return feats if self.neck is None else self.neck(feats)

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: SampleList) -> Dict[str, Tensor]:
        """Compute the supervised and the weak losses of a batch of normalized
        images: ``det/loss_cls``, ``b4m/loss_ce``, ... and diagnostics. The
        ``annotation_kinds`` of a sample say what it is annotated with."""
        contexts = self._contexts(batch_inputs, batch_data_samples)
        losses = {}
        for name, head in self.trained_heads():
            losses.update(add_prefix(name, supervised_loss(contexts, name)))
        for weak_loss in self.weak_losses:
            parts = [(weak_loss(ctx), len(weak_loss.images(ctx)))
                     for ctx in contexts
                     if weak_loss.has_started(ctx) and weak_loss.images(ctx)]
            loss = mean_over_groups(parts) if parts else zero_loss(weak_loss)
            losses.update(add_prefix(weak_loss.name, loss))
        return losses

    def _contexts(self, inputs: Tensor,
                  samples: SampleList) -> List[StepContext]:
        """One context for the batch, or one for each group of images."""
        if self.forward_mode == 'joint':
            return [StepContext(self, inputs, samples)]
        contexts = []
        for task, images in group_images(samples, self.forward_groups):
            group_inputs = select_images(inputs, images, len(samples))
            group = [samples[i] for i in images]
            if self.batch_resize is not None:
                group_inputs, group = self.batch_resize(
                    group_inputs, group, task)
            contexts.append(StepContext(self, group_inputs, group))
        return contexts

    def predict(self, batch_inputs: Tensor,
                batch_data_samples: SampleList) -> SampleList:
        """Predict all tasks from one pass through backbone and neck: the
        samples get ``pred_instances``, ``pred_sem_seg``, ... at the original
        image size."""
        # of two heads of a task the one that is named as the task answers
        heads = [
            head for _, head in sorted(
                self.task_heads.items(),
                key=lambda x: (bool(x[1].needs), x[0] in x[1].tasks))
        ]
        feats: tuple = ()
        # whole images may be too large for a network that looks at windows
        if any(head.predicts_from_features for head in heads):
            feats = self.extract_feat(batch_inputs)
        for head in heads:
            head.add_predictions(feats, batch_inputs, batch_data_samples,
                                 self.extract_feat)
        return batch_data_samples

    def _forward(
        self,
        batch_inputs: Tensor,
        batch_data_samples: OptSampleList = None
    ) -> Dict[str, Union[Tensor, tuple]]:
        """Raw outputs of every head; of auxiliary heads in training mode."""
        feats = self.extract_feat(batch_inputs)
        return {
            name: head(feats, batch_data_samples)
            for name, head in self.trained_heads()
        }


def supervised_loss(contexts: Sequence[StepContext],
                    name: str) -> Dict[str, Any]:
    """What a head learns from the images that are annotated for its tasks.

    Losses of a joint head have the task before them. If a task has no image,
    its loss is a zero that touches all parameters.
    """
    head = contexts[0].model.task_heads[name]
    losses: Dict[str, Any] = {}
    for task in head.tasks:
        parts = [(ctx.supervised_loss(task,
                                      name), len(ctx.annotated(task, name)))
                 for ctx in contexts if ctx.annotated(task, name)]
        loss = mean_over_groups(parts) if parts else zero_loss(head)
        losses.update(loss if len(head.tasks) == 1 else add_prefix(task, loss))
    return losses


def check_needs(head: nn.Module, heads: ModuleDict) -> None:
    """Raise ``UserError`` if a head needs one that is not there."""
    missing = [
        name for name in head.needs if name not in heads or heads[name].needs
    ]
    if missing:
        raise UserError(
            f'{type(head).__name__} needs the trained head(s) {missing}, but '
            f'the model has {sorted(heads)}')


def add_prefix(prefix: str, losses: Dict[str, Any]) -> Dict[str, Any]:
    """Write ``prefix/key`` for every key."""
    return {f'{prefix}/{key}': value for key, value in losses.items()}
