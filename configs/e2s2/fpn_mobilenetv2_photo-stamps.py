# What E2S2 is compared with: the same network and loss below and above the
# semantic branch of Panoptic FPN.
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py',
    '../_base_/datasets/photo_stamps_masks.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = dict(
    _delete_=True,
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size_divisor=32,
        test_cfg=dict(size_divisor=32)),
    backbone=_base_.model.backbone,
    neck=_base_.model.neck,
    decode_head=dict(
        _base_.model.task_heads.seg.head,
        type='mmseg.FPNHead',
        num_classes=len(_base_.seg_classes),
        loss_decode=dict(type='mmbombo.InverseFrequencyCELoss')),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
# of the last layer, of which no head reads
find_unused_parameters = True
custom_hooks = [dict(type='ClassFrequencyHook')]
default_hooks = dict(checkpoint=dict(save_best='seg/mIoU'))
