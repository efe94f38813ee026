# A stage of AuxSegNet on Pascal VOC 2012: 10,582 images with tags, saliency
# maps in VOC2012/saliency, and the masks of the stage in VOC2012/auxsegnet/
# masks. From a classifier of the tags: PSA's res38_cls.pth.
_base_ = [
    '../_base_/models/auxsegnet_wrn38.py', '../_base_/datasets/voc_tags.py',
    '../_base_/schedules/auxsegnet_40k.py', '../_base_/default_runtime.py'
]

pretrained = dict(type='Pretrained', checkpoint='checkpoints/res38_cls.pth')
model = dict(
    classes=dict(cls=_base_.det_classes, seg=_base_.seg_classes),
    backbone=dict(init_cfg=pretrained),
    task_heads=dict(
        aux=dict(
            cls=dict(
                init_cfg=dict(
                    type='Xavier',
                    layer='Conv2d',
                    distribution='uniform',
                    override=dict(
                        name='classifier', prefix='fc8', **pretrained))))))

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

default_hooks = dict(checkpoint=dict(interval=2645))
