# Copyright (c) mmbombo contributors.
from itertools import product
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmdet.models.layers import multiclass_nms
from mmdet.structures import DetDataSample, OptSampleList, SampleList
from mmdet.utils import ConfigType, InstanceList, OptConfigType, OptMultiConfig
from mmengine.config import ConfigDict
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData, LabelData
from torch import Tensor, nn

from mmbombo.models.context.view import resize
from mmbombo.models.layers.freeform_roi_pool import roi_max_pool
from mmbombo.models.losses.dist_mean import full_precision, weighted_mean
from mmbombo.models.losses.proposal_losses import (mil_image_loss,
                                                   spatial_regularizer)
from mmbombo.models.seg_heads.region_head import regions_of
from mmbombo.models.task_modules import Seeds
from mmbombo.registry import MODELS
from mmbombo.structures.class_names import TaskClasses
from mmbombo.structures.image_labels import IMAGE_LABEL, PRESENT
from mmbombo.utils import UserError
from .base_task_head import BaseTaskHead, require_map, require_num_classes

GATES = ('feature', 'logit', 'score')
#: Sides of images seen at other scales are multiples of this.
SIDE_UNIT = 32
#: Behind the published network.
TEST_CFG = dict(
    score_thr=1e-3,
    nms=dict(type='nms', iou_threshold=0.4),
    max_per_img=300,
    scales=(1., ),
    flip=False)


class ProposalOutputs(NamedTuple):
    """What the head says of the R proposals of an image.

    Attributes:
        boxes (Tensor): ``(R, 4)`` in pixels of the input, R >= 1.
        feats (Tensor): ``(R, D)``.
        cls_logits (Tensor): ``(R, C)``; a softmax over classes apart from
            probabilities.
        det_logits (Tensor): ``(R, C)``, and one over proposals.
        saliency (Tensor, optional): ``(R, )``, logits.
    """
    boxes: Tensor
    feats: Tensor
    cls_logits: Tensor
    det_logits: Tensor
    saliency: Optional[Tensor]


