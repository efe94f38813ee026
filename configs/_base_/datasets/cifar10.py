# CIFAR-10: the binary version, which runs nothing when it is read.
_base_ = './small_images.py'

classes = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog',
           'horse', 'ship', 'truck')
cifar10 = dict(
    type='ImageArrayDataset',
    reader='cifar10',
    data_root='data/cifar-10-batches-bin/',
    data_help='Unpack cifar-10-binary.tar.gz of '
    'https://www.cs.toronto.edu/~kriz/cifar.html in data/',
    metainfo=dict(cls_classes=classes))
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(cifar10, split='train', pipeline=_base_.train_pipeline)
        ]))
val_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                cifar10,
                split='test',
                test_mode=True,
                pipeline=_base_.test_pipeline)
        ]))
test_dataloader = val_dataloader
normalization = dict(mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7])
