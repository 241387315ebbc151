"""The data sets that have a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from everyclass.artifacts import ClassCounts
from everyclass.data.image_set import Dataset
from everyclass.data.long_tailed import DATASETS
from everyclass.data.opening import open_pictures
from everyclass.data.pictures import check_policy
from everyclass.data.places import search_roots
from everyclass.data.profiles import Profile, long_tailed_counts
from everyclass.data.published import PUBLISHED
from everyclass.data.published.facts import IMAGENET_MEAN, IMAGENET_STD
from everyclass.data.specs import parse_spec
from everyclass.errors import InputError

__all__ = ["DataConfig", "load_dataset"]

USUAL_RATIO = 100.0

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class DataConfig:
    """Which data set, made long-tailed how.

    Attributes:
        name: one of ``DATASETS``, which are made long-tailed; one of ``PUBLISHED``, which are by
            nature; or pictures in files, see :func:`everyclass.data.parse_spec`.
        imbalance_ratio: largest over smallest class, 100 unless said; None where the data are
            taken as they are.
        profile: "exp" or "step".
        val: "none", or "rest" for held-out images that no training uses: what a made split leaves
            over, or the validation images that a set comes with.
        bad_images: "fail", or "skip" to leave out pictures that cannot be read.

    Raises:
        InputError: there is no such data set, or it cannot be made long-tailed; another value of
            ``val`` or ``bad_images`` than these.
    """

    name: str = "cifar100-lt"
    imbalance_ratio: float | None = None
    profile: Profile = "exp"
    val: str = "none"
    bad_images: str = "fail"

    def __post_init__(self) -> None:
        check_policy(self.bad_images)
        if self.val not in ("none", "rest"):
            raise InputError(f"val (--val) must be 'none' or 'rest'; got {self.val!r}.")
        if self.in_memory:
            if self.imbalance_ratio is None:
                object.__setattr__(self, "imbalance_ratio", USUAL_RATIO)
            return
        spec = parse_spec(self.name)
        if self.imbalance_ratio is not None or self.profile != "exp":
            raise InputError(
                f"{spec.slug} is taken as it is; leave out imbalance_ratio and profile "
                "(--imbalance-ratio, --profile)."
            )

    @property
    def in_memory(self) -> bool:
        """Whether the images are small, kept in memory, and made long-tailed here."""
        return self.name in DATASETS

    @property
    def kind(self) -> str:
        """The name of a named set, else the form of the files, such as ``list``."""
        return self.name if self.in_memory else parse_spec(self.name).kind

    @property
    def slug(self) -> str:
        """A name without what makes it long-tailed."""
        return self.name if self.in_memory else parse_spec(self.name).slug

    @property
    def folder_name(self) -> str:
        """What folders of runs and results are called: ``cifar100-lt-ir100``, ``imagenet-lt``."""
        ratio = "" if self.imbalance_ratio is None else f"-ir{self.imbalance_ratio:g}"
        return f"{self.slug}{ratio}{'-step' if self.profile == 'step' else ''}"

    @property
    def known_counts(self) -> ClassCounts | None:
        """Training images per class where they are known without opening anything.

        Raises:
            InputError: the imbalance ratio leaves a class without images.
        """
        if self.in_memory:
            assert self.imbalance_ratio is not None
            made = DATASETS[self.name]
            return ClassCounts(
                long_tailed_counts(
                    made.largest, made.num_classes, self.imbalance_ratio, self.profile
                )
            )
        published = PUBLISHED.get(self.kind)
        counts = None if published is None else published.counts_of("train")
        return None if counts is None else ClassCounts(counts)

    @property
    def normalisation(self) -> tuple[Channels, Channels]:
        """Mean and deviation per channel that its images are normalised by."""
        facts = DATASETS[self.name] if self.in_memory else PUBLISHED.get(self.kind)
        return (IMAGENET_MEAN, IMAGENET_STD) if facts is None else (facts.mean, facts.std)

    @property
    def says_size(self) -> bool:
        """Whether it says what size pictures become."""
        return not self.in_memory and parse_spec(self.name).size is not None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for ``config.json``: those that say something about this data set."""
        values = asdict(self)
        if not self.in_memory:
            del values["imbalance_ratio"], values["profile"]
        if self.bad_images == "fail":
            del values["bad_images"]
        return values


def load_dataset(config: DataConfig, *, root: str | Path | None = None) -> Dataset:
    """Load a data set, or open it where its pictures are in files.

    Args:
        config: which one, and how long-tailed.
        root: folder to look in before ``EVERYCLASS_DATA`` and the cache.

    Raises:
        InputError: the split is impossible, or parts do not fit each other.
        DataNotFoundError: its files are in none of the places tried.
        MissingFileError: ``root`` is not there, or a file that ``config`` names.
        FileFormatError: a file is not what it should be.

    Example:
        >>> digits = load_dataset(DataConfig("digits-lt", imbalance_ratio=20))
        >>> digits.class_counts.counts.tolist()
        [120, 86, 61, 44, 31, 22, 16, 11, 8, 6]
    """
    if not config.in_memory:
        return open_pictures(
            parse_spec(config.name), val=config.val, bad_images=config.bad_images, root=root
        )
    search_roots(root)  # one that is not there is refused, even where the images need none
    return DATASETS[config.name].load(
        imbalance_ratio=config.imbalance_ratio, profile=config.profile, val=config.val, root=root
    )
