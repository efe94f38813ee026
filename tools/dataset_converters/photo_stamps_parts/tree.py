# Copyright (c) mmbombo contributors.
"""Drawing of a whole data set into a folder, all at once or not at all."""
import hashlib
import multiprocessing
import shutil
import sys
import warnings
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import cv2
import numpy as np
from rich.progress import track

from . import manifest as records
from . import voc
from .classes import BACKGROUND
from .division import PARTS, divide
from .items import Material, PhotoStampsError, Pool
from .scene import draw_scene

# Part of the recorded options: a change of the drawing code that changes
# pixels raises it, so that old trees are not taken for up to date.
FORMAT = 1
SMALLEST_SIDE = 48
NOTICES = 'licenses'


@dataclass(frozen=True)
class Options:
    """What decides the content of a data set.

    Attributes:
        data: ``photos`` or ``shapes``.
        num_train: Training images, half of them in each half.
        num_val: Validation images.
        seed: Seed of the division and of every image.
        short_side: Smallest and largest shorter side of an image, pixels.
        stamps_dir: Folder of the user's own cut-outs, or None.
        backgrounds_dir: Folder of the user's own backgrounds, or None.
    """
    data: str
    num_train: int
    num_val: int
    seed: int
    short_side: Tuple[int, int]
    stamps_dir: Optional[str] = None
    backgrounds_dir: Optional[str] = None

    def check(self) -> None:
        """Raises:
            PhotoStampsError: If a value makes no data set.
        """
        low, high = self.short_side
        if not SMALLEST_SIDE <= low <= high:
            raise PhotoStampsError(
                f'--short-side {low} {high}: two numbers of pixels are '
                f'needed, at least {SMALLEST_SIDE}, the smaller one first.')
        if self.num_train < 2 or self.num_val < 1:
            raise PhotoStampsError(
                f'--num-train {self.num_train} --num-val {self.num_val}: at '
                'least 2 training images (one for each half) and 1 '
                'validation image are needed.')
        if self.seed < 0:
            raise PhotoStampsError(f'--seed {self.seed} is negative.')

    def record(self) -> dict:
        """The options as they stand in the manifest."""
        return dict(
            asdict(self), short_side=list(self.short_side), format=FORMAT)


