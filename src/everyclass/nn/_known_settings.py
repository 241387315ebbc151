"""Settings that a module's state tells beside its weights, which mean nothing without them."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

__all__ = ["KnowsSettings"]


class KnowsSettings(nn.Module):
    """A module that refuses the state of one that was set up otherwise.

    The settings stand in the metadata of a ``state_dict``, where torch keeps versions, so that its
    keys are what they were and a state that says nothing of them is loaded as it is.
    """

    _told: ClassVar[tuple[str, ...]] = ()  # names of the settings, which a subclass says

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
        if metadata is not None:
            metadata["settings"] = {name: getattr(self, name) for name in self._told}

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
