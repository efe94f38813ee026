# BoMBo with a backbone in two modules of equal memory. Each image trains the
# first by its reconstruction, and by its mask or its boxes, with the weights
# of Cityscapes.
_base_ = '../bombo/bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='LocallySupervisedBackbone',
        backbone=_base_.model.backbone,
        cuts=2,
        # measured, of neck and heads
        head_share=0.2,
        rec_weight=1.5,
        task_weight=1.0,
        head=dict(
            type='LocalTaskHead',
            num_classes=len(_base_.seg_classes),
            class_map=_base_.class_map,
            loss_stride=4,
            channels=64),
        decoder=dict(type='ReconstructionDecoder', channels=(32, 16, 8))))
