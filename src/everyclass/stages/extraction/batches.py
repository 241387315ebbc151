"""What loaders yield, as a network takes it: tensors, dicts of tensors, and labels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from everyclass.errors import InputError
from everyclass.stages.extraction.batch_labels import class_numbers
from everyclass.stages.extraction.loaders import BATCH_SIZE, LABEL_KEYS

__all__ = ["BatchReader"]

_WITHOUT_LABELS = (
    "The loader yields no labels, only inputs; it must yield (inputs, labels), or a dict with one "
    "of them under a name such as 'labels'."
)


def _as_tensor(value: Any) -> Any:
    """NumPy arrays of numbers as tensors; everything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value)
    return value


@dataclass(frozen=True)
class BatchReader:
    """Takes batches apart for one network.

    Attributes:
        names: of the arguments that the network takes.
        takes_any: whether it takes arguments of any name.
        device: where its inputs have to be.
        dtype: of its weights; inputs that are not integers are converted, but under autocast.
        label_key: the name of the labels in a batch that is a dict, or None for the usual ones.
        class_names: C names in class order, for labels that are strings, or None.
    """

    names: tuple[str, ...]
    takes_any: bool
    device: torch.device
    dtype: torch.dtype
    label_key: str | None = None
    class_names: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls, model: nn.Module, label_key: str | None, class_names: Sequence[str] | None
    ) -> BatchReader:
        """For this network.

        Raises:
            InputError: its weights are on no device, or on several processes.
        """
        parameters = inspect.signature(model.forward).parameters.values()
        weights = list(model.parameters())
        if any(weight.is_meta for weight in weights):
            raise InputError(
                "The network's weights are on the device 'meta', which holds no numbers; load them."
            )
        if any(hasattr(weight, "full_tensor") for weight in weights):  # a DTensor
            raise InputError(
                "The network's weights are spread over processes (FSDP, tensor parallel); load its "
                "full state_dict into a plain network and pass that."
            )
        floats = (weight.dtype for weight in weights if weight.is_floating_point())
        return cls(
            tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)),
            any(p.kind == p.VAR_KEYWORD for p in parameters),
            weights[0].device if weights else torch.device("cpu"),
            next(floats, torch.float32),
            label_key,
            None if class_names is None else tuple(class_names),
        )

    def read(self, batch: Any) -> tuple[tuple[Any, ...], dict[str, Any], Tensor]:
        """Positional and named inputs on the network's device, and (n,) labels.

        Raises:
            InputError: the batch is of another form, or its labels are no classes.
        """
        inputs, labels = self._halves(batch)
        if isinstance(inputs, Mapping):
            args, kwargs = self._named(inputs)
        else:
            args, kwargs = (self._moved(inputs),), {}
        return args, kwargs, class_numbers(labels, self.class_names)

    def _halves(self, batch: Any) -> tuple[Any, Any]:
        if isinstance(batch, Mapping):
            key = self._key(batch)
            inputs = {name: _as_tensor(value) for name, value in batch.items() if name != key}
            return inputs, _as_tensor(batch[key])
        if isinstance(batch, list | tuple) and len(batch) == 2:
            inputs, labels = (_as_tensor(part) for part in batch)
            if isinstance(labels, int):
                raise InputError(
                    "The loader yields single samples; batch them: DataLoader(dataset, "
                    f"batch_size={BATCH_SIZE})."
                )
            if isinstance(inputs, Tensor | Mapping):
                return inputs, labels
        if isinstance(batch, Tensor) or (
            isinstance(batch, list | tuple) and len(batch) == 1 and isinstance(batch[0], Tensor)
        ):
            raise InputError(_WITHOUT_LABELS)
        kind = type(batch).__name__
        if isinstance(batch, list | tuple):
            kind += f" of {', '.join(type(part).__name__ for part in batch)}"
        raise InputError(
            f"The loader yields a {kind} and must yield (inputs, labels) with inputs a tensor or a "
            "dict of tensors, or one dict of both; wrap it: ((b[0], b[1]) for b in loader)."
        )

    def _key(self, batch: Mapping[str, Any]) -> str:
        if self.label_key is not None:
            if self.label_key not in batch:
                raise InputError(
                    f"The loader's batches have no {self.label_key!r}; they have "
                    f"{', '.join(map(repr, batch))}."
                )
            return self.label_key
        found = [key for key in LABEL_KEYS if key in batch]
        if len(found) == 1:
            return found[0]
        which = ", ".join(map(repr, batch))
        if not found:
            raise InputError(
                f"The loader's batches have {which}, and none is called as labels usually are; "
                'name the one that holds the labels with label_key="…".'
            )
        raise InputError(
            f"The loader's batches have {which}; name the one that holds the labels with "
            'label_key="…".'
        )

    def _named(self, inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        tensors = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
        known = {name: value for name, value in tensors.items() if name in self.names}
        if self.takes_any and (known or len(tensors) > 1):
            known = tensors
        if known:
            return (), {name: self._moved(value) for name, value in known.items()}
        if len(tensors) == 1:
            return (self._moved(*tensors.values()),), {}
        if not tensors:
            kinds = ", ".join(f"{k!r}: {type(v).__name__}" for k, v in inputs.items()) or "nothing"
            raise InputError(
                f"The loader's batches hold no tensor beside the labels ({kinds}); give the data "
                "set a transform or a tokenizer that makes tensors."
            )
        raise InputError(
            f"The loader's batches have {', '.join(map(repr, tensors))} and the network takes "
            f"{', '.join(self.names)}; wrap it: ((b['image'], b['label']) for b in loader)."
        )

    def _moved(self, value: Tensor) -> Tensor:
        value = value.to(self.device)
        if not value.is_floating_point() or torch.is_autocast_enabled(self.device.type):
            return value
        return value.to(self.dtype)
