# Oracle: the same images, each with boxes and mask.
_base_ = './naive_mobilenetv2_fpn-gfl_photo-stamps-stuff.py'

both_kinds = ('bbox', 'sem_seg')
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, annotation_kinds=both_kinds),
        dict(_base_.seg_source, annotation_kinds=both_kinds)
    ]))
