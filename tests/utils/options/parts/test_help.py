import argparse

from utils.options.evaluation import _HELP, EvaluationOptions, add_evaluation_arguments
from utils.options.files import OptionGroup
from utils.options.parts.help import _explain, show_options


class _Inner(OptionGroup):
    """Inner.

    `depth`, `width`: sides of
        a box.
    """

    depth: int
    width: int = 3


class _Outer(OptionGroup):
    """Outer.

    `box`: not shown, for it is a group.
    `boxes`: several of `box`.
    """

    box: _Inner
    boxes: tuple[_Inner, ...] | None = None


def test_options_are_shown_by_group_with_default_and_meaning() -> None:
    assert show_options(_Outer, {"one": ("box",), "many": ("boxes",)}).split("\n\n")[1:] == [
        "  one:\n    box.depth\n        sides of a box.\n"
        "    box.width\n        sides of a box. Default: 3.",
        "  many:\n    boxes\n        several of box. Default: null.\n"
        "    boxes.depth\n        sides of a box.\n"
        "    boxes.width\n        sides of a box. Default: 3.",
    ]


def test_help_of_the_test_shows_every_option_once() -> None:
    parser = argparse.ArgumentParser()
    add_evaluation_arguments(parser)
    lines = parser.format_help().splitlines()
    explained = dict(_explain(EvaluationOptions))
    assert all(explained.values()), [name for name, text in explained.items() if not text]
    for name in explained:
        assert lines.count(f"    {name}") == 1, name
    assert all(f"  {title}:" in lines for title in _HELP)
