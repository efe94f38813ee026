# RRM on Pascal VOC 2012, from ImageNet: the classifier alone for half of the
# training, then all of it. 8 images in a step, published on 4 GPUs.
_base_ = [
    '../_base_/models/rrm_wrn38.py', '../_base_/datasets/voc_tags.py',
    '../_base_/schedules/rrm_32k.py', '../_base_/default_runtime.py'
]

mask_loss, energy_loss = _base_.model.weak_losses
model = dict(
    classes=dict(cls=_base_.det_classes, seg=_base_.seg_classes),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            # made by tools/model_converters/wide_resnet38.py
            checkpoint='checkpoints/wide_resnet38_imagenet.pth')),
    weak_losses=[dict(mask_loss, start=0.5), dict(energy_loss, start=0.5)])

# images at their own size: what the published code resizes, it does not use
geometry = [
    _base_.flip,
    dict(
        type='mmseg.PhotoMetricDistortion',
        brightness_delta=38,
        contrast_range=(0.7, 1.3),
        saturation_range=(0.7, 1.3),
        hue_delta=18),
    dict(
        type='mmdet.RandomCrop',
        crop_size=(448, 448),
        allow_negative_crop=True)
]
train_pipeline = [*_base_.load, *geometry, _base_.pack]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8),
    dataset=dict(
        datasets=[dict(_base_.tag_source, pipeline=train_pipeline)]))

default_hooks = dict(checkpoint=dict(interval=2644))
