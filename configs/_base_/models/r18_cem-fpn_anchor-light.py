# BoMBo's network with ResNet-18 and our light segmentation head: its last
# convolutions run at stride 4. Same weights, 38 % of the multiply-adds.
_base_ = './r18_cem-fpn_anchor.py'

model = dict(task_heads=dict(seg=dict(head=dict(refine_stride=4))))
