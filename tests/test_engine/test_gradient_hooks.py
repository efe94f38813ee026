# Copyright (c) mmbombo contributors.
"""Gradients of heads and weak losses compared, and weighted by TorchJD."""
import json
import sys

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from toolbox import load_script, tiny_model_cfg
from torch import nn
from torch.utils.data import Dataset

from mmbombo.engine.hooks import GradientConflictHook, LossBalanceHook
from mmbombo.engine.hooks.gradient_conflict_hook import shared_stages
from mmbombo.utils import UserError


class Toy(BaseModel):
    """Losses whose gradients on ``backbone.layer1`` and ``neck`` are given:
    ``losses[name] = (on layer1, on neck)``."""

    def __init__(self, losses):
        super().__init__()
        self.backbone = nn.ParameterDict()
        self.backbone['layer1'] = nn.Parameter(torch.zeros(2))
        self.neck = nn.Parameter(torch.zeros(2))
        self.head = nn.Parameter(torch.zeros(()))
        self.losses = losses

    def forward(self, inputs, data_samples=None, mode='loss'):
        found = {}
        for key, (layer, neck) in self.losses.items():
            found[key] = (
                self.backbone['layer1'] @ torch.tensor(layer) +
                self.neck @ torch.tensor(neck) + self.head)
        return found
