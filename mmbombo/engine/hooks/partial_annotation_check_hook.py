# Copyright (c) mmbombo contributors.
from typing import Any, Collection, List, Sequence

from mmdet.structures import SampleList
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from terminaltables import AsciiTable

from mmbombo.datasets.draw_seed import SeededIndex, seeded_draw
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.samplers import PartialAnnotationSampler
from mmbombo.datasets.source_tree import leaf_datasets, require_no_wrapper
from mmbombo.evaluation import (MultiTaskEvaluator, SourceSummary,
                                check_metric_kinds, summarize_sources)
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.registry import HOOKS
from mmbombo.structures import BBOX, SEM_SEG, ClassMap, kind_of_task
from mmbombo.structures.class_names import (classes_of_metainfo,
                                            require_same_classes)
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint_classes import (ClassChange, find_class_changes,
                                              fine_tuning_notes,
                                              require_trained_classes)
from mmbombo.utils.distributed import unwrapped
from .predictor_ema_hook import PredictorEMAHook
from .teacher_hook import TeacherHook


@HOOKS.register_module()
class PartialAnnotationCheckHook(Hook):
    """Checks before the first step that data, sampler and model fit.

    What it finds would otherwise train for hours without a word, or hang:
    ranks that draw different kinds of annotation, a task without an image,
    classes in another order, a metric without ground truth. The sources are
    written to the log as a table.

    Weights that are loaded into the runner must have been trained on the
    classes of the config, in their order, if they are tested or the training
    is resumed; a training may start from those of other classes.

    Raises:
        UserError: If the pipeline of a source does not prepare what a weak
            loss needs, a wrapper hides the sources, a distributed run has
            another sampler than :class:`PartialAnnotationSampler`, an epoch
            would not end, or something else does not fit; the message says
            what.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._class_changes: List[ClassChange] = []

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the classes; what comes next says what may differ."""
        self._class_changes = find_class_changes(
            unwrapped(runner.model), checkpoint)

    def before_test(self, runner) -> None:
        """Check the classes of the weights and of the data set."""
        require_trained_classes(self._class_changes, 'test')
        check_scored_classes(unwrapped(runner.model), runner.test_loop, 'test')

    def before_val(self, runner) -> None:
        """Check the classes of the weights and of the data set."""
        require_trained_classes(self._class_changes, 'validation')
        check_scored_classes(
            unwrapped(runner.model), runner.val_loop, 'validation')

    def before_train(self, runner) -> None:
        """Run all checks, then log the sources."""
        self._check_loaded_classes(runner)
        self.before_train_stage(runner)

    def before_train_stage(self, runner) -> None:
        """Check what a stage of a training learns from, and log it."""
        model = unwrapped(runner.model)
        loader = runner.train_dataloader
        sources = summarize_sources(loader.dataset)
        check_loop(runner.train_loop, loader.sampler)
        check_sources(sources)
        check_classes(model, loader.dataset.metainfo)
        # what another model wants of its batches is not for us to say
        if isinstance(model, MultiTaskDetector):
            require_no_wrapper(loader.dataset)
            check_sampler(loader, get_world_size())
            check_class_maps(model, loader.dataset)
            check_predictors(model, runner.hooks)
            samples = first_samples(loader.dataset)
            check_tasks(model, samples, sources, kinds_of_stages(runner))
            check_weak_labels(model, samples)
            for note in unrelated_classes(model):
                runner.logger.warning(note)
        if runner.val_loop is not None:
            check_metric_kinds(runner.val_loop.evaluator,
                               runner.val_loop.dataloader.dataset)
            check_scored_classes(model, runner.val_loop, 'validation')
        runner.logger.info('training sources\n' +
                           source_table(sources, loader.sampler))

    def _check_loaded_classes(self, runner) -> None:
        """Check those of weights that the training starts from."""
        if runner.iter > 0:
            require_trained_classes(self._class_changes, 'resume')
        for note in fine_tuning_notes(self._class_changes):
            runner.logger.warning(note)
        # what is validated from now on has learned the classes of the config
        self._class_changes = []


def check_sampler(loader: Any, world_size: int) -> None:
    """Check that all ranks and steps draw the same mix of sources."""
    sampler = loader.sampler
    if not isinstance(sampler, PartialAnnotationSampler):
        if world_size > 1:
            raise UserError(
                f'{type(sampler).__name__} can give the ranks of a '
                'distributed run different kinds of annotation, on which '
                'they would wait for each other for ever; use sampler='
                "dict(type='PartialAnnotationSampler', batch_size=...)")
        return
    if loader.batch_size != sampler.batch_size:
        raise UserError(
            f'train_dataloader has batch_size={loader.batch_size}, but its '
            f'PartialAnnotationSampler batch_size={sampler.batch_size}; make '
            'them equal, or batches cut through the mix of sources')


