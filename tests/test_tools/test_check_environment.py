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


def test_missing_system_library_is_named_with_its_command(tool, monkeypatch):
    def fail(name):
        raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')

    monkeypatch.setattr(tool.importlib, 'import_module', fail)
    assert tool.problem('cv2', 'pip install opencv-python').endswith('apt-get install libgl1')
