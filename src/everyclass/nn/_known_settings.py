"""Settings in a module's state beside its weights, which mean something else without them."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

__all__ = ["StateWithSettings"]


class StateWithSettings(nn.Module):
    """A module whose ``state_dict`` holds settings too, and which refuses other ones on loading.

    They stand in the metadata of the state, where torch keeps versions, so its keys are those of
    the weights alone. ``load_state_dict(strict=False)`` refuses them too, as the same weights mean
    something else there. A state without them is loaded as it is: one of an earlier version, and
    one that was kept as safetensors, which drop this metadata.
    """

    _in_state: ClassVar[tuple[str, ...]] = ()  # names of the settings, said by a subclass

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
        if metadata is not None:
            metadata["settings"] = {name: getattr(self, name) for name in self._in_state}

    def _load_from_state_dict(  # noqa: PLR0917 - torch's own
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for name, value in local_metadata.get("settings", {}).items():
            own = getattr(self, name, None)
            if own != value:
                error_msgs.append(
                    f"{prefix}{name} is {value} in the state and {own} in this "
                    f"{type(self).__name__}; make it with {value}."
                )
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
