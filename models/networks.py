"""The correction networks that option files and weight files can name."""

from collections.abc import Mapping
from typing import Literal

from models.generator import Generator
from models.refiner.network import Refiner

Corrector = Generator | Refiner
"""A network from a pair and time offsets to frames and flows."""

NetType = Literal["generator", "refiner"]

CORRECTORS: Mapping[NetType, type[Corrector]] = {"generator": Generator, "refiner": Refiner}
