# Copyright (c) mmbombo contributors.
import glob
import os.path as osp
import re
from typing import Dict, Iterator, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from mmbombo.registry import DATASETS
from mmbombo.structures import DEPTH, IGNORE_INDEX, POSE, SEM_SEG
from .errors import DatasetError, read_json, reading
from .posed_rgbd_dataset import PosedRGBDDataset, check_intrinsics
from .seg_ids import MISSING_INDEX, read_indices

CLASSES = ('ceiling', 'floor', 'wall', 'beam', 'column', 'window', 'door',
           'table', 'chair', 'sofa', 'bookcase', 'board', 'clutter')
#: camera_UUID_ROOM_frame_NUMBER_domain_rgb.png
NAME = re.compile(r'camera_\w+?_(?P<room>[A-Za-z]+_\d+)_frame_\w+_domain_$')


@DATASETS.register_module()
class Stanford2D3DSDataset(PosedRGBDDataset):
    """Perspective images of 2D-3D-S (Armeni et al., arXiv:1702.01105).

    Rooms are scenes. Depth is in 1/512 m along z, 65535 is missing;
    ``camera_rt_matrix`` is from the world to the camera, with OpenCV's axes.
    (``final_camera_rotation`` has Blender's, and of ``global_xyz`` and
    panoramas nothing is read.) Without ``data_prefix=dict(seg_map_path=...)``
    masks are those of the set: a pixel's color is an index of 24 bits into
    ``semantic_labels.json``. Objects of classes that ``seg_classes`` does not
    name are its 'background', if it has one, else ignored.

    Args:
        annotation_kinds (Sequence[str]): See :class:`PosedRGBDDataset`.
        data_root (str): Folder of the areas and of ``assets``.
        scenes (Sequence[str]): Areas. Defaults to 1, 2, 3, 4 and 6; of 5b the
            cameras are not where they should be.
        metainfo (dict, optional): Defaults to all 13 classes.
        **kwargs: Arguments of :class:`PosedRGBDDataset` that say nothing of
            files or cameras, and ``registration``.
    """

    def __init__(self,
                 annotation_kinds: Sequence[str],
                 data_root: str,
                 scenes: Sequence[str] = ('area_1', 'area_2', 'area_3',
                                          'area_4', 'area_6'),
                 metainfo: dict = None,
                 **kwargs) -> None:
        super().__init__(
            annotation_kinds,
            data_root,
            scenes,
            color='rgb',
            depth='depth',
            pose='pose',
            intrinsics='pose',
            depth_scale=512,
            depth_missing=(65535, ),
            axes='opencv',
            world_to_camera=True,
            metainfo=metainfo or dict(classes=CLASSES, seg_classes=CLASSES),
            **kwargs)

    def load_data_list(self) -> list:
        """List the frames; masks are the set's own, or of a folder."""
        self.own_masks = not self.data_prefix.get('seg_map_path')
        if SEM_SEG in self.annotation_kinds and self.own_masks:
            self.index_classes = self._read_labels()
        return super().load_data_list()

    def _read_labels(self) -> np.ndarray:
        """Id of each index, of names CLASS_INSTANCE_ROOM_NUMBER_AREA."""
        path = osp.join(self.data_root, 'assets', 'semantic_labels.json')
        with reading(path, 'a list of labels'):
            names = [x.split('_')[0] for x in read_json(path)]
        seg = self._metainfo['seg_classes']
        other = (
            seg.index('background') if 'background' in seg else IGNORE_INDEX)
        ids = {name: other for name in CLASSES}
        ids.update((name, i) for i, name in enumerate(seg))
        return np.array([ids.get(x, IGNORE_INDEX) for x in names])

    def list_frames(self) -> Iterator[dict]:
        """Each perspective image of the areas."""
        for area in self.scene_folders():
            if area == 'area_5b':
                print_log(
                    'Stanford2D3DSDataset: poses and images of area_5b are '
                    'known not to fit together; votes of its views are wrong',
                    logger='current')
            folder = osp.join(self.data_root, area, 'data')
            for path in sorted(glob.glob(f'{folder}/rgb/*_domain_rgb.png')):
                yield self._frame(area, folder, path)

    def _frame(self, area: str, folder: str, path: str) -> dict:
        start = osp.basename(path)[:-len('rgb.png')]
        room = NAME.match(start)
        if room is None:
            raise DatasetError(f'{path}: not named camera_UUID_ROOM_NUMBER_'
                               'frame_NUMBER_domain_rgb.png')
        files = {
            kind: osp.join(folder, kind, f'{start}{kind}.{end}')
            for kind, end in (('depth', 'png'), ('pose', 'json'), ('semantic',
                                                                   'png'))
        }
        info = dict(
            scene=f'{area}/{room["room"]}',
            img_path=path,
            registration=self.registration)
        if DEPTH in self.annotation_kinds:
            info.update(self.depth_info(files['depth']))
        if POSE in self.annotation_kinds:
            info.update(self._read_pose(files['pose']))
        if SEM_SEG in self.annotation_kinds and self.own_masks:
            info['seg_map_path'] = files['semantic']
        return info

    def _read_pose(self, path: str) -> Dict[str, np.ndarray]:
        with reading(path, 'a pose of 2D-3D-S'):
            pose = read_json(path)
            matrices = [
                np.array(pose[f'camera_{x}_matrix'], dtype=np.float64)
                for x in ('k', 'rt')
            ]
        return dict(
            intrinsics=check_intrinsics(matrices[0], path),
            extrinsics=self.extrinsics(matrices[1], path))

    def get_data_info(self, idx: int) -> dict:
        """A frame, and what the indices in its mask mean."""
        info = super().get_data_info(idx)
        if SEM_SEG in self.annotation_kinds and self.own_masks:
            info['index_classes'] = self.index_classes
        return info

    def instances(self, idx: int) -> Sequence[Tuple[list, int, bool]]:
        """Of the objects that a mask shows, tight boxes, labels, and whether
        they are less than 1 % of the image; sparse boxes are made of them."""
        path = self.get_data_info(idx)['seg_map_path']
        indices = read_indices(path)
        labels, classes = self._read_labels(), self._metainfo['classes']
        seg = self._metainfo['seg_classes']
        found = []
        for index in np.unique(indices[indices != MISSING_INDEX]):
            shown = indices == index
            name = labels[index] if index < len(labels) else IGNORE_INDEX
            if name == IGNORE_INDEX or seg[name] not in classes:
                continue
            x, y = shown.any(0).nonzero()[0], shown.any(1).nonzero()[0]
            box = [x[0], y[0], x[-1] + 1, y[-1] + 1]
            found.append(([*map(int, box)], classes.index(seg[name]),
                          bool(shown.mean() < .01)))
        return found
