"""The page, built of Gradio's components; everything that can be tested without it is elsewhere."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from data.files.images import IMAGE_SUFFIXES
from utils.app import words
from utils.app.downloads import ANIMATION, ARCHIVE, VIDEO, pack_downloads
from utils.app.jobs import Jobs, Outcome, Report
from utils.app.request import (
    ARRANGEMENTS,
    DIRECTIONS,
    MAX_FRAMES,
    METHODS,
    VIDEO_SUFFIXES,
    Request,
    Upload,
    bundled_captures,
)
from utils.errors import InputError

CSS = Path(__file__).with_name("page.css")

_FILES = sorted((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
_TWO, *_ONE, _BUNDLED = ARRANGEMENTS
_ONE_A_ROW = 320  # px, on a phone
_MAX_WAITING = 20
_KEPT = (300, 3600)  # seconds between two looks for old files, and the age of these
_DOWNLOADS = {VIDEO: "MP4 video", ARCHIVE: "Frames (ZIP of PNG)", ANIMATION: "GIF"}

Values = Mapping[Any, Any]
"""Values of the page by component."""


class _Inputs(NamedTuple):
    """The components that a request is read from."""

    arrangement: gr.Radio
    first: gr.File
    second: gr.File
    both: gr.File
    bundled: gr.Radio
    cures: gr.CheckboxGroup
    method: gr.Dropdown
    frames: gr.Slider
    readout_ratio: gr.Number
    start_offset: gr.Number
    directions: gr.Dropdown


class _Outputs(NamedTuple):
    """The components that show how a request went."""

    state: gr.HTML
    findings: gr.HTML
    buttons: dict[str, gr.Button]
    figures: gr.Code
    viewer: gr.HTML
    downloads: dict[str, gr.DownloadButton]

    def every(self) -> list[Any]:
        """All of them."""
        shown = [self.state, self.findings, self.figures, self.viewer]
        return [*shown, *self.buttons.values(), *self.downloads.values()]


def build_page(jobs: Jobs) -> gr.Blocks:
    """The page; its jobs run one after the other, and others wait in a queue."""
    title = "Dual reversed rolling-shutter correction"
    with gr.Blocks(title=title, delete_cache=_KEPT, analytics_enabled=False) as page:
        gr.Markdown(
            f"# {title}\nTwo cameras saw the same moment; one reads its sensor top to bottom, the "
            "other bottom to top. Give both views: what the readout bent becomes straight."
        )
        inputs = _build_inputs()
        with gr.Row():
            check = gr.Button("Check the views", elem_id="check")
            correct = gr.Button("Correct", variant="primary", elem_id="correct")
            cancel = gr.Button("Cancel", variant="stop", elem_id="cancel")
        outputs = _build_outputs()
        shared: dict[str, Any] = {
            "inputs": {*inputs},
            "outputs": outputs.every(),
            "concurrency_id": "jobs",
            "concurrency_limit": 1,
            "api_visibility": "private",
            "scroll_to_output": True,
            "show_progress": "minimal",
            "show_progress_on": outputs.state,
        }
        once: dict[str, Any] = {"queue": False, "api_visibility": "private"}
        run = _Runs(jobs, inputs, outputs)
        started = [check.click(run.check, **shared), correct.click(run.correct, **shared)]
        for cure, button in outputs.buttons.items():
            applied = button.click(_adding(cure), inputs.cures, inputs.cures, **once)
            started.append(applied.then(run.check, **shared))
        cancel.click(run.cancel, outputs=outputs.state, cancels=started, **once)
        page.unload(run.leave)
    page.queue(max_size=_MAX_WAITING, api_open=False)
    return page


def _build_inputs() -> _Inputs:
    arrangement = gr.Radio([*ARRANGEMENTS], value=_TWO, label="Input", elem_id="arrangement")
    with gr.Row(visible=True) as two:
        first = gr.File(label="First view: read top to bottom", file_types=_FILES, elem_id="first")
        second = gr.File(
            label="Second view: read bottom to top", file_types=_FILES, elem_id="second"
        )
    both = gr.File(label="Both views", file_types=_FILES, visible=False, elem_id="both")
    captures = [*bundled_captures()]
    bundled = gr.Radio(captures, value=captures[0], label="Capture", visible=False)
    with gr.Row():
        method = gr.Dropdown(
            [*METHODS], value=next(iter(METHODS)), label="Method", min_width=_ONE_A_ROW
        )
        frames = gr.Slider(
            *(1, MAX_FRAMES, 9, 1),
            label="Frames per pair",
            info="of videos also: how many times slower",
            elem_id="frames",
            min_width=_ONE_A_ROW,
        )
    with gr.Accordion("Timing of the sensors", open=False), gr.Row():
        ratio = gr.Number(1.0, label="Readout ratio", info="readout time / frame interval")
        offset = gr.Number(0.0, label="Start offset", info="delay of the second sensor in readouts")
        directions = gr.Dropdown([*DIRECTIONS], value=DIRECTIONS[0], label="Readout directions")
    cures = gr.CheckboxGroup(
        [(label, name) for name, label in words.CURES.items()],
        label="Before the correction",
        elem_id="cures",
    )

    def show(chosen: str) -> list[Any]:
        shown = [chosen == _TWO, chosen in _ONE, chosen == _BUNDLED]
        return [gr.update(visible=visible) for visible in shown]

    arrangement.change(
        show, arrangement, [two, both, bundled], queue=False, api_visibility="private"
    )
    chosen = (method, frames, ratio, offset, directions)
    return _Inputs(arrangement, first, second, both, bundled, cures, *chosen)


def _build_outputs() -> _Outputs:
    state = gr.HTML(elem_id="progress", min_height=60)
    findings = gr.HTML(elem_id="findings")
    with gr.Row():
        buttons = {
            name: gr.Button(label, visible=False, elem_classes="cure")
            for name, label in words.CURES.items()
        }
    viewer = gr.HTML(elem_id="result")
    with gr.Row():
        downloads = {
            name: gr.DownloadButton(label, visible=False, elem_id=Path(name).suffix[1:])
            for name, label in _DOWNLOADS.items()
        }
    with gr.Accordion("What was measured", open=False):
        figures = gr.Code(language=None, show_label=False, interactive=False)
    return _Outputs(state, findings, buttons, figures, viewer, downloads)


def _adding(cure: str) -> Callable[[Sequence[str]], list[str]]:
    """Adds a cure to those that are chosen."""
    return lambda chosen: sorted({*chosen, cure})


class _Runs:
    """What the page's buttons do."""

    def __init__(self, jobs: Jobs, inputs: _Inputs, outputs: _Outputs) -> None:
        self._jobs, self._inputs, self._outputs = jobs, inputs, outputs

    def check(self, values: Values, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Check the views, correct nothing."""
        yield from self._guarded(values, request, check_only=True)

    def correct(self, values: Values, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Check and correct."""
        yield from self._guarded(values, request, check_only=False)

    def cancel(self, request: gr.Request) -> str:
        """End the job of this page, or take it out of the queue."""
        owner = str(request.session_hash)
        if self._jobs.cancel(owner):  # else there may be results, which stay
            self._jobs.forget(owner)
        return words.tell_error(["Cancelled. Nothing of it is kept."])

    def leave(self, request: gr.Request) -> None:
        """Forget a page that was closed."""
        self._jobs.forget(str(request.session_hash))

    def _guarded(
        self, values: Values, request: gr.Request, *, check_only: bool
    ) -> Iterator[dict[Any, Any]]:
        """Run a job; whatever fails is a sentence in the page, and its files are removed."""
        owner, folder, made = str(request.session_hash), None, False
        try:
            yield self._cleared()
            folder = self._jobs.open_folder(owner)
            made = yield from self._run(values, owner, folder, check_only=check_only)
        except InputError as error:
            yield {self._outputs.state: words.tell_error([str(error)])}
        except OSError as error:
            said = f"cannot write on the server: {error.strerror or error}"
            yield {self._outputs.state: words.tell_error([said])}
        finally:
            if folder is not None and not made:
                self._jobs.forget(owner, folder)

    def _run(
        self, values: Values, owner: str, folder: Path, *, check_only: bool
    ) -> Generator[dict[Any, Any], None, bool]:
        """Run a job and show what comes of it; whether there are results to keep."""
        asked, state = self._read(values), self._outputs.state
        files = asked.take(folder)
        names = words.names_of(asked, files)
        arguments = asked.words(files, folder / "results", check_only=check_only)
        with closing(self._jobs.run(owner, arguments)) as reports:
            outcome = None
            while outcome is None:
                try:
                    yield {state: words.tell_progress(next(reports))}
                except StopIteration as end:
                    outcome = end.value
        if outcome.summary.get("results") and not outcome.cancelled:
            yield self._findings(outcome, asked, names)
        if check_only and outcome.status in (0, 3):
            yield {state: words.tell_checked(outcome.summary)}
            return False
        if outcome.status or outcome.cancelled:
            yield {state: words.tell_failure(outcome, names)}
            return False
        yield {state: words.tell_progress(Report("packing", outcome.summary["seconds"]))}
        yield self._results(outcome)
        return True

    def _read(self, values: Values) -> Request:
        """The request that the page's values state.

        Raises:
            InputError: something is missing.
        """
        value = {name: values[part] for name, part in self._inputs._asdict().items()}
        chosen = value["arrangement"]
        if chosen == _BUNDLED:
            uploads = bundled_captures()[value["bundled"]]
        else:
            given = [value["both"]] if chosen in _ONE else [value["first"], value["second"]]
            uploads = tuple(
                Upload(Path(path), Path(path).name) for path in given if path is not None
            )
        if None in (value["readout_ratio"], value["start_offset"]):
            raise InputError("timing: expected a number in each field")
        return Request(
            uploads,
            layout=ARRANGEMENTS[chosen],
            cures=frozenset(value["cures"]),
            method=value["method"],
            frames=int(value["frames"]),
            readout_ratio=float(value["readout_ratio"]),
            start_offset=float(value["start_offset"]),
            directions=value["directions"],
        )

    def _cleared(self) -> dict[Any, Any]:
        out = self._outputs
        hidden = [*out.buttons.values(), *out.downloads.values()]
        shown = {out.state: "<p>Waiting</p>", out.findings: "", out.viewer: "", out.figures: ""}
        return shown | {each: gr.update(visible=False) for each in hidden}

    def _findings(
        self, outcome: Outcome, asked: Request, names: Mapping[str, str]
    ) -> dict[Any, Any]:
        out, summary = self._outputs, outcome.summary
        suggested = words.cures_in(summary, asked) - asked.cures
        buttons = {
            button: gr.update(visible=name in suggested) for name, button in out.buttons.items()
        }
        figures = words.describe_figures(summary)
        return {out.findings: words.tell_findings(summary, names), out.figures: figures, **buttons}

    def _results(self, outcome: Outcome) -> dict[Any, Any]:
        out, [result] = self._outputs, outcome.summary["results"]
        folder = Path(result["folder"])
        made = {path.name: path for path in pack_downloads(folder, result.get("fps"))}
        page = (folder / "index.html").read_text(encoding="utf-8")
        shown = {
            button: gr.update(visible=name in made, value=str(made[name]) if name in made else None)
            for name, button in out.downloads.items()
        }
        success = words.tell_success(outcome.summary)
        return {out.state: success, out.viewer: words.frame_page(page), **shown}
