"""Signatures that exporters give models, told by the names, types and ranks of inputs, and what such inputs hold.

    input_ids, attention_mask, past_key_values.0.key …   a decoder with a cache    tokens, a mask, positions
    sample, timestep, encoder_hidden_states              a UNet of diffusion       steps from 0 to 999
    image, im_shape, scale_factor                        a detector                a picture, its height and width, ones

What the readers of an input tell goes before, and what the user says goes before both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...ort.tensor_spec import TensorSpec, numpy_dtype
from ..likes import Like
from ..wishes import Wishes

__all__ = ["Profile", "profile_of"]

INTEGERS, FLOATS, NUMBERS, MASKS = "iu", "f", "iuf", "iufb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A signature that was recognised; wishes: what its inputs hold."""

    name: str
    wishes: Wishes

    @property
    def sentence(self) -> str:
        """What is drawn, for people."""
        said = [f"{name} {like}" for name, like in self.wishes.likes.items()]
        said += [f"{name} {low:g}:{high:g}" for name, (low, high) in self.wishes.ranges.items()]
        return f"inputs as of {self.name}: {', '.join(said)}"


@dataclass(frozen=True, slots=True)
class _Input:
    """Inputs by name and type, of at least and at most some rank; what they are like, or the range that they lie in."""

    named: str
    kinds: str
    ranks: tuple[int, int] = (0, 8)
    like: Like | None = None
    within: tuple[float, float] | None = None

    def matches(self, one: TensorSpec) -> bool:
        dtype = numpy_dtype(one.dtype)
        low, high = self.ranks
        kind = "" if dtype is None or one.dtype == "string" else dtype.kind
        return bool(kind) and kind in self.kinds and low <= len(one.shape) <= high and self._called(one.name)

    def _called(self, name: str) -> bool:
        return re.fullmatch(self.named, re.sub(r"[./:]+", "_", name).lower()) is not None


@dataclass(frozen=True, slots=True)
class _Signature:
    """A kind of model: inputs that it has, each of which some input must be, and what else it may have."""

    name: str
    wanted: tuple[_Input, ...]
    further: tuple[_Input, ...] = field(default=())


TOKENS = _Input(r"(decoder_)?(input_ids|token_ids|tokens|ids|input)", INTEGERS, (1, 3), "tokens")
SEQUENCE_MASK = _Input(r"(.*_)?(attention|padding|input|encoder|decoder)_?mask(_\d+)?", MASKS, (2, 2), "mask")
PLACES = _Input(r"(.*_)?(position_ids|positions|cache_position|pos_ids)", INTEGERS, (1, 3), "positions")
CACHE = _Input(r"(.*_)?(past|past_key_values?|cache|kv_cache|past_sequence)(_.*)?", FLOATS, (3, 6))
ENCODED = _Input(r"(.*_)?(encoder_hidden_states|encoder_outputs?|last_hidden_state|memory)", FLOATS, (3, 3))
OF_TEXT = (SEQUENCE_MASK, PLACES)

LATENTS = _Input(r"(.*_)?(sample|latents?|hidden_states|latent_model_input|x|noisy_.*)", FLOATS, (3, 5))
STEP = _Input(r"(.*_)?(timesteps?|time_?step|t)", NUMBERS, (0, 2), within=(0, 999))
OF_DIFFUSION = (
    _Input(r"(.*_)?time_ids", NUMBERS, (1, 2), within=(0, 1024)),
    _Input(r"(.*_)?(guidance|guidance_scale)", FLOATS, (0, 2), within=(1, 10)),
    SEQUENCE_MASK,
)

PICTURE = _Input(r"(.*_)?(images?|pixel_values|pixels|img|picture|input_image)(_\d+)?", NUMBERS, (3, 5), "image")
ANY_PICTURE = _Input(r".*", NUMBERS, (4, 4), "image")
SHAPE = _Input(r"(im|img|image|orig(inal)?|target|orig_target)_?(shape|sizes?|hw)(_\d+)?", NUMBERS, (1, 2), "extents")
SCALE = _Input(r"(im_|img_|image_)?scale(_factor)?(_\d+)?", FLOATS, (1, 2), "ones")

SOUND = _Input(r"(.*_)?(audio|wave(form)?s?|input_values|speech|sound|pcm|samples)", NUMBERS, (1, 3), "audio")
FRAMES = _Input(r"(.*_)?(audio_signal|input_features|features?|mel(s|_.*)?|fbank|spectrogram|signal)", FLOATS, (2, 4))
LENGTHS = _Input(r"(.*_)?(lengths?|lens?)(_\d+)?", INTEGERS, (0, 1), "lengths")
OF_SPEECH = (LENGTHS, SEQUENCE_MASK)
SCALES = _Input(r"(noise_|length_|duration_)?(scales?|scale_w|speed)", FLOATS, (0, 1), within=(0.5, 1.5))

SIGNATURES = (
    _Signature("a diffusion UNet", (LATENTS, STEP), (ENCODED, *OF_DIFFUSION)),
    _Signature("a decoder with past", (TOKENS, CACHE), OF_TEXT),
    _Signature("a decoder of sequences", (TOKENS, ENCODED), OF_TEXT),
    _Signature("a text-to-speech model", (TOKENS, LENGTHS, SCALES), (SEQUENCE_MASK,)),
    _Signature("a detector", (PICTURE, SHAPE), (SCALE,)),
    _Signature("a detector", (ANY_PICTURE, SHAPE), (SCALE,)),
    _Signature("a transformer of text and pictures", (PICTURE, TOKENS), OF_TEXT),
    _Signature("a transformer encoder", (TOKENS, SEQUENCE_MASK), OF_TEXT),
    _Signature("a transformer", (TOKENS, PLACES), OF_TEXT),
    _Signature("a model of positions", (PLACES, CACHE), OF_TEXT),
    _Signature("a speech model", (FRAMES, LENGTHS), OF_SPEECH),
    _Signature("a speech model", (SOUND,), OF_SPEECH),
    _Signature("a model of pictures", (PICTURE,), (SCALE,)),
)


def profile_of(spec: Sequence[TensorSpec]) -> Profile | None:
    """The first signature that the inputs have, None where they have none.

    >>> ids, mask = (TensorSpec(name=name, dtype="int64", shape=("b", "s")) for name in ("input_ids", "attention_mask"))
    >>> profile_of([ids, mask]).sentence
    'inputs as of a transformer encoder: input_ids tokens, attention_mask mask'
    """
    for signature in SIGNATURES:
        if all(any(one.matches(value) for value in spec) for one in signature.wanted):
            return Profile(name=signature.name, wishes=_wishes(signature, spec))
    return None


def _wishes(signature: _Signature, spec: Sequence[TensorSpec]) -> Wishes:
    """What is said of each input by the first that it matches."""
    likes: dict[str, str] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for value in spec:
        one = next((one for one in (*signature.wanted, *signature.further) if one.matches(value)), None)
        if one is not None and one.like is not None:
            likes[value.name] = one.like
        elif one is not None and one.within is not None:
            dtype, (low, high) = numpy_dtype(value.dtype), one.within
            most = np.iinfo(dtype).max if dtype is not None and dtype.kind in INTEGERS else high
            ranges[value.name] = low, min(high, float(most))
    return Wishes(likes=likes, ranges=ranges)
