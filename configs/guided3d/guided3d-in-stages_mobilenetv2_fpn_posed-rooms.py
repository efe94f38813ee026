# Three rounds in one training: on masks from the votes of boxes, then twice on
# those from the votes of boxes and network.
_base_ = './guided3d_mobilenetv2_fpn_posed-rooms.py'

max_iters = 3 * _base_.max_iters
masks = dict(
    train=dict(
        annotation_kinds=('sem_seg', ),
        data_prefix=dict(seg_map_path='{labels}/masks')))
votes = dict(type='MultiViewMasks', boxes=_base_.boxes)
train_dataloader = dict(dataset=dict(datasets=[_base_.posed_frames]))
train_cfg = dict(
    type='StagedTrainLoop',
    max_iters=max_iters,
    stages=[
        dict(labels=dict(votes, weight=0), sources=masks),
        dict(labels=votes, sources=masks),
        dict(labels=votes, sources=masks)
    ],
    # only to log how good they are
    truth=dict(train=_base_.true_masks))
