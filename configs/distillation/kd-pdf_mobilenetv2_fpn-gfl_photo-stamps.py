# Knowledge distillation, detection features where the predictions disagree.
_base_ = './kd-soft_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(
        type='PDFLoss',
        teacher='det_teacher',
        adapt=dict(in_channels=64, out_channels=64, num_levels=4)),
    dict(type='FeatureMSELoss', teacher='seg_teacher', task='seg')
])
