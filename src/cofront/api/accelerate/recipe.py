"""Which operators are offered, and how many images do what."""

from __future__ import annotations

import difflib
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from cofront.errors import UsageError

if TYPE_CHECKING:
    from cofront.systems.lana import Recipe
    from cofront.task.data import Dataset

#: Lists of operators by the name that `--candidates` takes.
LISTS = ("few", "some", "all")
#: Validation images that the fine-tuning is watched on, at least.
LEAST_VALIDATION = 2
#: Fewer images to score on than these are worth a note.
FEW_SCORED = 100


def offered(text: str) -> tuple[str, ...]:
    """The names of operators that `--candidates` asks for, the teacher's own always; UsageError for unknown ones."""
    from cofront.space.operators_of import EVERY, FEW, SOME, TEACHER

    lists = {"few": FEW, "some": SOME, "all": EVERY}
    if text in lists:
        return lists[text]
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in EVERY:
            raise _unknown(name, (*(LISTS if len(names) == 1 else ()), *EVERY), SOME)
    return tuple(dict.fromkeys((TEACHER, *names)))


def _unknown(name: str, known: tuple[str, ...], some: tuple[str, ...]) -> UsageError:
    """There are too many names to print them all."""
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(some[1:5])} and others."
    return UsageError(
        f"--candidates: no operator named '{name}'; {hint} All names are in docs/accelerate.md; {', '.join(LISTS)} are "
        "lists of them"
    )


def check_images(data: Dataset, epochs: int) -> None:
    """UsageError when there are too few images for the fine-tuning, which is watched on validation images; all before
    it needs fewer than any data set has."""
    from cofront.task.data import LEAST, VALIDATION_SHARE

    if not epochs or len(data.x_val) >= LEAST_VALIDATION:
        return
    least = next(n for n in count(LEAST) if round(n * VALIDATION_SHARE) >= LEAST_VALIDATION)
    raise UsageError(
        f"{len(data.x_train) + len(data.x_val):,} training images are too few: a tenth of them is held out, and the "
        f"fine-tuning needs {LEAST_VALIDATION} there; give {least} at least, better hundreds, or --no-finetune"
    )


def few_images(recipe: Recipe) -> list[str]:
    """A note where scores are of few images."""
    if recipe.score >= FEW_SCORED:
        return []
    return [f"operators are scored on {recipe.score} images alone, which says little; give more training images"]


def recipe_for(operators: tuple[str, ...], images: int, epochs: int, seed: int, n: int) -> Recipe:
    """How many of n training images do what: a quarter at most for each of scoring and statistics.

    `images` is how many the operators may learn from, `epochs` those of the fine-tuning.
    """
    from cofront.systems.lana import Recipe

    if epochs < 0 or images < 2:
        raise UsageError(f"expected --epochs from 0 and --images from 2, got {epochs} and {images}")
    plain = Recipe(offered=operators)
    score, statistics = min(plain.score, max(n // 4, 1)), min(plain.statistics, max(n // 4, 2))
    learn = min(images, n - score)
    batch = max(2, min(plain.lesson.batch, learn // 4))
    recipe = replace(
        plain, score=score, statistics=min(statistics, max(learn, 2)), learn=learn,
        lesson=replace(plain.lesson, batch=batch),
        schedule=replace(plain.schedule, epochs=max(epochs, 1), batch=max(2, min(128, n // 8))),
    )  # fmt: skip
    return recipe.seeded(seed)
