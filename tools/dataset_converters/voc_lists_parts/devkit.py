# Copyright (c) mmbombo contributors.
"""Reading of the lists of a VOCdevkit folder."""
from pathlib import Path
from typing import Dict, List, NamedTuple, Set

from mmbombo.datasets.checks.files import number_lines
from mmbombo.datasets.errors import DatasetError, list_problems
from mmbombo.utils.atomic_write import file_sha256

VOC2007 = 'VOC2007'
VOC2012 = 'VOC2012'
YEARS = (VOC2007, VOC2012)
#: VOC2012 calls the photographs that it has from VOC2007 so.
TWIN_PREFIX = '2007_'

#: Image ids of each year.
YearLists = Dict[str, List[str]]


class Photo(NamedTuple):
    """A photograph, by the year that it first appeared in.

    Attributes:
        year (str): 'VOC2007' or 'VOC2012'.
        name (str): Image id in that year.
    """
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

    Raises:
        DatasetError: If one of the years is not in the folder.
    """

    def __init__(self, root: Path, mask_folder: str) -> None:
        self.root = root
        self.mask_folders = {
            VOC2007: 'SegmentationClass',
            VOC2012: mask_folder
        }
        #: File -> its SHA-256, of all lists that were read.
        self.hashes: Dict[str, str] = {}
        for year in YEARS:
            if not (root / year / 'JPEGImages').is_dir():
                raise DatasetError(
                    f'{root / year / "JPEGImages"} does not exist: give the '
                    'folder that holds VOC2007 and VOC2012 (VOCdevkit)')

    def list_path(self, year: str, name: str) -> Path:
        """File of a list such as ``'Main/trainval'``."""
        return self.root / year / 'ImageSets' / f'{name}.txt'

    def read(self, year: str, name: str) -> List[str]:
        """Image ids of a list of one year, in its order.

        Raises:
            DatasetError: If there is no such list.
        """
        path = self.list_path(year, name)
        if not path.is_file():
            raise DatasetError(f'{path} does not exist: it comes with {year}')
        self.hashes[str(path.relative_to(self.root))] = file_sha256(path)
        return [line for _, line in number_lines(str(path))]

    def read_years(self, name: str) -> YearLists:
        """Image ids of a list in the years that have it.

        Raises:
            DatasetError: If no year has it.
        """
        years = [y for y in YEARS if self.list_path(y, name).is_file()]
        if not years:
            raise DatasetError(
                f'there is no list {name!r}: neither '
                f'{" nor ".join(str(self.list_path(y, name)) for y in YEARS)} '
                'exists')
        return {year: self.read(year, name) for year in years}

    def require_images(self, name: str) -> None:
        """Stop if a list names an image that is not there.

        Raises:
            DatasetError: Naming the images and the lines.
        """
        missing = []
        for year in YEARS:
            path = self.list_path(year, name)
            for number, image_id in number_lines(
                    str(path)) if path.is_file() else ():
                image = self.root / year / 'JPEGImages' / f'{image_id}.jpg'
                if not image.is_file():
                    missing.append(f'{image} ({path} line {number})')
        if missing:
            raise DatasetError(
                list_problems(f'list {name!r} names missing image(s)',
                              missing))

    def with_mask(self) -> Set[str]:
        """Images of VOC2012 with a mask that may be trained with.

        Raises:
            DatasetError: If there is none.
        """
        folder = self.root / VOC2012 / self.mask_folders[VOC2012]
        found = {path.stem for path in folder.glob('*.png')}
        if not found:
            raise DatasetError(
                f'{folder} holds no mask. Make it from SBD with: python '
                'tools/dataset_converters/sbd_masks.py '
                f'benchmark_RELEASE/dataset {self.root / VOC2012}; or use the '
                'official masks alone, with --masks SegmentationClass')
        return found
