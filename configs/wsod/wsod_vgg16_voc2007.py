# Saliency-guided detection from tags on Pascal VOC 2007. A RECONSTRUCTION: of
# the paper no equation, weight or schedule is known to us. The maps are DCSM,
# of a classifier that is trained beside; the schedule is WSDDN's.
_base_ = './wsddn_vgg16_voc2007.py'

model = dict(
    task_heads=dict(
        proposals=dict(
            gate='feature',
            loss_seed=dict(type='SeedLoss'),
            loss_saliency=dict(type='ProposalSaliencyLoss')),
        cls=dict(
            type='ClsTaskHead',
            num_classes=len(_base_.classes),
            in_channels=512,
            in_index=0,
            # ours: the mean over 20 classes becomes a sum, as WSDDN's loss is
            loss_weight=20.)),
    weak_losses=[
        dict(
            type='TagForProposalLoss',
            start=0.1,
            maps=dict(
                type='GuidedMaps',
                layers=[
                    f'backbone.features.{i}'
                    for i in (28, 26, 24, 21, 19, 17, 14, 12, 10)
                ]),
            selector=dict(type='SaliencyGuidedSeedSelector'))
    ])
