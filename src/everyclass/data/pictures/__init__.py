"""Pictures of any size in files, tables and shards: found, decoded, and what is wrong with them."""

from everyclass.data.pictures.bad_pictures import BadPictures, Policy, check_bad_list, check_policy
from everyclass.data.pictures.decoded_source import DecodedSource
from everyclass.data.pictures.decoding import BadPictureError, Cut, decode
from everyclass.data.pictures.encoded import Encoded, EncodedSet
from everyclass.data.pictures.files import (
    Files,
    Listed,
    class_folders,
    list_folder,
    read_list,
    read_table,
)
from everyclass.data.pictures.shards import Shards, find_shards, read_shards
from everyclass.data.pictures.tables import (
    Parquet,
    SavedDataset,
    described_names,
    find_parquet,
    read_parquet,
    read_saved,
)

__all__ = [
    "BadPictureError",
    "BadPictures",
    "Cut",
    "DecodedSource",
    "Encoded",
    "EncodedSet",
    "Files",
    "Listed",
    "Parquet",
    "Policy",
    "SavedDataset",
    "Shards",
    "check_bad_list",
    "check_policy",
    "class_folders",
    "decode",
    "described_names",
    "find_parquet",
    "find_shards",
    "list_folder",
    "read_list",
    "read_parquet",
    "read_saved",
    "read_shards",
    "read_table",
]