def check_loop(loop: Any, sampler: Any) -> None:
    """Check that an epoch has an end where the loop waits for it."""
    endless = getattr(sampler, 'infinite', isinstance(sampler,
                                                      InfiniteSampler))
    if endless and isinstance(loop, EpochBasedTrainLoop):
        raise UserError(
            f'{type(sampler).__name__} never ends, so {type(loop).__name__} '
            'would never end its first epoch: nothing would be validated or '
            "saved. Use train_cfg=dict(type='IterBasedTrainLoop', "
            "max_iters=...), or train_dataloader.sampler=dict(type="
            "'PartialAnnotationSampler', infinite=False, ...)")


def check_sources(sources: Sequence[SourceSummary]) -> None:
    """Check that each source has images."""
    for source in sources:
        if not source.num_images:
            raise UserError(
                f"training source '{source.name}' has no image with the "
                f'annotation kinds {list(source.kinds)} that its config asks '
                'for; check its ann_file and data_root')


def check_classes(model: Any, metainfo: dict, use: str = 'training') -> None:
    """Check that the model numbers the classes as the data set does."""
    ours = getattr(model, 'classes', {})
    for task, theirs in classes_of_metainfo(metainfo).items():
        if task in ours:
            key = kind_of_task(task).classes_key
            require_same_classes(
                ours[task], theirs, ('the model', 'the data set'),
                f"the model's classes of task '{task}' are not the '{key}' of "
                f'the {use} data set')


def check_scored_classes(model: Any, loop: Any, use: str) -> None:
    """Check that predictions are scored under the names of the model.

    Only for a :class:`MultiTaskEvaluator`: the ``classes`` of other evaluators
    may be those of maps.
    """
    if isinstance(loop.evaluator, MultiTaskEvaluator):
        metainfo = getattr(loop.dataloader.dataset, 'metainfo', {})
        check_classes(model, metainfo, use)


def check_class_maps(model: Any, dataset: Any) -> None:
    """Check that transforms name and relate the classes as the model does."""
    ours, classes = model.class_map, model.classes
    for source in leaf_datasets(dataset):
        pipeline = getattr(source, 'pipeline', None)
        for transform in getattr(pipeline, 'transforms', ()):
            name = type(transform).__name__
            where = f"{name} in the training source '{source.source}'"
            theirs = getattr(transform, 'class_map', None)
            if not isinstance(theirs, ClassMap):
                continue
            if ours is not None and not theirs.same_as(ours):
                raise UserError(
                    f'class_map of {where} is not that of the model: '
                    f'{theirs}, but {ours}. Give both the same variable')
            named = dict(det=theirs.det_classes, seg=theirs.seg_classes)
            if hasattr(transform, 'adds_kinds'):
                named['cls'] = transform.classes
            for task in {*named} & {*classes}:
                require_same_classes(
                    classes[task], named[task], ('the model', name),
                    f"{where} has other classes of task '{task}'")


def unrelated_classes(model: Any) -> List[str]:
    """Notes on what weak losses cannot learn because names do not meet.

    ``UserError`` if a loss makes labels of one task from the other's, and no
    class is common to both.
    """
    class_map = model.class_map
    converts = any(
        x.source_kind in (BBOX, SEM_SEG) and x.task in ('det', 'seg')
        for x in model.weak_losses)
    if class_map is None or not converts:
        return []
    advice = ('If a segmentation class shows them under another name, say so '
              "in class_map: det_to_seg=dict(name_of_boxes='name_of_mask')")
    if not class_map.thing_ids:
        raise UserError(
            'no detection class is a segmentation class too, so neither task '
            f'can teach the other: {class_map}. {advice}')
    det_only = [class_map.det_classes[i] for i in class_map.det_only]
    seg_only = [class_map.seg_classes[i] for i in class_map.seg_only]
    notes = []
    if det_only:
        notes.append(f'no mask shows the detection class(es) {det_only}: on '
                     f'images with masks they are ignored. {advice}')
    if seg_only:
        notes.append(f'no box shows the segmentation class(es) {seg_only}: on '
                     'images with boxes they may be wherever no box is. '
                     f'{advice}')
    return notes


