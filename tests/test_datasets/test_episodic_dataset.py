from __future__ import annotations

import hashlib
import shutil
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from mmaction.datasets import repeat_pseudo_collate
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader

from fsar_llava import EpisodeBatch, EpisodeItem
from fsar_llava.datasets import EpisodicDataset, EpisodicSampler, episodic_dataset

PIPELINE = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, num_clips=4, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]


def videos(root, split='test', **kwargs):
    settings = dict(type='VideoDataset', ann_file=f'{split}.txt', data_root=str(root), delimiter='\t', test_mode=True)
    # Serializing collects garbage each time, which takes longer than all the rest of a test.
    settings.update(data_prefix=dict(video='videos'), pipeline=PIPELINE, serialize_data=False)
    return {**settings, **kwargs}


def episodes(root, split='test', num_episodes=6, on_error='raise', **kwargs):
    return EpisodicDataset(videos(root, split, **kwargs), num_episodes, f'{root}/classes.txt', on_error)


@pytest.fixture
def own_videos(toy_videos, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(toy_videos, tmp_path / 'toy')


@pytest.fixture
def warnings_logged(monkeypatch):
    messages = []
    monkeypatch.setattr(episodic_dataset, 'print_log', lambda message, *args: messages.append(message))
    return messages


class TestEpisodes:
    def test_items_are_packed_videos_in_the_order_of_the_episode(self, toy_videos):
        dataset = episodes(toy_videos)
        assert len(dataset) == 6
        sampler = EpisodicSampler(dataset, num_ways=3, num_shots=2, num_queries=1)
        for episode in sampler:
            loaded = dataset[episode]
            assert len(loaded) == 9
            for item, video in zip(episode.items, loaded):
                expected = dataset.dataset[item.index]
                assert torch.equal(video['inputs'], expected['inputs'])
                assert video['inputs'].shape == (4, 3, 64, 64)
                assert torch.equal(video['data_samples'].gt_label, expected['data_samples'].gt_label)

    def test_stamps(self, toy_videos):
        dataset = episodes(toy_videos)
        names = (toy_videos / 'classes.txt').read_text().splitlines()
        lines = [line.split('\t') for line in (toy_videos / 'test.txt').read_text().splitlines()]
        episode = EpisodicSampler(dataset, num_ways=3, num_shots=2, num_queries=1).episode(4)
        metas = [video['data_samples'].metainfo for video in dataset[episode]]
        class_ids = tuple(int(lines[episode.items[way * 2].index][1]) for way in range(3))
        content = '\n'.join(f'{item.role}\t{item.way}\t{lines[item.index][0]}' for item in episode.items)
        for item, meta in zip(episode.items, metas):
            name, label = lines[item.index]
            expected = dict(
                episode_id=4,
                episode_digest=hashlib.sha256(content.encode()).hexdigest()[:16],
                episode_size=9,
                role=item.role,
                way=item.way,
                class_name=names[int(label)],
                class_id=int(label),
                class_names=tuple(names[c] for c in class_ids),
                class_ids=class_ids,
                video_index=item.index,
                video_name=name,
            )
            assert {key: meta[key] for key in expected} == expected

    def test_collated_batches_are_read_back_as_episodes(self, toy_videos):
        dataset = episodes(toy_videos)
        sampler = EpisodicSampler(dataset, num_ways=4, num_shots=2, num_queries=3)
        batch = repeat_pseudo_collate([dataset[sampler.episode(i)] for i in (2, 5)])
        assert len(batch['inputs']) == 2 * 4 * 5
        read = EpisodeBatch.from_samples(batch['data_samples'])
        assert read.episode_ids == (2, 5)
        assert read.support_index.tolist() == np.add.outer([0, 20], np.arange(8).reshape(4, 2)).tolist()
        assert read.query_index.tolist() == np.add.outer([8, 28], np.arange(12)).tolist()
        assert read.query_way.tolist() == [[0] * 3 + [1] * 3 + [2] * 3 + [3] * 3] * 2

    @pytest.mark.parametrize('num_workers', [0, 1, 2])
    def test_workers_change_nothing(self, toy_videos, num_workers):
        dataset = episodes(toy_videos, serialize_data=True)
        sampler = EpisodicSampler(dataset, num_ways=2, seed=3)
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=num_workers, collate_fn=repeat_pseudo_collate)
        batches = list(loader)
        samples = [sample for batch in batches for sample in batch['data_samples']]
        inputs = [video for batch in batches for video in batch['inputs']]
        direct = [video for i in range(6) for video in dataset[sampler.episode(i)]]
        assert [sample.episode_id for sample in samples] == [i for i in range(6) for _ in range(4)]
        for sample, video, expected in zip(samples, inputs, direct):
            assert sample.metainfo == expected['data_samples'].metainfo
            assert torch.equal(video, expected['inputs'])

    @pytest.mark.parametrize('diff_rank_seed', [False, True])
    def test_the_runner_builds_it(self, toy_videos, diff_rank_seed):
        loader = Runner.build_dataloader(
            dict(
                batch_size=2,
                num_workers=0,
                dataset=dict(type='EpisodicDataset', dataset=videos(toy_videos), num_episodes=3),
                sampler=dict(type='EpisodicSampler', num_ways=2),
                collate_fn=dict(type='repeat_pseudo_collate'),
            ),
            seed=7,
            diff_rank_seed=diff_rank_seed,
        )
        assert loader.sampler.seed == (0 if diff_rank_seed else 7)
        assert [len(batch['inputs']) for batch in loader] == [8, 4]

    def test_raw_frames(self, tmp_path):
        import cv2

        lines = []
        for label in range(2):
            for number in range(3):
                folder = tmp_path / f'c{label}_{number}'
                folder.mkdir()
                for frame in range(1, 4):
                    cv2.imwrite(str(folder / f'img_{frame:05d}.jpg'), np.full((8, 8, 3), 80 * label, np.uint8))
                lines.append(f'{folder.name} 3 {label}\n')
        (tmp_path / 'list.txt').write_text(''.join(lines))
        pipeline = [dict(type='SampleFrames', clip_len=1, num_clips=4, test_mode=True), dict(type='RawFrameDecode')]
        dataset = EpisodicDataset(
            dict(
                type='RawframeDataset',
                ann_file='list.txt',
                data_root=str(tmp_path),
                data_prefix=dict(img=''),
                pipeline=[*pipeline, *PIPELINE[3:]],
            ),
            num_episodes=2,
            classes=['black', 'grey'],
        )
        episode = EpisodicSampler(dataset, num_ways=2, num_shots=2).episode(1)
        for video in dataset[episode]:
            sample = video['data_samples']
            assert sample.video_name.startswith(f'c{sample.class_id}_')
            assert sample.class_name == ['black', 'grey'][sample.class_id]
            assert abs(video['inputs'].float().mean().item() - 80 * sample.class_id) < 2


