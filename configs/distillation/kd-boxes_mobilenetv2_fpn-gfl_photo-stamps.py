# Knowledge distillation, decoded boxes: what the detection teacher finds is
# annotation. Works with a teacher of any architecture.
_base_ = './kd-soft_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(type='PseudoBoxLoss', teacher='det_teacher'),
    dict(type='SegmentationKLLoss', teacher='seg_teacher')
])
