# RRM's second step: a segmentor that learns from the masks which the network
# of the first step has written for all training images, by
#
#   python tools/dataset_converters/predicted_masks.py CONFIG CHECKPOINT \
#       --out data/photo_stamps/predicted_masks
_base_ = '../bombo/seg_mobilenetv2_fpn-gfl_photo-stamps.py'

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.seg_source,
            ann_file='ImageSets/Main/train.txt',
            source='predicted',
            data_prefix=dict(seg_map_path='predicted_masks'))
    ]))
