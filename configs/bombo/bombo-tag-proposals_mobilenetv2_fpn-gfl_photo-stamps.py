# The same, with boxes from proposals: of each class the one that stands out
# most where the activation maps of the classifier and saliency maps agree.
_base_ = './bombo-tag-boxes_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    *_base_.model.weak_losses[:2],
    dict(
        type='TagForBoxLoss',
        seeds=dict(
            type='ProposalSeeds',
            maps=dict(type='CAMMaps', saliency=True),
            selector=dict(
                type='SaliencyGuidedSeedSelector', min_area=_base_.min_area)))
])

load_regions = dict(type='LoadRegions', cache_dir=_base_.data_root + 'regions')
tag_source = dict(
    _base_.tag_source,
    annotation_kinds=('image_label', 'saliency'),
    datasets=[
        dict(x, data_prefix=dict(saliency_path='saliency'))
        for x in _base_.parts
    ],
    pipeline=[
        *_base_.tag_pipeline[:2], load_regions, *_base_.tag_pipeline[2:]
    ])
train_dataloader = dict(
    dataset=dict(datasets=[_base_.det_source, _base_.seg_source, tag_source]))
