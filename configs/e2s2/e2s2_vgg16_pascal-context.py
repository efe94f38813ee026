# E2S2 on PASCAL Context, 59 classes without background. The settings are ours,
# those of SIFT Flow for 12 epochs of 4,998 images: the published ones are not
# known.
_base_ = './e2s2_vgg16_sift-flow.py'

model = dict(decode_head=dict(num_classes=59))

load_regions = dict(
    type='LoadRegions', cache_dir='data/VOCdevkit/VOC2010/regions')
load, resize, pack = _base_.load, _base_.resize, _base_.pack
train_pipeline = [
    *load, load_regions, resize,
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='AddGTRegions'), pack
]
test_pipeline = [load[0], load_regions, resize, load[1], pack]
context = dict(
    _delete_=True,
    type='mmseg.PascalContextDataset59',
    data_root='data/VOCdevkit/VOC2010/',
    data_prefix=dict(
        img_path='JPEGImages', seg_map_path='SegmentationClassContext'))
train_dataloader = dict(
    dataset=dict(
        context,
        ann_file='ImageSets/SegmentationContext/train.txt',
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        context,
        ann_file='ImageSets/SegmentationContext/val.txt',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 12 * 4998
param_scheduler = [
    dict(
        type='MultiStepLR', by_epoch=False, milestones=[10 * 4998], gamma=0.1)
]
train_cfg = dict(max_iters=max_iters, val_interval=2 * 4998)
default_hooks = dict(checkpoint=dict(interval=2 * 4998))
