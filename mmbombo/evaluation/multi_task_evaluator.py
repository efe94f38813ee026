# Copyright (c) mmbombo contributors.
"""One validation loop, and for each task the metrics it is measured with."""
import sys
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.dist import (broadcast_object_list, collect_results,
                           is_main_process)
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to

from mmbombo.registry import EVALUATOR
from mmbombo.structures import annotation_kind, kind_of_task
from mmbombo.utils import UserError
from .source_summary import summarize_sources

#: Results of stock metrics that stand for a task in the joint score, and
#: their full mark; other metrics say so by an attribute ``score``.
KNOWN_SCORES = dict(bbox_mAP=1., mIoU=100.)

MetricConfigs = Union[dict, BaseMetric, Sequence[Union[dict, BaseMetric]]]
SampleKey = Tuple[str, int, str]


@EVALUATOR.register_module()
class MultiTaskEvaluator(Evaluator):
    """Routes every sample to the metrics whose annotation it carries.

    One data loader and one forward pass per image serve all tasks: a metric
    only sees the samples whose ``annotation_kinds`` hold the kind of its
    task. Each metric gets the class names of its own task, results are named
    ``<task>/<name>``, and ``joint/score`` is the mean of the tasks' scores,
    for ``save_best``: of ``bbox_mAP`` and ``mIoU / 100``, and of what another
    metric names in an attribute ``score``, ``(name, full mark)``. An undefined
    score counts as 0; a task without one does not count.

    In a distributed run the samples that a sampler adds to fill up the last
    batch are dropped by their index, and ranks may hold any number of
    samples of a kind; results equal those of one process.

    Args:
        metrics (dict[str, dict | list[dict]]): Metric configs (or metrics)
            of each task, such as
            ``dict(det=dict(type='BoxAPMetric'), seg=[...])``.
        kinds (dict[str, str], optional): Annotation kind that a task is
            measured against, where it is not the kind that supervises the
            task. Defaults to None.
    """

    def __init__(self,
                 metrics: Dict[str, MetricConfigs],
                 kinds: Optional[Dict[str, str]] = None) -> None:
        if not isinstance(metrics, dict) or 'type' in metrics:
            raise UserError(
                'metrics of MultiTaskEvaluator must map tasks to metrics, '
                "such as dict(det=dict(type='BoxAPMetric'), "
                f"seg=dict(type='SegIoUMetric')), but is {metrics}")
        self.kinds: Dict[str, str] = {
            task: (kinds or {}).get(task) or _kind_of(task)
            for task in metrics
        }
        self.task_metrics: Dict[str, List[BaseMetric]] = {
            task: Evaluator(_with_prefix(configs, task)).metrics
            for task, configs in metrics.items()
        }
        # The flat list is what MMEngine's tools know and may add to.
        super().__init__(sum(self.task_metrics.values(), []))
        self._results: Dict[int, List[Tuple[SampleKey, list]]] = \
            defaultdict(list)

    @property
    def dataset_meta(self) -> Optional[dict]:
        """Optional[dict]: Meta information of the validation data set."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Give each metric the classes and the palette of its own task."""
        self._dataset_meta = dataset_meta
        for metric in self.metrics:
            metric.dataset_meta = dataset_meta
        for task, metrics in self.task_metrics.items():
            for metric in metrics:
                metric.dataset_meta = task_meta(dataset_meta, self.kinds[task],
                                                task)

    def process(self,
                data_samples: Sequence[BaseDataElement],
                data_batch: Optional[Any] = None) -> None:
        """Hand each sample to the metrics of the tasks it is annotated for."""
        samples = [
            sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            for sample in data_samples
        ]
        for i, sample in enumerate(samples):
            key, batch = _sample_key(sample), _one_of(data_batch, i)
            for task, metrics in self.task_metrics.items():
                if self.kinds[task] not in sample['annotation_kinds']:
                    continue
                for metric in metrics:
                    metric.process(batch, [sample])
                    self._results[id(metric)].append(
                        (key, list(metric.results)))
                    metric.results.clear()
        for metric in self._added_metrics():
            metric.process(data_batch, samples)

    def evaluate(self, size: int) -> Dict[str, float]:
        """Compute all metrics of ``size`` samples; every rank gets
        ``<task>/<name>`` of each and ``joint/score``."""
        results: Dict[str, float] = {}
        for task, metrics in self.task_metrics.items():
            for metric in metrics:
                _update(results, self._evaluate_one(metric, task))
        for metric in self._added_metrics():
            _update(results, metric.evaluate(size))
        results.update(self._joint_score(results))
        return results

    def _added_metrics(self) -> List[BaseMetric]:
        """Metrics of no task, which a tool has added to ``metrics``."""
        routed = sum(self.task_metrics.values(), [])
        return [metric for metric in self.metrics if metric not in routed]

    def _evaluate_one(self, metric: BaseMetric, task: str) -> Dict[str, float]:
        """Compute one metric from the distinct samples of all ranks."""
        # `size` would cut off samples here: the ranks' lists are zipped,
        # though a rank may have far more samples of a kind than another.
        collected = collect_results(
            self._results.pop(id(metric), []), sys.maxsize,
            metric.collect_device, metric.collect_dir)
        answer: List[Any] = [None]
        if is_main_process() and collected:
            distinct = sorted(dict(collected).items(), key=lambda x: x[0])
            values = [v for _, result in distinct for v in result]
            values = apply_to(values, lambda x: isinstance(x, torch.Tensor),
                              lambda x: x.cpu())
            answer = [metric.compute_metrics(values)]
        broadcast_object_list(answer)
        if answer[0] is None:
            raise UserError(_unreached(metric, task, self.kinds[task]))
        return {f'{metric.prefix}/{k}': v for k, v in answer[0].items()}

    def _joint_score(self, results: Dict[str, float]) -> Dict[str, float]:
        """Mean of the tasks' scores, of those that have one."""
        scores = []
        for metrics in self.task_metrics.values():
            found = (task_score(metric, results) for metric in metrics)
            scores += [x for x in found if x is not None][:1]
        return {'joint/score': sum(scores) / len(scores)} if scores else {}


