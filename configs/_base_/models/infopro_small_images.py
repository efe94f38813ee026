# InfoPro's ResNets for small images: cuts and weights as published. INFOPRO_K
# in the environment is the number of modules: 1 is training end to end, and a
# star, as in 4*, means modules of equal memory (InfoPro*) instead of equal
# numbers of blocks. Softmax instead of the contrastive loss: --cfg-options
# model.backbone.head.contrast=None
K = '{{$INFOPRO_K:2}}'
# stage.block, after which to cut; the stem ends with 'relu'
blocks = dict(
    r32={
        '2': '2.1',
        '4': '1.2 2.1 3.0',
        '8': '1.0 1.2 1.4 2.1 2.3 3.0 3.2',
        '16': '1.0 1.1 1.2 1.3 1.4 2.0 2.1 2.2 2.3 2.4 3.0 3.1 3.2 3.3'
    },
    r110={
        '2': '2.8',
        '4': '1.11 2.7 3.3',
        '8': '1.4 1.11 2.0 2.7 2.14 3.3 3.10',
        '16': '1.1 1.4 1.7 1.10 1.13 1.16 2.1 2.4 2.7 2.11 2.15 3.1 3.5 3.9 '
        '3.13',
        '2*': '1.14',
        '3*': '1.9 2.2',
        '4*': '1.6 1.14 2.8'
    })
# weights of reconstruction and task in the first local module, and in the
# last one, between which they are interpolated
weights = dict(
    cifar10_r32={
        '2': (5, 1, 5, 1),
        '4': (6, 0, 1, 2),
        '8': (5, 0, 0, 2),
        '16': (5, .05, .2, .5)
    },
    cifar10_r110={
        '2': (5, .5, 5, .5),
        '4': (1, 0, 0, 1),
        '8': (5, 0, 0, 1),
        '16': (5, 0, .5, 1),
        '2*': (5, .1, 5, .1),
        '3*': (5, 0, 5, .1),
        '4*': (5, 0, 5, .1)
    },
    stl10_r110={
        '2': (10, 1, 10, 1),
        '4': (20, .2, 5, 2),
        '8': (20, .2, 5, 1),
        '16': (20, .5, 10, .1),
        '2*': (20, 1, 20, 1),
        '3*': (20, .5, 5, 2),
        '4*': (20, .5, 10, 1)
    },
    svhn_r110={
        '2': (1, .1, 1, .1),
        '4': (5, 0, .5, 1),
        '8': (5, 0, .5, 2),
        '16': (5, .2, .5, 1)
    })
local_modules = {
    name: {
        '1': dict(cuts=[]),
        **{
            k:
            dict(
                cuts=['relu'] * (name.endswith('r32') and k == '16') + [
                    'layer' + x for x in blocks[name.split('_')[1]][k].split()
                ],
                rec_weight=(row[0], row[2]),
                task_weight=(row[1], row[3]))
            for k, row in rows.items()
        }
    }
    for name, rows in weights.items()
}
# of STL-10, whose images are three times as high and wide
local_modules['stl10_r110']['3*'].update(cuts=['layer1.8', 'layer2.1'])

model = dict(
    type='MultiTaskDetector',
    data_preprocessor=dict(
        type='MultiTaskDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True),
    backbone=dict(
        type='LocallySupervisedBackbone',
        backbone=dict(type='CifarResNet', depth=32),
        decoder=dict(type='SmallImageDecoder'),
        head=dict(
            type='LocalClassHead',
            num_classes=10,
            contrast=dict(type='SupConLoss'))),
    task_heads=dict(
        cls=dict(
            type='SingleLabelTaskHead',
            num_classes=10,
            in_channels=64,
            in_index=0)))
