# MMDetection's Panoptic FPN, whose checkpoint fits, with the spatial ranking:
# the same detections in another order.
_base_ = './oanet_r50_fpn_coco.py'

head = _base_.model.semantic_head
model = dict(
    semantic_head=dict(
        _delete_=True,
        type='mmdet.PanopticFPNHead',
        num_things_classes=head.num_things_classes,
        num_stuff_classes=head.num_stuff_classes,
        in_channels=head.in_channels,
        inner_channels=head.inner_channels,
        loss_seg=dict(head.loss_seg, avg_non_ignore=False, loss_weight=0.5)),
    test_cfg=dict(panoptic=dict(stuff_area_limit=4096)))
