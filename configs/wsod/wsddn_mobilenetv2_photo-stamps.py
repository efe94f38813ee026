# WSDDN on a light network: all 1,600 training images of PhotoStamps, of which
# the tags are read. The proposals are made once, and kept.
_base_ = '../rrm/cls_mobilenetv2_fpn_photo-stamps.py'

cls_head = _base_.model.task_heads.cls
model = _base_.model
model._delete_ = True
model.classes = dict(cls=_base_.tag_classes, det=_base_.tag_classes)
model.task_heads = dict(
    proposals=dict(
        type='ProposalTaskHead',
        num_classes=len(_base_.tag_classes),
        in_channels=64,
        in_index=1,
        stride=8,
        fc_channels=256,
        roi_size=5,
        dropout_ratio=0.,
        min_size=10,
        max_proposals=200))

load_regions = dict(type='LoadRegions', cache_dir=_base_.data_root + 'regions')
# the tags are those of the whole image
geometry = [dict(_base_.resize, scale=_base_.scale), *_base_.flip_and_colors]
train_pipeline = [*_base_.load, load_regions, *geometry, _base_.pack]
train_source = dict(_base_.tag_source, source='train', pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=6,
    sampler=dict(batch_size=6),
    dataset=dict(datasets=[train_source]))
test_pipeline = _base_.test_pipeline
test_pipeline.insert(1, load_regions)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(
        det=[_base_.box_metric, dict(type='CorLocMetric')]))
test_evaluator = val_evaluator
