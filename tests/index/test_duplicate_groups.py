"""Groups and decisions about them, without pictures."""

from __future__ import annotations

from datetime import datetime

from index.duplicate_groups import BURST, Group, Member, components, grouped, same_bytes, undecided
from index.duplicate_relation import EDITED, Relation
from storage.decisions import KEEP_BOTH, NOT_DUPLICATE, DecisionRecord
from storage.fingerprints import Copy

LINK = Relation(EDITED, "grey")


def copy(content: int, photo: int | None = None, **facts: object) -> Copy:
    plain = Copy(
        photo or content,
        f"/{photo or content}.jpg",
        100,
        content,
        "d",
        5000,
        800,
        600,
        "JPEG",
        None,
        None,
        1.0,
        30.0,
        None,
    )
    return plain._replace(**facts)


def group(*contents: int, kind: str = EDITED) -> Group:
    return Group(kind, tuple(Member(10 * n + content, f"/{n}", content, "") for n, content in enumerate(contents)), "")


def decision(verdict: str, **copies: int) -> DecisionRecord:
    return DecisionRecord(1, verdict, datetime(2026, 1, 1), {int(name[1:]): count for name, count in copies.items()})


def test_links_make_components() -> None:
    assert components([(5, 9), (1, 2), (9, 7), (2, 1)]) == [[1, 2], [5, 7, 9]]


def test_copies_of_one_content_are_a_group_and_the_first_is_kept() -> None:
    found = same_bytes({1: [copy(1, 4, mtime_ns=5), copy(1, 3)], 2: [copy(2)]})
    assert [(one.kind, [member.photo_id for member in one.members]) for one in found] == [("same-bytes", [4, 3])]
    assert found[0].why == "equal byte for byte; the older file"
    assert found[0].as_json()["keep"] == 4


def test_a_chain_is_no_group_where_its_ends_have_nothing_in_common() -> None:
    related = {frozenset(pair) for pair in ((1, 2), (2, 3), (3, 4), (4, 5))}

    def relate(one: int, other: int) -> Relation | None:
        return LINK if frozenset((one, other)) in related else None

    copies = {content: [copy(content, mtime_ns=content)] for content in range(1, 6)}
    found = grouped(EDITED, [(1, 2), (2, 3), (3, 4), (4, 5)], copies, relate, lambda _: None)
    assert [[member.content_id for member in one.members] for one in found] == [[1, 2], [3, 4]]
    assert [one.members[1].relation for one in found] == ["grey", "grey"]


def test_who_shows_less_is_not_kept() -> None:
    def relate(one: int, other: int) -> Relation:
        return Relation(EDITED, "cropped", 0.5, 1.0) if one < other else Relation(EDITED, "with more", 1.0, 0.5)

    copies = {1: [copy(1)], 2: [copy(2, width=1600, height=1200)]}
    (found,) = grouped(EDITED, [(1, 2)], copies, relate, lambda _: None)
    assert (found.members[0].content_id, found.why) == (1, "shows the whole picture")


def test_who_lies_otherwise_than_most_is_not_kept_though_it_is_lossless() -> None:
    def relate(one: int, other: int) -> Relation:
        return Relation(EDITED, "turned by 180°" if 1 in (one, other) else "brighter", turned=1 in (one, other))

    copies = {1: [copy(1, format="PNG")], 2: [copy(2)], 3: [copy(3, mtime_ns=10**9)]}
    (found,) = grouped(EDITED, [(1, 2), (2, 3)], copies, relate, lambda _: None)
    assert [member.content_id for member in found.members] == [2, 1, 3]
    assert found.why.startswith("lies as most of them do")
    (pair,) = grouped(EDITED, [(1, 2)], copies, relate, lambda _: None)
    assert pair.members[0].content_id == 1, "of two nobody knows which one lies right"


def test_contents_that_have_gone_meanwhile_are_in_no_group() -> None:
    assert grouped(BURST, [(1, 2)], {1: [copy(1)]}, lambda *_: LINK, lambda _: None) == []


def test_what_was_decided_is_left_out_until_there_is_a_new_member() -> None:
    kept = [decision(KEEP_BOTH, c1=1, c2=1)]
    assert undecided([group(1, 2)], kept) == []
    assert undecided([group(2, 1)], kept) == []
    assert undecided([group(1, 2, 3)], kept) == [group(1, 2, 3)]
    assert undecided([group(1, 3)], kept) == [group(1, 3)]
    assert undecided([group(1, 2, 3)], [*kept, decision(KEEP_BOTH, c2=1, c3=1)]) == []


def test_copies_of_one_content_are_decided_by_their_number() -> None:
    copies = group(1, 1, kind="same-bytes")
    assert undecided([copies], [decision(KEEP_BOTH, c1=1, c2=1)]) == [copies]
    assert undecided([copies], [decision(KEEP_BOTH, c1=2)]) == []
    more = group(1, 1, 1, kind="same-bytes")
    assert undecided([more], [decision(KEEP_BOTH, c1=2)]) == [more]


def test_what_is_no_duplicate_leaves_the_group() -> None:
    apart = [decision(NOT_DUPLICATE, c1=1, c3=1)]
    (left,) = undecided([group(1, 2, 3)], apart)
    assert [member.content_id for member in left.members] == [1, 2]
    assert undecided([group(1, 3)], apart) == []
    assert undecided([group(1, 2, 3)], [*apart, decision(KEEP_BOTH, c1=1, c2=1)]) == []
