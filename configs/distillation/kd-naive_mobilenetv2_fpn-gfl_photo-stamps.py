# Knowledge distillation from a network for both tasks, trained before without
# any weak loss: better at boxes than a network for them alone. Train it first:
# configs/bombo/naive_*.
_base_ = '../bombo/naive_mobilenetv2_fpn-gfl_photo-stamps.py'

model = dict(weak_losses=[
    dict(type='PseudoBoxLoss', teacher='naive'),
    dict(type='SegmentationKLLoss', teacher='naive')
])

naive_name = 'naive_mobilenetv2_fpn-gfl_photo-stamps'
custom_hooks = [
    dict(
        type='TeacherHook',
        name='naive',
        config=f'configs/bombo/{naive_name}.py',
        checkpoint=f'work_dirs/{naive_name}/iter_300.pth')
]
