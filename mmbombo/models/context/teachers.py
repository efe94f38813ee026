# Copyright (c) mmbombo contributors.
from typing import Dict, Optional

from mmdet.structures import SampleList
from torch import Tensor, nn

from .teacher_outputs import TeacherOutputs


class Teachers:
    """References to other networks that predict for the one in training.

    An EMA copy or a teacher must not become a part of the model: not in its
    ``state_dict``, not among the parameters that are optimized or broadcast,
    and not in a copy of the model (the EMA model is such a copy). This holder
    is no module, so the model does not register what is in it, and a copy of
    it is empty.
    """

    def __init__(self) -> None:
        self._models: Dict[str, nn.Module] = {}

    def set(self, name: str, model: nn.Module) -> None:
        """Remember a network under a name, and set it to evaluation mode.

        Args:
            name (str): Such as 'ema'.
            model (nn.Module): The network.
        """
        self._models[name] = model.eval()

    def get(self, name: str) -> Optional[nn.Module]:
        """The network of that name, or None while there is none."""
        return self._models.get(name)

    def ask(self, name: str, inputs: Tensor,
            samples: SampleList) -> Optional[TeacherOutputs]:
        """What the network of that name says about images, or None.

        Args:
            name (str): Such as 'ema'.
            inputs (Tensor): Images ``(N, 3, H, W)`` of a step, normalized.
            samples (list[:obj:`DetDataSample`]): Their samples.
        """
        if name not in self._models:
            return None
        return TeacherOutputs(name, self._models[name], inputs, samples)

    def __reduce__(self) -> tuple:
        """Copies and pickles are empty."""
        return Teachers, ()
