import pytest
from mmaction.structures import ActionDataSample

from fsar_llava.models.prompts import PROMPT_SETS, PromptSet, build_prompts

NAMES = ('archery', 'brush hair', 'tai chi')


def sample(role, class_name='archery', class_names=NAMES):
    result = ActionDataSample()
    result.set_metainfo(dict(role=role, class_name=class_name, class_names=class_names))
    return result


def test_unknown_prompts_word_for_word():
    assert build_prompts('unknown')([sample('support'), sample('query')]) == ["What's the action of the video?"] * 2


def test_known_prompts_word_for_word():
    assert build_prompts('known')([sample('support', 'brush hair'), sample('query')]) == [
        "Please describe if the 'brush hair' action is present in the video in one sentence.",
        "Watch the video and identify the main action category from these options: 'archery'; 'brush hair'; 'tai chi'.",
    ]


@pytest.mark.parametrize('name', PROMPT_SETS)
def test_query_prompts_do_not_depend_on_the_answer(name):
    prompts = {build_prompts(name)([sample('query', answer)])[0] for answer in (*NAMES, 'something else')}
    assert len(prompts) == 1


@pytest.mark.parametrize('name', PROMPT_SETS)
def test_query_prompts_work_without_the_answer(name):
    query = ActionDataSample()
    query.set_metainfo(dict(role='query', class_names=NAMES))
    assert build_prompts(name)([query]) == build_prompts(name)([sample('query')])


def test_own_templates():
    prompts = build_prompts(dict(support='{class_name}, not {{this}}, of {options}', query='?'))
    assert prompts([sample('support'), sample('query')]) == [
        "archery, not {this}, of 'archery'; 'brush hair'; 'tai chi'",
        '?',
    ]
    assert build_prompts(prompts) is prompts


def test_options_are_in_the_order_of_the_ways():
    query = sample('query', class_names=('tai chi', 'archery', 'brush hair'))
    prompts = build_prompts(dict(support=None, query='{options}'))
    assert prompts([query]) == ["'tai chi'; 'archery'; 'brush hair'"]


def test_class_names_are_no_templates():
    assert "'a {b}'" in build_prompts('known')([sample('support', 'a {b}')])[0]


def test_no_prompts():
    assert build_prompts(None)([sample('support'), sample('query')]) == [None, None]


@pytest.mark.parametrize(
    ('cfg', 'expected'),
    [
        ('unknown', False),
        ('known', True),
        (None, False),
        (dict(support='{class_name}', query='?'), False),
        (dict(support='{options}', query='?'), True),
    ],
)
def test_episode_conditioned(cfg, expected):
    assert build_prompts(cfg).episode_conditioned is expected


def test_identity():
    assert build_prompts(dict(support='a', query='b')).identity() == dict(support='a', query='b')
    assert build_prompts('known').identity() != build_prompts('unknown').identity()


@pytest.mark.parametrize(
    ('cfg', 'error', 'message'),
    [
        ('knwon', ValueError, r"Unknown prompt set 'knwon'. Known are \['known', 'unknown'\]"),
        (dict(support='a'), ValueError, r"exactly the keys 'support' and 'query', but got \['support'\]"),
        (dict(support='a', query='{class_name}'), ValueError, r"contains \['class_name'\], but a query prompt"),
        (dict(support='{classname}', query='a'), ValueError, r"contains \['classname'\], but a support prompt"),
        (dict(support='{', query='a'), ValueError, 'no valid template'),
        (dict(support='a', query='{options:5d}'), ValueError, r"code 'd' .* Write fields as \{options\}"),
        (dict(support='a', query='{options:{class_name}}'), ValueError, "no valid template: 'class_name'"),
        (dict(support='{class_name!z}', query='a'), ValueError, 'no valid template: .*conversion'),
        (dict(support=3, query='a'), TypeError, 'must be a text or None, but is 3'),
    ],
)
def test_bad_configs(cfg, error, message):
    with pytest.raises(error, match=message):
        build_prompts(cfg)


def test_samples_without_a_role():
    with pytest.raises(ValueError, match=r'but the data sample says None. Use .*EpisodicDataset'):
        PromptSet('a', 'b')([ActionDataSample()])
