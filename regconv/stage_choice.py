"""Which stages a backbone hands out: out_features (names) and out_indices (numbers), always saying the same."""

from __future__ import annotations

from regconv.errors import UnsupportedConfig


class StageChoice:
    """`out_features` and `out_indices` over `stage_names`: setting one recomputes the other, None means the last stage.

    Names and indices are unique, ascending and known; negative indices count from the end and are kept as written.
    Every violation raises UnsupportedConfig.
    """

    stage_names: list[str]
    _out_features: list[str]
    _out_indices: list[int]

    @property
    def out_features(self) -> list[str]:
        """A copy of the chosen stages' names, in running order; assigning raises UnsupportedConfig as the class says."""
        return list(self._out_features)

    @out_features.setter
    def out_features(self, names: list[str] | None) -> None:
        self.choose_stages(names, None)

    @property
    def out_indices(self) -> list[int]:
        """A copy of their places in stage_names, the stem is 0; assigning raises UnsupportedConfig as the class says."""
        return list(self._out_indices)

    @out_indices.setter
    def out_indices(self, indices: list[int] | None) -> None:
        self.choose_stages(None, indices)

    def choose_stages(self, names: list[str] | None, indices: list[int] | tuple[int, ...] | None) -> None:
        """Sets both from what is given of the two; raises when they contradict each other or the stages."""
        if names is None and indices is None:
            names = [self.stage_names[-1]]
        if names is not None:
            _check_names(names, self.stage_names)
        if indices is not None:
            _check_indices(list(indices), self.stage_names)
        if names is not None and indices is not None:
            from_indices = [self.stage_names[index] for index in indices]
            if from_indices != names:
                raise UnsupportedConfig(f"out_features {names} and out_indices {list(indices)} name different stages")
        if indices is None:
            assert names is not None
            indices = [self.stage_names.index(name) for name in names]
        self._out_indices = list(indices)
        self._out_features = [self.stage_names[index] for index in indices]


def _check_names(names: list[str], stages: list[str]) -> None:
    if not isinstance(names, list):
        raise UnsupportedConfig(f"out_features must be a list, got {type(names).__name__}")
    unknown = [name for name in names if name not in stages]
    if unknown:
        raise UnsupportedConfig(f"out_features got {unknown}, expected a subset of {stages}")
    _check_ascending("out_features", names, [stages.index(name) for name in names])


def _check_indices(indices: list[int], stages: list[str]) -> None:
    unknown = [index for index in indices if not -len(stages) <= index < len(stages)]
    if unknown:
        raise UnsupportedConfig(f"out_indices got {unknown}, expected values for the {len(stages)} stages {stages}")
    _check_ascending("out_indices", indices, [index % len(stages) for index in indices])


def _check_ascending(field: str, given: list[str] | list[int], positions: list[int]) -> None:
    if len(set(positions)) != len(positions):
        raise UnsupportedConfig(f"{field} got {given}: the same stage twice")
    if positions != sorted(positions):
        raise UnsupportedConfig(f"{field} got {given}, expected them in the order of the stages")
