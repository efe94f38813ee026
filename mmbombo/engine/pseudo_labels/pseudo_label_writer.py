# Copyright (c) mmbombo contributors.
"""Pseudo labels of a data set in files, written by a trained network."""
from abc import ABCMeta, abstractmethod
from pathlib import Path
from typing import Dict, Iterable, List

import torch
from mmdet.structures import SampleList
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.dist import barrier, get_dist_info
from mmengine.utils import track_iter_progress
from PIL.Image import Image
from torch import Tensor, nn

from mmbombo.datasets.source import map_name
from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.models.utils import evaluation_mode
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import atomic_file


class PseudoLabelWriter(metaclass=ABCMeta):
    """Makes pseudo labels of images, as images.

    Attributes:
        folders (dict[str, str]): What is written, by the name of the folder
            that it goes to, such as 'masks'.
    """
    folders: Dict[str, str] = {}

    def prepare(self, model: nn.Module, dataset: BaseDataset) -> None:
        """Look at the network and the data set before the first image."""

    @abstractmethod
    def write(self, model: nn.Module, inputs: Tensor,
              samples: SampleList) -> Iterable[Dict[str, Image]]:
        """Make the labels of a batch, without gradient.

        Args:
            model (nn.Module): The network, in evaluation mode.
            inputs (Tensor): Images ``(N, 3, H, W)``, normalized and padded.
            samples (list[:obj:`DetDataSample`]): Their N samples.

        Yields:
            dict[str, Image]: Of each image, by folder, an 8-bit image of its
            original size.
        """


@torch.no_grad()
def write_pseudo_labels(writer: PseudoLabelWriter,
                        model: nn.Module,
                        dataset: BaseDataset,
                        out_dirs: Dict[str, Path],
                        batch_size: int = 4) -> int:
    """Write ``NAME.png`` for each image ``NAME.*`` of a data set.

    A file that is there is kept, so that an interrupted run continues. In a
    distributed run each process writes its share, and waits for the others.

    Args:
        writer (PseudoLabelWriter): Makes the labels.
        model (nn.Module): The network, not wrapped.
        dataset (BaseDataset): A source, or several, with a test pipeline.
        out_dirs (dict[str, Path]): Where each of the writer's folders is.
        batch_size (int): Images of a forward pass. Defaults to 4.

    Returns:
        int: Number of images whose labels this process has written.

    Raises:
        UserError: If two images would get the same file.
    """
    names = label_names(dataset)
    writer.prepare(model, dataset)

    def is_due(i: int) -> bool:
        return not all((x / names[i]).exists() for x in out_dirs.values())

    rank, world_size = get_dist_info()
    share = range(rank, len(names), world_size)
    # a batch is always the same one: labels may depend on its padding
    batches = [
        share[i:i + batch_size] for i in range(0, len(share), batch_size)
    ]
    batches = [batch for batch in batches if any(map(is_due, batch))]
    written = 0
    with evaluation_mode(model):
        for batch in batches if rank else track_iter_progress(batches):
            data = model.data_preprocessor(
                pseudo_collate([dataset[i] for i in batch]))
            labels = writer.write(model, data['inputs'], data['data_samples'])
            for i, images in zip(batch, labels):
                written += is_due(i)
                for folder, image in images.items():
                    save(image, out_dirs[folder] / names[i])
    barrier()
    return written


def save(image: Image, path: Path) -> None:
    """Write a PNG file that is not there, in one piece."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as unfinished:
            image.save(unfinished, 'PNG')


def label_names(dataset: BaseDataset) -> List[str]:
    """Name of each image's files, which are in folders as the images are."""
    names: List[str] = []
    owners: Dict[str, str] = {}
    for source in leaf_datasets(dataset):
        whole = getattr(source, 'wrapped', source)
        prefix = getattr(whole, 'data_prefix', {})
        folder = prefix.get('img_path') or prefix.get('img')
        for i in range(len(source)):
            path = source.get_data_info(i)['img_path']
            name = map_name(path, folder)
            owner = owners.setdefault(name, path)
            if owner != path:
                raise UserError(
                    f'{owner} and {path} would both get the label file '
                    f'{name}; write one source at a time, each into a folder '
                    'of its own')
            names.append(name)
    return names
