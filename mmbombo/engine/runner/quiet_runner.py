# Copyright (c) mmbombo contributors.
"""A runner that shows what its user needs, and logs the rest."""
import copy
import io
import logging
import platform
import re
import warnings
from contextlib import redirect_stdout
from importlib import import_module
from inspect import signature
from typing import Any, Callable, Optional, Union

import torch
from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner
from mmengine.runner.checkpoint import (_load_checkpoint,
                                        _load_checkpoint_to_model)
from mmengine.visualization import Visualizer

from mmbombo.engine.hooks import DivergenceHook, LocalSupervisionHook
from mmbombo.models.backbones import LocalModules
from mmbombo.utils.checkpoint import load_weights
from mmbombo.utils.checkpoint_classes import (find_class_changes,
                                              require_trained_classes)
from mmbombo.utils.config_values import check_values
from mmbombo.utils.distributed import unwrapped
from .resumable_runner import ResumableRunner

#: Keys of a config that the runner uses: its arguments, what it reads from
#: ``runner.cfg``, and what MMDetection's tools and MMSegmentation's
#: ``inference_model`` read.
USED_KEYS = {
    *signature(Runner.__init__).parameters, 'activation_checkpointing',
    'compile', 'custom_imports', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'model_wrapper_cfg', 'runner_type', 'sync_bn',
    'test_pipeline', 'tta_model', 'tta_pipeline'
}
#: Messages of the libraries that only the log file shows.
FOR_THE_FILE = re.compile(
    r'\n-+\nSystem environment|Config:\n|Hooks will be executed|'
    r'paramwise_options|Distributed training is not used|Exp name:|'
    r'Checkpoints will be saved to|'
    r'"\w+" (will be deprecated|is the alias)|per class results:$|'
    r'\S+ is skipped since its requires_grad=False')
LIBRARIES = ('mmengine', 'mmcv', 'mmdet', 'mmseg')


class UsedConfig(Config):
    """A config whose text has what a run uses, and no helper variables.

    MMEngine asks for the text four times before the first step, and again for
    each checkpoint. It is formatted once.
    """

    @classmethod
    def of(cls, config: Config) -> 'UsedConfig':
        """The same config, with that text."""
        used = cls.__new__(cls)
        used.__dict__.update(copy.deepcopy(config).__dict__)
        return used

    @property
    def pretty_text(self) -> str:
        """str: Python code of the keys that the runner uses."""
        used = {k: v for k, v in self.to_dict().items() if k in USED_KEYS}
        known, text = self.__dict__.get('_formatted', (None, ''))
        if known != used:
            text = Config(copy.deepcopy(used)).pretty_text
            self.__dict__['_formatted'] = used, text
        return text


