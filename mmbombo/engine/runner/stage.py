# Copyright (c) mmbombo contributors.
import json
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset

from mmbombo.registry import TASK_UTILS
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import atomic_write

#: Stands in what is different in a source for the folder of its labels.
LABELS = '{labels}'
KEYS = ('labels', 'sources', 'predictor', 'batch_size')


class Stage:
    """A part of a training, with its sources and their pseudo labels.

    Args:
        number (int): Which one it is, from 0.
        folder (Path): Folder of its labels; a file in it says what made them.
        config (dict): ``labels``, the writer of the pseudo labels;
            ``sources``, what is different in training sources, by name, with
            ``'{labels}'`` for the folder of the source's labels;
            ``predictor``, whose labels these are, 'self' (the default) or
            'ema', as in weak losses; ``batch_size`` of the forward passes
            that make labels, 4 by default. None is needed.

    Attributes:
        labeled (dict[str, list[str]]): Sources for which labels are written,
            and where these read them.
        settings (dict): What the labels depend on, as JSON has it.

    Raises:
        UserError: If nothing reads the labels, or they are not where they are
            looked for.
    """

    def __init__(self, number: int, folder: Path, config: dict) -> None:
        self.number = number
        self.folder = folder
        self._file = folder / 'stage.json'
        unknown = sorted({*config} - {*KEYS})
        if unknown:
            raise self._error(
                f'has unknown key(s) {unknown}; known are {KEYS}')
        self.settings: dict = {}
        labels = config.get('labels')
        self.sources: Dict[str, dict] = config.get('sources') or {}
        self.predictor = config.get('predictor', 'self')
        self.batch_size = config.get('batch_size', 4)
        self.writer = TASK_UTILS.build(labels) if labels else None
        self.labeled: Dict[str, List[str]] = {}
        for name, changes in self.sources.items():
            self._find_reader(name, changes)
        if labels and not self.labeled:
            raise self._error("has labels, but no path in its `sources` has "
                              f"'{LABELS}', so that nothing reads them")

    def _error(self, text: str) -> UserError:
        return UserError(f'train_cfg.stages[{self.number}] {text}')

    def _find_reader(self, name: str, changes: dict) -> None:
        """Look for paths of labels in the changes of a source."""
        strings: List[str] = []
        with_strings(changes, strings.append)
        paths = [x for x in strings if LABELS in x]
        known = [f'{LABELS}/{x}' for x in getattr(self.writer, 'folders', ())]
        for path in paths:
            if path not in known:
                raise self._error(f"reads '{path}' in its source '{name}', but"
                                  f' its labels are in {known}')
        if paths:
            self.labeled[name] = paths

    def changed(self, source: str, config: dict) -> ConfigDict:
        """The config of a source in this stage."""
        folder = str(self.folder / source)
        changes = with_strings(
            self.sources.get(source, {}), lambda x: x.replace(LABELS, folder))
        return merged(config, changes)

    @property
    def is_known(self) -> bool:
        """bool: It is written down what makes, or made, the labels."""
        return self._file.exists()

    def write_down(self, **facts: Any) -> None:
        """Write of which ``run`` they are, and whether ``complete``."""
        facts['settings'] = self.settings
        atomic_write(self._file, json.dumps(facts).encode())

    def require_labels_are_read(self, source: BaseDataset) -> None:
        """Raise ``UserError`` if a source of the stage, which now has labels,
        reads others, such as masks that it had not declared."""
        for path in self.labeled.get(source.source, ()):
            folder = path.replace(LABELS, str(self.folder / source.source))
            for i in range(len(source)):
                values = source.get_data_info(i).values()
                if not any(str(x).startswith(folder + os.sep) for x in values):
                    raise self._error(
                        f"has labels of its source '{source.source}' in "
                        f"{folder}, which this does not read: put '{path}' "
                        'where its data sets name the folder, such as dataset='
                        'dict(data_prefix=...) or datasets=[dict(data_prefix='
                        '...), ...]')

    def find_problem(self, run: str, has_begun: bool,
                     is_later: bool) -> Optional[str]:
        """Why the training ``run`` cannot use the labels, if it cannot.

        They must be complete in a stage that has begun to train, and may not
        be there, of other weights, in one that is later than the next.
        """
        resume = f'resume stage_{self.number}.pth to write them'
        facts = dict(run=None)
        if self.is_known:
            facts = json.loads(self._file.read_text())
        elif not any(x.is_dir() for x in self.folder.glob('*')):
            return (f'the labels in {self.folder} are gone: {resume}'
                    if has_begun else None)
        if facts['run'] != run:
            return (f'{self.folder} is of another training: resume that one '
                    '(--resume), or remove it, or train in another --work-dir')
        if is_later:
            return (f'{self.folder} has labels of weights that the training '
                    f'has not yet: remove it, or resume stage_'
                    f'{self.number}.pth')
        wrong = [
            k for k, v in self.settings.items() if facts['settings'][k] != v
        ]
        if wrong:
            return (f'{self.folder} has labels of another config '
                    f'({", ".join(wrong)}): go back to it, or remove them and '
                    f'{resume}')
        if has_begun and not facts['complete']:
            return f'{self.folder} is not complete: {resume}'
        return None


def merged(config: dict, changes: dict) -> ConfigDict:
    """A config with changes, as a config inherits from another."""
    config = ConfigDict(config)
    config.merge(ConfigDict(changes))
    return config


def with_strings(value: Any, change: Callable[[str], Any]) -> Any:
    """A copy of nested dicts and sequences, with other strings."""
    if isinstance(value, dict):
        return {k: with_strings(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(with_strings(x, change) for x in value)
    return change(value) if isinstance(value, str) else value