class TestListOfVideos:
    def test_order_of_the_lines_does_not_matter(self, own_videos):
        before = episodes(own_videos)
        lines = (own_videos / 'test.txt').read_text().splitlines(keepends=True)
        (own_videos / 'test.txt').write_text(''.join(np.random.RandomState(0).permutation(lines)))
        after = episodes(own_videos)
        assert after.video_names != before.video_names
        assert after.metainfo['list_hash'] == before.metainfo['list_hash']

        def digests(dataset):
            return [dataset.digest(episode) for episode in EpisodicSampler(dataset)]

        assert digests(after) == digests(before)
        assert len(set(digests(after))) == 6

    def test_hash_of_the_list(self, toy_videos):
        lines = sorted((toy_videos / 'test.txt').read_text().splitlines())
        dataset = episodes(toy_videos)
        assert dataset.list_hash == hashlib.sha256('\n'.join(lines).encode()).hexdigest()
        assert dataset.list_hash != episodes(toy_videos, 'val').list_hash

    def test_attributes(self, toy_videos):
        dataset = episodes(toy_videos)
        assert sorted(dataset.class_to_indices) == sorted(set(dataset.video_labels))
        for label, indices in dataset.class_to_indices.items():
            assert [dataset.video_labels[index] for index in indices] == [label] * 6
            assert [dataset.video_names[index] for index in indices] == [
                f'{dataset.class_names[label]}/{number:03d}.mp4' for number in range(6)
            ]

    @pytest.mark.parametrize('data_prefix', ['videos', 'videos/', ''])
    def test_names_are_those_of_the_annotation_file(self, toy_videos, data_prefix):
        root = str(toy_videos) if data_prefix else ''
        dataset = EpisodicDataset(
            videos(root, ann_file=f'{toy_videos}/test.txt', data_prefix=dict(video=data_prefix)), 1
        )
        assert dataset.video_names[0] == (toy_videos / 'test.txt').read_text().split('\t')[0]

    def test_class_names(self, toy_videos):
        names = (toy_videos / 'classes.txt').read_text().splitlines()
        for classes in (f'{toy_videos}/classes.txt', names, tuple(names)):
            dataset = EpisodicDataset(videos(toy_videos), 1, classes=classes)
            assert dataset.metainfo['classes'] == tuple(names)
        assert EpisodicDataset(videos(toy_videos, metainfo=dict(classes=names)), 1).class_names == tuple(names)
        assert EpisodicDataset(videos(toy_videos), 1).class_names[7] == '7'

    def test_takes_a_dataset_that_is_not_initialized(self, toy_videos):
        inner = DATASETS.build(videos(toy_videos, lazy_init=True))
        assert EpisodicDataset(inner, 1).list_hash == episodes(toy_videos).list_hash


