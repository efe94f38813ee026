# Copyright (c) mmbombo contributors.
"""Losses of proposals whose image has tags.

Of WSDDN: Bilen and Vedaldi, "Weakly Supervised Deep Detection Networks", CVPR
2016, and its published code. Those of seeds are our reconstruction of Lai and
Gong, "Saliency Guided End-to-End Learning for Weakly Supervised Object
Detection", IJCAI 2017.
"""
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor, nn

from mmbombo.registry import MODELS

#: What a score differs from 0 and 1 by, at least, in a logarithm.
_EPS = 1e-6


def mil_image_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """WSDDN's binary log loss of images, a sum over the classes.

    Args:
        scores (Tensor): ``(n, C)``, sums over the proposals of each image.
        labels (Tensor): ``(n, C)``: 1 present, 0 absent, -1 unknown, which
            costs nothing.

    Returns:
        Tensor: ``(n, )``.
    """
    scores = scores.clamp(_EPS, 1 - _EPS)
    right = torch.where(labels > 0, scores, 1 - scores)
    return -(right.log() * (labels >= 0)).sum(1)


def spatial_regularizer(feats: Tensor,
                        boxes: Tensor,
                        scores: Tensor,
                        present: Tensor,
                        neighbors: int = 9,
                        min_iou: float = 0.6) -> Tensor:
    """WSDDN's regularizer of an image: what is near the best looks like it.

    Of each present class half the squared distance of the next best
    proposals' features from those of the best, times their scores.

    Args:
        feats (Tensor): ``(R, D)``, of R >= 1 proposals.
        boxes (Tensor): ``(R, 4)``.
        scores (Tensor): ``(R, C)``; they are weights, without gradient.
        present (Tensor): ``(C, )`` bool.
        neighbors (int): How many of the next best count, as far as they
            overlap the best. Defaults to 9.
        min_iou (float): By more than this. Defaults to 0.6.

    Returns:
        Tensor: A scalar.
    """
    scores = scores.detach()[:, present]
    order = scores.topk(min(neighbors + 1, len(scores)), dim=0).indices
    best, others = order[:1], order[1:]
    overlaps = bbox_overlaps(
        boxes[others],
        boxes[best].expand(len(others), -1, -1),
        is_aligned=True)
    weights = scores.gather(0, others) * (overlaps > min_iou)
    distance = weights[..., None] * (feats[others] - feats[best])
    return distance.square().sum() / 2


@MODELS.register_module()
class SeedLoss(nn.Module):
    """Class and location of the seeds of an image.

    The negative logarithm of the probability that a proposal around a seed is
    of its class, a mean over all these proposals; and of the share that those
    of a seed have together among the image's, a mean over the seeds.

    Args:
        loss_weight (float): Defaults to 1.
        loc_weight (float): Of the location, beside the class. Defaults to 1.
    """

    def __init__(self,
                 loss_weight: float = 1.,
                 loc_weight: float = 1.) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loc_weight = loc_weight

    def forward(self, cls_logits: Tensor, det_logits: Tensor,
                assigned: Tensor) -> Tensor:
        """The loss of an image, 0 without a seed.

        Args:
            cls_logits (Tensor): ``(R, C)``, a softmax over classes apart from
                probabilities.
            det_logits (Tensor): ``(R, C)``, and one over proposals.
            assigned (Tensor): ``(R, C)``: 1 around a seed of the class.
        """
        positive = assigned > 0
        seeded = positive.any(0)
        if not len(positive) or not seeded.any():
            return (cls_logits.sum() + det_logits.sum()) * 0
        loss = -cls_logits.log_softmax(1)[positive].mean()
        share = det_logits.log_softmax(0)[:, seeded]
        share = share.masked_fill(~positive[:, seeded], -torch.inf)
        location = -share.logsumexp(0).mean()
        return self.loss_weight * (loss + self.loc_weight * location)


@MODELS.register_module()
class ProposalSaliencyLoss(nn.Module):
    """Binary cross-entropy of which proposals of an image are salient.

    Args:
        loss_weight (float): Defaults to 1.
    """

    def __init__(self, loss_weight: float = 1.) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, salient: Tensor) -> Tensor:
        """The mean over the proposals that are not ignored, 0 without any.

        Args:
            logits (Tensor): ``(R, )``.
            salient (Tensor): ``(R, )``: 1 salient, 0 not, -1 ignored.
        """
        known = salient >= 0
        loss = F.binary_cross_entropy_with_logits(
            logits, (salient > 0).to(logits), reduction='none')
        mean = (loss * known).sum() / known.sum().clamp(min=1)
        return self.loss_weight * mean
