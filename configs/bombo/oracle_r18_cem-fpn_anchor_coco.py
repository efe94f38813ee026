# Oracle: the same images, each with boxes and mask, in the same two batches.
_base_ = './naive_r18_cem-fpn_anchor_coco.py'

model = dict(forward_groups=dict(det=['det'], seg=['seg']))

both_kinds = ('bbox', 'sem_seg')
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, annotation_kinds=both_kinds),
        dict(_base_.seg_source, annotation_kinds=both_kinds)
    ]))
