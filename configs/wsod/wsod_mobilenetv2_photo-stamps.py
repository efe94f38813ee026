# Saliency-guided: the same with a gate, and seeds where the activation maps of
# a classifier and saliency maps agree. The classifier is that of
# ../rrm/cls_mobilenetv2_fpn_photo-stamps.py, if the training starts from it:
# --cfg-options load_from=CHECKPOINT
_base_ = './wsddn_mobilenetv2_photo-stamps.py'

model = dict(
    task_heads=dict(
        proposals=dict(
            gate='feature',
            loss_seed=dict(type='SeedLoss'),
            loss_saliency=dict(type='ProposalSaliencyLoss')),
        cls=_base_.cls_head),
    weak_losses=[
        dict(
            type='TagForProposalLoss',
            maps=dict(type='CAMMaps', saliency=True),
            selector=dict(type='SaliencyGuidedSeedSelector', min_area=100))
    ])

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.train_source,
            annotation_kinds=('image_label', 'saliency'),
            data_prefix=dict(saliency_path='saliency'))
    ]))