def first_samples(dataset: Any) -> SampleList:
    """The first sample of each source, as its pipeline packs it."""
    samples = []
    for source in leaf_datasets(dataset):
        first = SeededIndex(0, draw_seed=0)
        with seeded_draw(first):  # the run's own randomness stays as it is
            samples.append(source[first]['data_samples'])
        if 'annotation_kinds' not in samples[-1]:
            raise DatasetError(
                f'{type(source).__name__} does not declare annotation kinds, '
                'which MultiTaskDetector needs; wrap it in dict(type='
                "'PartialAnnotationDataset', annotation_kinds=..., "
                'dataset=...), with PackMultiTaskInputs in its pipeline')
    return samples


def kinds_of_stages(runner: Any) -> Collection[str]:
    """Annotation kinds for which a task can wait, as sources get them later.

    Where each parameter needs a gradient in every step there are none.
    """
    loop, model = runner.train_loop, runner.model
    is_due = getattr(loop, 'sources_are_due', False)
    if (get_world_size() > 1 and not is_due
            and not getattr(model, 'find_unused_parameters', True)):
        return ()
    return getattr(loop, 'kinds_of_stages', ())


def check_tasks(model: MultiTaskDetector, samples: SampleList,
                sources: Sequence[SourceSummary],
                other_kinds: Collection[str]) -> None:
    """Check that each task and each weak loss finds images to learn from.

    There is a sample of each source; ``other_kinds`` are those that sources
    have in other stages of the training.
    """
    kinds = {kind for sample in samples for kind in sample.annotation_kinds}
    kinds.update(other_kinds)
    found = '; '.join(map(str, sources))
    for weak_loss in model.weak_losses:
        if weak_loss.source_kind not in (None, *kinds):
            raise UserError(
                f"weak loss '{weak_loss.name}' ({type(weak_loss).__name__}) "
                f"needs the annotation kind '{weak_loss.source_kind}', but no "
                f'training source has it. Training sources: {found}')
    # in a distributed run each parameter needs a gradient in every step
    late = get_world_size() > 1
    from_start = (' from the start (start=0; a training in stages can set '
                  'find_unused_parameters=True)') if late else ''
    supervised = {
        weak_loss.task
        for weak_loss in model.weak_losses if not (late and weak_loss.start)
    }
    for name, head in model.trained_heads():
        for task in head.tasks:
            if getattr(kind_of_task(task), 'name', None) in other_kinds:
                continue
            if task not in supervised and not any(
                    head.is_annotated(task, sample) for sample in samples):
                kind = kind_of_task(task)
                raise UserError(
                    f"task '{task}' needs the annotation kind '"
                    f"{kind and kind.name}', but "
                    'no training source has it and no weak loss supervises '
                    f'the task{from_start}. Training sources: {found}')


def check_predictors(model: Any, hooks: List[Hook]) -> None:
    """Check that someone provides the networks that weak losses ask for."""
    provided = {
        hook.name: hook
        for hook in hooks if isinstance(hook, (PredictorEMAHook, TeacherHook))
    }
    for weak_loss in getattr(model, 'weak_losses', ()):
        wanted = getattr(weak_loss, 'predictor', 'none')
        if wanted not in ('none', 'self', *provided):
            raise UserError(
                f"weak loss '{weak_loss.name}' asks for the predictor "
                f"'{wanted}', which no hook provides. 'none' and 'self' need "
                "no hook, 'ema' needs dict(type='PredictorEMAHook') in "
                "custom_hooks, and any other name dict(type='TeacherHook', "
                f"name='{wanted}', config=..., checkpoint=...)")


def check_weak_labels(model: MultiTaskDetector, samples: SampleList) -> None:
    """Check on a sample of each source that weak labels are prepared."""
    for sample in samples:
        for weak_loss in model.weak_losses:
            head = model.head(weak_loss.head or weak_loss.task)
            annotated = head.is_annotated(weak_loss.task, sample)
            if (weak_loss.source_kind in sample.annotation_kinds
                    and not annotated):
                weak_loss.check_sample(sample)


def source_table(sources: Sequence[SourceSummary], sampler: Any) -> str:
    """The sources as a table; images per step are those of all ranks."""
    counts = getattr(sampler, 'source_counts', None) or [None] * len(sources)
    rows = [('source', 'annotation kinds', 'images', 'images per step')]
    for source, count in zip(sources, counts):
        per_step = '-' if count is None else str(count * get_world_size())
        rows.append((source.name, ', '.join(source.kinds)
                     or '-', str(source.num_images), per_step))
    return AsciiTable(rows).table
