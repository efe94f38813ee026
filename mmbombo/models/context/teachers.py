# Copyright (c) mmbombo contributors.
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from mmdet.structures import SampleList
from torch import Tensor, nn

from mmbombo.models.utils import join_images, select_images
from mmbombo.utils import UserError


class TeacherOutputs:
    """What another network says about the images of one step.

    The network (a moving average, a teacher) is in evaluation mode and has no
    gradient. Each image passes through it, and through each of its heads,
    once, in whatever order and subsets the losses ask; in evaluation mode an
    image's answer does not depend on the others in the batch.

    ``torch.no_grad`` and not ``inference_mode``: a loss may save what is
    answered here for its backward pass.

    Args:
        name (str): Name of the network, for messages.
        network (nn.Module): Has ``extract_feat(inputs)`` and ``task_heads``.
        inputs (Tensor): Images ``(N, 3, H, W)`` of the step, normalized.
        samples (list[:obj:`DetDataSample`]): Their N samples.
    """

    def __init__(self, name: str, network: nn.Module, inputs: Tensor,
                 samples: SampleList) -> None:
        self.name = name
        self.network = network
        self.inputs = inputs
        self.samples = samples
        self._features = OncePerImage(self._extract)
        self._outputs: Dict[str, OncePerImage] = {}

    def features(self, images: Sequence[int]) -> Tuple[Tensor, ...]:
        """Feature maps ``(len(images), C, H_l, W_l)`` of the neck."""
        return self._features(images)

    def outputs(self, task: str, images: Sequence[int]) -> Any:
        """Raw outputs of a head, by its name or a task that it alone serves.

        Raises:
            UserError: If the network has no such head.
        """
        if task not in (*self.network.task_heads, *self.network.tasks):
            raise UserError(f"the network '{self.name}' has no task '{task}', "
                            f'only {sorted(self.network.tasks)}')
        name = self.network.head_name(task)
        head = self.network.task_heads[name]
        if name not in self._outputs:
            self._outputs[name] = OncePerImage(
                lambda images: head(
                    self._features(images), [self.samples[i] for i in images]),
                head.select, head.join)
        return head.part(task, self._outputs[name](images))

    def _extract(self, images: List[int]) -> Tuple[Tensor, ...]:
        return self.network.extract_feat(
            select_images(self.inputs, images, len(self.inputs)))


class OncePerImage:
    """Remembers what a function of images gave, image by image.

    Args:
        function (Callable): Maps positions of n images to nested tensors
            ``(n, ...)``, independently for each image.
        select (Callable): Takes the rows of some images out of an answer.
            Defaults to :func:`select_images`.
        join (Callable): Puts answers one after the other. Defaults to
            :func:`join_images`.
    """

    def __init__(self,
                 function: Callable[[List[int]], Any],
                 select: Callable = select_images,
                 join: Callable = join_images) -> None:
        self.function = function
        self.select = select
        self.join = join
        self._answers: List[Tuple[List[int], Any]] = []

    @torch.no_grad()
    def __call__(self, images: Sequence[int]) -> Any:
        """What the function says about n >= 1 images, in the order asked."""
        known = {i for asked, _ in self._answers for i in asked}
        new = [i for i in images if i not in known]
        if new:
            self._answers.append((new, self.function(new)))
        for asked, answer in self._answers:
            if set(images) <= set(asked):
                return self.select(answer, [asked.index(i) for i in images],
                                   len(asked))
        return self.join([self([i]) for i in images])


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
        """Remember a network under a name, and set it to evaluation mode."""
        self._models[name] = model.eval()

    def get(self, name: str) -> Optional[nn.Module]:
        """The network of that name, or None while there is none."""
        return self._models.get(name)

    def __reduce__(self) -> tuple:
        """Copies and pickles are empty."""
        return Teachers, ()
