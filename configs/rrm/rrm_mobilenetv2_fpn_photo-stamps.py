# RRM on a light network: all 1,600 training images of PhotoStamps, of which
# only the tags are read. Train cls_mobilenetv2_fpn_photo-stamps.py before, and
# start from it: --cfg-options load_from=CHECKPOINT
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py',
    '../_base_/datasets/photo_stamps.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

tag_classes = _base_.det_classes
model = _base_.model
model._delete_ = True
model.classes = dict(cls=tag_classes, seg=_base_.seg_classes)
model.task_heads.pop('det')
model.task_heads.seg.head.num_classes = len(_base_.seg_classes)
# of the pyramid's maps that of stride 8, so that the activation maps have
# 20 x 20 cells at 160 pixels
model.task_heads.cls = dict(
    type='ClsTaskHead',
    num_classes=len(tag_classes),
    in_channels=64,
    in_index=1,
    bias=False)
# The published numbers are for 321 pixels; these are for 160.
model.weak_losses = [
    dict(
        type='TagForMaskLoss',
        scales=(1., 2.),
        crf=dict(
            gaussian_sxy=1.5,
            gaussian_compat=3,
            bilateral_sxy=40,
            bilateral_srgb=13,
            bilateral_compat=10)),
    dict(type='DenseEnergyLoss', loss_weight=1e-6, sigma_xy=50.)
]

metainfo = dict(_base_.metainfo, cls_classes=tag_classes)
tag_source = dict(
    _base_.det_source,
    ann_file='ImageSets/Main/train.txt',
    source='tags',
    annotation_kinds=('image_label', ),
    metainfo=metainfo)
train_dataloader = dict(
    sampler=dict(source_ratio=[1]), dataset=dict(datasets=[tag_source]))

test_pipeline = _base_.test_pipeline
test_pipeline.insert(
    -1, dict(type='ImplyImageLabels', class_map=_base_.class_map))
val_dataloader = dict(
    dataset=dict(metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(
        _delete_=True,
        cls=dict(type='ImageLabelAPMetric'),
        seg=_base_.val_evaluator.metrics.seg))
test_evaluator = val_evaluator
