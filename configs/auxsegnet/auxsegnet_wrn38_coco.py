# A stage of AuxSegNet on COCO 2017, 80 classes and the background: tags are
# the categories of an image's boxes. Saliency maps in saliency/train2017, the
# masks of the stage in auxsegnet/masks/train2017. Start from a classifier:
# --cfg-options load_from=CHECKPOINT
_base_ = [
    '../_base_/models/auxsegnet_wrn38.py', '../_base_/datasets/coco.py',
    '../_base_/schedules/auxsegnet_40k.py', '../_base_/default_runtime.py'
]

model = dict(
    classes=dict(cls=_base_.det_classes, seg=_base_.seg_classes),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            # made by tools/model_converters/wide_resnet38.py
            checkpoint='checkpoints/wide_resnet38_imagenet.pth')),
    task_heads=dict(aux=dict(num_classes=81, cls=dict(num_classes=80))))

# as on VOC; the long side of almost all images is 640
geometry = [
    dict(
        type='mmdet.RandomResize',
        scale=(640, 640),
        ratio_range=(0.7, 1.3),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmdet.RandomCrop',
        crop_size=(321, 321),
        allow_negative_crop=True)
]
metainfo = dict(
    classes=_base_.det_classes,
    seg_classes=_base_.seg_classes,
    cls_classes=_base_.det_classes)
train_source = dict(
    _base_.coco2017,
    metainfo=metainfo,
    source='train',
    annotation_kinds=('sem_seg', 'image_label', 'saliency'),
    dataset=dict(
        _base_.train2017,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(
            img='train2017/',
            seg='auxsegnet/masks/train2017/',
            saliency_path='saliency/train2017/')),
    pipeline=[*_base_.load, *geometry, _base_.pack])
train_dataloader = dict(
    batch_size=4,
    sampler=dict(batch_size=4, source_ratio=[1]),
    dataset=dict(datasets=[train_source]))
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        metainfo=metainfo,
        annotation_kinds=('sem_seg', ),
        pipeline=[*_base_.load, _base_.pack]))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(
        _delete_=True,
        seg=_base_.val_evaluator.metrics.seg,
        sal=dict(type='SaliencyMetric')),
    kinds=dict(sal='sem_seg'))
test_evaluator = val_evaluator

# 15 epochs of the 118,287 images, of which the paper does not speak
max_iters = 443565
param_scheduler = [
    dict(type='PolyLR', power=0.9, by_epoch=False, end=max_iters + 1)
]
train_cfg = dict(max_iters=max_iters, val_interval=29571)
default_hooks = dict(checkpoint=dict(interval=29571))
