# Copyright (c) mmbombo contributors.
import pytest

from mmbombo.utils.stored_config import stored_config


def checkpoint_of(text):
    return dict(meta=dict(cfg=text))


def test_registered_names_are_accepted():
    cfg = stored_config(
        checkpoint_of("""
default_scope = 'mmbombo'
model = dict(type='MultiTaskDetector', parts=[
    dict(type='mmdet.ResNet', _scope_='mmdet'), dict(type='mmseg.FCNHead'),
    dict(type='mmbombo.SegTaskHead'), dict(type='mmengine.Adam')],
    loader=(dict(type='mmcv.LoadImageFromFile'), ))
"""), 'x.pth')
    assert cfg.model.parts[1].type == 'mmseg.FCNHead'


@pytest.mark.parametrize('part', [
    "type='os.system', command='true'",
    "type='mmengine.load', file='x.pkl'",
    "type='mmdet.apis.init_detector'",
    "type='mmdet.no_such_thing'",
    "_scope_='os', type='ResNet'",
])
@pytest.mark.parametrize('place', ['model = dict({})', 'a = [(dict({}), )]'])
def test_other_names_are_refused(part, place):
    name = part.split("'")[1]
    with pytest.raises(ValueError, match=rf"'x.pth' names '{name}"):
        stored_config(checkpoint_of(place.format(part)), 'x.pth')


@pytest.mark.parametrize('checkpoint', [
    {}, dict(meta={}), dict(message_hub=dict(runtime_info={})),
    dict(meta=None)
])
def test_no_config(checkpoint):
    with pytest.raises(ValueError, match="'x.pth' has no config"):
        stored_config(checkpoint, 'x.pth')


def test_the_message_hub_has_the_first_word():
    checkpoint = dict(
        meta=dict(cfg='a = 1'),
        message_hub=dict(runtime_info=dict(cfg='a = 2')))
    assert stored_config(checkpoint, 'x.pth').a == 2
