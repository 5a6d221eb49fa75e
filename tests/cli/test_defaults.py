"""A verb has the same defaults from the shell as from Python."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import typer.main
from click import Command

from pocketvision.benchmarking.settings import BenchmarkSettings
from pocketvision.cli.verbs import app
from pocketvision.client.load_plan import LoadPlan
from pocketvision.compression.budget import Budget
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.compression.trial_settings import TrialSettings
from pocketvision.serving.batching import BatchSettings
from pocketvision.serving.live import LiveSettings
from pocketvision.serving.settings import ServerSettings
from pocketvision.training.contrast.settings import ContrastSettings
from pocketvision.training.recipe import Recipe
from pocketvision.workflows.benchmark import benchmark
from pocketvision.workflows.benchmark_service import benchmark_service
from pocketvision.workflows.check import check
from pocketvision.workflows.compare import compare
from pocketvision.workflows.convert import convert
from pocketvision.workflows.demo import demo
from pocketvision.workflows.diagnose import diagnose
from pocketvision.workflows.ensemble import ensemble
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.export import export
from pocketvision.workflows.fit import fit
from pocketvision.workflows.import_weights import import_weights
from pocketvision.workflows.predict import predict
from pocketvision.workflows.pretrain import pretrain
from pocketvision.workflows.prune import prune
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.serve import serve
from pocketvision.workflows.soup import soup
from pocketvision.workflows.stream import stream
from pocketvision.workflows.threshold import threshold
from pocketvision.workflows.train import train
from pocketvision.workflows.verify import verify

# What a verb of the shell is in Python: a function and the settings that it is given.
PYTHON: dict[str, tuple[Callable[..., Any], ...]] = {
    "check": (check,),
    "compare": (compare,),
    "convert": (convert,),
    "train": (train, Recipe),
    "demo": (demo,),
    "diagnose": (diagnose,),
    "evaluate": (evaluate,),
    "predict": (predict,),
    "stream": (stream,),
    "threshold": (threshold,),
    "import": (import_weights,),
    "export": (export,),
    "prune": (prune, PruneSettings),
    "fit": (fit, TrialSettings, Budget),
    "quantize": (quantize,),
    "verify": (verify,),
    "ensemble": (ensemble,),
    "soup": (soup,),
    "pretrain": (pretrain, ContrastSettings),
    "serve": (serve, ServerSettings, BatchSettings, LiveSettings),
    "benchmark": (benchmark, BenchmarkSettings),
    "benchmark-service": (benchmark_service, LoadPlan),
}
# Units of the shell: gigabytes, mebibytes.
UNITS = {("train", "cache_limit"): 10**9, ("serve", "max_body"): 2**20}
COMMANDS: dict[str, Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The default of every parameter that has one."""
    parameters = inspect.signature(function).parameters.values()
    found = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
    if dataclasses.is_dataclass(function):
        made = {f.name: f.default_factory() for f in dataclasses.fields(function) if callable(f.default_factory)}
        return {**found, **made}
    return found


def test_every_verb_is_looked_at() -> None:
    assert set(COMMANDS) - set(PYTHON) == {"new-key", "client", "explain", "models", "tune"}


@pytest.mark.parametrize("verb", PYTHON)
def test_a_default_is_the_same_in_the_shell_and_in_python(verb: str) -> None:
    different = {}
    for parameter in COMMANDS[verb].params:
        name = parameter.name or ""
        shell = parameter.default
        if shell is not None:
            shell = shell * UNITS.get((verb, name), 1)
        for function in PYTHON[verb]:
            python = defaults(function).get(name, shell)
            if python is not None and shell is not None and python != shell:
                different[f"{function.__name__}.{name}"] = (python, shell)
            # None stands for a default that the Python side, or the help, tells: there is no second number.
    assert different == {}
