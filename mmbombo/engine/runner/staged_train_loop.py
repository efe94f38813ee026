# Copyright (c) mmbombo contributors.
import copy
import json
import uuid
from bisect import bisect_right
from pathlib import Path
from typing import Dict, Optional, Sequence, Union

from mmengine.dataset import BaseDataset
from mmengine.dist import (barrier, broadcast, broadcast_object_list,
                           is_main_process)
from mmengine.runner import BaseLoop, IterBasedTrainLoop
from torch import nn

from mmbombo.datasets import MixedSourceDataset
from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.engine.hooks.whole_checkpoint_hook import point_to
from mmbombo.engine.pseudo_labels import write_pseudo_labels
from mmbombo.evaluation.pseudo_labels import compare_masks
from mmbombo.registry import DATASETS, LOOPS
from mmbombo.structures import SEM_SEG
from mmbombo.utils import UserError
from mmbombo.utils.config_parts import find_dataset
from mmbombo.utils.distributed import unwrapped
from .stage import Stage, merged

#: Under which checkpoints name the training that they are of, and the last
#: iterations of its stages.
RUN, ENDS = 'staged_run', 'staged_ends'


@LOOPS.register_module()
class StagedTrainLoop(IterBasedTrainLoop):
    """Train in stages, for which the network writes pseudo labels.

    All stages have the same number of iterations. Optimizer and learning rate
    begin anew in each: ``param_scheduler`` describes one stage. All else goes
    on: weights and their moving average, the draws of the sampler, the count
    of iterations, and with it intervals, ``start`` and ``ramp`` of weak
    losses. To hooks a stage is an epoch; those that look at the data have
    ``before_train_stage``.

    A stage that has ``labels`` begins with a checkpoint, ``stage_K.pth``, and
    with the labels of the images of its sources, in
    ``WORK_DIR/stages/K/SOURCE``. They are predicted from the sources as
    ``train_dataloader`` has them, with the test pipeline: what these do not
    declare is never read. An interrupted training resumes at any point.

    Args:
        runner (Runner): The runner.
        dataloader (dict): The training data.
        max_iters (int): Iterations of all stages together.
        stages (Sequence[dict]): See :class:`Stage`; ``dict()`` is a stage as
            ``train_dataloader`` has it.
        truth (dict[str, dict], optional): What is different in sources that
            have hidden masks, by name, to read these. Their labels are
            compared with them, for the log. Defaults to None.
        **kwargs: Arguments of :class:`mmengine.runner.IterBasedTrainLoop`.

    Raises:
        UserError: If a stage does not fit the sources, or there are labels of
            another training or config.
    """

    def __init__(self,
                 runner,
                 dataloader: dict,
                 max_iters: int,
                 stages: Sequence[dict],
                 truth: Optional[Dict[str, dict]] = None,
                 **kwargs) -> None:
        super().__init__(runner, dataloader, max_iters, **kwargs)
        self._loader_cfg = copy.deepcopy(dataloader)
        whole = self.dataloader.dataset
        if not isinstance(whole, MixedSourceDataset):
            self._loader_cfg['dataset'] = dict(
                type='MixedSourceDataset', datasets=[dataloader['dataset']])
        self._sources = dict(
            zip((x.source for x in leaf_datasets(whole)),
                self._loader_cfg['dataset']['datasets']))
        folder = Path(runner.work_dir) / 'stages'
        self.stages = [
            Stage(k, folder / str(k), stage) for k, stage in enumerate(stages)
        ]
        # what a task that rests in one stage may learn from in another
        kinds = [
            changes.get('annotation_kinds', ()) for stage in self.stages
            for changes in stage.sources.values()
        ]
        self.kinds_of_stages = {*whole.annotation_kinds}.union(*kinds)
        count = self._max_epochs = len(stages)
        if not stages:
            raise UserError('train_cfg.stages is empty; dict() is a stage')
        if not getattr(self.dataloader.sampler, 'infinite', True):
            raise UserError('StagedTrainLoop draws on from stage to stage: '
                            'give train_dataloader.sampler infinite=True')
        self._ends = [round(max_iters * (k + 1) / count) for k in range(count)]
        truth = truth or {}
        for changes in (truth, *(x.sources for x in self.stages)):
            unknown = sorted({*changes} - {*self._sources})
            if unknown:
                raise UserError(
                    f'train_cfg changes the source(s) {unknown}, but those of '
                    f'train_dataloader are {[*self._sources]}')
        self._truth = {
            name: self._build(merged(self._sources[name], truth[name]))
            for name in truth
        }
        for stage, config in zip(self.stages, stages):
            stage.settings = self._settings(stage, config)
        #: Whether the next stage has sources that are not there yet.
        self.sources_are_due = False
        self._describe_schedule(runner.param_schedulers)

    def _describe_schedule(self, schedulers: Union[list, dict, None]) -> None:
        """Let schedules without an end last for a stage."""
        if isinstance(schedulers, dict):
            schedulers = [schedulers]
        for scheduler in schedulers or ():
            if scheduler.get('by_epoch', True):
                raise UserError(
                    f"param_scheduler: {scheduler['type']} counts epochs; a "
                    'stage counts iterations, by_epoch=False')
            scheduler.setdefault('end', self._ends[0])

    def _settings(self, stage: Stage, config: dict) -> dict:
        """What the labels of a stage depend on, as JSON has it."""
        facts = dict(
            stage=dict(config, batch_size=None),
            sources=[
                dict(self._sources[x], pipeline=None) for x in stage.labeled
            ],
            pipeline=self._pipeline() if stage.labeled else None)
        return json.loads(json.dumps(facts, default=str))

    def run(self) -> nn.Module:
        """Train what is left of the stages."""
        runner = self.runner
        # the last step of a stage does not begin the next one
        first = bisect_right(self._ends[:-1], self._iter)
        has_begun = self._iter > (0, *self._ends)[first]
        self._check_labels(first, has_begun)
        if has_begun:
            self._load_sources(self.stages[first])
        self.sources_are_due = not has_begun and bool(
            self.stages[first].sources)
        runner.call_hook('before_train')
        for stage in self.stages[first:]:
            if self.stop_training:
                break
            self._epoch = stage.number
            if not has_begun:
                self._begin(stage)
            self._train_until(self._ends[stage.number])
            has_begun = False
        runner.call_hook('after_train')
        return runner.model

    def _train_until(self, end: int) -> None:
        """What :meth:`IterBasedTrainLoop.run` does."""
        runner = self.runner
        runner.call_hook('before_train_epoch')
        while self._iter < end and not self.stop_training:
            runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            if (runner.val_loop is not None and self._iter >= self.val_begin
                    and (self._iter % self.val_interval == 0
                         or self._iter == self._max_iters)):
                runner.val_loop.run()
        runner.call_hook('after_train_epoch')

    def _check_labels(self, first: int, has_begun: bool) -> None:
        """Check what labels are there before anything is trained."""
        hub = self.runner.message_hub
        if RUN not in hub.runtime_info:
            hub.update_info(RUN, uuid.uuid4().hex)
            hub.update_info(ENDS, self._ends)
        ends = hub.get_info(ENDS)
        if [*ends] != self._ends:
            raise UserError(
                f'the stages of the training that is resumed end at {ends}, '
                f'those of the config at {self._ends}; resume it with its own '
                'max_iters and number of stages')
        problems = [
            stage.find_problem(
                hub.get_info(RUN), has_begun and k == 0, is_later=k > 0)
            for k, stage in enumerate(self.stages[first:]) if stage.labeled
        ]
        problems = [next(filter(None, problems), None)]
        broadcast_object_list(problems)  # the first process decides
        if problems[0]:
            raise UserError(problems[0])

    def _begin(self, stage: Stage) -> None:
        """Write the labels of a stage, and build what begins anew."""
        runner = self.runner
        if stage.labeled:
            self._write_labels(stage)
        if stage.number:
            self._restart_schedule()
        if stage.number or stage.sources:
            self._load_sources(stage)
            self.sources_are_due = False
            runner.call_hook('before_train_stage')
        runner.logger.info(
            f'stage {stage.number} begins, the last is {len(self.stages) - 1}')

    def _write_labels(self, stage: Stage) -> None:
        """Write what is not there, and compare it with the truth."""
        runner = self.runner
        model = unwrapped(runner.model)
        if stage.predictor != 'self':
            model = model.teachers.get(stage.predictor)
        if model is None:
            raise UserError(f'train_cfg.stages[{stage.number}] asks for the '
                            f"predictor '{stage.predictor}', which there is "
                            'not, or not yet')
        # statistics of batch normalization: the checkpoint has the first
        # process's
        for buffer in (*unwrapped(runner.model).buffers(), *model.buffers()):
            broadcast(buffer)
        run = runner.message_hub.get_info(RUN)
        if is_main_process() and not stage.is_known:
            self._save(f'stage_{stage.number}.pth')
            stage.write_down(run=run, complete=False)
        barrier()
        for name in stage.labeled:
            source = self._build(self._sources[name])
            runner.logger.info(f'labels of {len(source)} images of the source '
                               f"'{name}' go to {stage.folder / name}")
            write_pseudo_labels(
                stage.writer, model, source,
                {x: stage.folder / name / x
                 for x in stage.writer.folders}, stage.batch_size)
        if is_main_process():
            stage.write_down(run=run, complete=True)
        for name in stage.labeled:
            self._compare(stage, name)

    def _save(self, name: str) -> None:
        """Save a checkpoint to resume with."""
        runner = self.runner
        runner.save_checkpoint(
            runner.work_dir,
            name,
            save_optimizer=False,
            save_param_scheduler=False,
            meta=dict(epoch=self._epoch, iter=self._iter),
            by_epoch=False)
        point_to(runner.work_dir, str(Path(runner.work_dir) / name))

    def _compare(self, stage: Stage, name: str) -> None:
        """Log how good the masks of a source are, if the truth is known."""
        config = stage.changed(name, self._sources[name])
        if name not in self._truth or SEM_SEG not in config.annotation_kinds:
            return
        values = compare_masks(self._build(config), self._truth[name])
        text = '  '.join(f'{key}: {value:.3f}'
                         for key, value in values.items())
        self.runner.logger.info(f"labels of the source '{name}': {text}")
        self.runner.visualizer.add_scalars(
            {
                f'{name}/{key}': value
                for key, value in values.items()
            },
            step=self._iter)

    def _restart_schedule(self) -> None:
        """Build optimizer and learning rate as for a new training."""
        runner, cfg = self.runner, copy.deepcopy(self.runner.cfg)
        # what only the stage before has computed is not to be shown again
        scalars = runner.message_hub.log_scalars
        for key in [key for key in scalars if key.startswith('train/')]:
            del scalars[key]
        runner.optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        runner.param_schedulers = cfg.get('param_scheduler')
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        if runner.param_schedulers is not None:
            self._describe_schedule(runner.param_schedulers)
            runner.param_schedulers = runner.build_param_scheduler(
                runner.param_schedulers)
        runner.optim_wrapper.initialize_count_status(runner.model, self._iter,
                                                     self._max_iters)

    def _load_sources(self, stage: Stage) -> None:
        """Build the data loader of a stage, at the present step."""
        loader = copy.deepcopy(self._loader_cfg)
        loader['dataset']['datasets'] = [
            stage.changed(*item) for item in self._sources.items()
        ]
        BaseLoop.__init__(self, self.runner, loader)
        for source in leaf_datasets(self.dataloader.dataset):
            stage.require_labels_are_read(source)
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'skip'):
            sampler.skip(self._iter * self.dataloader.batch_size)
        self.dataloader_iterator = type(self.dataloader_iterator)(
            self.dataloader)

    def _pipeline(self) -> list:
        return find_dataset(self.runner.cfg)['pipeline']

    def _build(self, config: dict) -> BaseDataset:
        """Build a source for evaluation."""
        return DATASETS.build(
            dict(config, test_mode=True, pipeline=self._pipeline()))
