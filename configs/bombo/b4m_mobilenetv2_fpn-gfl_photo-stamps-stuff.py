# Box-for-Mask only: segmentation also learns from the images with boxes.
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps-stuff.py'

model = dict(weak_losses=[dict(type='BoxForMaskLoss', loss_weight=1.0)])

train_dataloader = dict(
    dataset=dict(datasets=[_base_.weak_sources[0], _base_.seg_source]))
