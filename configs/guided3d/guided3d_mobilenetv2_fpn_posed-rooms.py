# A segmentor that learns from the masks of all views of PosedRooms, which
# tools/dataset_converters/multiview_masks.py writes from boxes on 4 of 40.
_base_ = [
    '../_base_/models/mobilenetv2_fpn-gfl.py',
    '../_base_/datasets/posed_rooms.py',
    '../_base_/schedules/adamw_300it.py', '../_base_/default_runtime.py'
]

model = _base_.model
model.task_heads.pop('det')
model.class_map = _base_.class_map
model.task_heads.seg.head.num_classes = len(_base_.seg_classes)
model._delete_ = True
