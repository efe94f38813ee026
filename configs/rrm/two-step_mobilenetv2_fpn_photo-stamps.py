# RRM's second step: the same network learns from the masks that the one of the
# first step has written for all training images, by
#
#   python tools/dataset_converters/predicted_labels.py CONFIG CHECKPOINT \
#       --out data/photo_stamps/predicted_masks
_base_ = './oracle_mobilenetv2_fpn_photo-stamps.py'

train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.tag_source,
            source='predicted_masks',
            annotation_kinds=('sem_seg', 'image_label'),
            data_prefix=dict(seg_map_path='predicted_masks'))
    ]))
