# Copyright (c) mmbombo contributors.
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample, OptSampleList, SampleList
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModule, ModuleDict, Sequential
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmbombo.models.layers import CrossTaskAffinity, TaskAffinity, propagate
from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.utils import valid_cells
from mmbombo.registry import MODELS
from mmbombo.structures import IGNORE_INDEX, kind_of_task
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError
from mmbombo.weak_labels.crf import crf_params
from .base_task_head import require_map, require_num_classes
from .cls_task_head import ClsTaskHead
from .decode_head_loss import decode_head_loss
from .map_task_head import MapTaskHead
from .seg_task_head import wrap_loss

TASKS = ('cls', 'seg', 'sal')
#: Those of them that are maps.
MAPS = TASKS[1:]
#: New layers, as published; those of affinities have PyTorch's own.
XAVIER = dict(type='Xavier', layer='Conv2d', distribution='uniform')

Outputs = Dict[str, Tuple[Tensor, ...]]


@MODELS.register_module()
class AuxSegTaskHead(MapTaskHead):
    """AuxSegNet's head: tags, masks and saliency, which help one another.

    `Leveraging Auxiliary Tasks with Affinity Learning for Weakly Supervised
    Semantic Segmentation <https://arxiv.org/abs/2107.11787>`_ and its
    published code. Segmentation and saliency each have a branch, in which an
    affinity of the branch's own refines its features. One affinity made of
    both refines what both predict, and the class activation maps that the
    labels of the next stage are made of. There is a loss on predictions
    before and after that.

    The paper's ablation is what the options are for: ``tasks`` without or with
    'cls' and 'sal'; with ``affinity=()`` no affinity; with ``('seg', )`` that
    of segmentation; with both and ``refined=('seg', )`` a loss on one, and by
    default on both. A classifier, ``tasks=('cls', )``, has the same names of
    parameters, so that the whole starts from its checkpoint.

    Losses are means over the labeled pixels of all ranks; a saliency above
    one half is salient. The convolution behind the affinity is that of the
    code, the paper does not speak of it. That padding has no affinity is
    ours.

    Args:
        in_channels (int): Channels of the feature map.
        num_classes (int): Segmentation classes, background included.
        cls (dict): Arguments of :class:`ClsTaskHead` but for the map that it
            reads, such as ``dict(num_classes=20)``.
        in_index (int): Which feature map the head reads. Defaults to 0.
        channels (int): Channels of the branches. Defaults to 128.
        dilations (Sequence[int]): Of a branch's three 3x3 convolutions, the
            last behind the affinity. Defaults to (6, 12, 18).
        tasks (Sequence[str]): Defaults to ('cls', 'seg', 'sal').
        affinity (Sequence[str]): Tasks with an affinity, as far as they are
            among the tasks; of two one is made. Defaults to ('seg', 'sal').
        refined (Sequence[str]): Tasks whose predictions an affinity refines,
            as far as there is one for them. Defaults to ('seg', 'sal').
        transpose (bool): Whether predictions are refined by the transposed
            affinity, as the paper says. Defaults to False, the code.
        label_padding (bool): Whether the padding of a batch is labeled as
            background that is not salient, as in the published code. Defaults
            to False, it is unknown.
        max_cells (int): Affinities of larger maps are pooled, see
            :class:`TaskAffinity`. Defaults to 4096, 67 MB each.
        test_cfg (dict, optional): With ``crf``, the name of a preset or a
            dict of :class:`~mmbombo.weak_labels.crf.CRFParams`, a dense CRF
            refines the predicted masks. Defaults to None.
        init_cfg (dict, optional): Initialization config. Defaults to None.
    """

    # what :func:`decode_head_loss` asks a decode head for
    sampler = None
    ignore_index = IGNORE_INDEX

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 cls: ConfigType,
                 in_index: int = 0,
                 channels: int = 128,
                 dilations: Sequence[int] = (6, 12, 18),
                 tasks: Sequence[str] = TASKS,
                 affinity: Sequence[str] = MAPS,
                 refined: Sequence[str] = MAPS,
                 transpose: bool = False,
                 label_padding: bool = False,
                 max_cells: Optional[int] = 4096,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg=init_cfg)
        for key, names, known in [('tasks', tasks, TASKS),
                                  ('affinity', affinity, MAPS),
                                  ('refined', refined, MAPS)]:
            if not set(names) <= set(known) or isinstance(names, str):
                raise UserError(f'{key} of AuxSegTaskHead must be some of '
                                f'{known}, not {names!r}')
        self.tasks = tuple(x for x in TASKS if x in tasks)
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.in_index = in_index
        self.transpose = transpose
        self.label_padding = label_padding
        crf = (test_cfg or {}).get('crf')
        self.crf = None if crf is None else crf_params(crf)
        if 'cls' in self.tasks:
            self.cls = ClsTaskHead(
                in_channels=in_channels,
                in_index=in_index,
                **dict(dict(init_cfg=XAVIER), **cls))
        outputs = dict(seg=num_classes, sal=1)
        self.branches = ModuleDict({
            task:
            TaskBranch(in_channels, channels, outputs[task], dilations, task
                       in affinity, max_cells)
            for task in MAPS if task in self.tasks
        })
        found = [x for x in self.branches if x in affinity]
        self.refined = tuple(x for x in found if x in refined)
        self.cross = None
        if len(found) > 1 and self.refined:
            self.cross = CrossTaskAffinity(len(found))
        self.loss_decode = wrap_loss(
            MODELS.build(dict(type='mmseg.CrossEntropyLoss')))

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise if the number of classes is not that of the task."""
        if 'cls' in self.tasks:
            self.cls.check_classes(classes)
        if 'seg' in self.tasks:
            require_num_classes(self, 'seg', classes, self.num_classes)

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise if there is no such map, or it has other channels."""
        require_map(self, feats, self.in_index, self.in_channels)

    def is_annotated(self, task: str, sample: DetDataSample) -> bool:
        """Whether a sample has the annotation kind of the task."""
        return kind_of_task(task).name in sample.annotation_kinds

    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> Outputs:
        """What the head says of each task.

        Returns:
            dict[str, tuple[Tensor]]: Of 'cls', what :class:`ClsTaskHead`
            says; of 'seg' and 'sal' logits ``(N, C, h, w)``, first the refined
            ones if there are some.
        """
        return self.with_affinity(feats, samples)[0]

    def with_affinity(
            self,
            feats: Tuple[Tensor, ...],
            samples: OptSampleList = None) -> Tuple[Outputs, Optional[Tensor]]:
        """What :meth:`forward` says, and the affinity for activation maps.

        It is ``(N, M, M)``, that across tasks, or else that of segmentation;
        None without.
        """
        feat, valid = feats[self.in_index], None
        outputs: Outputs = {}
        if samples is not None:
            metas = [sample.metainfo for sample in samples]
            valid = valid_cells(metas, feat.shape[-2:],
                                metas[0]['batch_input_shape'], feat.device)
        if 'cls' in self.tasks:
            outputs['cls'] = self.cls(feats, samples)
        affinities = {}
        for task, branch in self.branches.items():
            logits, affinities[task] = branch(feat, valid)
            outputs[task] = (logits, )
        if self.cross is not None:
            crossed = self.cross(list(affinities.values()))
            affinities = dict.fromkeys(affinities, crossed)
        for task in self.refined:
            outputs[task] = (propagate(outputs[task][0], affinities[task],
                                       self.transpose), *outputs[task])
        return outputs, affinities.get('seg')

    def targets(self, task: str, samples: SampleList) -> Tuple[Tensor, None]:
        """Labels ``(n, C)``, class ids or saliency ``(n, 1, H, W)``."""
        if task == 'cls':
            return self.cls.targets(task, samples)
        maps = [
            x.gt_sem_seg.sem_seg if task == 'seg' else x.gt_saliency.data
            for x in samples
        ]
        targets = torch.stack(maps)
        if self.label_padding:
            size = targets.shape[-2:]
            inside = valid_cells([x.metainfo for x in samples], size, size,
                                 targets.device)
            targets = targets.where(inside[:, None], 0)
        return targets, None

    def loss_on_targets(self,
                        task: str,
                        outputs: Tuple[Tensor, ...],
                        targets: Union[Tensor, CandidateMap],
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """The losses of a task.

        Of 'seg' on class ids ``(n, 1, H, W)``, or sets of them, see
        :func:`decode_head_loss`; of 'sal' on values ``(n, 1, H, W)``, -1 where
        unknown. Those of logits before refinement are prefixed with
        ``plain.``.
        """
        if task == 'cls':
            return self.cls.loss_on_targets(task, outputs, targets, metas)
        losses = {}
        prefixes = ('', 'plain.')
        for prefix, logits in zip(prefixes, outputs):
            found = (
                decode_head_loss(self, logits, targets)
                if task == 'seg' else saliency_loss(logits, targets))
            losses.update({f'{prefix}{k}': v for k, v in found.items()})
        return losses

    def decode(self,
               task: str,
               outputs: Tuple[Tensor, ...],
               metas: Sequence[dict],
               cfg: OptConfigType = None) -> Any:
        """Scores ``(n, C)``, class ids or saliency ``(n, 1, H, W)``."""
        if task == 'cls':
            return self.cls.decode(task, outputs, metas)
        if task == 'seg':
            return super().decode(task, outputs, metas)
        return self._resize(
            full_precision(outputs[0]),
            metas[0]['batch_input_shape']).detach().sigmoid()

    def input_logits(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                     samples: SampleList, extract_feat: Callable) -> Tensor:
        """Logits ``(N, C, h, w)`` of segmentation."""
        return self(feats, samples)['seg'][0]

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_image_label``, ``pred_sem_seg`` and, between 0 and 1,
        ``pred_saliency``, as far as they are among the tasks."""
        outputs = self(feats, samples)
        if 'cls' in self.tasks:
            self.cls.store_scores(samples, outputs['cls'])
        if 'seg' in self.tasks:
            self.store_classes(
                samples, self.restored(outputs['seg'][0], inputs, samples))
        if 'sal' in self.tasks:
            for sample, logits in zip(samples, outputs['sal'][0]):
                logits = self.at_original(
                    full_precision(logits), inputs.shape[-2:], sample)
                sample.pred_saliency = PixelData(data=logits.sigmoid())


class TaskBranch(BaseModule):
    """Two convolutions, features refined by their affinity, and two more."""

    def __init__(self, in_channels: int, channels: int, out_channels: int,
                 dilations: Sequence[int], has_affinity: bool,
                 max_cells: Optional[int]) -> None:
        super().__init__()
        first, second, third = dilations
        self.encode = Sequential(
            *atrous_conv(in_channels, channels, first),
            *atrous_conv(channels, channels, second),
            init_cfg=XAVIER)
        self.affinity = None
        if has_affinity:
            self.affinity = TaskAffinity(channels, channels, max_cells)
            self.value = nn.Conv2d(channels, channels, 1)
            self.project = nn.Conv2d(channels, channels, 1)
        self.predict = Sequential(
            *atrous_conv(channels, channels, third),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            init_cfg=XAVIER)

    def forward(self, feat: Tensor,
                valid: Optional[Tensor]) -> Tuple[Tensor, Optional[Tensor]]:
        """Logits ``(N, out_channels, H, W)`` and affinity ``(N, M, M)``."""
        feat = self.encode(feat)
        if self.affinity is None:
            return self.predict(feat), None
        affinity = self.affinity(feat, valid)
        moved = propagate(self.value(feat), affinity)
        return self.predict(feat + self.project(moved)), affinity


def atrous_conv(in_channels: int, channels: int,
                dilation: int) -> Tuple[nn.Module, nn.Module]:
    """A 3x3 convolution with a bias, and a ReLU."""
    conv = nn.Conv2d(
        in_channels, channels, 3, padding=dilation, dilation=dilation)
    return conv, nn.ReLU(inplace=True)


def saliency_loss(logits: Tensor, targets: Tensor) -> Dict[str, Tensor]:
    """Binary cross-entropy of what is salient, a mean over known pixels.

    Args:
        logits (Tensor): ``(n, 1, h, w)``.
        targets (Tensor): ``(n, 1, H, W)`` between 0 and 1, negative where
            unknown.
    """
    logits = F.interpolate(
        full_precision(logits), targets.shape[-2:], mode='bilinear')
    loss = F.binary_cross_entropy_with_logits(
        logits, (targets > 0.5).to(logits), reduction='none')
    return dict(loss_bce=weighted_mean(loss, targets >= 0))
