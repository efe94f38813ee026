# Copyright (c) mmbombo contributors.
"""What the runs of an ablation say: means, deviations, gaps."""
import statistics
from typing import Dict, List, Optional, Sequence

METRICS = ('AP50', 'AP', 'mIoU')
#: Mean IoU of the classes that boxes show and of the others.
GROUP_METRICS = ('things', 'stuff')
#: ``tags`` is the mean AP of the tags.
SOME_METRICS = GROUP_METRICS + ('tags', )
#: Metrics of which the closed gap is reported.
GAP_METRICS = ('AP', 'mIoU', 'things')
ORACLE = 'oracle'


def values_of(runs: List[dict], row: str, metric: str) -> List[float]:
    """One value per seed, by seed."""
    found = [run for run in runs if run['row'] == row and metric in run]
    return [run[metric] for run in sorted(found, key=lambda x: x['seed'])]


def gap_closed(runs: List[dict], row: str, metric: str,
               baseline: str = 'naive') -> Optional[float]:
    """(row - baseline) / (oracle - baseline) of means over all three's seeds.

    Runs of a seed share their first weights and the order of the images, so
    only they are compared. None if undefined.
    """
    here, naive, oracle = ({
        run['seed']: run[metric]
        for run in runs if run['row'] == name and metric in run
    } for name in (row, baseline, ORACLE))
    seeds = set(here) & set(naive) & set(oracle)
    gain = sum(here[seed] - naive[seed] for seed in seeds)
    gap = sum(oracle[seed] - naive[seed] for seed in seeds)
    return gain / gap if gap > 0 else None


def summarize(runs: List[dict], rows: List[str],
              baseline: str = 'naive',
              more: Sequence[str] = ()) -> Dict[str, dict]:
    """Each row's metrics, ``more`` behind ours, over seeds and its gap closed,
    from the baseline.

    Per row with a run: per metric ``mean``, ``std`` (sample deviation, None
    for one seed) and ``seeds``; ``gap_closed``.
    """
    summary = {}
    for row in rows:
        if not any(run['row'] == row for run in runs):
            continue
        line: dict = {}
        for metric in (*METRICS, *SOME_METRICS, *more):
            values = values_of(runs, row, metric)
            if values:
                line[metric] = dict(
                    mean=statistics.mean(values),
                    std=statistics.stdev(values) if len(values) > 1 else None,
                    seeds=values)
        if row not in (baseline, ORACLE):
            line['gap_closed'] = {
                metric: gap_closed(runs, row, metric, baseline)
                for metric in GAP_METRICS if metric in line
            }
        summary[row] = line
    return summary


def table(summary: Dict[str, dict]) -> str:
    """The summary as Markdown: mean and sample deviation over seeds."""
    found = {metric: 0 for line in summary.values() for metric in line}
    metrics = [x for x in METRICS + SOME_METRICS if x in found]
    metrics += [x for x in found if x not in (*metrics, 'gap_closed')]
    gaps = GAP_METRICS if ORACLE in summary else ()
    gap_metrics = [metric for metric in gaps if metric in metrics]
    heads = ['seeds', *metrics, *gap_metrics]
    if gap_metrics:
        heads[1 + len(metrics)] = f'gap closed: {gap_metrics[0]}'
    lines = [f'| | {" | ".join(heads)} |', '| --- |' + ' ---: |' * len(heads)]
    for row, line in summary.items():
        seeds = max(
            len(line[metric]['seeds']) for metric in metrics if metric in line)
        cells = [row, str(seeds)]
        cells += [cell(line.get(metric)) for metric in metrics]
        gaps = line.get('gap_closed', {})
        cells += [percent(gaps.get(metric)) for metric in gap_metrics]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def cell(values: Optional[dict]) -> str:
    """Mean and, with more than one seed, deviation."""
    if values is None:
        return ''
    text = f'{values["mean"]:.1f}'
    return text if values['std'] is None else f'{text} ± {values["std"]:.1f}'


def percent(share: Optional[float]) -> str:
    """A share as a percentage, empty without one."""
    return '' if share is None else f'{round(100 * share)} %'