class ScreenFilter(logging.Filter):
    """Keeps from the screen what :data:`FOR_THE_FILE` names."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            return True
        shown = getattr(record, 'screen', True)
        # unformatted: a filter must not stop at what does not fit
        return shown and not FOR_THE_FILE.match(str(record.msg))


class QuietRunner(ResumableRunner):
    """The runner of our tools, which is MMEngine's but for the screen.

    The screen has the versions, the parameters and where the output goes in
    place of the environment, the config and the hooks, which only the log
    file has. Warnings that OpenMMLab's libraries give through Python, and of
    frozen parameters, go to the log file; all others, and all errors, stay
    visible. What is written to ``work_dir`` as config is what the run uses.
    TensorBoard is among the backends where it is installed.
    """

    def __init__(self,
                 *args: Any,
                 cfg: Optional[Union[dict, Config]] = None,
                 **kwargs: Any) -> None:
        # it prints that parts which nobody asked for are not installed
        with redirect_stdout(io.StringIO()):
            import_module('mmdet.datasets')
        config = cfg if isinstance(cfg, Config) else Config(cfg)
        check_values(config)
        super().__init__(*args, cfg=UsedConfig.of(config), **kwargs)
        self.logger.info(describe_parameters(self.model))
        self.logger.info(f'output: {self.work_dir} (log: '
                         f'{self.timestamp}/{self.timestamp}.log, scalars: '
                         f'{self.timestamp}/vis_data/scalars.json)')

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """Register the hooks, with those that no config has to name."""
        super().register_hooks(*args, **kwargs)
        needed = [DivergenceHook]
        if any(isinstance(x, LocalModules) for x in self.model.modules()):
            needed.append(LocalSupervisionHook)
        for kind in needed:
            if not any(isinstance(x, kind) for x in self.hooks):
                self.register_hook(kind())

    def load_checkpoint(self,
                        filename: str,
                        map_location: Union[str, Callable] = 'cpu',
                        **kwargs: Any) -> dict:
        """Load weights, which must be all, but where a training begins from
        some; ``UserError`` if they do not fit."""
        checkpoint = _load_checkpoint(filename, map_location=map_location)
        model = unwrapped(self.model)
        resume = self._resume
        # only a training has built its loop by now
        if resume or not isinstance(self._train_loop, BaseLoop):
            require_trained_classes(
                find_class_changes(model, checkpoint),
                'resume' if resume else 'test')
            load_weights(model, checkpoint, f'{filename}: ', resume, resume)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        _load_checkpoint_to_model(model, checkpoint, **kwargs)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def build_logger(self, *args: Any, **kwargs: Any) -> logging.Logger:
        """Build the logger, whose screen shows less than its file."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(ScreenFilter())
                handler.formatter.info_format = '%(asctime)s %(message)s'
                handler.formatter.datefmt = '%H:%M:%S'
        log_library_warnings(logger)
        return logger

    def build_visualizer(
            self,
            visualizer: Optional[Union[Visualizer,
                                       dict]] = None) -> Visualizer:
        """Build the visualizer, with TensorBoard if it is installed."""
        if isinstance(visualizer, dict) and tensorboard_works():
            backends = visualizer.get('vis_backends') or []
            if not any('Tensorboard' in str(x['type']) for x in backends):
                tensorboard = dict(type='TensorboardVisBackend')
                visualizer = dict(
                    visualizer, vis_backends=[*backends, tensorboard])
        return super().build_visualizer(visualizer)

    def _log_env(self, env_cfg: dict) -> None:
        super()._log_env(env_cfg)
        self.logger.info(describe_versions())


def tensorboard_works() -> bool:
    """Whether TensorBoard is installed, with a protobuf that it takes."""
    try:
        import_module('torch.utils.tensorboard')
    except Exception:  # an old one fails in many ways, and nobody asked
        return False
    return True


def log_library_warnings(logger: logging.Logger) -> None:
    """Send the warnings of OpenMMLab's libraries to the log file.

    Most are deprecation notes that they give each other.
    """
    show = warnings.showwarning
    places = tuple(f'/{library}/' for library in LIBRARIES)

    def show_or_log(message: Union[Warning, str], category: type,
                    filename: str, *args: Any, **kwargs: Any) -> None:
        path = filename.replace('\\', '/').rpartition('site-packages')[2]
        if path.startswith(places):
            logger.info(
                f'{category.__name__}: {message} ({filename})',
                extra=dict(screen=False))
        else:
            show(message, category, filename, *args, **kwargs)

    warnings.showwarning = show_or_log


def describe_versions() -> str:
    """One line for the screen; the log file has MMEngine's listing."""
    names = ('mmbombo', 'torch', *LIBRARIES)
    versions = ', '.join(f'{x} {import_module(x).__version__}' for x in names)
    device = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available() else platform.machine() + ' CPU')
    return f'{versions}, Python {platform.python_version()}; {device}'


def describe_parameters(model: torch.nn.Module) -> str:
    """How many parameters there are, and how many of them are trained."""
    parameters = list(model.parameters())
    total = sum(x.numel() for x in parameters)
    trained = sum(x.numel() for x in parameters if x.requires_grad)
    return (f'{type(model).__name__}: {total / 1e6:.2f} M parameters, '
            f'{trained / 1e6:.2f} M of them trained')
