"""The sets of weights in a checkpoint: which there are, which one is taken, and how another is chosen."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pocketvision.errors import WeightsError, unknown_name
from pocketvision.models.torch_checkpoint import Placeholder

State = dict[str, Tensor]

TOP = "(top level)"
"""The name of a set whose keys stand in the file without a dictionary around them."""

# Under which names training scripts put the weights into a checkpoint, and what wrappers put before every key.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "params", "weights", TOP)
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
# Several networks in one state dict, as Lightning's checkpoints and distillation have them.
_SIBLINGS = (*_PREFIXES, "ema_model.", "model_ema.", "ema.", "teacher.", "student.")
_AVERAGED = re.compile(r"(^|[^a-z])(ema|swa|shadow|averaged?|teacher)([^a-z]|$)")
# Tensors that are none of the network's.
_OTHER_STATE = re.compile(
    r"optim|sched|scaler|^amp|rng|callback|loops|hyper_parameters|^args$|^config$|^cfg$|queue|centers?$"
)
_DEEPEST = 4
# Smaller than this share of the largest, it is no network but what stands beside one.
_LEAST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class WeightSet:
    """The set that was taken, unwrapped: its name, tensors by key, and the names of the others. left_out: keys of the same
    dictionary that belong to no network."""

    name: str
    state: State
    others: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """A sentence for the user; empty where there was nothing to choose."""
        said = []
        if self.others:
            said.append(
                f"{1 + len(self.others)} sets of weights: {self.name} is taken, not {', '.join(self.others)}. "
                f"Choose with --weights-key {self.others[0]}."
            )
        elif is_averaged(self.name):
            said.append(f"only averaged weights: {self.name} is taken.")
        if self.left_out:
            more = f" and {len(self.left_out) - 3} more" if len(self.left_out) > 3 else ""
            said.append(f"keys beside the network are left out: {', '.join(self.left_out[:3])}{more}.")
        return " ".join(said)


def is_averaged(name: str) -> bool:
    """Whether a set's name says that it is an average over the training (EMA, SWA, a mean teacher)."""
    return bool(_AVERAGED.search(name.lower()))


def choose(content: object, key: str | None = None) -> WeightSet:
    """The set called `key`; None for plain weights before averaged ones, and the largest among them.

    Raises WeightsError when the content holds none, saying what it holds; for an unknown key it lists those there are.
    """
    found = {name: (state, left_out) for name, state, left_out in _sets(content)}
    largest = max((len(state) for state, _ in found.values()), default=0)
    if largest == 0:
        raise WeightsError(f"it holds no tensors by name{_contents(content)}")
    found = {name: each for name, each in found.items() if len(each[0]) >= _LEAST_SHARE * largest}
    if len(found) > 1 and len(found.get(TOP, ({}, ()))[0]) <= min(len(state) for state, _ in found.values()):
        found.pop(TOP, None)  # single tensors beside the networks, such as a random state
    ranked = sorted(found, key=lambda name: (is_averaged(name), _base(name) not in _WRAPPERS, -len(found[name][0])))
    if key is not None and key not in found:
        raise unknown_name("set of weights (--weights-key)", key, ranked)
    name = key or ranked[0]
    state, left_out = found[name]
    return WeightSet(name, without_prefixes(state), tuple(each for each in ranked if each != name), left_out)


def without_prefixes(state: State) -> State:
    """Strip what DataParallel, torch.compile or a trainer's wrapper put before all keys."""
    for prefix in _SIBLINGS * 2:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _base(name: str) -> str:
    """`model` of `checkpoint.model` and of `state_dict[model.]`."""
    return name.partition("[")[0].rpartition(".")[2]


def _sets(content: object) -> Iterator[tuple[str, State, tuple[str, ...]]]:
    for name, state in _dictionaries(content, "", 0):
        groups = _by_prefix(state)
        beside = tuple(key for key in state if not key.startswith(tuple(groups)))
        if groups and len(beside) < max(map(len, groups.values())):
            for prefix, group in groups.items():
                single = len(groups) == 1
                yield (name if single else f"{name}[{prefix}]"), group, beside if single else ()
        else:
            yield name, state, ()


def _by_prefix(state: State) -> dict[str, State]:
    """The keys of each network where a dictionary holds several, or one with other keys beside it."""
    groups = {
        prefix: {key: value for key, value in state.items() if key.startswith(prefix)}
        for prefix in _SIBLINGS
        if any(key.startswith(prefix) for key in state)
    }
    return {} if any(len(group) == len(state) for group in groups.values()) else groups


def _dictionaries(content: object, path: str, depth: int) -> Iterator[tuple[str, State]]:
    """Every dictionary of tensors by name, and every pickled module."""
    if isinstance(content, Placeholder):
        tensors = content.tensors()
        if tensors:
            yield path or TOP, tensors
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield path or TOP, tensors
    for key, value in content.items():
        if isinstance(key, str) and not _OTHER_STATE.search(key.lower()):
            yield from _dictionaries(value, f"{path}.{key}" if path else key, depth + 1)


def _contents(content: object) -> str:
    """What is in the file instead, in a few words."""
    if isinstance(content, Mapping) and content:
        listed = ", ".join(f"{str(key)[:40]} ({_kind(value)})" for key, value in list(content.items())[:6])
        return f", only {listed}{' ...' if len(content) > 6 else ''}"
    return f" but {_kind(content)}" if not isinstance(content, Mapping) else " but an empty dictionary"


def _kind(value: Any) -> str:
    if isinstance(value, Placeholder):
        return value.global_name
    return (
        f"{type(value).__name__} of {len(value)}" if isinstance(value, Mapping | list | tuple) else type(value).__name__
    )
