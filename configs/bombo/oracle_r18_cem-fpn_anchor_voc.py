# Oracle: the same images, each with boxes and, as far as there is one, a mask.
# VOC and SBD have masks of 2,820 of the 7,558 images with boxes.
_base_ = './naive_r18_cem-fpn_anchor_voc.py'

both_kinds = ('bbox', 'sem_seg')
det_list = 'ImageSets/mmbombo/det_{}_train.txt'
unmasked = dict(
    _base_.det_source,
    source='det_unmasked',
    datasets=[
        dict(part, ann_file=det_list.format('unmasked'))
        for part in _base_.det_source.datasets
    ])
masked = dict(
    _base_.det_source,
    source='det_masked',
    annotation_kinds=both_kinds,
    datasets=[
        dict(
            _base_.det_source.datasets[1], ann_file=det_list.format('masked'))
    ])
train_dataloader = dict(
    sampler=dict(source_ratio=[4, 3, 7]),
    dataset=dict(datasets=[
        unmasked, masked,
        dict(_base_.seg_source, annotation_kinds=both_kinds)
    ]))
