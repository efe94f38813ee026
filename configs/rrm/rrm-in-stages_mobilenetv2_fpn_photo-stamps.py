# The classifier, RRM and its second step as three stages of one training, in
# which the weights go on.
_base_ = './rrm_mobilenetv2_fpn_photo-stamps.py'

max_iters = 3 * _base_.max_iters
model = dict(
    weak_losses=[dict(x, start=1 / 3) for x in _base_.model.weak_losses])
masks = dict(
    annotation_kinds=('sem_seg', 'image_label'),
    data_prefix=dict(seg_map_path='{labels}/masks'))
train_cfg = dict(
    type='StagedTrainLoop',
    max_iters=max_iters,
    stages=[
        dict(),
        dict(),
        dict(
            labels=dict(type='PredictedMasks'),
            sources=dict(tags=masks),
            batch_size=8)
    ],
    # only to log how good they are
    truth=dict(tags=dict(annotation_kinds=('sem_seg', ))))
