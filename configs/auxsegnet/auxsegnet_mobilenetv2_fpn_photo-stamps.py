# A stage of AuxSegNet on a light network: all 1,600 training images of
# PhotoStamps, of which the tags are read, saliency maps in saliency, and the
# masks of the stage in auxsegnet/masks. Train
# auxsegnet-cls_mobilenetv2_fpn_photo-stamps.py before, and start from it:
# --cfg-options load_from=CHECKPOINT
_base_ = '../rrm/rrm_mobilenetv2_fpn_photo-stamps.py'

model = _base_.model
model._delete_ = True
model.weak_losses = []
# at stride 8, 20 x 20 cells at 160 pixels; published dilations are for 41 x 41
model.task_heads = dict(
    aux=dict(
        type='AuxSegTaskHead',
        in_channels=64,
        in_index=1,
        num_classes=len(_base_.seg_classes),
        cls=dict(num_classes=len(_base_.tag_classes), bias=False),
        channels=64,
        dilations=(1, 2, 3)))

train_source = dict(
    _base_.tag_source,
    source='train',
    annotation_kinds=('sem_seg', 'image_label', 'saliency'),
    data_prefix=dict(seg_map_path='auxsegnet/masks', saliency_path='saliency'))
train_dataloader = dict(dataset=dict(datasets=[train_source]))
# what a saliency map should show: all that the mask shows
val_evaluator = dict(
    metrics=dict(sal=dict(type='SaliencyMetric')), kinds=dict(sal='sem_seg'))
test_evaluator = val_evaluator
