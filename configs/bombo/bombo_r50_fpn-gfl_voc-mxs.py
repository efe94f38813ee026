# BoMBo with boxes in VOC's 20 classes and masks in 4 super-classes (MXS), with
# ResNet-50, FPN and GFL. The masks are VOC's, read through a table of ids.
_base_ = './bombo_r50_fpn-gfl_voc.py'

transportation = ('aeroplane', 'bicycle', 'boat', 'bus', 'car', 'motorbike',
                  'train')
animal = ('bird', 'cat', 'cow', 'dog', 'horse', 'sheep')
furniture = ('bottle', 'chair', 'diningtable', 'pottedplant', 'sofa',
             'tvmonitor')
# For MXT, 10 classes, means of transport keep theirs: here
# ('background', *transportation, 'animal', 'furniture', 'person'), and below
# **dict(zip(transportation, transportation)).
seg_classes = ('background', 'transportation', 'animal', 'furniture', 'person')
det_to_seg = dict(
    **dict.fromkeys(transportation, 'transportation'),
    **dict.fromkeys(animal, 'animal'),
    **dict.fromkeys(furniture, 'furniture'),
    person='person')
class_map = dict(seg_classes=seg_classes, det_to_seg=det_to_seg)
# VOC's ids in the files: 0 background, 1 aeroplane, ..., 20 tvmonitor
seg_id_map = {
    seg_id: seg_classes.index(det_to_seg.get(name, name))
    for seg_id, name in enumerate(_base_.seg_classes)
}
coarse = dict(
    metainfo=dict(classes=_base_.det_classes, seg_classes=seg_classes),
    seg_id_map=seg_id_map)

model = dict(
    class_map=class_map,
    task_heads=dict(seg=dict(head=dict(num_classes=len(seg_classes)))))

load_pseudo_mask = dict(class_map=class_map)
label_components = dict(class_map=class_map)
weak_pipeline = _base_.weak_pipeline
weak_pipeline[2].class_map.update(class_map)
weak_pipeline[-2].class_map.update(class_map)
det_source = dict(
    datasets=[dict(part, **coarse) for part in _base_.det_source.datasets])
seg_source = dict(
    datasets=[dict(part, **coarse) for part in _base_.seg_source.datasets])
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(_base_.det_source, pipeline=weak_pipeline, **det_source),
        dict(_base_.seg_source, pipeline=weak_pipeline, **seg_source)
    ]))
val_dataloader = dict(dataset=coarse)
test_dataloader = val_dataloader
