# Copyright (c) mmbombo contributors.
"""Reading of the lists of a VOCdevkit folder."""
from pathlib import Path
from typing import Dict, List, NamedTuple, Set

from mmbombo.datasets.errors import DatasetError
from mmbombo.utils.atomic_write import file_sha256

VOC2007 = 'VOC2007'
VOC2012 = 'VOC2012'
YEARS = (VOC2007, VOC2012)
#: VOC2012 calls the photographs that it has from VOC2007 so.
TWIN_PREFIX = '2007_'

#: Image ids of each year.
YearLists = Dict[str, List[str]]


class Photo(NamedTuple):
    """A photograph, by the year that it first appeared in, and its image id
    in that year."""
    year: str
    name: str


def identify(year: str, image_id: str) -> Photo:
    """The photograph of an image: ``2007_000032`` of VOC2012 is ``000032`` of
    VOC2007."""
    if year == VOC2012 and image_id.startswith(TWIN_PREFIX):
        return Photo(VOC2007, image_id[len(TWIN_PREFIX):])
    return Photo(year, image_id)


class Devkit:
    """The folder that holds VOC2007 and VOC2012.

    Args:
        root (Path): The folder.
        mask_folder (str): Folder of VOC2012 with the masks that may be
            trained with.
    """

    def __init__(self, root: Path, mask_folder: str) -> None:
        self.root = root
        self.mask_folders = {
            VOC2007: 'SegmentationClass',
            VOC2012: mask_folder
        }
        #: File -> its SHA-256, of all lists that were read.
        self.hashes: Dict[str, str] = {}

    def list_path(self, year: str, name: str) -> Path:
        """File of a list such as ``'Main/trainval'``."""
        return self.root / year / 'ImageSets' / f'{name}.txt'

    def read(self, year: str, name: str) -> List[str]:
        """Image ids of a list of one year, in its order."""
        path = self.list_path(year, name)
        if not path.is_file():
            raise DatasetError(
                f'{path} does not exist: it comes with {year}; give the '
                'folder that holds VOC2007 and VOC2012 (VOCdevkit)')
        self.hashes[str(path.relative_to(self.root))] = file_sha256(path)
        return path.read_text(encoding='utf-8').split()

    def read_years(self, name: str) -> YearLists:
        """Image ids of a list in the years that have it."""
        years = [y for y in YEARS if self.list_path(y, name).is_file()]
        if not years:
            raise DatasetError(f'there is no list {name!r}: '
                               f'{self.list_path(VOC2012, name)} does not '
                               'exist, nor does that of VOC2007')
        return {year: self.read(year, name) for year in years}

    def with_mask(self) -> Set[str]:
        """Images of VOC2012 with a mask that may be trained with."""
        folder = self.root / VOC2012 / self.mask_folders[VOC2012]
        found = {path.stem for path in folder.glob('*.png')}
        if not found:
            raise DatasetError(
                f'{folder} holds no mask. Make it from SBD with: python '
                'tools/dataset_converters/sbd_masks.py '
                f'benchmark_RELEASE/dataset {self.root / VOC2012}; or use the '
                'official masks alone, with --masks SegmentationClass')
        return found
