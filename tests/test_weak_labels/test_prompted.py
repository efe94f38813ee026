# Copyright (c) mmbombo contributors.
"""Pseudo masks of a promptable model: against a stand-in that answers with
ellipses in the shapes that transformers 5.24 gives, and with tiny models."""
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toolbox import CLASSES, SEG_CLASSES, class_ids, write_voc
from torch.utils.data import DataLoader

from mmbombo.datasets import PartialVOCDataset
from mmbombo.datasets.transforms import LoadPseudoMask
from mmbombo.utils import UserError
from mmbombo.weak_labels import boxes_to_mask, prompted
from mmbombo.weak_labels.prompted import key_options, prompted_foregrounds

#: Of the library's default configurations: shapes of the embeddings and of
#: the masks of 5 boxes, and side of the input.
EARLY = [[1, 64, 64, 768]] * 4
API = dict(
    sam=([1, 256, 64, 64], [1, 5, 1, 256, 256], 1024),
    sam_hq=(([1, 256, 64, 64], EARLY), [1, 5, 1, 256, 256], 1024),
    sam2=([[1, 32, 256, 256], [1, 64, 128, 128],
           [1, 256, 64, 64]], [1, 5, 1, 256, 256], 1024),
    sam3_tracker=([[1, 32, 288, 288], [1, 64, 144, 144],
                   [1, 256, 72, 72]], [1, 5, 1, 288, 288], 1008))
COLORS = dict(image_mean=[.485, .456, .406], image_std=[.229, .224, .225])


def settings_of(name, side):
    square = dict(height=side, width=side)
    if name in ('sam', 'sam_hq'):
        return dict(COLORS, size=dict(longest_edge=side), pad_size=square)
    return dict(COLORS, size=square)


def zeros(shapes):
    if isinstance(shapes[0], int):
        return torch.zeros(shapes)
    return type(shapes)(zeros(shape) for shape in shapes)


class EllipseModel:
    """Fills boxes with ellipses; scores fall from .9 by .1 each box."""

    def __init__(self, name):
        self.embeddings, self.masks, self.side = API[name]
        self.encoded, self.chunks = 0, []

    def get_image_embeddings(self, pixels):
        assert pixels.shape == (1, 3, self.side, self.side)
        self.encoded += 1
        return zeros(self.embeddings)

    def __call__(self, input_boxes, multimask_output, image_embeddings,
                 intermediate_embeddings=()):
        assert not multimask_output
        hq = isinstance(self.embeddings, tuple)
        assert len(intermediate_embeddings) == len(EARLY) * hq
        first, number = sum(self.chunks), input_boxes.shape[1]
        self.chunks.append(number)
        *_, height, width = self.masks
        y, x = (torch.arange(n) + .5 for n in (height, width))
        low, high = (input_boxes[0] * width / self.side).split(2, dim=1)
        (cx, cy), (rx, ry) = ((low + high).T / 2, (high - low).T / 2)
        y = (y[None, :, None] - cy[:, None, None]) / ry[:, None, None]
        x = (x[None, None] - cx[:, None, None]) / rx[:, None, None]
        masks = (1 - y**2 - x**2)[None, :, None]
        assert masks.shape == (1, number, *self.masks[2:])
        scores = .9 - .1 * torch.arange(first, first + number)
        return SimpleNamespace(
            pred_masks=masks, iou_scores=scores[None, :, None])


@pytest.fixture
def stand_in(monkeypatch):

    def put(name):
        model = EllipseModel(name)
        monkeypatch.setattr(
            prompted, 'load_model', lambda checkpoint, device:
            (model, settings_of(name, model.side)))
        return model

    return put


def ellipse(rect):
    x1, y1, x2, y2 = rect
    y, x = np.mgrid[:y2 - y1, :x2 - x1] + .5
    return ((2 * y / (y2 - y1) - 1)**2 + (2 * x / (x2 - x1) - 1)**2) < 1


IMAGE = np.zeros((240, 320, 3), np.uint8)


@pytest.mark.parametrize('name', API)
def test_masks_come_back_in_the_pixels_of_the_image(stand_in, name):
    model = stand_in(name)
    rects = np.array([[10, 20, 110, 90], [200, 100, 320, 240],
                      [0, 0, 320, 240], [40, 60, 48, 70]] * 5)
    found = prompted_foregrounds(IMAGE, rects, 'x', min_score=-9.)
    for rect, mask in zip(rects, found):
        expected = ellipse(rect)
        assert mask.shape == expected.shape and mask.dtype == bool
        # the small one is 8 x 10 cells, or 6 x 8, of the model's masks
        assert (mask != expected).mean() < (.02 if mask.size > 99 else .08)
    assert model.encoded == 1 and model.chunks == [16, 4]
    model.chunks = []
    found = prompted_foregrounds(IMAGE, rects[:3], 'x', min_score=.75)
    assert [x is None for x in found] == [False, False, True]


