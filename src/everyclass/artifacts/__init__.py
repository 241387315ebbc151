"""What flows between stages, and how each is saved: no torch in here."""

from everyclass.artifacts._checks import as_array, as_floats, as_ids, as_labels, as_names
from everyclass.artifacts._files import (
    atomic_write,
    existing_file,
    load_safetensors,
    prepare_folder,
    read_json,
    read_npz,
    save_safetensors,
    write_json,
    write_npz,
)
from everyclass.artifacts.class_counts import ClassCounts, Group, GroupRule

__all__ = [
    "ClassCounts",
    "Group",
    "GroupRule",
    "as_array",
    "as_floats",
    "as_ids",
    "as_labels",
    "as_names",
    "atomic_write",
    "existing_file",
    "load_safetensors",
    "prepare_folder",
    "read_json",
    "read_npz",
    "save_safetensors",
    "write_json",
    "write_npz",
]
