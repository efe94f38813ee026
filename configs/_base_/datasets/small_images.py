# Pipelines and loaders of the data sets of small images beside this file.
load = [
    dict(type='mmdet.LoadImageFromNDArray'),
    dict(type='LoadPartialAnnotations')
]
flip = dict(type='mmdet.RandomFlip', prob=0.5)
pack = dict(type='PackMultiTaskInputs')
train_pipeline = [
    *load,
    dict(type='RandomPaddedCrop', padding=4, padding_mode='reflect'), flip,
    pack
]
test_pipeline = [*load, pack]

train_dataloader = dict(
    batch_size=1024,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='PartialAnnotationSampler', batch_size=1024),
    dataset=dict(type='MixedSourceDataset'))
val_dataloader = dict(
    batch_size=1000,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MixedSourceDataset'))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='MultiTaskEvaluator',
    metrics=dict(cls=dict(type='TopAccuracyMetric')))
test_evaluator = val_evaluator
normalization = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
