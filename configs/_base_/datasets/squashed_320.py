# Images as BoMBo's baseline sees them: squashed to 320 x 320, and the authors'
# augmentation. The numbers are those of the authors' code.
squash = dict(type='mmdet.Resize', scale=(320, 320), keep_ratio=False)
squashed_geometry = [
    squash,
    # each of the four with probability .5; hue in steps of 2 degrees
    dict(
        type='mmseg.PhotoMetricDistortion',
        brightness_delta=32,
        contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5),
        hue_delta=18),
    dict(type='RandomZoomCrop', prob=0.75),
    dict(type='mmdet.RandomFlip', prob=0.5)
]
