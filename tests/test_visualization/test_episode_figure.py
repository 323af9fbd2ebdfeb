from __future__ import annotations

import numpy as np
import torch
from mmaction.structures import ActionDataSample

from fsar_llava.visualization import draw_episode


def sample(role, way):
    found = ActionDataSample()
    found.set_metainfo(dict(role=role, way=way))
    return found


def test_names_of_classes_are_no_formulas(tmp_path):
    result = ActionDataSample(pred_scores=torch.tensor([[0.75, 0.25]]))
    result.set_pred_label(torch.tensor([0])).set_gt_label(torch.tensor([0]))
    result.set_metainfo(dict(class_names=('earn $5\\frac and $6', 'b'), episode_id=0))
    samples = [sample('support', 0), sample('support', 1), sample('query', 0)]
    figure = draw_episode([np.zeros((8, 8, 3), np.uint8)] * 3, samples, result)
    figure.savefig(tmp_path / 'episode.png')
    assert [axis.get_title().replace(r'\$', '$') for axis in figure.axes[:2]] == ['earn $5\\frac and $6', 'b']
