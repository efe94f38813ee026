# Copyright (c) mmbombo contributors.
"""Write the image lists of ``configs/bombo_voc.py``.

    python tools/dataset_converters/voc_lists.py data/VOCdevkit/VOC2012

``det_train.txt``: images with boxes that are in no segmentation list;
``seg_train.txt``: the official segmentation training list; ``val.txt``: the
images of the official segmentation validation list that have boxes too. The
three have no image in common. They go to ``ImageSets/mmbombo``; nothing else
is changed.
"""
import argparse
import sys
from pathlib import Path
from typing import List


def read_ids(path: Path) -> List[str]:
    """Image ids of a list of the challenge."""
    if not path.is_file():
        sys.exit(f'{path} does not exist: is this the folder of VOC2012, with '
                 'JPEGImages and ImageSets in it?')
    return path.read_text().split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder of VOC2012')
    sets = parser.parse_args().root / 'ImageSets'

    with_boxes = read_ids(sets / 'Main' / 'trainval.txt')
    seg_train = read_ids(sets / 'Segmentation' / 'train.txt')
    seg_val = read_ids(sets / 'Segmentation' / 'val.txt')
    with_mask = set(seg_train) | set(seg_val)
    boxed = set(with_boxes)
    lists = dict(
        det_train=[i for i in with_boxes if i not in with_mask],
        seg_train=seg_train,
        val=[i for i in seg_val if i in boxed])

    (sets / 'mmbombo').mkdir(exist_ok=True)
    for name, ids in lists.items():
        path = sets / 'mmbombo' / f'{name}.txt'
        path.write_text(''.join(f'{i}\n' for i in ids))
        print(f'{path}: {len(ids)} images')


if __name__ == '__main__':
    main()