def task_score(metric: BaseMetric, results: Dict[str,
                                                 float]) -> Optional[float]:
    """What a metric says of its task, from 0 to 1; None if it has no score."""
    known = dict([metric.score] if hasattr(metric, 'score') else KNOWN_SCORES)
    for name, full_mark in known.items():
        if f'{metric.prefix}/{name}' in results:
            score = float(results[f'{metric.prefix}/{name}']) / full_mark
            # COCO says -1 and mmseg NaN where nothing can be measured.
            return score if score > 0 else 0.
    return None


def task_meta(dataset_meta: dict, kind_name: str, task: str) -> dict:
    """The ``metainfo`` with the classes and palette of one task's kind."""
    kind = annotation_kind(kind_name)
    if kind.classes_key and not dataset_meta.get(kind.classes_key):
        raise UserError(
            f"the metrics of task '{task}' need the class names "
            f"'{kind.classes_key}' in the metainfo of the validation data "
            f'set, which has {sorted(dataset_meta)}')
    return dict(
        dataset_meta,
        classes=dataset_meta.get(kind.classes_key),
        palette=dataset_meta.get(kind.palette_key))


def check_metric_kinds(evaluator: Evaluator, dataset: Any) -> None:
    """Raise before training if no sample would reach a metric."""
    if not isinstance(evaluator, MultiTaskEvaluator):
        return
    sources = summarize_sources(dataset)
    carried = {k for s in sources if s.num_images for k in s.kinds}
    for task, metrics in evaluator.task_metrics.items():
        if evaluator.kinds[task] not in carried:
            raise UserError(
                _unreached(metrics[0], task, evaluator.kinds[task]) +
                '. Validation sources: ' + '; '.join(map(str, sources)))


def _unreached(metric: BaseMetric, task: str, kind: str) -> str:
    return (f"metric {type(metric).__name__} of task '{task}' needs the "
            f"annotation kind '{kind}', but no validation image carries it: "
            'add a validation source with this annotation or drop the metric')


def _kind_of(task: str) -> str:
    kind = kind_of_task(task)
    if kind is None:
        raise UserError(f"the annotation kind of task '{task}' is not known; "
                        f"name it: kinds=dict({task}='...')")
    return kind.name


def _with_prefix(configs: MetricConfigs, task: str) -> list:
    """Metric configs whose results are named ``<task>/...``."""
    if isinstance(configs, (dict, BaseMetric)):
        configs = [configs]
    named = []
    for metric in configs:
        if isinstance(metric, BaseMetric):
            own = metric.prefix
            metric.prefix = task if own in (None, metric.default_prefix) \
                else f'{task}/{own}'
        else:
            own = metric.get('prefix')
            metric = dict(metric, prefix=f'{task}/{own}' if own else task)
        named.append(metric)
    return named


def _sample_key(sample: dict) -> SampleKey:
    """What tells a sample from all others: ``sample_idx`` alone counts within
    one source only."""
    missing = {'annotation_kinds', 'sample_idx'} - set(sample)
    if missing:
        raise UserError(
            f"sample '{sample.get('img_path')}' has no {sorted(missing)} in "
            'its metainfo; MultiTaskEvaluator needs what PackMultiTaskInputs '
            'packs')
    return (str(sample.get('source', '')), int(sample['sample_idx']),
            str(sample.get('img_path', '')))


def _one_of(data_batch: Optional[Any], i: int) -> Optional[dict]:
    """The i-th sample of a collated batch, as a batch of one."""
    if not isinstance(data_batch, dict):
        return None
    return {key: values[i:i + 1] for key, values in data_batch.items()}


def _update(results: Dict[str, float], new: Dict[str, float]) -> None:
    twice = sorted(set(results) & set(new))
    if twice:
        raise UserError(f'two metrics have the results {twice}; give one of '
                        'them a prefix')
    results.update(new)
