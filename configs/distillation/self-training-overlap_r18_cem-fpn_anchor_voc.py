# Self-training on all images of det_train, those that the weak teacher has
# seen included. Never trained to the end by us: there is no result.
_base_ = './self-training-complement_r18_cem-fpn_anchor_voc.py'

train_dataloader = dict(
    dataset=dict(datasets=[dict(_base_.det_source, annotation_kinds=())]))
