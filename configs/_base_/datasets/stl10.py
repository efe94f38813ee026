# STL-10: 5,000 labeled images of 96 x 96 pixels, 8,000 for the test.
_base_ = './small_images.py'

classes = ('airplane', 'bird', 'car', 'cat', 'deer', 'dog', 'horse', 'monkey',
           'ship', 'truck')
stl10 = dict(
    type='ImageArrayDataset',
    reader='stl10',
    data_root='data/stl10_binary/',
    data_help='Unpack stl10_binary.tar.gz of '
    'https://cs.stanford.edu/~acoates/stl10/ in data/',
    metainfo=dict(cls_classes=classes))
train_pipeline = [
    *_base_.load,
    dict(type='RandomPaddedCrop', padding=4, padding_mode='constant'),
    _base_.flip, _base_.pack
]
train_dataloader = dict(
    batch_size=128,
    sampler=dict(batch_size=128),
    dataset=dict(
        datasets=[dict(stl10, split='train', pipeline=train_pipeline)]))
val_dataloader = dict(
    batch_size=125,
    dataset=dict(
        datasets=[
            dict(
                stl10,
                split='test',
                test_mode=True,
                pipeline=_base_.test_pipeline)
        ]))
test_dataloader = val_dataloader
