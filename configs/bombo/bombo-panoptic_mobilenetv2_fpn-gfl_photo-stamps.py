# BoMBo, and from its boxes and map a panoptic answer: nothing more is trained,
# checkpoints of the config below load as they are.
_base_ = './bombo_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(
    task_heads=dict(
        panoptic=dict(
            type='PanopticTaskHead',
            class_map=_base_.class_map,
            # this network's boxes know the class better than its map
            same_class=False,
            # that of COCO's images, for a quarter of their pixels
            stuff_area_limit=1024)))

val_evaluator = dict(
    kinds=dict(panoptic='sem_seg'),
    metrics=dict(
        panoptic=dict(
            type='PanopticQualityMetric',
            ann_file=_base_.data_root + 'panoptic/val.json')))
test_evaluator = val_evaluator
