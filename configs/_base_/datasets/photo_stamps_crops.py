# The objects of PhotoStamps, each a crop of 32 x 32 pixels: 4,426 of the
# training images, 1,137 of the validation images, six classes.
_base_ = './small_images.py'

classes = ('bird', 'mammal', 'flower', 'produce', 'household', 'coin')
data_root = 'data/photo_stamps/'
crops = dict(
    type='ImageArrayDataset',
    reader='voc_objects',
    data_root=data_root,
    data_help='python tools/dataset_converters/photo_stamps.py --data photos',
    metainfo=dict(cls_classes=classes))
train_dataloader = dict(
    batch_size=64,
    sampler=dict(batch_size=64),
    dataset=dict(
        datasets=[dict(crops, split='train', pipeline=_base_.train_pipeline)]))
val_dataloader = dict(
    batch_size=200,
    dataset=dict(
        datasets=[
            dict(
                crops,
                split='val',
                test_mode=True,
                pipeline=_base_.test_pipeline)
        ]))
test_dataloader = val_dataloader
