# Tags teach boxes: 100 images with boxes, 100 with masks, and 1,400 of which
# only the tags are read. On these the network learns what it detects itself,
# of the classes that the tags name. It begins with a classifier, as
# bombo-tags_mobilenetv2_fpn-gfl_photo-stamps.py says.
_base_ = './bombo-tags_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    *_base_.model.weak_losses,
    dict(type='TagForBoxLoss', seeds=dict(type='PredictedSeeds'))
])

det_source = dict(_base_.det_source, indices=100)
seg_source = dict(_base_.seg_source, indices=100)
# the other 700 of each half
parts = [dict(x, indices=-700) for x in _base_.parts]
# the tags are those of the whole image
tag_pipeline = [
    x for x in _base_.train_pipeline if x['type'] != 'mmdet.RandomCrop'
]
tag_source = dict(_base_.tag_source, datasets=parts, pipeline=tag_pipeline)
train_dataloader = dict(
    dataset=dict(datasets=[det_source, seg_source, tag_source]))
