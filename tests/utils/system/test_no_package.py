"""`pip install .` refuses in one line."""

from pathlib import Path

import pytest

from utils.system import no_package


@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel", "build_wheel", "build_editable"])
def test_installing_says_why_not(hook: str) -> None:
    with pytest.raises(
        SystemExit, match="^error: this project .* is no package: .*PYTHONPATH"
    ) as it:
        getattr(no_package, hook)("folder", config_settings=None)
    assert "\n" not in str(it.value)


def test_the_project_names_this_backend() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'build-backend = "{no_package.__name__.rpartition(".")[2]}"' in text
    assert 'backend-path = ["utils/system"]' in text
