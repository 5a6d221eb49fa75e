"""Tags that a split can not tell apart, because all or none of its images have them: said before they are measured."""

from collections.abc import Mapping

from pocketvision.data.samples import Samples
from pocketvision.printable import shortened
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth

_NAMED = 5
_MEANING = {"val": "No threshold can be chosen for them there", "test": "Their figures say nothing there"}
_WORD = {"val": "validation", "test": "test"}


def one_sided_tags(samples: Samples, learned: Mapping[str, Truth]) -> list[str]:
    """A sentence for each split, besides training, and whether all or none of its images have some tags. samples: with splits."""
    found = []
    for truth in learned.values():
        if not isinstance(truth, TagLabels):
            continue
        for split, meaning in _MEANING.items():
            own = truth.select(samples.split_indices(split))
            images, counts = int(own.present.sum()), own.class_counts()
            for share, there in (("none", counts == 0), ("all", counts == images)):
                names = [shortened(name, 40) for name, is_so in zip(truth.class_names, there, strict=True) if is_so]
                if images and names:
                    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                    told = f"Tags on {share} of the {images} {_WORD[split]} images: {', '.join(names[:_NAMED])}{more}."
                    found.append(f"{told} {meaning}: move images between the splits, or add some.")
    return found
