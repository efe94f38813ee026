# Copyright (c) mmbombo contributors.
import json
import os.path as osp
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData, LabelData, PixelData
from PIL import Image
from pycocotools import mask as coco_mask

from mmbombo.apis import MultiTaskInferencer
from mmbombo.apis.images import unique_names
from mmbombo.apis.multi_task_inferencer import keep_most_confident
from mmbombo.apis.results import sample_to_dict
from mmbombo.apis.videos import predict_video
from mmbombo.models.task_heads import PanopticTaskHead
from mmbombo.registry import INFERENCERS
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import READS_SAFELY
from mmbombo.utils.config_parts import find_dataset, inference_steps


def make_inferencer(config, checkpoint, **kwargs):
    # an old torch cannot check the tests' own checkpoints
    kwargs.setdefault('trust_checkpoint', not READS_SAFELY)
    return MultiTaskInferencer(
        config, checkpoint, device='cpu', show_progress=False, **kwargs)


@pytest.fixture
def inferencer(config, checkpoint):
    return make_inferencer(config, checkpoint)


@pytest.fixture
def logged(monkeypatch):
    """Lines that the inferencer logs."""
    lines = []
    monkeypatch.setattr('mmbombo.apis.multi_task_inferencer.print_log',
                        lambda line, **kwargs: lines.append(line))
    return lines


