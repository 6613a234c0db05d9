"""What `main_test.py` scores: one test set or several, and several methods."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from data.layouts import LAYOUTS
from models.parts.settings import Blending, Precision
from utils.options.files import FolderName, OptionGroup, changed, one_of
from utils.options.methods import METHODS
from utils.options.parts.frame_names import check_pattern

ContextName = Literal["pair", "clip"]
InferenceName = Literal["ours", "released_stage1", "released_stage2"]


def with_own_names(options: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    """Check that no two have one name; case does not tell the names of folders apart everywhere."""
    names = [option.name for option in options]
    folded = [name.casefold() for name in names]
    twice = [name for index, name in enumerate(names) if folded[index] in folded[:index]]
    if twice:
        raise ValueError(f"expected a name of its own for each {kind}, got {twice[0]!r} twice")
    return options


class BenchmarkOptions(OptionGroup):
    """The captures to score.

    `dataset_type`: their layout on disk.
    `data_root`, `split`: they are in `data_root`/`split`.
    """

    dataset_type: Annotated[str, one_of(LAYOUTS)] = "rs_gopro"
    data_root: str
    split: FolderName = "test"


class NamedBenchmarkOptions(BenchmarkOptions):
    """One of several test sets.

    `name`: of the set in tables, and of its folder of results; only in a list of several sets.
    """

    name: FolderName


def _count_of_sets(value: object) -> str:
    named = isinstance(value, dict) and "name" in value  # which stands in a list
    return "several sets" if named or isinstance(value, list | tuple) else "one set"


BenchmarkSets = Annotated[
    Annotated[BenchmarkOptions, Tag("one set")]
    | Annotated[
        tuple[NamedBenchmarkOptions, ...],
        Field(min_length=1),
        AfterValidator(lambda sets: with_own_names(sets, "test set")),
        Tag("several sets"),
    ],
    Discriminator(_count_of_sets),
]


class BenchmarkDatasets(OptionGroup):
    """Data sets of `main_test.py`.

    `test`: one test set, or a list of several, each with a `name` and scored by itself.
    """

    test: BenchmarkSets

    @property
    def sets(self) -> dict[str, BenchmarkOptions]:
        """Every test set by its name; a single one has the name ""."""
        if isinstance(self.test, BenchmarkOptions):
            return {"": self.test}
        return {data.name: data for data in self.test}


class TestedMethodOptions(OptionGroup):
    """One of several methods to score; exactly one of `weights`, `method` and `frames_folder`.

    `name`: its label in tables, plots and pages, and the name of its folder of frames.
    `weights`: weight file of a network, ours or a released .pth.
    `method`: as the option of that name outside the list; "network" uses `path.pretrained_netG`.
    `frames_folder`: frames that any program has made. "{set}" stands for the name of the test set.
    `pattern`: how these files are named below the folder: "ours" or "released" (see
        `frame_layout`), or placeholders {sequence}, {pair}, {frame} (from 0), {frame1} (from 1),
        {time}, {set} such as "{sequence}/{pair}_{frame:02d}.png".
    `context`, `blending`, `inference`, `precision`, `self_ensemble`: as the options of these names
        outside the list, and by default equal to them.
    """

    name: FolderName
    weights: str | None = None
    method: Annotated[str, one_of(METHODS)] | None = None
    frames_folder: str | None = None
    pattern: Annotated[str, AfterValidator(check_pattern)] = "ours"
    context: ContextName | None = None
    blending: Blending | None = None
    inference: InferenceName | None = None
    precision: Precision | None = None
    self_ensemble: bool | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        kinds = ("weights", "method", "frames_folder")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(f"name: '{self.name}' needs one of {', '.join(kinds)}, got {got}")
        if self.frames_folder is None and changed(self, "pattern"):
            raise ValueError("pattern: only with frames_folder")
        for key in ("context", "blending", "inference", "precision", "self_ensemble"):
            if self.frames_folder is not None and getattr(self, key) is not None:
                raise ValueError(f"{key}: not with frames_folder, whose frames are ready")
        return self
