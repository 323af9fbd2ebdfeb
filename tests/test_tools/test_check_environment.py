import re

import pytest

from tests.conftest import REPOSITORY, load_tool


@pytest.fixture
def tool():
    return load_tool('tools/check_environment.py')


def test_complete_environment(tool, capsys):
    assert tool.main() == 0
    assert 'Environment complete' in capsys.readouterr().out


def test_every_requirement_is_looked_for(tool):
    setup = (REPOSITORY / 'setup.py').read_text()
    required = re.findall(r"'([^']+)'", re.search(r'install_requires=\[(.*?)\]', setup, re.DOTALL)[1])
    assert len(required) > 8
    found = {command.removeprefix('pip install ').strip("'") for command in tool.PACKAGES.values()}
    assert set(required) <= found


def test_missing_package_is_named_with_its_command(tool, capsys, monkeypatch):
    monkeypatch.setitem(tool.PACKAGES, 'no_such_package', 'pip install no-such-package')
    assert tool.main() == 1
    assert 'no_such_package cannot be imported' in (error := capsys.readouterr().err)
    assert 'Run: pip install no-such-package' in error


@pytest.mark.parametrize(('version', 'fits'), [('5.3.0', False), ('5.11.0', True), ('5.12.0rc1', True), ('6.0', False)])
def test_another_version_is_named_with_the_command(tool, monkeypatch, version, fits):
    monkeypatch.setattr(tool.importlib.metadata, 'version', lambda name: version)
    found = tool.problem('transformers', tool.PACKAGES['transformers'])
    remedy = "Run: pip install 'transformers>=5.11,<6'"
    assert found == (None if fits else f'transformers is {version}, but <6,>=5.11 is needed. {remedy}')


def test_missing_system_library_is_named_with_its_command(tool, monkeypatch):
    def fail(name):
        raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')

    monkeypatch.setattr(tool.importlib, 'import_module', fail)
    assert tool.problem('cv2', 'pip install opencv-python').endswith('apt-get install libgl1')