def expected_map(height, width):
    ids = np.zeros((height, width), dtype=np.uint8)
    ids[:height // 2, :width // 2] = 2
    ids[:height // 2, width // 2:] = 1
    return ids


@pytest.mark.parametrize('batch_size', [1, 2, 5])
def test_folder(inferencer, photos, tmp_path, batch_size, known):
    out = tmp_path / 'out'
    results = inferencer(str(photos), batch_size=batch_size, out_dir=str(out))
    predictions = results['predictions']
    assert [osp.basename(p['img_path'])
            for p in predictions] == ['a.png', 'b.PNG', 'c.png']
    assert results['failed'] == [] and results['visualization'] == []
    images = [(30, 20, 51), (40, 60, 102), (50, 50, 204)]
    for (height, width, red), name, prediction in zip(images, 'abc',
                                                      predictions):
        assert (prediction['height'], prediction['width']) == (height, width)
        assert prediction['bboxes'] == [[0, 0, width / 2, height],
                                        [width / 2, 0, width, height]]
        assert prediction['labels'] == [0, 1]
        assert prediction['class_names'] == list(known.classes)
        assert prediction['scores'] == pytest.approx([0.875, red / 255])
        # What is written is what is returned.
        written = json.loads((out / 'preds' / f'{name}.json').read_text())
        assert written == prediction
        ids = expected_map(height, width)
        with Image.open(prediction['mask_path']) as mask:
            assert mask.mode == 'P'
            assert (np.array(mask) == ids).all()
            assert tuple(mask.getpalette()[3:9]) == known.car + known.dog
        assert [s['class_name']
                for s in prediction['segments']] == list(known.seg_classes)
        for segment in prediction['segments']:
            mask = coco_mask.decode(segment['segmentation'])
            assert (mask == (ids == segment['label'])).all()
            assert segment['area'] == mask.sum()
        assert (out / 'vis' / f'{name}.png').is_file()


def test_panoptic(inferencer, photos, tmp_path, known, monkeypatch):
    head = PanopticTaskHead(
        dict(det_classes=known.classes, seg_classes=known.seg_classes),
        stuff_area_limit=0)
    head.check_classes({})
    forward = inferencer.model.forward

    def forward_with_panoptic(*args, **kwargs):
        samples = forward(*args, **kwargs)
        head.add_predictions((), None, samples, None)
        return samples

    monkeypatch.setattr(inferencer.model, 'forward', forward_with_panoptic)
    results = inferencer(
        str(photos / 'b.PNG'), out_dir=str(tmp_path), return_vis=True)
    prediction, = results['predictions']
    # of 40 x 60 pixels
    assert [(x['class_name'], x['number'], x['area'])
            for x in prediction['panoptic']] == [('background', 0, 1200),
                                                 ('dog', 1, 600),
                                                 ('car', 2, 600)]
    assert json.loads((tmp_path / 'preds/b.json').read_text()) == prediction
    with Image.open(prediction['panoptic_path']) as png:
        ids = np.array(png) @ [1, 256, 256**2]
    assert prediction['panoptic_path'] == str(tmp_path / 'panoptic/b.png')
    segment_of = np.array([1, 3, 2])  # background, car, dog
    assert (ids == segment_of[expected_map(40, 60)]).all()
    # image, boxes with map, objects
    assert results['visualization'][0].shape[1] == 3 * 60 + 4 * 8


def test_topk_numbers_objects_like_boxes():
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        scores=torch.tensor([.5, .9, .7]), labels=torch.tensor([4, 5, 6]))
    # three boxes, an object without one, and stuff
    panoptic = torch.tensor([[[1004, 2005, 3006, 4004, 7]]])
    sample.pred_panoptic_seg = PixelData(sem_seg=panoptic)
    keep_most_confident([sample], 2)
    assert sample.pred_instances.labels.tolist() == [5, 6]
    assert sample.pred_panoptic_seg.sem_seg.tolist() == [[[
        3004, 1005, 2006, 4004, 7]]]


def test_picture_shows_image_and_prediction(inferencer, photos, known):
    picture, = inferencer(
        str(photos / 'b.PNG'), return_vis=True,
        pred_score_thr=0.9)['visualization']
    # A gap of 8 around panels of 60 x 40; nothing passes the threshold.
    image, drawn = picture[-80:, 8:68], picture[-80:, 76:136]
    assert (image == (102, 0, 0)).all(-1).sum() == 40 * 60
    assert (drawn == (102, 0, 0)).all(-1).sum() == 20 * 60, 'background'
    assert (drawn == known.dog).all(-1).any()
    assert (drawn == known.car).all(-1).any()


def test_colors_by_name(config, checkpoint, photos, tmp_path, known):
    inferencer = make_inferencer(
        config, checkpoint, palette={'dog': (1, 2, 3)})
    result, = inferencer(
        str(photos / 'b.PNG'), return_vis=True,
        out_dir=str(tmp_path / 'out'))['predictions']
    with Image.open(result['mask_path']) as mask:
        assert tuple(mask.getpalette()[3:9]) == known.car + (1, 2, 3)


def test_nothing_is_written_unless_asked(inferencer, photos, tmp_path,
                                         monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob('*'))
    path = str(photos / 'c.png')
    prediction, = inferencer(path)['predictions']
    assert 'mask_path' not in prediction
    assert set(tmp_path.rglob('*')) == before
    inferencer(path, out_dir='out', no_save_vis=True)
    assert sorted(p.name for p in Path('out').iterdir()) == ['masks', 'preds']
    inferencer(path, out_dir='out2', no_save_pred=True)
    assert sorted(p.name for p in Path('out2').iterdir()) == ['vis']


def test_arrays_and_files_agree(inferencer, photos):
    path = str(photos / 'c.png')
    first, second = inferencer([path, cv2.imread(path)])['predictions']
    assert first.pop('img_path') == path and second.pop('img_path') is None
    assert first == second
    single, = inferencer(cv2.imread(path))['predictions']
    assert single['scores'] == first['scores']
    with pytest.raises(ValueError, match=r'input 0: .*\(9, 9\)'):
        inferencer(np.zeros((9, 9), dtype=np.uint8))


def test_tags_of_a_sample():
    sample = DetDataSample(metainfo=dict(ori_shape=(4, 6)))
    sample.pred_image_label = LabelData(score=torch.tensor([.25, .5, 1.]))
    result = sample_to_dict(sample, dict(cls_classes=('dog', 'car')))
    assert result == dict(
        height=4, width=6, tags={
            'dog': .25,
            'car': .5,
            'class 2': 1.
        })
    assert json.loads(json.dumps(result)) == result


def test_data_samples(inferencer, photos):
    sample, = inferencer(
        photos / 'b.PNG', return_datasamples=True)['predictions']
    assert sample.pred_sem_seg.sem_seg.shape == (1, 40, 60)
    assert sample.pred_instances.scores[0] == 0.875


def test_broken_files_are_named_and_the_rest_goes_on(inferencer, photos,
                                                     tmp_path, logged, known):
    whole = known.save_image(tmp_path / 'whole.jpg', 300, 300, 77)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3))
    Image.fromarray(noise.astype(np.uint8)).save(whole)
    content = Path(whole).read_bytes()
    (photos / 'aa_truncated.jpg').write_bytes(content[:len(content) // 2])
    (photos / 'b_text.png').write_text('not an image at all')
    (photos / 'bb_empty.jpg').write_bytes(b'')
    results = inferencer(str(photos), batch_size=2)
    assert [osp.basename(p['img_path'])
            for p in results['predictions']] == ['a.png', 'b.PNG', 'c.png']
    assert [p['scores'][1] for p in results['predictions']
            ] == pytest.approx([51 / 255, 102 / 255, 204 / 255])
    names = [osp.basename(path) for path, _ in results['failed']]
    assert names == ['aa_truncated.jpg', 'b_text.png', 'bb_empty.jpg']
    assert all('truncated or not an image' in problem
               for _, problem in results['failed'])
    assert len(logged) == 1
    assert '3 of 6 image(s) could not be read' in logged[0]
    with pytest.raises(ValueError, match='b_text.png: truncated or not'):
        inferencer(str(photos / 'b_text.png'))
    with pytest.raises(ValueError, match='absent.png: no such file'):
        inferencer(str(photos / 'absent.png'))


def test_folder_without_images(config, checkpoint, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='empty'):
        make_inferencer(config, checkpoint)(str(tmp_path / 'empty'))


def test_class_names_of_the_config_count_without_those_of_the_weights(
        checkpoint, tmp_path, photos, known):
    stored = torch.load(checkpoint, weights_only=True)
    stored['meta'] = {}
    bare = str(tmp_path / 'bare.pth')
    torch.save(stored, bare)
    config = known.make_config(
        classes=('x', 'y'), palette=[(1, 1, 1), (2, 2, 2)])
    meta = make_inferencer(config, bare).dataset_meta
    assert meta['classes'] == ('x', 'y')
    assert meta['palette'] == [(1, 1, 1), (2, 2, 2)]
    # The data set does not name them; the model's class map does.
    assert meta['seg_classes'] == ('b', 's1', 's2')
    assert 'seg_palette' not in meta
    # Other names in the weights win, and keep their own colors.
    meta = make_inferencer(config, checkpoint).dataset_meta
    assert meta['classes'] == known.classes
    assert meta['palette'] == [known.dog, known.car]


def test_a_stored_config_runs_nothing(config, checkpoint, tmp_path, photos):
    stored = torch.load(checkpoint, weights_only=True)
    stored['meta']['cfg'] = config.pretty_text
    torch.save(stored, tmp_path / 'good.pth')
    inferencer = make_inferencer(None, str(tmp_path / 'good.pth'))
    assert len(inferencer(str(photos))['predictions']) == 3


@pytest.mark.parametrize(
    'key, value',
    [
        ('model', dict(type='os.system', command='touch touched')),
        ('model', dict(type='evilmod')),
        ('visualizer.type', 'evilmod'),
        # they are registered, or not looked for before they are built
        ('model.type', 'LoggerHook'),
        ('visualizer.type', 'LoggerHook'),
        ('test_dataloader.collate_fn', 'evilmod'),
        ('test_dataloader.collate_fn', 'evilpack.collate'),
    ])
def test_a_stored_config_imports_nothing(config, checkpoint, tmp_path,
                                         monkeypatch, key, value):
    code = f"open({str(tmp_path / 'touched')!r}, 'w')\n"
    (tmp_path / 'evilpack').mkdir()
    for name in ('evilmod', 'LoggerHook', 'evilpack/registry'):
        (tmp_path / f'{name}.py').write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    stored = torch.load(checkpoint, weights_only=True)
    config.merge_from_dict({key: value})
    if key == 'model':
        config.model = value
    stored['meta']['cfg'] = config.pretty_text
    torch.save(stored, tmp_path / 'evil.pth')
    try:
        make_inferencer(None, str(tmp_path / 'evil.pth'))
    except (KeyError, UserError) as error:
        assert str(value['type'] if key == 'model' else value) in str(error)
    else:
        assert 'collate_fn' in key
    assert not (tmp_path / 'touched').exists()


def test_trust_in_one_inferencer_is_not_trust_in_all(config, checkpoint):
    before = CheckpointLoader._schemes
    make_inferencer(config, checkpoint, trust_checkpoint=True)
    assert CheckpointLoader._schemes is before


def test_weights_that_do_not_fit(config, checkpoint, tmp_path, known):
    config.model.size = 3
    with pytest.raises(ValueError, match=r'mismatch for weight.*\[1\].*\[3\]'):
        make_inferencer(config, checkpoint)
    other = str(tmp_path / 'other.pth')
    torch.save(dict(state_dict={'bias': torch.zeros(1)}), other)
    with pytest.raises(ValueError, match="lacks.*'weight'"):
        make_inferencer(known.make_config(), other)


def test_weights_that_run_code_are_refused(config, tmp_path):

    class Attack:

        def __reduce__(self):
            return Path.touch, (tmp_path / 'pwned', )

    path = tmp_path / 'attack.pth'
    with open(path, 'wb') as file:
        pickle.dump(dict(state_dict=Attack()), file)
    with pytest.raises(UserError, match='attack.pth'):
        make_inferencer(config, str(path))
    assert not (tmp_path / 'pwned').exists()


def test_no_weights_is_a_warning(config, photos):
    with pytest.warns(UserWarning, match='not trained'):
        inferencer = make_inferencer(config, None)
    prediction, = inferencer(str(photos / 'b.PNG'))['predictions']
    assert prediction['class_names'] == ['d0', 'd1']
    with pytest.raises(FileNotFoundError, match='absent.py'):
        MultiTaskInferencer('absent.py')


def test_config_is_not_changed_and_registry_finds_the_inferencer(
        config, checkpoint, photos):
    before = config.pretty_text
    inferencer = INFERENCERS.build(
        dict(
            type='MultiTaskInferencer',
            model=config.to_dict(),
            weights=checkpoint,
            device='cpu',
            show_progress=False))
    assert len(inferencer(str(photos))['predictions']) == 3
    make_inferencer(config, checkpoint)
    assert config.pretty_text == before


def test_steps_that_need_annotations_are_left_out(config):
    kinds = [step['type'] for step in inference_steps(config)]
    assert kinds == [
        'LoadImageFromFile', 'mmdet.Resize', 'PackMultiTaskInputs'
    ]
    dataset = find_dataset(config)
    dataset.pipeline = dataset.pipeline[1:]
    with pytest.raises(ValueError, match='must load the image'):
        inference_steps(config)
    config.test_dataloader.dataset = dict(
        type='RepeatDataset', dataset=dict(type='X', pipeline=[1]))
    assert find_dataset(config)['type'] == 'X'
    config.test_dataloader = None
    with pytest.raises(ValueError, match='no pipeline'):
        find_dataset(config)


@given(
    st.lists(
        st.sampled_from(
            [None, 'a.jpg', 'x/a.png', 'a_1.jpg', 'y/a_1.png', 'b.jpg'])))
def test_names_are_unique(paths):
    names = unique_names(paths)
    assert len(set(names)) == len(paths)
    if 'b.jpg' in paths:
        assert names[paths.index('b.jpg')] == 'b'


def test_demo(config, checkpoint, photos, tmp_path, run_script, capsys,
              logged):

    def run_demo(folder, *arguments):
        return run_script('demo/image_demo.py', folder, config_file,
                          *arguments)

    config_file = tmp_path / 'config.py'
    config.dump(config_file)
    out = tmp_path / 'out'
    code = run_demo(photos, '--weights', checkpoint, '--out-dir', out,
                    '--device', 'cpu')
    assert code == 0
    printed = capsys.readouterr().out
    assert '3 image(s) predicted' in printed
    for folder in ('vis', 'preds', 'masks'):
        assert str(out / folder) in printed
        assert len(list((out / folder).iterdir())) == 3

    (photos / 'd.jpg').write_text('broken')
    code = run_demo(photos, '--weights', checkpoint, '--out-dir', out,
                    '--no-save-vis', '--no-save-pred')
    assert code == 1 and 'd.jpg' in logged[0]
    assert '3 image(s)' in capsys.readouterr().out

    code = run_demo(photos, '--weights', checkpoint, '--cfg-options',
                    'model.size=2')
    assert 'does not fit the config' in code
    code = run_demo(photos / 'd.jpg', '--weights', checkpoint)
    assert 'd.jpg: truncated or not an image' in code
    assert 'no weights of' in run_demo(photos)


def test_demo_needs_no_config(config, checkpoint, photos, tmp_path,
                              run_script, capsys):
    path = tmp_path / 'with_config.pth'
    content = torch.load(checkpoint, weights_only=True)
    content['meta']['cfg'] = config.pretty_text
    torch.save(content, path)
    config.dump(tmp_path / 'config.py')
    out = tmp_path / 'out'
    for arguments in ([tmp_path / 'config.py', checkpoint], [path],
                      ['--weights', path]):
        assert run_script('demo/image_demo.py', photos / 'a.png', *arguments,
                          '--device', 'cpu', '--out-dir', out) == 0
        assert (out / 'preds/a.json').is_file()
        shutil.rmtree(out)
    for arguments in ([], [path, '--cfg-options', 'a=1'],
                      [path, '--topk', '-1']):
        assert run_script('demo/image_demo.py', photos, *arguments) == 2


def test_pattern(inferencer, photos):
    results = inferencer(str(photos / '[ac].*'))
    assert [osp.basename(x['img_path'])
            for x in results['predictions']] == ['a.png', 'c.png']
    save_as = photos / '[ac].png'
    cv2.imwrite(str(save_as), np.zeros((8, 8, 3), np.uint8))
    result, = inferencer(str(save_as))['predictions']
    assert result['img_path'] == str(save_as)
    with pytest.raises(UserError, match='no such file'):
        inferencer(str(photos / '*.bmp'))


@pytest.mark.parametrize('topk, scores', [(0, []), (1, [.875]),
                                          (9, [.875, .2])])
def test_most_confident_boxes(inferencer, photos, topk, scores):
    results = inferencer(
        str(photos / 'a.png'), topk=topk, return_vis=True, pred_score_thr=0.)
    result, = results['predictions']
    assert result['scores'] == pytest.approx(scores)
    assert len(result['bboxes']) == len(scores)
    everything = inferencer(
        str(photos / 'a.png'), return_vis=True,
        pred_score_thr=0.)['visualization'][0]
    same = np.array_equal(results['visualization'][0], everything)
    assert same == (topk == 9)


@pytest.fixture
def video(tmp_path):
    """Seven frames, the red of which grows."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5., (64, 48))
    for red in range(0, 210, 30):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = red
        writer.write(frame)
    writer.release()
    return path


def test_video(config, checkpoint, video, tmp_path, run_script, capsys,
               monkeypatch):
    config.dump(tmp_path / 'config.py')
    given, call = [], MultiTaskInferencer.__call__

    def watched(self, frames, *args, **kwargs):
        given.append(len(frames))
        return call(self, frames, *args, **kwargs)

    monkeypatch.setattr(MultiTaskInferencer, '__call__', watched)
    out = tmp_path / 'out'
    assert run_script('demo/image_demo.py', video, tmp_path / 'config.py',
                      checkpoint, '--device', 'cpu', '--out-dir', out,
                      '--batch-size', 3, '--topk', 2) == 0
    assert '7 frame(s) predicted' in capsys.readouterr().out
    assert given == [3, 3, 1], 'no more than a batch is in memory'
    lines = (out / 'preds/clip.jsonl').read_text().splitlines()
    frames = [json.loads(line) for line in lines]
    assert [frame['frame'] for frame in frames] == [*range(7)]
    for red, frame in zip(range(0, 210, 30), frames):
        assert frame['scores'] == pytest.approx(
            sorted([.875, red / 255], reverse=True), abs=.02)
    drawn = cv2.VideoCapture(str(out / 'vis/clip.mp4'))
    pictures = [drawn.read()[1] for _ in range(8)]
    assert pictures[6].shape[1] > 2 * 64 and pictures[7] is None
    assert drawn.get(cv2.CAP_PROP_FPS) == 5
    assert pictures[6][..., 2].mean() > pictures[0][..., 2].mean() + 20


def test_what_is_no_video(inferencer, tmp_path):
    path = tmp_path / 'x.mp4'
    path.write_text('nothing')
    with pytest.raises(UserError, match='x.mp4'):
        predict_video(inferencer, str(path), str(tmp_path / 'out'))
