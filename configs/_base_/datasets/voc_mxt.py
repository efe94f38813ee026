# Boxes in VOC's 20 classes, masks in 10 (MXT): means of transport and persons
# keep their class, animals share one and furniture too. VOC's masks, read
# through a table of ids.
_base_ = './voc.py'

transportation = ('aeroplane', 'bicycle', 'boat', 'bus', 'car', 'motorbike',
                  'train')
animal = ('bird', 'cat', 'cow', 'dog', 'horse', 'sheep')
furniture = ('bottle', 'chair', 'diningtable', 'pottedplant', 'sofa',
             'tvmonitor')
seg_classes = ('background', *transportation, 'animal', 'furniture', 'person')
det_to_seg = dict(
    **dict(zip(transportation, transportation)),
    **dict.fromkeys(animal, 'animal'),
    **dict.fromkeys(furniture, 'furniture'),
    person='person')
class_map = dict(
    det_classes=_base_.det_classes,
    seg_classes=seg_classes,
    background='background',
    det_to_seg=det_to_seg)
# VOC's ids in the files: 0 background, 1 aeroplane, ..., 20 tvmonitor
seg_id_map = dict([(0, 0)] + [
    (label + 1, seg_classes.index(det_to_seg[name]))
    for label, name in enumerate(_base_.det_classes)
])
coarse = dict(
    metainfo=dict(classes=_base_.det_classes, seg_classes=seg_classes),
    seg_id_map=seg_id_map)

load_pseudo_mask = dict(class_map=class_map)
label_components = dict(class_map=class_map)
weak_pipeline = [
    *_base_.load,
    dict(_base_.load_pseudo_mask, class_map=class_map), *_base_.geometry,
    dict(_base_.label_components, class_map=class_map), _base_.pack
]
det_source = dict(
    datasets=[dict(part, **coarse) for part in _base_.det_source.datasets])
seg_source = dict(
    datasets=[dict(part, **coarse) for part in _base_.seg_source.datasets])
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, **det_source),
        dict(_base_.seg_source, **seg_source)
    ]))
val_dataloader = dict(dataset=coarse)
test_dataloader = val_dataloader
