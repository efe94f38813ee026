# Copyright (c) mmbombo contributors.
"""Predictions in a file, to be measured again without the network."""
import io
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mmbombo.registry import METRICS
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import atomic_file

METAINFO = 'metainfo.json'
#: Entry of the ``.npz`` of a sample with all that is no array, as JSON.
OTHERS = 'others'


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Writes what metrics read of each sample; returns no metric.

    MMEngine's ``DumpResults`` writes a pickle, which is a program. This is a
    ``.zip`` of ``metainfo.json``, of the data set, and for each sample a
    compressed ``.npz`` without objects: predictions (``pred_*``), truth
    (``gt_*``; true boxes are ``instances`` of the metainfo) and metainfo, bit
    for bit, but no logits. :class:`SavedPredictions` reads it.

    Args:
        out_file (str): Path of the file.
        **kwargs: ``collect_device`` and ``collect_dir`` of the base class.
    """

    default_prefix = 'dump'

    def __init__(self, out_file: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.out_file = Path(out_file)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Pack the samples of a batch."""
        self.results += [pack_sample(sample) for sample in data_samples]

    def compute_metrics(self, results: List[bytes]) -> Dict[str, float]:
        """Write all samples."""
        self.out_file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.out_file) as unfinished, \
                ZipFile(unfinished, 'w') as archive:
            archive.writestr(METAINFO, to_json(self.dataset_meta))
            for i, packed in enumerate(results):
                archive.writestr(f'{i:08d}.npz', packed)
        return {}


class SavedPredictions:
    """The samples of a file of :class:`DumpPredictions`, read one by one;
    nothing in it is run.

    Args:
        path (str): Path of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self.archive = ZipFile(path)
            self.metainfo: dict = json.loads(self.archive.read(METAINFO))
        except OSError as error:
            raise UserError(f"'{path}': {error.strerror}") from None
        except (BadZipFile, KeyError, ValueError):
            raise UserError(f"'{path}' is no file of tools/test.py "
                            '--dump') from None
        self.names = [x for x in self.archive.namelist() if x != METAINFO]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[dict]:
        for name in self.names:
            try:
                yield unpack_sample(self.archive.read(name))
            except Exception as error:  # what is damaged fails in any way
                raise UserError(f"'{self.path}': {name} is damaged "
                                f'({error})') from None


def pack_sample(sample: dict) -> bytes:
    """A compressed ``.npz`` of the tensors and plain values of a sample."""
    values = {k: x for k, x in sample.items() if not isinstance(x, dict)}
    for field, parts in sample.items():
        if field.startswith(('pred_', 'gt_')) and field != 'gt_instances':
            values.update({f'{field}/{k}': x for k, x in parts.items()})
    arrays, tensors, names = {}, {}, {}
    for path, value in values.items():
        if isinstance(value, torch.Tensor):
            # MMDetection and MMSegmentation have two names for one map
            name = names.setdefault(id(value), path)
            if name == path:
                arrays[path] = value.cpu().numpy()
            tensors[path] = name, str(arrays[name].dtype)
    others = {k: x for k, x in values.items() if k not in tensors}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{k: narrow(x)
                   for k, x in arrays.items()},
        **{OTHERS: to_json(dict(values=others, tensors=tensors))})
    return buffer.getvalue()


def unpack_sample(packed: bytes) -> dict:
    """The sample of :func:`pack_sample`; its tuples have become lists."""
    arrays = np.load(io.BytesIO(packed), allow_pickle=False)
    others = json.loads(str(arrays[OTHERS]))
    values = others['values']
    for path, (name, dtype) in others['tensors'].items():
        values[path] = torch.from_numpy(arrays[name].astype(dtype))
    sample: dict = {}
    for path, value in values.items():
        *field, key = path.split('/', 1)
        (sample.setdefault(field[0], {}) if field else sample)[key] = value
    return sample


def narrow(values: np.ndarray) -> np.ndarray:
    """Integers in as few bytes as hold them."""
    if values.dtype.kind != 'i' or not values.size:
        return values
    limits = map(np.min_scalar_type, (values.min(), values.max()))
    return values.astype(np.result_type(*limits))


def to_json(value: Any) -> str:
    """JSON, in which floats keep every bit; NumPy's values become lists."""
    return json.dumps(value, default=lambda x: x.tolist())
