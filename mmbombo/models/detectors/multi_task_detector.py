# Copyright (c) mmbombo contributors.
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import ModuleDict, ModuleList
from torch import Tensor, nn

from mmbombo.models.utils import freeze_unreached_parameters
from mmbombo.registry import MODELS
from mmbombo.weak_labels.class_map import ClassMap
from .predictors import Predictors
from .step_context import StepContext


@MODELS.register_module()
class MultiTaskDetector(BaseDetector):
    """One network, several tasks, partial annotations.

    The backbone and neck run once per image. Each task head is supervised by
    the images that have its annotation; weak losses supervise it on the
    others. The detector knows tasks and annotation kinds; it knows no data
    set, and no convention of another library: the task heads do.

    Args:
        backbone (dict): Config of the backbone, such as
            ``dict(type='mmdet.ResNet', ...)``.
        task_heads (dict[str, dict]): Task name to the config of its head,
            such as ``dict(det=dict(type='DetTaskHead', ...))``. The name
            prefixes the task's losses.
        class_map (dict): Arguments of
            :class:`~mmbombo.weak_labels.class_map.ClassMap`.
        neck (dict, optional): Config of the neck. Defaults to None.
        weak_losses (Sequence[dict]): Configs of the weak losses. Defaults to
            none, which is naive partial training.
        data_preprocessor (dict, optional): Config of the preprocessor.
            Defaults to None.
        init_cfg (dict, optional): Initialisation config. Defaults to None.

    Raises:
        TypeError: If a head cannot be adapted.
        ValueError: If a head's classes differ from the class map's, or a weak
            loss is for a task that the network does not have.
    """

    def __init__(self,
                 backbone: ConfigType,
                 task_heads: Dict[str, ConfigType],
                 class_map: ConfigType,
                 neck: OptConfigType = None,
                 weak_losses: Sequence[ConfigType] = (),
                 data_preprocessor: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(
            data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.class_map = ClassMap(**class_map)
        self.backbone = MODELS.build(backbone)
        self.neck = None if neck is None else MODELS.build(neck)
        self.task_heads = ModuleDict(
            {task: MODELS.build(cfg)
             for task, cfg in task_heads.items()})
        self.weak_losses = ModuleList(
            MODELS.build(cfg) for cfg in weak_losses)
        self.predictors = Predictors()
        for head in self.task_heads.values():
            head.check_classes(self.class_map)
        for weak_loss in self.weak_losses:
            weak_loss.check_model(self)
        freeze_unreached_parameters(self)

    def set_predictor(self, name: str, model: nn.Module) -> None:
        """Let the weak losses ask another network, see :class:`Predictors`.

        Args:
            name (str): Name that a weak loss asks by, such as 'ema'.
            model (nn.Module): A :class:`MultiTaskDetector` in evaluation
                mode.
        """
        self.predictors.set(name, model)

    def extract_feat(self, batch_inputs: Tensor) -> Tuple[Tensor, ...]:
        """Run backbone and neck.

        Args:
            batch_inputs (Tensor): Images ``(N, 3, H, W)``, normalised.

        Returns:
            tuple[Tensor]: Feature maps ``(N, C, H_l, W_l)``.
        """
        feats = self.backbone(batch_inputs)
        return feats if self.neck is None else self.neck(feats)

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: SampleList) -> Dict[str, Tensor]:
        """Compute the supervised and the weak losses of a batch.

        Args:
            batch_inputs (Tensor): Images ``(N, 3, H, W)``, normalised.
            batch_data_samples (list[:obj:`DetDataSample`]): Their samples;
                ``annotation_kinds`` says what each is annotated with.

        Returns:
            dict[str, Tensor]: ``det/loss_cls``, ``b4m/loss_ce``, ... and
            diagnostics.
        """
        ctx = StepContext(self, batch_inputs, batch_data_samples)
        losses = {}
        for task in ctx.tasks:
            losses.update(add_prefix(task, ctx.supervised_loss(task)))
        for weak_loss in self.weak_losses:
            losses.update(add_prefix(weak_loss.name, weak_loss(ctx)))
        return losses

    def predict(self, batch_inputs: Tensor,
                batch_data_samples: SampleList) -> SampleList:
        """Predict all tasks from one pass through backbone and neck.

        Args:
            batch_inputs (Tensor): Images ``(N, 3, H, W)``, normalised.
            batch_data_samples (list[:obj:`DetDataSample`]): Their samples.

        Returns:
            list[:obj:`DetDataSample`]: The samples with ``pred_instances``
            and ``pred_sem_seg`` at the original image size.
        """
        feats = self.extract_feat(batch_inputs)
        for head in self.task_heads.values():
            head.add_predictions(feats, batch_inputs, batch_data_samples,
                                 self.extract_feat)
        return batch_data_samples

    @torch.no_grad()
    def decode(self, task: str, batch_inputs: Tensor, metas: List[dict],
               cfg: Optional[ConfigType]) -> Any:
        """Predict one task in input pixels, for another network's weak loss.

        Args:
            task (str): Name of the task.
            batch_inputs (Tensor): Images ``(n, 3, H, W)``, normalised.
            metas (list[dict]): Their meta information.
            cfg (dict, optional): Values that replace those of ``test_cfg``.

        Returns:
            Any: What the task head's ``decode`` gives.
        """
        head = self.task_heads[task]
        return head.decode(
            head(self.extract_feat(batch_inputs)), metas, cfg)

    def _forward(
            self,
            batch_inputs: Tensor,
            batch_data_samples: OptSampleList = None
    ) -> Dict[str, Union[Tensor, tuple]]:
        """Raw outputs of every head, auxiliary heads included."""
        feats = self.extract_feat(batch_inputs)
        return {task: head(feats) for task, head in self.task_heads.items()}


def add_prefix(prefix: str, losses: Dict[str, Any]) -> Dict[str, Any]:
    """Write ``prefix/key`` for every key."""
    return {f'{prefix}/{key}': value for key, value in losses.items()}