@MODELS.register_module()
class ProposalTaskHead(BaseTaskHead):
    """Detection that learns from tags: which proposals make an image what it
    is said to show?

    WSDDN (Bilen and Vedaldi, "Weakly Supervised Deep Detection Networks",
    CVPR 2016, and its published code): the features of each proposal go
    through two layers, and then two streams. One is a softmax over the
    classes, the other over the proposals of the image; their product is the
    score of a proposal, and the sum of the scores that of the image, which
    its tags teach. With ``gate``, a saliency sub-network says of each proposal
    whether it shows any object, and guides where the second stream looks, as
    in our reconstruction of Lai and Gong, "Saliency Guided End-to-End Learning
    for Weakly Supervised Object Detection", IJCAI 2017; their other half is
    :class:`TagForProposalLoss`.

    Proposals are the boxes of the sample's ``regions``, those of an image that
    has none the image.

    Args:
        num_classes (int): Number of classes, C, the same for tags and boxes.
        in_channels (int): Channels of the feature map.
        stride (int): Pixels of the image per cell of the map.
        in_index (int): Which map. Defaults to -1.
        fc_channels (int): Width of the two layers, D. Defaults to 4096.
        roi_size (int): Rows and columns of pooled bins. Defaults to 7.
        dropout_ratio (float): Behind these layers. Defaults to 0.5.
        temperature (float): Of the softmax over proposals. Defaults to 2.
        gate (str, optional): What the saliency of a proposal multiplies: its
            'feature' before the second stream, the exponential of the
            second stream's 'logit' or its 'score'. Defaults to None, without.
        saliency_channels (int): Hidden width of the sub-network, 0 for a
            linear one. Defaults to 256.
        min_size (float): Width and height of a proposal, in pixels of the
            input. Defaults to 20.
        max_proposals (int, optional): Of an image in training, chosen at
            random in each step. Defaults to None, all.
        spatial_weight (float): Weight of :func:`spatial_regularizer`. Defaults
            to 1e-4.
        loss_seed (dict): Config of :class:`SeedLoss`.
        loss_saliency (dict): Config of :class:`ProposalSaliencyLoss`.
        vgg16 (str, optional): Path or URL of torchvision's VGG16, from which
            the two layers start. Defaults to None.
        test_cfg (dict, optional): ``score_thr``, ``nms``, ``max_per_img``;
            ``scales``, relative to the input, and whether to ``flip``, for
            scores that are means over them. Defaults to None: 1e-3, IoU 0.4,
            300, (1, ), False. The best box of each class is predicted
            whatever these say.
        init_cfg (dict): Initialization config.
    """

    tasks = ('cls', 'det')
    annotation_kind = IMAGE_LABEL

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stride: int,
        in_index: int = -1,
        fc_channels: int = 4096,
        roi_size: int = 7,
        dropout_ratio: float = 0.5,
        temperature: float = 2.,
        gate: Optional[str] = None,
        saliency_channels: int = 256,
        min_size: float = 20,
        max_proposals: Optional[int] = None,
        spatial_weight: float = 1e-4,
        loss_seed: ConfigType = dict(type='SeedLoss'),
        loss_saliency: ConfigType = dict(type='ProposalSaliencyLoss'),
        vgg16: Optional[str] = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = dict(
            type='Normal',
            std=0.01,
            override=[dict(name='fc_cls'),
                      dict(name='fc_det')])
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if gate not in (None, *GATES):
            raise UserError(f'gate of ProposalTaskHead must be None or one of '
                            f'{GATES}, not {gate!r}')
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.stride = stride
        self.in_index = in_index
        self.roi_size = roi_size
        self.temperature = temperature
        self.gate = gate
        self.min_size = min_size
        self.max_proposals = max_proposals
        self.spatial_weight = spatial_weight
        self.vgg16 = vgg16
        self.test_cfg = ConfigDict({**TEST_CFG, **(test_cfg or {})})
        self.fc6 = nn.Linear(in_channels * roi_size**2, fc_channels)
        self.fc7 = nn.Linear(fc_channels, fc_channels)
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(fc_channels, num_classes)
        self.fc_det = nn.Linear(fc_channels, num_classes)
        self.saliency_net = None
        if gate is not None:
            hidden = saliency_channels
            self.saliency_net = nn.Sequential(
                *[nn.Linear(fc_channels, hidden),
                  nn.ReLU(inplace=True)] if hidden else [],
                nn.Linear(hidden or fc_channels, 1))
        self.loss_seed = MODELS.build(loss_seed)
        self.loss_saliency = MODELS.build(loss_saliency)

    def init_weights(self) -> None:
        """Initialize, from VGG16 if that is given."""
        super().init_weights()
        if self.vgg16 is None:
            return
        weights = CheckpointLoader.load_checkpoint(
            self.vgg16, map_location='cpu')
        for layer, number in ((self.fc6, 0), (self.fc7, 3)):
            layer.load_state_dict({
                name: weights[f'classifier.{number}.{name}']
                for name in ('weight', 'bias')
            })

    def check_classes(self, classes: TaskClasses) -> None:
        """Raise if tags and boxes have other classes than one another, or
        another number."""
        for task in self.tasks:
            require_num_classes(self, task, classes, self.num_classes)
        if tuple(classes['cls']) != tuple(classes['det']):
            raise UserError(
                'ProposalTaskHead finds what the tags name, so its classes '
                f'must be those of the tags in their order, '
                f"{list(classes['cls'])}, not {list(classes['det'])}")

    def check_features(self, feats: Tuple[Tensor, ...],
                       image_size: int) -> None:
        """Raise if there is no such map, or it has another stride."""
        require_map(self, feats, self.in_index, self.in_channels)
        stride = image_size / feats[self.in_index].shape[-1]
        if stride != self.stride:
            raise UserError(f'ProposalTaskHead has stride={self.stride}, but '
                            f'map {self.in_index} (in_index) has {stride:g}')

    def forward(self,
                feats: Tuple[Tensor, ...],
                samples: OptSampleList = None) -> List[ProposalOutputs]:
        """What the head says of the proposals of each image.

        Without samples, or if one has no ``regions``, the proposal is all of
        the image.
        """
        if samples is None:
            size = [self.stride * x for x in feats[self.in_index].shape[-2:]]
            samples = [DetDataSample(metainfo=dict(img_shape=size))] * len(
                feats[self.in_index])
        return self.score(feats, [
            self.proposals(sample).to(feats[self.in_index].device)
            for sample in samples
        ])

    def proposals(self, sample: DetDataSample) -> Tensor:
        """Distinct boxes ``(R, 4)`` of an image, in pixels of the input."""
        height, width = sample.img_shape[:2]
        boxes = torch.tensor([[0., 0., width, height]])
        if 'regions' not in sample:
            return boxes
        found = regions_of(sample).bboxes.float()
        is_large = (found[:, 2:] - found[:, :2] >= self.min_size).all(1)
        found = found[is_large].unique(dim=0)
        limit = self.max_proposals
        if self.training and limit is not None and len(found) > limit:
            found = found[torch.randperm(len(found))[:limit].to(found.device)]
        return found if len(found) else boxes.to(found)

    def score(self, feats: Tuple[Tensor, ...],
              boxes: Sequence[Tensor]) -> List[ProposalOutputs]:
        """What the head says of boxes ``(R_i, 4)``, in input pixels, of each
        image."""
        x = torch.cat([
            roi_max_pool(feat, b, self.roi_size, self.stride).flatten(1)
            for feat, b in zip(feats[self.in_index], boxes)
        ])
        x = self.dropout(self.fc6(x).relu())
        x = self.dropout(self.fc7(x).relu())
        located, saliency = x, None
        if self.saliency_net is not None:
            saliency = full_precision(self.saliency_net(x)[:, 0])
        if self.gate == 'feature':
            located = x * saliency.sigmoid()[:, None]
        det_logits = full_precision(self.fc_det(located))
        if self.gate == 'logit':
            det_logits = det_logits + F.logsigmoid(saliency)[:, None]
        counts = [len(b) for b in boxes]
        parts = (x, full_precision(self.fc_cls(x)),
                 det_logits / self.temperature, saliency)
        parts = [[None] * len(counts) if x is None else x.split(counts)
                 for x in parts]
        return [ProposalOutputs(*image) for image in zip(boxes, *parts)]

    def scores(self, outputs: ProposalOutputs) -> Tensor:
        """Scores ``(R, C)`` of the proposals of an image, whose sum over R is
        at most 1."""
        scores = outputs.cls_logits.softmax(1) * outputs.det_logits.softmax(0)
        if self.gate == 'score':
            scores = scores * outputs.saliency.sigmoid()[:, None]
        return scores

    def select(self, outputs: List[ProposalOutputs], positions: Sequence[int],
               size: int) -> List[ProposalOutputs]:
        """Take the outputs of some images."""
        return [outputs[i] for i in positions]

    def join(
            self,
            outputs: Sequence[List[ProposalOutputs]]) -> List[ProposalOutputs]:
        """Put the outputs of several calls one after the other."""
        return [image for part in outputs for image in part]

    def targets(self, task: str, samples: SampleList) -> Tuple[Tensor, None]:
        """Labels ``(n, C)`` int8 for either task: 1 present, 0 absent, -1
        unknown; ``UserError`` if an image has no regions."""
        for sample in samples:
            regions_of(sample)
        return torch.stack([x.gt_image_label.label for x in samples]), None

    def loss_on_targets(self,
                        task: str,
                        outputs: List[ProposalOutputs],
                        targets: Union[Tensor, List[Seeds]],
                        metas: Sequence[dict],
                        ignore: None = None) -> dict:
        """A mean over images of all ranks.

        Of 'cls', :func:`mil_image_loss` on labels ``(n, C)``. Of 'det',
        :func:`spatial_regularizer` on these; on the seeds of each image its
        losses of seeds and, if there is a gate, of saliency, a mean over the
        images that have seeds.
        """
        if task == 'cls':
            scores = torch.stack([self.scores(x).sum(0) for x in outputs])
            return dict(loss_mil=mean(mil_image_loss(scores, targets)))
        if isinstance(targets, Tensor):
            losses = [
                spatial_regularizer(x.feats, x.boxes, self.scores(x), present)
                for x, present in zip(outputs, targets == PRESENT)
            ]
            return dict(loss_spatial=self.spatial_weight *
                        mean(torch.stack(losses)))
        seeds = torch.tensor([bool(len(x.inds)) for x in targets],
                             device=outputs[0].boxes.device)
        losses = dict(
            loss_seed=torch.stack([
                self.loss_seed(x.cls_logits, x.det_logits, found.assigned)
                for x, found in zip(outputs, targets)
            ]))
        if self.gate is not None:
            losses['loss_saliency'] = torch.stack([
                self.loss_saliency(x.saliency, found.salient)
                for x, found in zip(outputs, targets)
            ])
        return {k: weighted_mean(v, seeds) for k, v in losses.items()}

    def as_evaluation_outputs(
            self,
            outputs: List[ProposalOutputs]) -> Optional[List[ProposalOutputs]]:
        """None if training drops features, or proposals."""
        drops = self.dropout.p > 0 or self.max_proposals is not None
        return None if self.training and drops else outputs

    def decode(
            self,
            task: str,
            outputs: List[ProposalOutputs],
            metas: Sequence[dict],
            cfg: Optional[ConfigType] = None) -> Union[Tensor, InstanceList]:
        """Scores ``(n, C)`` of images; of 'det' boxes in input pixels, after
        NMS, where ``cfg`` replaces ``test_cfg``."""
        scores = [self.scores(x).detach() for x in outputs]
        if task == 'cls':
            return torch.stack([x.sum(0) for x in scores])
        cfg = ConfigDict({**self.test_cfg.to_dict(), **(cfg or {})})
        return [
            self._boxes(x.boxes, score, cfg)
            for x, score in zip(outputs, scores)
        ]

    def _boxes(self, boxes: Tensor, scores: Tensor,
               cfg: ConfigDict) -> InstanceData:
        """Boxes ``(R, 4)`` of an image after NMS in each class."""
        found, labels = multiclass_nms(boxes, F.pad(scores, (0, 1)),
                                       cfg.score_thr, cfg.nms, cfg.max_per_img)
        return InstanceData(
            bboxes=found[:, :4], scores=found[:, 4], labels=labels)

    def _with_best(self, boxes: Tensor, scores: Tensor) -> InstanceData:
        """The same, and the best box of each class that is not among them,
        which correct localization asks for."""
        found = self._boxes(boxes, scores, self.test_cfg)
        best, inds = scores.max(0)
        missing = torch.ones_like(best, dtype=torch.bool)
        missing[found.labels] = False
        others = InstanceData(
            bboxes=boxes[inds],
            scores=best,
            labels=torch.arange(len(best), device=inds.device))
        return InstanceData.cat([found, others[missing]])

    @torch.no_grad()
    def add_predictions(self, feats: Tuple[Tensor, ...], inputs: Tensor,
                        samples: SampleList, extract_feat: Callable) -> None:
        """Store ``pred_image_label`` and, at the original image size,
        ``pred_instances``."""
        for sample in samples:
            regions_of(sample)
        boxes = [self.proposals(x).to(inputs.device) for x in samples]
        views = [
            self._seen(feats, inputs, boxes,
                       extract_feat, *view) for view in product(
                           self.test_cfg.scales, {False, self.test_cfg.flip})
        ]
        for sample, box, *scores in zip(samples, boxes, *views):
            score = torch.stack(scores).mean(0)
            sample.pred_image_label = LabelData(score=score.sum(0))
            factor = box.new_tensor(sample.get('scale_factor', (1., 1.)))
            sample.pred_instances = self._with_best(box / factor.repeat(2),
                                                    score)

    def _seen(self, feats: Tuple[Tensor, ...], inputs: Tensor,
              boxes: Sequence[Tensor], extract_feat: Callable, scale: float,
              flip: bool) -> List[Tensor]:
        """Scores ``(R_i, C)`` of the boxes of each image, seen otherwise."""
        if scale != 1 or flip:
            size = [
                SIDE_UNIT * max(1, round(x * scale / SIDE_UNIT))
                for x in inputs.shape[-2:]
            ]
            factor = boxes[0].new_tensor(size) / boxes[0].new_tensor(
                inputs.shape[-2:])
            boxes = [x * factor.flip(0).repeat(2) for x in boxes]
            inputs = resize(inputs, size)
            if flip:
                inputs = inputs.flip(-1)
                boxes = [mirror(x, size[1]) for x in boxes]
            feats = extract_feat(inputs)
        return [self.scores(x) for x in self.score(feats, boxes)]


def mirror(boxes: Tensor, width: float) -> Tensor:
    """Boxes ``(R, 4)`` of an image of that width, left to right."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)


def mean(values: Tensor) -> Tensor:
    """Over the images ``(n, )`` of all ranks."""
    return weighted_mean(values, torch.ones_like(values))
