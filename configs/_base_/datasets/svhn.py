# SVHN, cropped digits: 73,257 images for training, 26,032 for the test.
_base_ = './small_images.py'

classes = tuple('0123456789')
svhn = dict(
    type='ImageArrayDataset',
    reader='svhn',
    data_root='data/svhn/',
    data_help='Put train_32x32.mat and test_32x32.mat of '
    'http://ufldl.stanford.edu/housenumbers/ there',
    metainfo=dict(cls_classes=classes))
train_pipeline = [
    *_base_.load,
    dict(type='RandomPaddedCrop', padding=2, padding_mode='constant'),
    _base_.pack
]
train_dataloader = dict(
    dataset=dict(
        datasets=[dict(svhn, split='train', pipeline=train_pipeline)]))
val_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                svhn,
                split='test',
                test_mode=True,
                pipeline=_base_.test_pipeline)
        ]))
test_dataloader = val_dataloader
