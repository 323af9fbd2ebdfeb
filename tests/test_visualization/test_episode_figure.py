from __future__ import annotations

import numpy as np
import torch
from mmaction.structures import ActionDataSample

from fsar_llava.visualization import draw_episode


def sample(role, way):
    found = ActionDataSample()
    found.set_metainfo(dict(role=role, way=way))
    return found


def result_of(scores, truth, names):
    scores = torch.tensor(scores)
    result = ActionDataSample(pred_scores=scores)
    result.set_pred_label(scores.argmax(-1)).set_gt_label(torch.tensor(truth))
    result.set_metainfo(dict(class_names=names, episode_id=0))
    return result


def test_names_of_classes_are_no_formulas(tmp_path):
    result = result_of([[0.75, 0.25]], [0], ('earn $5\\frac and $6', 'b'))
    samples = [sample('support', 0), sample('support', 1), sample('query', 0)]
    figure = draw_episode([np.zeros((8, 8, 3), np.uint8)] * 3, samples, result)
    figure.savefig(tmp_path / 'episode.png')
    assert [axis.get_title().replace(r'\$', '$') for axis in figure.axes[:2]] == ['earn $5\\frac and $6', 'b']


def test_each_video_stands_in_its_place():
    """Two shots of two ways, in any order, above three queries: right, wrong and of unknown class."""
    parts = [('query', 0), ('support', 1), ('support', 0), ('query', 1), ('support', 1), ('query', 0), ('support', 0)]
    frames = [np.full((8, 8, 3), shade, np.uint8) for shade in range(len(parts))]
    result = result_of([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 1, -1], ('a', 'b'))
    figure = draw_episode(frames, [sample(*part) for part in parts], result)
    drawn = [(axis.images[0].get_array().flat[0], axis.get_title()) for axis in figure.axes if axis.images]
    assert drawn == [(2, 'a'), (1, 'b'), (6, ''), (4, ''), (0, 'a\n90%'), (3, 'a\n70%'), (5, 'b\n60%')]
    assert [axis.title.get_color() for axis in figure.axes[4:7]] == ['tab:green', 'tab:red', 'black']