CORRUPTIONS = {
    'missing': lambda path: path.unlink(),
    'empty': lambda path: path.write_bytes(b''),
    'text': lambda path: path.write_text('not a video'),
    'truncated': lambda path: path.write_bytes(path.read_bytes()[:2000]),
}


class TestBrokenVideos:
    def episode_with(self, dataset, role):
        """An episode, and the position of one video in it."""
        episode = EpisodicSampler(dataset, num_ways=2, num_shots=2, num_queries=1).episode(3)
        return episode, [item.role for item in episode.items].index(role)

    @pytest.mark.parametrize('corruption', CORRUPTIONS)
    def test_error(self, own_videos, corruption):
        dataset = episodes(own_videos)
        episode, position = self.episode_with(dataset, 'query')
        name = dataset.video_names[episode.items[position].index]
        CORRUPTIONS[corruption](own_videos / 'videos' / name)
        with pytest.raises(RuntimeError) as caught:
            dataset[episode]
        message = str(caught.value)
        for part in ('Episode 3', name, repr(name.split('/')[0]), "on_error='replace'", 'remove its line'):
            assert part in message
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize('role', ['support', 'query'])
    def test_replacement(self, own_videos, role, warnings_logged):
        dataset = episodes(own_videos, on_error='replace')
        episode, position = self.episode_with(dataset, role)
        broken = episode.items[position]
        whole = [video['data_samples'].metainfo for video in dataset[episode]]
        assert warnings_logged == []
        (own_videos / 'videos' / dataset.video_names[broken.index]).write_bytes(b'')

        metas = [video['data_samples'].metainfo for video in dataset[episode]]
        changed = [i for i, (old, new) in enumerate(zip(whole, metas)) if old['video_name'] != new['video_name']]
        assert changed == [position]
        new = metas[position]
        assert new['video_index'] not in {item.index for item in episode.items}
        assert dataset.video_names[new['video_index']] == new['video_name']
        for key in ('role', 'way', 'class_name', 'class_id', 'class_names', 'class_ids', 'episode_id', 'episode_size'):
            assert new[key] == whole[position][key]
        content = '\n'.join(f'{meta["role"]}\t{meta["way"]}\t{meta["video_name"]}' for meta in metas)
        assert {meta['episode_digest'] for meta in metas} == {hashlib.sha256(content.encode()).hexdigest()[:16]}
        (message,) = warnings_logged
        assert 'Episode 3' in message
        assert dataset.video_names[broken.index] in message
        assert new['video_name'] in message
        again = [video['data_samples'].metainfo for video in episodes(own_videos, on_error='replace')[episode]]
        assert again == metas

    @pytest.mark.parametrize('rank', [0, 1])
    def test_every_process_says_what_it_replaces(self, own_videos, rank, monkeypatch, capsys):
        dataset = episodes(own_videos, on_error='replace')
        episode, position = self.episode_with(dataset, 'query')
        name = dataset.video_names[episode.items[position].index]
        (own_videos / 'videos' / name).write_bytes(b'')
        monkeypatch.setattr('mmengine.logging.logger._get_rank', lambda: rank)
        monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
        MMLogger.get_instance('own')
        dataset[episode]
        assert name in ''.join(capsys.readouterr())

    def test_several_replacements_are_distinct(self, own_videos):
        dataset = episodes(own_videos, on_error='replace')
        episode, _ = self.episode_with(dataset, 'query')
        way0 = [item.index for item in episode.items if item.way == 0]
        for index in way0:
            (own_videos / 'videos' / dataset.video_names[index]).write_bytes(b'')
        used = [video['data_samples'].video_index for video in dataset[episode]]
        assert len(set(used)) == 6
        assert not set(way0) & set(used)
        assert Counter(dataset.video_labels[index] for index in used).most_common(1)[0][1] == 3

    def test_replacements_do_not_depend_on_the_order_of_the_lines(self, own_videos):
        path = own_videos / 'test.txt'
        lines = path.read_text().splitlines()
        replaced = []
        for order in (lines, lines[::-1]):
            path.write_text('\n'.join(order))
            dataset = episodes(own_videos, num_episodes=20, on_error='replace')
            sampler = EpisodicSampler(dataset, num_ways=5, num_shots=1, num_queries=1, seed=0)
            broken = {index: 'broken' for index, name in enumerate(dataset.video_names) if name.endswith('2.mp4')}
            assert any(item.index in broken for i in range(20) for item in sampler.episode(i).items)
            replaced.append([dataset.digest(dataset.replace_videos(sampler.episode(i), broken)) for i in range(20)])
        assert replaced[0] == replaced[1]

    def test_no_replacement_left(self, own_videos):
        dataset = episodes(own_videos, on_error='replace')
        episode, position = self.episode_with(dataset, 'query')
        name = dataset.video_names[episode.items[position].index]
        for path in (own_videos / 'videos' / name).parent.iterdir():
            path.write_bytes(b'')
        with pytest.raises(RuntimeError, match=r'Episode 3: .* Nor can any of the 3 videos of the class'):
            dataset[episode]

    def test_a_pipeline_that_gives_none(self, toy_videos):
        dataset = episodes(toy_videos, pipeline=[lambda results: None], test_mode=False)
        with pytest.raises(RuntimeError, match=r'Episode 0: .*its pipeline gave None'):
            dataset[EpisodicSampler(dataset).episode(0)]

    def test_in_a_worker(self, own_videos):
        dataset = episodes(own_videos, num_episodes=1)
        for path in (own_videos / 'videos').rglob('*.mp4'):
            path.write_bytes(b'')
        loader = iter(DataLoader(dataset, 1, sampler=EpisodicSampler(dataset), num_workers=1))
        with pytest.raises(RuntimeError, match='Episode 0: Cannot load the video'):
            next(loader)
        with pytest.raises(StopIteration):  # lets the worker go
            next(loader)