def paint(boxes, method='sam', labels=None, **options):
    """Class ids: 0 outside, 1 and 2 of the labels."""
    labels = np.zeros(len(boxes), int) if labels is None else labels
    compatible = np.array([[0, 0], [1, 0], [0, 1]], bool)
    return class_ids(*boxes_to_mask(
        IMAGE, np.array(boxes, float), np.array(labels),
        np.zeros(len(boxes), bool), compatible, np.array([1, 0, 0], bool),
        method, 'ignore', checkpoint='x', **options))


def test_painted(stand_in):
    large, small = [0, 0, 100, 100], [40, 40, 60, 60]
    for boxes, labels in (([large, small], [0, 1]), ([small, large], [1, 0])):
        stand_in('sam2')
        mask = paint(boxes, labels=labels, min_score=.75)
        assert (mask[50, 50], mask[50, 30], mask[2, 2]) == (2, 1, 0)
        assert (mask[100:] == 0).all() and (mask[:, 100:] == 0).all()
    assert mask[41, 41] == 1  # in the corner of the small one
    stand_in('sam2')
    assert paint([large], 'sam_ignore')[2, 2] == 255
    # the small one is asked for last, and its score is .8
    stand_in('sam2')
    mask = paint([small, large], labels=[1, 0], min_score=.85)
    assert (mask[40:60, 40:60] == 255).all() and mask[50, 30] == 1


def test_odd_boxes(stand_in, monkeypatch):
    stand_in('sam')
    mask = paint([[5, 5, 6, 6], [400, 300, 500, 310], [-50, 100, 20, 300]])
    assert mask[5, 5] in (1, 255) and mask[170, 10] == 1
    rest = (mask > 0)[100:, :20]
    assert (rest != ellipse([0, 100, 20, 240])).mean() < .02
    assert (mask > 0).sum() == 1 + rest.sum()

    def fail(*args):
        raise AssertionError

    monkeypatch.setattr(prompted, 'load_model', fail)
    assert (paint([]) == 0).all()
    assert (paint([[400, 300, 500, 310]]) == 0).all()


def tiny_sam(transformers):
    sizes = dict(hidden_size=16, image_size=64, patch_size=8)
    layers = dict(num_hidden_layers=1, num_attention_heads=2, mlp_dim=16)
    return transformers.SamModel(
        transformers.SamConfig(
            vision_config=transformers.SamVisionConfig(
                output_channels=16, num_pos_feats=8, window_size=2,
                global_attn_indexes=[0], **sizes, **layers),
            prompt_encoder_config=transformers.SamPromptEncoderConfig(**sizes),
            mask_decoder_config=transformers.SamMaskDecoderConfig(
                hidden_size=16, iou_head_hidden_dim=16, **layers)))


def tiny_sam2(transformers):
    side, widths = [64, 64], [8, 16, 32, 64]
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, image_size=side, embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1] * 4, blocks_per_stage=[1, 1, 2, 1],
        window_size_per_stage=[2] * 4, global_attention_blocks=[3],
        window_positional_embedding_background_size=[2, 2])
    return transformers.Sam2Model(
        transformers.Sam2Config(
            vision_config=transformers.Sam2VisionConfig(
                backbone_config=backbone, fpn_hidden_size=16,
                backbone_channel_list=widths[::-1],
                backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]]),
            prompt_encoder_config=transformers.Sam2PromptEncoderConfig(
                hidden_size=16, image_size=64),
            mask_decoder_config=transformers.Sam2MaskDecoderConfig(
                hidden_size=16, mlp_dim=16, num_hidden_layers=1,
                num_attention_heads=2, iou_head_hidden_dim=16)))


def write_model(folder, name='sam'):
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(8)  # masks that are neither empty nor full
    model = dict(sam=tiny_sam, sam2=tiny_sam2)[name](transformers).eval()
    for parameter in model.parameters():  # else all masks are alike
        torch.nn.init.normal_(parameter, std=.3)
    model.save_pretrained(folder)
    settings = settings_of(name, 64)
    transformers.ImageProcessingMixin(**settings).save_pretrained(folder)
    return model


@pytest.fixture(autouse=True)
def forget_models():
    prompted.load_model.cache_clear()
    prompted._hash.cache_clear()


PHOTO = np.random.default_rng(0).integers(
    0, 256, (6, 8, 3), np.uint8).repeat(10, 0).repeat(10, 1)
RECTS = np.array([[0, 0, 80, 60], [10, 10, 50, 50], [40, 20, 78, 55]])


