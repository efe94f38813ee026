# Copyright (c) mmbombo contributors.
"""What a frozen network said about images, on disk."""
import hashlib
import io
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from mmbombo.utils.atomic_write import read_with_checksum, write_with_checksum

#: To be raised whenever networks of equal weights come to answer differently:
#: it is part of the key, so that older answers are not found any more.
FORMAT_VERSION = 1


class AnswerCache:
    """Nested tensors under a key of all that they are made from.

    As :class:`~mmbombo.weak_labels.PseudoMaskCache`: any number of processes
    share a folder without a lock, and a file that does not hold what its name
    says (half written, damaged or foreign) counts as absent and is replaced.
    A file has a line with its key and a checksum, and the tensors as
    ``torch.save`` writes them; they are loaded with ``weights_only=True``,
    which runs no code.

    Args:
        root (str | Path): Folder of the cache, made when first written to.
        identity (str): What the answers depend on beside the image, see
            :func:`identity_of`.
    """

    def __init__(self, root: Union[str, Path], identity: str) -> None:
        self.root = Path(root)
        self.identity = identity

    def key(self, part: str, image: Tensor) -> str:
        """Key of an answer.

        Args:
            part (str): What was asked for, 'features' or a task.
            image (Tensor): ``(3, H, W)`` as the network sees it, so that the
                key holds the file, the pipeline and the padding.

        Returns:
            str: 64 hexadecimal digits.
        """
        device = image.device.type
        # half precision gives other answers
        amp = torch.is_autocast_enabled(device) and str(
            torch.get_autocast_dtype(device))
        recipe = (FORMAT_VERSION, self.identity, part, device, amp,
                  str(image.dtype), tuple(image.shape))
        digest = hashlib.sha256(f'{recipe}\0'.encode())
        digest.update(raw_bytes(image))
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """File of a key, in a folder named after the start of the key."""
        return self.root / key[:2] / f'{key[2:]}.pt'

    def get(self, key: str, device: torch.device) -> Optional[Any]:
        """The answer of a key, or None if there is no good one.

        Args:
            key (str): Of :meth:`key`.
            device (torch.device): Where its tensors shall be.

        Returns:
            Any or None: Nested tensors, in the precision of the step that
            made them.
        """
        content = read_with_checksum(self.path(key), f'answer {key}')
        if content is None:
            return None
        return torch.load(
            io.BytesIO(content), map_location=device, weights_only=True)

    def put(self, key: str, answer: Any) -> None:
        """Store an answer.

        Args:
            key (str): Of :meth:`key`.
            answer (Any): Nested tensors that are no views of larger ones,
                which would be stored whole.

        Raises:
            OSError: If the file cannot be written.
        """
        buffer = io.BytesIO()
        torch.save(answer, buffer)
        write_with_checksum(
            self.path(key), f'answer {key}', buffer.getvalue())


def identity_of(network: nn.Module, config: str) -> str:
    """What the answers of a frozen network depend on.

    Args:
        network (nn.Module): Its parameters and buffers, of any origin.
        config (str): Text of its config: equal weights may be put together in
            other ways.

    Returns:
        str: 64 hexadecimal digits.
    """
    digest = hashlib.sha256(config.encode())
    for name, value in network.state_dict().items():
        digest.update(
            f'\0{name} {value.dtype} {tuple(value.shape)}\0'.encode())
        digest.update(raw_bytes(value))
    return digest.hexdigest()


def raw_bytes(values: Tensor) -> memoryview:
    """The numbers of a tensor as bytes; waits for its device."""
    flat = values.detach().cpu().contiguous().flatten()
    return memoryview(flat.view(torch.uint8).numpy())