class TestBadInput:
    @pytest.mark.parametrize('index', [3, np.int64(3), (0, ())])
    def test_only_episodes_are_indices(self, toy_videos, index):
        with pytest.raises(TypeError, match='EpisodicSampler'):
            episodes(toy_videos)[index]

    def test_label_beyond_the_class_names(self, toy_videos):
        with pytest.raises(
            ValueError, match=r'classes names 2 classes, labels 0 to 1, but there are videos of label 19'
        ):
            EpisodicDataset(videos(toy_videos), 1, classes=['a', 'b'])

    def test_class_name_twice(self, toy_videos):
        with pytest.raises(ValueError, match="classes gives 'a' to several labels"):
            EpisodicDataset(videos(toy_videos), 1, classes=['a'] * 20)

    @pytest.mark.parametrize(('text', 'label'), [('a\n\nb\n', 1), ('\na\nb\n', 0), ('a\n \nb\n\n', 1)])
    def test_empty_class_name(self, toy_videos, tmp_path, text, label):
        (tmp_path / 'classes.txt').write_text(text)
        with pytest.raises(ValueError, match=rf'classes\.txt has an empty name for label {label}'):
            EpisodicDataset(videos(toy_videos), 1, classes=str(tmp_path / 'classes.txt'))

    def test_class_names_of_an_editor_that_marks_utf8(self, toy_videos, tmp_path):
        names = (toy_videos / 'classes.txt').read_text()
        (tmp_path / 'classes.txt').write_text(names, encoding='utf-8-sig')
        dataset = EpisodicDataset(videos(toy_videos), 1, classes=str(tmp_path / 'classes.txt'))
        assert dataset.class_names == tuple(names.splitlines())

    def test_missing_class_names(self, toy_videos):
        with pytest.raises(ValueError, match=r'nowhere\.txt does not exist'):
            EpisodicDataset(videos(toy_videos), 1, classes='nowhere.txt')

    def test_video_listed_twice(self, own_videos):
        lines = (own_videos / 'test.txt').read_text().splitlines(keepends=True)
        (own_videos / 'test.txt').write_text(''.join([*lines, lines[3]]))
        with pytest.raises(ValueError, match=rf"1 videos appear more than once in .*test\.txt, first '{lines[3][:5]}"):
            episodes(own_videos)

    def test_several_labels_a_video(self, toy_videos):
        with pytest.raises(ValueError, match='multi_class=True'):
            episodes(toy_videos, multi_class=True, num_classes=20)

    def test_wrapper_around_datasets(self, toy_videos):
        inner = DATASETS.build(videos(toy_videos))
        with pytest.raises(TypeError, match='got a ConcatDataset'):
            EpisodicDataset(ConcatDataset([inner, inner]), 1)

    @pytest.mark.parametrize('kwargs', [dict(num_episodes=0), dict(num_episodes=1e4), dict(on_error='skip')])
    def test_arguments(self, toy_videos, kwargs):
        ((name, value),) = kwargs.items()
        with pytest.raises(ValueError, match=rf'{name} must be .*but is {value!r}'):
            EpisodicDataset(videos(toy_videos), **kwargs)

    def test_no_video_is_left(self, toy_videos):
        with pytest.raises(ValueError, match=r'test\.txt leaves no video'):
            episodes(toy_videos, indices=[])

    def test_dataset_without_file_names(self):
        class Numbers(BaseDataset):
            def load_data_list(self):
                return [dict(number=1, label=0)]

        with pytest.raises(ValueError, match=r"Expected one of \['filename', .*but it has \['label', 'number'"):
            EpisodicDataset(Numbers(serialize_data=False), 1)


def test_stamps_survive_the_way_to_a_result(toy_videos):
    """DumpResults pickles ``to_dict()`` of samples; the stamps must come through it."""
    dataset = episodes(toy_videos)
    sample = dataset[EpisodicSampler(dataset).episode(0)][0]['data_samples']
    assert isinstance(sample, BaseDataElement)
    assert sample.to_dict()['class_names'] == sample.class_names


def test_items_are_named_tuples(toy_videos):
    item = EpisodicSampler(episodes(toy_videos)).episode(0).items[0]
    assert isinstance(item, EpisodeItem)
    assert type(item.index) is int
