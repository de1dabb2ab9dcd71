"""The page's password: kept as a salted hash in the library, compared in constant time, guessed only slowly."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from index.library import Library

SETTING = "password"  # of the catalogue; an empty value is none
SHORTEST = 8  # characters
COST, BLOCK, LANES = 2**15, 8, 1  # scrypt: 32 MiB and about a tenth of a second for each guess
_MEMORY = 64 << 20  # bytes that scrypt may take
FREE_ATTEMPTS = 5
LONGEST_DELAY_S = 60.0
_CLIENTS = 10_000  # remembered; the oldest are forgotten first
_SESSIONS = 1_000


class PasswordError(Exception):
    """A password that can't be used; the message says why."""


@dataclass(frozen=True)
class Hashed:
    """A password's scrypt hash with all that it takes to compare another with it."""

    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).decode() for part in (self.salt, self.digest))
        return f"scrypt${self.cost}${self.block}${self.lanes}${salt}${digest}"

    @classmethod
    def parsed(cls, text: str) -> Hashed:
        """What `str` gave. Raises PasswordError for anything else: a damaged setting must not open the page."""
        try:
            kind, cost, block, lanes, salt, digest = text.split("$")
            if kind != "scrypt":
                raise ValueError(kind)
            numbers = int(cost), int(block), int(lanes)
            return cls(*numbers, base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True))
        except (ValueError, binascii.Error) as error:
            raise PasswordError(
                "The password kept in this library can't be read. Give it anew with --password, or take it away with "
                "--no-password."
            ) from error

    def is_of(self, password: bytes) -> bool:
        """Whether this is the hash of a password; takes the same time for every wrong one."""
        return secrets.compare_digest(_scrypt(password, self.salt, self.cost, self.block, self.lanes), self.digest)


def hashed(password: str) -> Hashed:
    """A new hash with a salt of its own. Raises PasswordError for one that is too short."""
    if len(password) < SHORTEST:
        raise PasswordError(f"The password has {len(password)} characters; give at least {SHORTEST}.")
    salt = secrets.token_bytes(16)
    return Hashed(COST, BLOCK, LANES, salt, _scrypt(password.encode(), salt, COST, BLOCK, LANES))


def keep(library: Library, password: str) -> None:
    """From now on the library's page asks for this password; an empty one takes it away.

    Raises PasswordError for one that is too short, and what the catalogue raises where it can't be written to.
    """
    if password:
        with suppress(PasswordError):  # one that can't be read is replaced
            known = kept(library)
            if known is not None and known.is_of(password.encode()):
                return
    library.catalog.remember(SETTING, str(hashed(password)) if password else "")


def kept(library: Library) -> Hashed | None:
    """The library's own password, None where it has none. Raises PasswordError where it can't be read."""
    text = library.catalog.setting(SETTING)
    return Hashed.parsed(text) if text else None


def _scrypt(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=32)


class Attempts:
    """How long each client has to wait before its next guess: longer with every wrong one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # (wrong guesses, no guess before) by client

    def wait_s(self, client: str) -> float:
        """Seconds until this client may guess, 0 if now."""
        _, until = self._failed.get(_place(client), (0, 0.0))
        return max(0.0, until - self._clock())

    def failed(self, client: str) -> None:
        """A guess was wrong."""
        place = _place(client)
        count = self._failed.pop(place, (0, 0.0))[0] + 1
        delay = min(LONGEST_DELAY_S, 2.0 ** min(count - FREE_ATTEMPTS, 30)) if count >= FREE_ATTEMPTS else 0.0
        self._failed[place] = count, self._clock() + delay
        if len(self._failed) > _CLIENTS:
            self._failed.popitem(last=False)

    def passed(self, client: str) -> None:
        """A guess was right: what was wrong before is forgotten."""
        self._failed.pop(_place(client), None)


class Sessions:
    """Random tokens that stand for a password once given, so that a page's requests need not be hashed one by one."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def begin(self) -> str:
        """A new token."""
        token = secrets.token_urlsafe(32)
        self._known[_code(token)] = None
        if len(self._known) > _SESSIONS:
            self._known.popitem(last=False)
        return token

    def know(self, token: str) -> bool:
        """Whether this is one of them."""
        return _code(token) in self._known  # looked up by its hash: how long that takes says nothing of the token


def _code(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _place(client: str) -> str:
    """A client's address; of IPv6 the network, since one computer has as many addresses there as it likes."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    return client if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