def test_as_the_library_does_it(tmp_path):
    """The masks of the library's own processor."""
    transformers = pytest.importorskip('transformers')
    model = write_model(tmp_path)
    kind = getattr(transformers, 'SamImageProcessorPil',
                   transformers.SamImageProcessor)
    processor = transformers.SamProcessor(kind(**settings_of('sam', 64)))
    inputs = processor(
        PHOTO[..., ::-1].copy(), input_boxes=[RECTS.tolist()],
        return_tensors='pt')
    with torch.no_grad():
        answer = model(inputs['pixel_values'], multimask_output=False,
                       input_boxes=inputs['input_boxes'].float())
    expected, = processor.post_process_masks(
        answer.pred_masks, inputs['original_sizes'],
        inputs['reshaped_input_sizes'])
    found = prompted_foregrounds(PHOTO, RECTS, str(tmp_path), min_score=-99)
    for (x1, y1, x2, y2), mine, whole in zip(RECTS, found, expected[:, 0]):
        theirs = whole[y1:y2, x1:x2].numpy()
        assert .01 < theirs.mean() < .99
        assert (mine != theirs).mean() < .01
    # a score between those of two masks keeps one of them
    scores = answer.iou_scores.flatten().sort().values
    found = prompted_foregrounds(
        PHOTO, RECTS, str(tmp_path), min_score=float(scores[:2].mean()))
    assert sum(x is None for x in found) == 1


@pytest.mark.parametrize('name', ['sam', 'sam2'])
def test_in_a_data_set(tmp_path, name):
    """Workers load the model, others find the masks in the cache."""
    write_model(tmp_path / 'model', name)
    root = write_voc(tmp_path / 'voc', num_images=3)
    step = dict(
        type='LoadPseudoMask', method='sam', min_score=-99,
        checkpoint=str(tmp_path / 'model'), cache_dir=str(tmp_path / 'cache'),
        class_map=dict(det_classes=CLASSES, seg_classes=SEG_CLASSES))
    data = PartialVOCDataset(
        data_root=str(root), ann_file='ImageSets/Main/train.txt',
        annotation_kinds=('bbox', ),
        metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES),
        pipeline=[dict(type='LoadImageFromFile'),
                  dict(type='LoadPartialAnnotations'), step,
                  dict(type='PackMultiTaskInputs')])
    made = [
        x['data_samples'].pseudo_sem_seg.sem_seg for x in DataLoader(
            data, batch_size=None, num_workers=1)
    ]
    assert prompted.load_model.cache_info().currsize == 0
    assert any((x != x[0, 0, 0]).any() for x in made)
    assert len(list((tmp_path / 'cache').rglob('*.npz'))) == len(data)
    for i, mask in enumerate(made):
        again = data[i]['data_samples'].pseudo_sem_seg.sem_seg
        assert torch.equal(again, mask)
    assert prompted.load_model.cache_info().currsize == 0


def test_the_key_knows_the_files(tmp_path):
    write_model(tmp_path)
    path = str(tmp_path)
    key = key_options(path, min_score=.5)
    assert key['checkpoint'][0] == path and key['min_score'] == .5
    assert key_options(path, min_score=.5, device='cuda:0') == key
    for name in ('model.safetensors', 'preprocessor_config.json'):
        with open(tmp_path / name, 'ab') as file:
            file.write(b' ')
        prompted._hash.cache_clear()
        assert key_options(path, min_score=.5) != key
        key = key_options(path, min_score=.5)


STRANGER = """{"model_type": "theirs", "auto_map": {
"AutoConfig": "theirs.Config", "AutoModelForMaskGeneration": "theirs.Model"}}
"""


@pytest.mark.parametrize('change, message', [
    (lambda x: (x / 'model.safetensors').rename(x / 'model.bin'),
     r'no \*.safetensors'),
    (lambda x: (x / 'config.json').write_text('{'), 'config.json'),
    (lambda x: (x / 'config.json').write_text('{"model_type": "bert"}'),
     'Unrecognized configuration class'),
    (lambda x: (x / 'config.json').write_text(STRANGER), 'theirs|custom code'),
    (lambda x: (x / 'preprocessor_config.json').unlink(), 'preprocessor'),
    (lambda x: (x / 'preprocessor_config.json').write_text('{}'),
     "no 'image_mean'"),
])
def test_bad_folders(tmp_path, change, message):
    write_model(tmp_path)
    (tmp_path / 'theirs.py').write_text('raise SystemExit("it runs")')
    change(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        prompted.load_model(str(tmp_path), 'cpu')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('options, message', [
    (dict(), "needs the option 'checkpoint'"),
    (dict(checkpoint='a', iterations=1), r"no option\(s\) \['iterations'\]"),
    (dict(checkpoint='someone/some-sam'), 'hf download someone/some-sam'),
    (dict(checkpoint='/no/such/folder'), 'is no folder'),
])
def test_bad_options(options, message, tmp_path, monkeypatch):
    pytest.importorskip('transformers')
    monkeypatch.setenv('HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(UserError, match=message):
        LoadPseudoMask(
            dict(det_classes=CLASSES, seg_classes=SEG_CLASSES), method='sam',
            **options)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(UserError, match='pip install transformers'):
        key_options('a')
