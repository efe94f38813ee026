# ImageNet, one folder per class in train/ and in val/; at 224 x 224 pixels.
import os

data_root = 'data/imagenet/'
classes = tuple(f'class {i}' for i in range(1000))  # without the data
if os.path.isdir(data_root + 'train'):
    classes = tuple(sorted(os.listdir(data_root + 'train')))

imagenet = dict(
    type='ImageLabelDataset',
    data_root=data_root,
    metainfo=dict(cls_classes=classes))
load = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
pack = dict(type='PackMultiTaskInputs')
train_pipeline = [
    *load,
    dict(type='RandomResizedCrop', scale=224),
    dict(type='mmdet.RandomFlip', prob=0.5), pack
]
test_pipeline = [
    *load,
    # the short side becomes 256
    dict(type='mmdet.Resize', scale=(10**5, 256), keep_ratio=True),
    dict(type='CenterCrop', crop_size=224),
    pack
]

# on each of 8 processes
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='PartialAnnotationSampler', batch_size=128),
    dataset=dict(
        type='MixedSourceDataset',
        datasets=[
            dict(
                imagenet,
                data_prefix=dict(img_path='train'),
                source='train',
                pipeline=train_pipeline)
        ]))
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MixedSourceDataset',
        datasets=[
            dict(
                imagenet,
                data_prefix=dict(img_path='val'),
                source='val',
                test_mode=True,
                pipeline=test_pipeline)
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='MultiTaskEvaluator',
    metrics=dict(cls=dict(type='TopAccuracyMetric', topk=(1, 5))))
test_evaluator = val_evaluator
