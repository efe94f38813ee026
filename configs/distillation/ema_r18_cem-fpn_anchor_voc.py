# The moving average of the network teaches both tasks, on Pascal VOC. Never
# trained to the end by us: there is no result.
_base_ = '../bombo/naive_r18_cem-fpn_anchor_voc.py'

model = dict(weak_losses=[
    dict(type='SoftDetectionLoss', teacher='ema', ramp=0.1),
    dict(type='SegmentationKLLoss', teacher='ema', ramp=0.1)
])