def make_tree(out: Path, options: Options, gather: Callable[[], Material],
              jobs: int) -> bool:
    """Draw the data set into ``out`` unless it is there already.

    Args:
        out: Folder of the data set.
        options: What to draw.
        gather: Called for the material if something is to be drawn.
        jobs: Processes to draw with; the result does not depend on it.

    Returns:
        Whether anything was drawn.

    Raises:
        PhotoStampsError: If an option is bad, ``out`` holds something
            else, or there is not enough material.
    """
    options.check()
    old = _existing(out)
    if old and _is_current(out, old, options):
        return False
    # Beside the target, so that the moves at the end are renames.
    partial = out.with_name(f'{out.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        digest = _draw(partial, options, gather(), jobs)
        _warn_if_different(old, options, digest)
        _move_into_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _existing(out: Path) -> Optional[dict]:
    """The manifest in ``out``, None if there is nothing yet."""
    old = records.read_manifest(out)
    if old is None and any((out / f).exists() for f in voc.FOLDERS):
        raise PhotoStampsError(
            f'{out} holds a data set that this tool did not finish. Remove '
            'it or choose another --out.')
    return old


def _is_current(out: Path, old: dict, options: Options) -> bool:
    if old['options'] != options.record():
        print(f'{out} was made with other options; it is drawn anew.')
        return False
    damaged = records.find_damage(out, old['digest'])
    if damaged:
        warnings.warn(
            f'{out}: {len(damaged)} files are missing or do not have their '
            f'recorded hash, the first is {damaged[0]}; the data set is drawn '
            'anew.')
        return False
    here = records.package_versions()
    if old['libraries'] != here:
        warnings.warn(
            f'{out} is complete, but was drawn with {old["libraries"]}; '
            f'with {here} its pixels may come out different.')
    return True


def _warn_if_different(old: Optional[dict], options: Options,
                       digest: str) -> None:
    if (old and old['options'] == options.record()
            and old['digest'] != digest):
        warnings.warn(
            'The same options gave other files than the last time '
            f'(libraries then: {old["libraries"]}, now: '
            f'{records.package_versions()}). Numbers measured on the old '
            'files may not hold for the new ones.')


def _move_into_place(partial: Path, out: Path) -> None:
    """Replace what this tool wrote before; leave all else in ``out`` (e.g.
    a cache) alone. The manifest goes first and comes last."""
    out.mkdir(parents=True, exist_ok=True)
    (out / records.MANIFEST).unlink(missing_ok=True)
    names = sorted(p.name for p in partial.iterdir())
    names.sort(key=lambda name: name == records.MANIFEST)
    for name in names:
        target = out / name
        if target.is_dir():
            shutil.rmtree(target)
        (partial / name).replace(target)


def _draw(root: Path, options: Options, material: Material,
          jobs: int) -> str:
    """Write the complete tree to ``root``; returns its digest."""
    pools = divide(material, options.seed)
    for folder in voc.FOLDERS:
        (root / folder).mkdir(parents=True)
    tasks = list(_tasks(options))
    painter = _Painter(root, options, material.classes, pools)
    provenance = dict(_paint_all(painter, tasks, jobs))
    _write_lists(root, [image_id for image_id, _, _ in tasks])
    (root / 'classes.txt').write_text(
        '\n'.join(material.classes) + '\n', encoding='utf-8')
    (root / NOTICES).mkdir()
    for name, text in material.notices.items():
        (root / NOTICES / name).write_text(text, encoding='utf-8')
    (root / records.PROVENANCE).write_text(
        records.dump(provenance), encoding='utf-8')
    return records.write_records(
        root, _describe(options, material, pools, provenance))


def _tasks(options: Options) -> Iterator[Tuple[str, str, int]]:
    """Image id, part and index within the part of every image."""
    sizes = dict(
        det=(options.num_train + 1) // 2,
        seg=options.num_train // 2,
        val=options.num_val)
    for part in PARTS:
        for index in range(sizes[part]):
            yield f'{part}_{index:06d}', part, index


@dataclass
class _Painter:
    """Draws and writes one image; sent to the workers once."""
    root: Path
    options: Options
    classes: tuple
    pools: Dict[str, Pool]

    def __call__(self, task: Tuple[str, str, int]) -> Tuple[str, dict]:
        image_id, part, index = task
        # An image depends on its own seed only, not on who draws it when.
        rng = np.random.default_rng(
            [self.options.seed, 3, PARTS.index(part), index])
        scene = draw_scene(self.pools[part], self.options.short_side, rng)
        voc.write(self.root, image_id, scene, self.classes)
        return image_id, dict(
            part=part,
            background=scene.background,
            touching=scene.touching,
            objects=[
                dict(asdict(thing), label=self.classes[thing.label])
                for thing in scene.things
            ])


_painter: Optional[_Painter] = None


def _start_worker(painter: _Painter) -> None:
    global _painter
    _painter = painter


def _paint(task: Tuple[str, str, int]) -> Tuple[str, dict]:
    return _painter(task)


def _paint_all(painter: _Painter, tasks: list,
               jobs: int) -> Iterator[Tuple[str, dict]]:
    # A process is not worth starting for a handful of images.
    jobs = max(1, min(jobs, len(tasks) // 16))
    progress = dict(
        description='drawing', total=len(tasks),
        disable=not sys.stderr.isatty() and len(tasks) < 100)
    if jobs == 1:
        yield from track(map(painter, tasks), **progress)
        return
    # A forked process that stops the threads of its parent waits for ever,
    # so they are stopped before.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with multiprocessing.Pool(jobs, _start_worker, (painter, )) as pool:
            yield from track(
                pool.imap(_paint, tasks, chunksize=8), **progress)
    finally:
        cv2.setNumThreads(threads)


def _write_lists(root: Path, image_ids: List[str]) -> None:
    """det_train and seg_train say which images a configuration may read
    for their boxes and which for their masks; train is both."""
    def of(*parts):
        return [i for i in image_ids if i.startswith(parts)]

    lists = dict(
        det_train=of('det'),
        seg_train=of('seg'),
        train=of('det', 'seg'),
        val=of('val'))
    for name, ids in lists.items():
        (root / voc.LISTS / f'{name}.txt').write_text(
            '\n'.join(ids) + '\n', encoding='utf-8')


def _describe(options: Options, material: Material, pools: Dict[str, Pool],
              provenance: Dict[str, dict]) -> dict:
    """The manifest without its digest."""
    palette = voc.color_map()[:len(material.classes) + 1].tolist()
    return dict(
        options=options.record(),
        libraries=records.package_versions(),
        packages=material.packages,
        material_sha256=_material_digest(material),
        classes=list(material.classes),
        palette=palette[1:],
        seg_classes=[BACKGROUND, *material.classes],
        seg_palette=palette,
        pools={
            part: dict(
                cutouts={
                    name: sorted(c.name for c in pool.cutouts[label])
                    for label, name in enumerate(material.classes)
                },
                backgrounds=sorted(b.name for b in pool.backgrounds))
            for part, pool in pools.items()
        },
        statistics={
            part: _statistics(
                [p for p in provenance.values() if p['part'] == part])
            for part in PARTS
        })


def _material_digest(material: Material) -> str:
    digest = hashlib.sha256()
    for item in [*material.cutouts, *material.backgrounds]:
        digest.update(f'{item.name} {item.pixels.shape}\n'.encode())
        digest.update(np.ascontiguousarray(item.pixels).tobytes())
    return digest.hexdigest()


def _statistics(images: List[dict]) -> dict:
    things = [t for image in images for t in image['objects']]
    return dict(
        images=len(images),
        touching=sum(image['touching'] for image in images),
        objects=len(things),
        truncated=sum(t['truncated'] for t in things),
        occluded=sum(t['occluded'] for t in things),
        per_class=dict(sorted(Counter(t['label'] for t in things).items())))
