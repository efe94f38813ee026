# Copyright (c) mmbombo contributors.
import re
from collections import defaultdict
from datetime import timedelta
from typing import Dict, Tuple

from mmengine.runner import LogProcessor

from mmbombo.registry import LOG_PROCESSORS

#: Metrics of one class, which the metrics show as a table; 'bbox_AP' is not.
OF_ONE_CLASS = re.compile(
    r'(?<!bbox)(?<!segm)_(AP|AP50|AP_[sml]|B?IoU|Acc)$')


@LOG_PROCESSORS.register_module()
class MultiTaskLogProcessor(LogProcessor):
    """Lines that fit on a screen.

    In training, the losses of each task head and of each weak loss are shown
    as their sum, after a validation what is about all classes. The scalars
    that go to the backends (``scalars.json``, TensorBoard) are all that
    :class:`LogProcessor` collects.
    """

    def get_log_after_iter(self, runner, batch_idx: int,
                           mode: str) -> Tuple[dict, str]:
        """Format what is logged after an iteration."""
        tag, line = super().get_log_after_iter(runner, batch_idx, mode)
        if mode != 'train':
            return tag, line
        values = {self._remove_prefix(k, 'train/'): v for k, v in tag.items()}
        items = [_head(line)]
        if 'eta' in runner.message_hub.runtime_info:
            eta = int(runner.message_hub.get_info('eta'))
            items.append(f'eta: {timedelta(seconds=eta)}')
        if 'time' in values:
            items.append(f'time: {values["time"]:.3f}')
        if 'lr' in values:
            items.append(f'lr: {values["lr"]:.2e}')
        if 'memory' in values:
            items.append(f'memory: {values["memory"]}')
        parts = ', '.join(f'{name} {value:.3g}'
                          for name, value in sum_losses(values).items())
        if 'loss' in values:
            items.append(f'loss: {values["loss"]:.4g} ({parts})')
        return tag, '  '.join(items)

    def get_log_after_epoch(self,
                            runner,
                            batch_idx: int,
                            mode: str,
                            with_non_scalar: bool = False) -> Tuple[dict, str]:
        """Format what is logged after a validation or a test."""
        tag, line = super().get_log_after_epoch(runner, batch_idx, mode,
                                                with_non_scalar)
        items = [_head(line)]
        for key, value in tag.items():
            name = self._remove_prefix(key, f'{mode}/')
            if OF_ONE_CLASS.search(name) or name == 'data_time':
                continue
            if isinstance(value, float):
                items.append(f'{name}: {value:.{self.num_digits}f}')
            elif isinstance(value, int):
                items.append(f'{name}: {value}')
        return tag, '  '.join(items)


def sum_losses(values: Dict[str, float]) -> Dict[str, float]:
    """Sum the losses ``<name>/loss_...`` of each head and weak loss by
    ``<name>``; a loss without one has its own name."""
    sums: Dict[str, float] = defaultdict(float)
    for key, value in values.items():
        if 'loss' in key and key != 'loss':
            sums[key.partition('/')[0]] += value
    return dict(sums)


def _head(line: str) -> str:
    """'Iter(train) [ 20/300]' or 'Epoch(train)  [1][ 20/300]'."""
    return line[:line.index(']  ') + 1]
