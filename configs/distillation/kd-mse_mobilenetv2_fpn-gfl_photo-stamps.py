# Knowledge distillation, features: those that each head reads become like its
# teacher's. The detection teacher's are reached through 1x1 convolutions, so
# that the shared features need not be like both teachers' at once.
_base_ = './kd-soft_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(
        type='FeatureMSELoss',
        teacher='det_teacher',
        task='det',
        adapt=dict(in_channels=64, out_channels=64, num_levels=4)),
    dict(type='FeatureMSELoss', teacher='seg_teacher', task='seg')
])
