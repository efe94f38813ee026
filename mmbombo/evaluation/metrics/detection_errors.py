# Copyright (c) mmbombo contributors.
from typing import Dict, List

from mmengine.logging import print_log
from terminaltables import AsciiTable

from mmbombo.registry import METRICS
from ..functional.detection_errors import detection_errors
from .voc_ap import VOCAPMetric


@METRICS.register_module()
class DetectionErrorMetric(VOCAPMetric):
    """TIDE's error kinds, see :func:`detection_errors`.

    Arguments are those of :class:`mmengine.BaseMetric`.
    """

    default_prefix = 'errors'

    def __init__(self, **kwargs) -> None:
        super().__init__(classwise=False, **kwargs)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Compute and log the kinds.

        Returns:
            dict[str, float]: ``dAP_<kind>``, the AP50 that mending a kind
            would win, in [0, 1], and ``num_<kind>``.
        """
        values, counts = detection_errors(results,
                                          len(self.dataset_meta['classes']))
        rows = [('error', 'number', 'AP50 to win')]
        rows += [(k, n, f'{100 * values[k]:.1f}') for k, n in counts.items()]
        title = f'AP50 {100 * values["AP50"]:.1f}'
        print_log('\n' + AsciiTable(rows, title).table, logger='current')
        return {
            **{f'dAP_{kind}': values[kind] for kind in counts},
            **{f'num_{kind}': count for kind, count in counts.items()}
        }
