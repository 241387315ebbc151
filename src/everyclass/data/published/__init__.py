"""ImageNet-LT, Places-LT and iNaturalist 2018: their published counts, and their lists on disk."""

from everyclass.data.published.facts import PUBLISHED, PublishedSet, check_list
from everyclass.data.published.lists import (
    find_pictures,
    find_published,
    missing_lists,
    read_published,
)

__all__ = [
    "PUBLISHED",
    "PublishedSet",
    "check_list",
    "find_pictures",
    "find_published",
    "missing_lists",
    "read_published",
]
