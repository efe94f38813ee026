# Copyright (c) mmbombo contributors.
"""Drawing of a whole data set into a folder, all at once or not at all."""
import hashlib
import json
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np
import PIL

from . import coco, voc
from .material import BACKGROUND, PARTS, Material, PhotoStampsError, divide
from .scene import Scene, draw_scene

MANIFEST = 'manifest.json'
PROVENANCE = 'provenance.json'
HASHES = 'files.sha256'
# The digest that is recorded with results has this spelling in it.
NOTICES = 'licences'
#: An image to draw: its id, part, and index within the part.
Task = Tuple[str, str, int]


def make_tree(out: Path, options: dict, gather: Callable[[], Material],
              jobs: int) -> bool:
    """Draw the data set into ``out`` unless it is there already; whether
    anything was drawn.

    ``options`` decide its content and stand in the manifest. The material is
    gathered if something is to be drawn. The result does not depend on the
    number of processes (``jobs``).
    """
    old = _recorded_options(out)
    if old == options and (out / coco.PANOPTIC).is_dir():
        return False
    if any((out / folder).exists() for folder in voc.FOLDERS):
        raise PhotoStampsError(
            f'{out} holds a data set of other options or an older version, or '
            'one that this tool did not finish. Remove it or choose another '
            '--out.')
    # Beside the target, so that the moves at the end are renames.
    partial = out.with_name(f'{out.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _draw(partial, options, gather(), jobs)
        out.mkdir(parents=True, exist_ok=True)
        # the manifest, by which the tree is finished, comes last
        for path in sorted(
                partial.iterdir(), key=lambda p: p.name == MANIFEST):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _recorded_options(out: Path) -> Optional[dict]:
    """What a finished tree was made with; None if there is none."""
    try:
        return json.loads((out / MANIFEST).read_text())['options']
    except (FileNotFoundError, KeyError):
        return None


def _draw(root: Path, options: dict, material: Material, jobs: int) -> None:
    """Write the complete tree to ``root``."""
    from mmbombo.utils.processes import in_processes  # --help needs no torch
    pools = divide(material, options['seed'])
    for folder in (*voc.FOLDERS, *coco.FOLDERS, *(f'{coco.PANOPTIC}/{name}'
                                                  for name in coco.LISTS)):
        (root / folder).mkdir(parents=True)
    tasks = _tasks(options)
    # Forked processes cannot use OpenCV's threads of their parent.
    cv2.setNumThreads(1)
    shared = (root, options, material.classes, material.stuff, pools)
    drawn = in_processes(_paint, tasks, jobs, _start_worker, shared, chunk=8)
    records, segments = zip(*drawn)
    provenance = {task[0]: record for task, record in zip(tasks, records)}
    for name in coco.LISTS:
        coco.write_json(
            root, name, {
                task[0]: found
                for task, found in zip(tasks, segments)
                if coco.list_of(task[1]) == name
            }, material.classes, material.stuff)
    _write_lists(root, list(provenance))
    _write(root / 'classes.txt', '\n'.join(material.classes) + '\n')
    (root / NOTICES).mkdir()
    for name, text in material.notices.items():
        _write(root / NOTICES / name, text)
    _write(root / PROVENANCE, _dump(provenance))
    hashes = _hash_files(root)
    _write(root / HASHES, hashes)
    manifest = _describe(options, material)
    manifest['digest'] = hashlib.sha256(hashes.encode()).hexdigest()
    _write(root / MANIFEST, _dump(manifest))


def _tasks(options: dict) -> List[Task]:
    sizes = dict(
        det=(options['num_train'] + 1) // 2,
        seg=options['num_train'] // 2,
        val=options['num_val'])
    return [(f'{part}_{index:06d}', part, index) for part in PARTS
            for index in range(sizes[part])]


_shared: tuple = ()


def _start_worker(*shared) -> None:
    global _shared
    _shared = shared


def _paint(task: Task) -> Tuple[dict, dict]:
    """Draw and write one image; returns what it is made of, and what COCO's
    files say of it."""
    root, options, classes, stuff, pools = _shared
    image_id, part, index = task
    # An image depends on its own seed only, not on who draws it when.
    rng = np.random.default_rng([options['seed'], 3, PARTS.index(part), index])
    scene = draw_scene(pools[part], options['short_side'], rng,
                       options.get('order', 'random'))
    voc.write(root, image_id, scene, classes, stuff)
    folder = root / coco.PANOPTIC / coco.list_of(part)
    segments = coco.write_segments(folder / f'{image_id}.png', scene,
                                   len(classes))
    return dict(
        part=part,
        background=_sources(scene, stuff),
        touching=scene.touching,
        objects=[
            dict(asdict(thing), label=classes[thing.label])
            for thing in scene.things
        ]), segments


def _sources(scene: Scene, stuff: tuple) -> Union[str, Dict[str, str]]:
    """Name of the background, or of that of each class of stuff."""
    if stuff == BACKGROUND:
        return scene.backgrounds[0].name
    return {stuff[b.label]: b.name for b in scene.backgrounds}


def _write_lists(root: Path, image_ids: List[str]) -> None:
    """det_train and seg_train say which images a configuration may read
    for their boxes and which for their masks; train is both."""
    lists = dict(
        det_train='det', seg_train='seg', train=('det', 'seg'), val='val')
    for name, parts in lists.items():
        ids = [i for i in image_ids if i.startswith(parts)]
        _write(root / voc.LISTS / f'{name}.txt', '\n'.join(ids) + '\n')


def _describe(options: dict, material: Material) -> dict:
    """The manifest without its digest."""
    return dict(
        options=options,
        # versions of what decides the pixels
        libraries=dict(
            python='.'.join(platform.python_version_tuple()[:2]),
            numpy=np.__version__,
            opencv=cv2.__version__,
            pillow=PIL.__version__),
        packages=material.packages,
        classes=list(material.classes),
        seg_classes=[*material.stuff, *material.classes])


def _hash_files(root: Path) -> str:
    """The lines of ``sha256sum`` for the files under ``root``, but for those
    of COCO: the digest of version 0.1 stays."""
    return ''.join(f'{hashlib.sha256(path.read_bytes()).hexdigest()}  '
                   f'{path.relative_to(root).as_posix()}\n'
                   for path in sorted(root.rglob('*')) if path.is_file()
                   and path.relative_to(root).parts[0] not in coco.FOLDERS)


def _dump(value: dict) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + '\n'


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding='utf-8')
