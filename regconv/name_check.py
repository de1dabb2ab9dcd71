"""Do a file's tensors fit a network? Pure names and shapes, so that every framework asks the same question.

The rule: a bare network takes a head's file and the reverse, by adding or removing the name's first part; surplus head
tensors are fine, a head that is missing as a whole is fine, batch-norm counters may be absent (old files). All else is
a WeightsMismatch that lists the names with + (in the file only) and - (in the network only). Counters in the file are
no part of networks that count no batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regconv.errors import WeightsMismatch
from regconv.layouts import COUNTER, Shape

_MOST_LISTED = 20  # names in a message; the rest is counted


@dataclass(frozen=True)
class Match:
    """`source` gives, for every tensor of the network that the file can fill, its name in the file."""

    source: dict[str, str]
    missing: list[str]
    unexpected: list[str]
    mismatched: list[tuple[str, Shape, Shape]]  # name, shape in the file, shape in the network

    def loading_info(self) -> dict[str, list[Any]]:
        """The lists under the names that the hub's software gives them."""
        return {
            "missing_keys": self.missing,
            "unexpected_keys": self.unexpected,
            "mismatched_keys": self.mismatched,
            "error_msgs": [],
        }


def match_names(network: Mapping[str, Shape], file: Mapping[str, Shape], prefix: str, head: str) -> Match:
    """What of the file goes where. prefix: "regnet." or "convnext."; head: how the head's names begin."""
    network_has_prefix = any(name.startswith(prefix) for name in network)
    file_has_prefix = any(name.startswith(prefix) for name in file)

    def in_network(name: str) -> str:
        if file_has_prefix and not network_has_prefix and name.startswith(prefix):
            return name.removeprefix(prefix)
        if network_has_prefix and not file_has_prefix and not name.startswith(head):
            return prefix + name
        return name

    counts_batches = any(name.endswith(COUNTER) for name in network)
    found = {in_network(name): name for name in file if counts_batches or not name.endswith(COUNTER)}
    both = [name for name in network if name in found]
    mismatched = [(name, file[found[name]], network[name]) for name in both if file[found[name]] != network[name]]
    unfit = {name for name, _, _ in mismatched}
    return Match(
        source={name: found[name] for name in both if name not in unfit},
        missing=sorted(name for name in network if name not in found),
        unexpected=sorted(original for name, original in found.items() if name not in network),
        mismatched=mismatched,
    )


def check_match(
    match: Match,
    network: Mapping[str, Shape],
    head: str,
    where: str,
    *,
    ignore_mismatched: bool,
    spare: tuple[str, ...] = (),
) -> None:
    """Raises WeightsMismatch unless the differences are among those that the rule allows.

    spare: how names begin that file or network may also have alone.
    """
    network_head = {name for name in network if name.startswith(head)}
    missing = {name for name in match.missing if not name.endswith(COUNTER) and not name.startswith(spare)}
    if network_head <= missing:
        missing -= network_head
    surplus = {name for name in match.unexpected if not name.startswith(spare)}
    if not network_head:
        surplus -= {name for name in surplus if name.startswith(head)}
    if missing or surplus:
        raise WeightsMismatch(
            f"the tensors of {where} are not the network's (+ only in the file, - only in the network):\n"
            + _listed([f"+ {name}" for name in sorted(surplus)])
            + _listed([f"- {name}" for name in sorted(missing)])
            + "Is config.json the one that belongs to these weights?"
        )
    if match.mismatched and not ignore_mismatched:
        lines = [f"  {name}: {there} in the file, {here} in the network" for name, there, here in match.mismatched]
        raise WeightsMismatch(
            f"tensors of {where} have another shape than the network's (size mismatch):\n{_listed(lines)}"
            "ignore_mismatched_sizes=True gives these fresh values instead."
        )


def _listed(lines: list[str]) -> str:
    more = len(lines) - _MOST_LISTED
    shown = lines[:_MOST_LISTED] + ([f"  … and {more} more"] if more > 0 else [])
    return "".join(line + "\n" for line in shown)
