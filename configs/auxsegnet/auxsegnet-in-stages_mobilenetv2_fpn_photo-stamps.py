# AuxSegNet's stages 0 to 3 in one training, for each of which the network
# writes masks and saliency maps. Those of stage 0 are a classifier's: train
# auxsegnet-cls_mobilenetv2_fpn_photo-stamps.py before, and start from it:
# --cfg-options load_from=CHECKPOINT
_base_ = './auxsegnet_mobilenetv2_fpn_photo-stamps.py'

max_iters = 4 * _base_.max_iters
kinds = ('image_label', 'saliency')
source = dict(_base_.train_source, annotation_kinds=kinds)
train_dataloader = dict(dataset=dict(datasets=[source]))
masks = dict(
    annotation_kinds=('sem_seg', *kinds),
    data_prefix=dict(seg_map_path='{labels}/masks'))
both = dict(
    annotation_kinds=('sem_seg', *kinds),
    data_prefix=dict(
        seg_map_path='{labels}/masks', saliency_path='{labels}/saliency'))
first = dict(
    labels=dict(type='AuxSegLabels', initial=True), sources=dict(train=masks))
later = dict(labels=dict(type='AuxSegLabels'), sources=dict(train=both))
train_cfg = dict(
    type='StagedTrainLoop',
    max_iters=max_iters,
    stages=[first, later, later, later],
    # only to log how good they are
    truth=dict(
        train=dict(
            annotation_kinds=('sem_seg', ),
            data_prefix=dict(seg_map_path='SegmentationClass'))))
