# The weak teacher of self-training on Pascal VOC: a detector that has seen a
# quarter of det_train, the first images of both years. (The authors' Quarter
# list is another, and holds images of VOC2007's test set.) Never trained to
# the end by us: there is no result.
_base_ = '../bombo/det_r50_cem-pafpn_anchor_voc.py'

first_images = (1147, 742)  # of 4,589 and 2,969 that voc_lists.py lists
quarter = [
    dict(part, indices=count)
    for part, count in zip(_base_.det_source.datasets, first_images)
]
train_dataloader = dict(
    dataset=dict(datasets=[dict(_base_.det_source, datasets=quarter)]))
