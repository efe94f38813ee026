# The same images, all of them with masks and tags.
_base_ = './rrm_mobilenetv2_fpn_photo-stamps.py'

model = dict(weak_losses=[])
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            _base_.tag_source,
            source='masks',
            annotation_kinds=('sem_seg', 'image_label'))
    ]))
