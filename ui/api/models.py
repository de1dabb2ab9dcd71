"""What the interface answers with, as types: each field is described, so that /openapi.json says all there is to say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _sendable(words: str) -> str:
    # A file name that is not UTF-8 carries surrogates, which no response can be encoded with.
    return words.encode("utf-8", "replace").decode()


OfDisk = Annotated[str, AfterValidator(_sendable)]  # a name as the disk has it
PhotoId = Annotated[int, Field(description="Number of a photo; /photos/{photo_id} serves it", examples=[7])]
Name = Annotated[OfDisk, Field(description="The file's name, without its folders", examples=["cat.jpg"])]
Score = Annotated[float, Field(description="Cosine of the two pictures' vectors, -1 to 1", examples=[0.8731])]
Numbers = Annotated[list[int], Field(description="Numbers of photos", examples=[[7, 9]])]


class Problem(BaseModel):
    """What could not be done, and what to do about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "There is no photo with the number 99."}]})
    error: str = Field(description="In words for a person; no path of the computer", examples=["There is no photo 99."])


class Label(BaseModel):
    """What the network, or a taught word, calls a picture."""

    label: str | None = Field(description="Words; null for none of the taught words", examples=["Egyptian cat"])
    score: float = Field(description="Probability, 0 to 1", examples=[0.41])


class Similar(BaseModel):
    """A photo of the library that looks alike."""

    photo_id: PhotoId
    name: Name
    score: Score


class StageShape(BaseModel):
    """The shape of what one stage of the network gives."""

    name: str = Field(description="stem, stage 1, …", examples=["stage 2"])
    channels: int = Field(description="Channels of the map", examples=[56])
    height: int = Field(description="Cells from top to bottom", examples=[28])
    width: int = Field(description="Cells from left to right", examples=[28])
    stride: int = Field(description="Pixels of the prepared picture for each cell", examples=[8])


class LookAnswer(BaseModel):
    """A picture as the network sees it."""

    name: Name
    labels: list[Label] = Field(description="The network's labels, the most likely first")
    own_labels: list[Label] = Field(description="Words that the library was taught, the most likely first")
    stages: list[StageShape] = Field(description="Stem and stages, in order; empty where the file is out of reach")
    similar: list[Similar] = Field(description="The photos most alike, the most first")
    hint: str | None = Field(description="Why there is nothing alike", examples=["This is the only photo."])
    problem: str | None = Field(description="What could not be done, where the rest could", examples=[None])


class SearchPicture(BaseModel):
    """A picture of an answer: one photo, and those with the same bytes."""

    photo_id: PhotoId
    name: Name
    score: Score
    copies: list[int] = Field(description="Other photos with the same bytes", examples=[[12]])
    meaning: str | None = Field(
        description="How rare such a score is among unrelated pictures; null for several pictures or too few photos",
        examples=["1 in 12,000 unrelated pairs look this alike"],
    )
    beyond_chance: bool | None = Field(description="Whether chance can't explain the score; null where unknown")


class SearchAnswer(BaseModel):
    """A page of an answer."""

    pictures: list[SearchPicture] = Field(description="The best first")
    start: int = Field(description="How many pictures come before this page", examples=[0])
    more: bool = Field(description="Whether there are more pictures after this page")
    exact: bool = Field(description="Whether the index compared everything, not most of it")
    hint: str | None = Field(description="Why nothing was found", examples=["No photo was found."])
    unknown: str | None = Field(description="Why scores have no meaning yet", examples=["Too few photos."])


class Word(BaseModel):
    """A word that photos can be asked for by."""

    word: str = Field(description="The word", examples=["cat"])
    photos: int = Field(description="How many pictures bear it", examples=[11])
    source: str = Field(description="Where it comes from: taught, or label", examples=["label"])


class WordsAnswer(BaseModel):
    """Words, the most frequent first."""

    words: list[Word] = Field(description="At most as many as were asked for")


class PhotoFacts(BaseModel):
    """What is known of a photo. Where its file lies is not told."""

    photo_id: PhotoId
    name: Name
    state: str = Field(description="present, unreadable or gone", examples=["present"])
    width: int | None = Field(description="Pixels, upright; null where it was never read", examples=[640])
    height: int | None = Field(description="Pixels, upright", examples=[480])
    taken_at: str | None = Field(
        description="When it was taken, as the camera's clock said", examples=["2024-05-17T10:30:00"]
    )
    camera: str | None = Field(description="The camera, as the file says", examples=["Canon EOS R6"])
    labels: list[Label] = Field(description="The network's labels when it was indexed")
    reason: str | None = Field(description="Why it could not be read", examples=["the file ends early"])


class Cell(BaseModel):
    """A cell of the first picture, and where in the second picture its share comes from."""

    row: int = Field(description="From the top, 0 first", examples=[3])
    column: int = Field(description="From the left, 0 first", examples=[2])
    share: float = Field(description="What it adds to the cosine", examples=[0.031])
    constant: float = Field(description="What of that belongs to no cell of the second picture", examples=[0.0])
    over_second: list[list[float]] = Field(description="What of that each cell of the second picture gives, by rows")


class PartWhy(BaseModel):
    """One part of two pictures. The numbers of either map, and its constant, sum to the cosine."""

    part: str = Field(description="The part's name", examples=["stage4"])
    name: str = Field(description="The same for a person", examples=["stage 4"])
    is_searched: bool = Field(description="Whether of whitened vectors, as searches compare them")
    cosine: float = Field(description="Computed afresh, float32", examples=[0.8731])
    stored_cosine: float | None = Field(description="Of the stored vectors; null where not both are of the library")
    first: list[list[float]] = Field(description="What each cell of the first picture adds, by rows")
    second: list[list[float]] = Field(description="What each cell of the second picture adds, by rows")
    constants: tuple[float, float] = Field(description="What no cell of the first, of the second picture adds")
    cells: list[Cell] = Field(description="The cells that add most, or the one that was asked for")


class WhyAnswer(BaseModel):
    """Why two pictures are alike."""

    part: str = Field(description="The part that was asked for", examples=["stage4"])
    parts: list[PartWhy] = Field(description="Every part, or that one")
    without_vector: list[str] = Field(description="Parts in which the network sees nothing in one of the pictures")


class ChannelPhoto(BaseModel):
    """A photo in which a channel is high."""

    photo_id: PhotoId
    name: Name
    value: float = Field(description="The channel's mean over the map", examples=[1.73])


class ChannelAnswer(BaseModel):
    """The photos that excite a channel most."""

    stage: str = Field(description="The stage", examples=["stage4"])
    channel: int = Field(description="The channel, 0 first", examples=[17])
    photos: list[ChannelPhoto] = Field(description="The highest first")
    hint: str | None = Field(description="Why there are none", examples=[None])


class StrongChannel(BaseModel):
    """A channel that a photo excites."""

    channel: int = Field(description="The channel, 0 first", examples=[17])
    value: float = Field(description="Its mean over the map", examples=[1.73])
    higher_than: float | None = Field(description="Share of the library's photos in which it is lower, 0 to 1")


class StrongestAnswer(BaseModel):
    """The channels that a photo excites most."""

    stage: str = Field(description="The stage", examples=["stage4"])
    channels: list[StrongChannel] = Field(description="The first as `by` orders them")


Order = Literal["value", "unusual"]
