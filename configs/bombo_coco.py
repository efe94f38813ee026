# BoMBo on two eighths of COCO 2017 as in the paper, as far as it is known: see
# configs/bombo/README.md. Never trained to the end by us: there is no result.
_base_ = './bombo/bombo_r18_cem-fpn_anchor_coco.py'
