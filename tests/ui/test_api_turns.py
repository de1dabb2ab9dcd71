"""Turns: one client floods, another one's request goes ahead of what the first has waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from ui.api.turns import TooMany, Turns


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Work:
    """Requests that end when they are told to; `order` says who began when."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def begin(self, client: str, name: str) -> asyncio.Task[None]:
        self.ends[name] = asyncio.Event()
        return asyncio.create_task(self._run(client, name))

    async def _run(self, client: str, name: str) -> None:
        async with self.turns.place(client), self.turns.turn(client):
            self.order.append(name)
            await self.ends[name].wait()


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


def test_a_client_that_floods_leaves_room_for_another() -> None:
    async def test() -> None:
        work = Work(Turns(at_once=2, per_client=1, queue=8))
        tasks = [work.begin("flood", f"f{number}") for number in range(6)]
        await settled()
        assert work.order == ["f0"]  # though two turns are free
        tasks.append(work.begin("other", "o0"))
        await settled()
        assert work.order == ["f0", "o0"]
        for end in work.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        assert work.order[2:] == ["f1", "f2", "f3", "f4", "f5"]

    run(test())


def test_free_turns_go_round_among_those_who_wait() -> None:
    async def test() -> None:
        work = Work(Turns(at_once=1, per_client=1, queue=8))
        tasks = [work.begin("a", f"a{number}") for number in range(3)]
        await settled()
        tasks += [work.begin("b", f"b{number}") for number in range(2)] + [work.begin("c", "c0")]
        await settled()
        for end in work.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        assert work.order == ["a0", "a1", "b0", "c0", "a2", "b1"]

    run(test())


def test_more_than_a_queue_is_refused_and_a_place_is_given_back() -> None:
    async def test() -> None:
        work = Work(Turns(at_once=1, per_client=1, queue=1, most=3))
        tasks = [work.begin("a", name) for name in ("a0", "a1")]
        await settled()
        with pytest.raises(TooMany) as refused:
            async with work.turns.place("a"):
                pass
        assert refused.value.is_yours
        tasks.append(work.begin("b", "b0"))
        await settled()
        with pytest.raises(TooMany) as refused:
            async with work.turns.place("c"):
                pass
        assert not refused.value.is_yours
        for end in work.ends.values():
            end.set()
        await asyncio.gather(*tasks)
        async with work.turns.place("c"), work.turns.turn("c"):
            assert work.order == ["a0", "a1", "b0"]  # all that were let in had their turn

    run(test())


def test_who_goes_away_holds_nobody_up() -> None:
    async def test() -> None:
        turns = Turns(at_once=1, per_client=1, queue=8)
        work = Work(turns)
        tasks = [work.begin(client, client) for client in ("working", "waiting", "next")]
        await settled()
        tasks[1].cancel()  # while it waits
        await settled()
        tasks[0].cancel()  # while it works
        await settled()
        assert work.order == ["working", "next"]
        work.ends["next"].set()
        await tasks[2]
        assert not turns._inside
        assert not turns._working
        assert not turns._waiting

    run(test())
