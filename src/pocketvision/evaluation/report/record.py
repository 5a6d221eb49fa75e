"""All that a report holds, as plain values. A part that is None or empty is left out of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pocketvision.data.audit import Audit
from pocketvision.data.finding import Finding
from pocketvision.errors import UsageError
from pocketvision.evaluation.evaluation import Evaluation, untouched_first
from pocketvision.evaluation.near_twins import NearTwins
from pocketvision.evaluation.report.looked import Looking, NotLooking
from pocketvision.evaluation.report.suspects import Suspects, suspects_of
from pocketvision.printable import shortened
from pocketvision.progress import EpochRecord
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.manifest import by_task
from pocketvision.tasks.reporting.parts import ClassCounts, PlainValue, Subject, TaskReport
from pocketvision.training.history import epoch_to_dict


@dataclass(frozen=True)
class AuditFinding:
    """All findings of one kind. kind, severity: as in data/findings.py. examples: a few files, or messages without them."""

    kind: str
    severity: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditSummary:
    """What the audit looked at and found, the worst kinds first; no findings means clean data.

    suspects: the pictures behind some of the findings; None where they are not to be shown.
    """

    images: int
    findings: tuple[AuditFinding, ...]
    suspects: Suspects | None = None

    @classmethod
    def of(cls, audit: Audit) -> "AuditSummary":
        """The summary of an audit: its findings, kind by kind, and its suspects."""
        kinds: dict[str, list[Finding]] = {}
        for finding in audit.findings:
            kinds.setdefault(finding.kind, []).append(finding)
        return cls(
            images=len(audit.samples),
            findings=tuple(
                AuditFinding(
                    kind=kind,
                    severity=findings[0].severity,
                    count=len(findings),
                    examples=tuple(", ".join(each.files[:2]) or each.message for each in findings[:3]),
                )
                for kind, findings in kinds.items()
            ),
            suspects=suspects_of(audit),
        )


@dataclass(frozen=True, eq=False)
class RunRecord:
    """A run, or an evaluation alone, as its report shows it. Raises UsageError for evaluations of several bundles.

    title: what the page is called, such as the data's name. created: date and time as text. model: architecture's name.
    evaluations: at least one, all of one bundle, in the order of the report; `main` is shown in detail.
    recipe: every setting by its path. used: the value that was taken for a setting that left it open ("auto"). meanings: what
    each setting is, for those that the texts have no name for. stages: how many stages the network has, as `unfreeze` counts.
    history, chosen: the epochs of both stages; the one whose weights were kept.
    agreement: for each exported file, its figures against the trained network (export/agreement.py).
    sizes: bytes by file name. timings: seconds by step. notes: what else the reader must know, as sentences.
    command: what repeats the main figures, on the command line; None where that is not known. repeats: the same of the sections
    that a training brings, by their ids (repeating.of_run).
    twins: what of the validation has a near-twin in training; None where nobody looked, or no likely groups were found.
    looking: what is shown beside mistakes.
    """

    title: str
    created: str
    evaluations: tuple[Evaluation, ...]
    model: str | None = None
    recipe: Mapping[str, PlainValue] | None = None
    used: Mapping[str, PlainValue] | None = None
    meanings: Mapping[str, str] | None = None
    stages: int | None = None
    audit: AuditSummary | None = None
    classes: tuple[ClassCounts, ...] = ()
    history: Sequence[EpochRecord] = ()
    chosen: EpochRecord | None = None
    agreement: Mapping[str, Mapping[str, float]] | None = None
    bundle: str | None = None
    sizes: Mapping[str, int] | None = None
    timings: Mapping[str, float] | None = None
    versions: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    twins: NearTwins | None = None
    looking: Looking = field(default_factory=NotLooking)
    command: str | None = None
    repeats: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in {name for each in self.evaluations for name in each.tasks}:
            labels = {each.tasks[name].task.labels for each in self.evaluations if name in each.tasks}
            if len(labels) > 1:
                one, other = ([shortened(name) for name in each[:3]] for each in sorted(labels)[:2])
                raise UsageError(
                    f"The evaluations of {self.title} are of several bundles: for {name} one knows {', '.join(one)} and one "
                    f"{', '.join(other)} (of {' and '.join(str(len(each)) for each in sorted(labels)[:2])} classes)."
                )

    @property
    def main(self) -> Evaluation:
        """The evaluation shown in detail: the first on untouched images, or else the first."""
        return self.led[0]

    @property
    def one_each(self) -> bool:
        """Whether an image is of one class alone, so that the images of all classes add up."""
        return CLASSIFICATION in self.main.tasks

    @property
    def led(self) -> list[Evaluation]:
        """All of them, `main` first."""
        return untouched_first(self.evaluations)

    @property
    def parts(self) -> list[tuple[Subject, TaskReport]]:
        """What its tasks bring, of the main evaluation."""
        tasks = self.main.tasks
        return [
            (Subject(each, self.main.root, f"{name}-" if len(tasks) > 1 else ""), task_named(each.task.kind).report())
            for name, each in tasks.items()
        ]

    @property
    def learned(self) -> list[str]:
        """The tasks whose figures the epochs have, where there are several."""
        found = [*self.history[-1].figures] if self.history else []
        return found if len(found) > 1 else []

    @property
    def conflicts(self) -> dict[str, float]:
        """By ONE+OTHER, the mean over the epochs of the cosine between two tasks' gradients on what they share."""
        found: dict[str, list[float]] = {}
        for epoch in self.history:
            for name, value in epoch.tasks.items():
                if name.endswith(".cosine"):
                    found.setdefault(name.removesuffix(".cosine"), []).append(value)
        return {pair: sum(values) / len(values) for pair, values in found.items()}

    @property
    def task_weights(self) -> dict[str, float]:
        """Of the tasks' losses at the end, where they were learned."""
        last = self.history[-1].tasks if self.history else {}
        return {name.removesuffix(".weight"): value for name, value in last.items() if name.endswith(".weight")}

    @property
    def pace(self) -> dict[str, float]:
        """Images a second and the share of waiting, means of the last phase's epochs, and the most memory of all, in bytes.

        Nothing where the history does not tell.
        """
        last = [each for each in self.history if each.stage == self.history[-1].stage]
        if not any(each.peak_memory for each in self.history):
            return {}
        return {
            "speed": sum(each.images_per_second for each in last) / len(last),
            "waiting": sum(each.waiting for each in last) / len(last),
            "peak_bytes": int(max(each.peak_memory for each in self.history) * 1e6),
        }

    @property
    def watched(self) -> TaskReport:
        """Of the task whose figure the epochs have: one that is watched, else the first."""
        reports = [report for _, report in self.parts]
        return next((each for each in reports if each.watched), reports[0])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for metrics.json: the main evaluation's figures first, then every evaluation's by name."""
        return {
            "title": self.title,
            "created": self.created,
            "model": self.model,
            **self.main.to_dict(),
            **by_task(
                dict(
                    zip(self.main.tasks, (report.figures(part.evaluation) for part, report in self.parts), strict=True)
                )
            ),
            "evaluations": {each.name: each.to_dict() for each in self.evaluations},
            "chosen": None if self.chosen is None else epoch_to_dict(self.chosen),
            "recipe": None if self.recipe is None else dict(self.recipe),
            "agreement": self.agreement,
            "bundle": self.bundle,
            "sizes": self.sizes,
            "timings": self.timings,
            "versions": self.versions,
            "notes": list(self.notes),
            "near_twins": None if self.twins is None else self.twins.to_dict(),
        }
