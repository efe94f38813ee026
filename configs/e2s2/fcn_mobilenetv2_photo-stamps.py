# What E2S2 is compared with: two convolutions on the map that it pools from.
_base_ = './fpn_mobilenetv2_photo-stamps.py'

head = _base_.model.decode_head
head._delete_ = True
head.pop('feature_strides')
head.update(
    type='mmseg.FCNHead', in_channels=64, in_index=1, concat_input=False)
model = dict(decode_head=head)
