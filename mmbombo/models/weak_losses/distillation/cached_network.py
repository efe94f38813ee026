# Copyright (c) mmbombo contributors.
from functools import partial
from typing import Any, Callable, Dict, List, Sequence, Tuple

from torch import Tensor, nn

from mmbombo.models.context import OncePerImage, TeacherOutputs
from mmbombo.models.utils import join_images, select_images
from .answer_cache import AnswerCache


class CachedNetwork(TeacherOutputs):
    """Another network whose answers are kept on disk.

    An image that it has answered for in an earlier step, or an earlier run,
    does not pass through it again. Only what the losses ask for is stored:
    for the outputs of a head the features are not.

    Args:
        name (str): As for :class:`TeacherOutputs`.
        network (nn.Module): A frozen one.
        inputs (Tensor): Images ``(N, 3, H, W)`` of the step, normalized.
        cache (AnswerCache): Where the answers are.
    """

    def __init__(self, name: str, network: nn.Module, inputs: Tensor,
                 cache: AnswerCache) -> None:
        super().__init__(name, network, inputs)
        self.cache = cache
        self._recalled: Dict[str, OncePerImage] = {}

    def features(self, images: Sequence[int]) -> Tuple[Tensor, ...]:
        """See :meth:`TeacherOutputs.features`."""
        return self._recall('features', super().features, images)

    def outputs(self, task: str, images: Sequence[int]) -> Any:
        """See :meth:`TeacherOutputs.outputs`."""
        return self._recall(f'outputs of {task}',
                            partial(super().outputs, task), images)

    def _recall(self, part: str, ask: Callable[[List[int]], Any],
                images: Sequence[int]) -> Any:
        if part not in self._recalled:
            self._recalled[part] = OncePerImage(
                partial(self._look_up, part, ask))
        return self._recalled[part](images)

    def _look_up(self, part: str, ask: Callable[[List[int]], Any],
                 images: List[int]) -> Any:
        """Answers from the disk, and from the network for the others."""
        pixels = select_images(self.inputs, images, len(self.inputs))
        keys = [self.cache.key(part, image) for image in pixels]
        answers = [self.cache.get(key, pixels.device) for key in keys]
        missing = [n for n, answer in enumerate(answers) if answer is None]
        if missing:
            said = ask([images[n] for n in missing])
            for row, n in enumerate(missing):
                # joining copies: a view would be stored with all images
                answers[n] = join_images(
                    [select_images(said, [row], len(missing))])
                self.cache.put(keys[n], answers[n])
        return join_images(answers)
