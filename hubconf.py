"""Corrections for `torch.hub.load`, beside a program's own `models`, `data` and `utils` modules.

The three packages of this folder are loaded under a name of their own, with the absolute imports
between them rewritten to it. `sys.path` stays as it is, the names `models`, `data` and `utils` stay
the caller's, and modules that the code imports later, in whatever thread, are found in the same
way. This file imports modules only: `torch.hub.list` shows every other public name.
"""

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import pathlib
import re
import sys
import types
import typing

dependencies = ["cv2", "numpy", "safetensors", "torch"]

_ROOT = pathlib.Path(__file__).resolve().parent
_PACKAGE = f"drsc_{hashlib.sha256(str(_ROOT).encode()).hexdigest()[:12]}"  # two clones do not mix
_OURS = ("models", "data", "utils")
_NAMED_CODE = re.compile(rf"(?:{'|'.join(_OURS)})(?:\.\w+)*:\w+")  # the tables' "module:name"


def drsc(device: str = "auto", *, self_ensemble: bool = False) -> typing.Any:  # noqa: ANN401
    """The default correction of images, by the bundled refiner.

    Args:
        device: "auto", "cpu", "cuda" or "mps".
        self_ensemble: whether to use test-time augmentation: better, in twice the time.

    Returns:
        What `models.load_correction` gives: `correct(t2b, b2t, times=[0, 0.5, 1])` makes frames
        (3, H, W, 3) of two arrays (H, W, 3), or (3, 3, H, W) of two tensors (3, H, W), in their
        dtype: 8 or 16 bit, or floats in [0, 1]. Grey, alpha and batches: `docs/USING.md`.
    """
    return _load("drsc_light.safetensors", device, self_ensemble)


def drsc_generator(device: str = "auto", *, self_ensemble: bool = False) -> typing.Any:  # noqa: ANN401
    """The correction by the paper's network at half width; arguments and result as of `drsc`."""
    return _load("drsc_light_generator.safetensors", device, self_ensemble)


def classical(device: str = "auto", *, self_ensemble: bool = False) -> typing.Any:  # noqa: ANN401
    """The classical correction, which needs no weights; arguments and result as of `drsc`."""
    return _load("classical", device, self_ensemble)


def _load(weights: str, device: str, self_ensemble: bool) -> typing.Any:  # noqa: ANN401
    if _PACKAGE not in sys.modules:
        package = types.ModuleType(_PACKAGE, f"The packages of {_ROOT}.")
        package.__path__ = [str(_ROOT)]
        sys.modules[_PACKAGE] = package
        sys.meta_path.insert(0, _Finder())
    models = importlib.import_module(f"{_PACKAGE}.models")
    chosen = weights if weights == "classical" else _ROOT / "pretrained" / weights
    return models.load_correction(chosen, device=device, self_ensemble=self_ensemble)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules below `_PACKAGE`, and those only."""

    def find_spec(
        self,
        fullname: str,
        path: typing.Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{_PACKAGE}."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module whose imports of ours are those below `_PACKAGE`."""

    def get_code(self, fullname: str) -> types.CodeType:
        # Not from __pycache__: that holds the code with its imports as they are written.
        path = self.get_filename(fullname)
        tree = _Imports().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)


class _Imports(ast.NodeTransformer):
    """Moves the names of our modules below `_PACKAGE`. Ours are imported by `from` only."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:  # noqa: N802
        if node.level == 0 and node.module and node.module.split(".")[0] in _OURS:
            node.module = f"{_PACKAGE}.{node.module}"
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:  # noqa: N802
        if isinstance(node.value, str) and _NAMED_CODE.fullmatch(node.value):
            node.value = f"{_PACKAGE}.{node.value}"
        return node
