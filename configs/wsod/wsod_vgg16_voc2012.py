# The same on Pascal VOC 2012. The boxes of its test images are not public: it
# learns from the tags of `train`, and validation is on `val`.
_base_ = './wsod_vgg16_voc2007.py'

data_help = (
    "Unpack VOCtrainval_11-May-2012.tar of the challenge's site so that "
    f'{_base_.data_root}VOC2012/JPEGImages exists.')
voc2012 = dict(data_root=_base_.data_root + 'VOC2012/', data_help=data_help)
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.train_source,
            ann_file='ImageSets/Main/train.txt',
            **voc2012)
    ]))
val_dataloader = dict(
    dataset=dict(ann_file='ImageSets/Main/val.txt', **voc2012))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=dict(det=[dict(type='VOCAPMetric'),
                      dict(type='CorLocMetric')]))
test_evaluator = val_evaluator

epoch = 5717
max_iters = 20 * epoch
param_scheduler = [
    dict(
        type='MultiStepLR', by_epoch=False, milestones=[10 * epoch], gamma=0.1)
]
train_cfg = dict(max_iters=max_iters, val_interval=5 * epoch)
default_hooks = dict(checkpoint=dict(interval=epoch))
