# Pascal VOC as BoMBo's baseline trains and tests on it: every image squashed
# to 320 x 320, the authors' augmentation, 7 + 7 images per step. The numbers
# are those of the authors' code; where it reads the boxes of images that are
# said to have a mask only (to place the zoom-crop), we do not.
_base_ = ['./voc.py', './squashed_320.py']

scale = (320, 320)
geometry = _base_.squashed_geometry
load = _base_.load
pack = _base_.pack
train_pipeline = [*load, *geometry, pack]
weak_pipeline = [
    *load, _base_.load_pseudo_mask, *geometry, _base_.label_components, pack
]
test_pipeline = [load[0], _base_.squash, load[1], pack]

det_source = dict(pipeline=train_pipeline)
seg_source = dict(pipeline=train_pipeline)
weak_sources = [
    dict(source, pipeline=weak_pipeline) for source in _base_.weak_sources
]
oracle_sources = [
    dict(source, pipeline=train_pipeline) for source in _base_.oracle_sources
]
train_dataloader = dict(
    batch_size=14,
    sampler=dict(batch_size=14),
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=train_pipeline),
        dict(_base_.seg_source, pipeline=train_pipeline)
    ]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
