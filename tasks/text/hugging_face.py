"""Models of Hugging Face from a local folder, by the library `transformers`, which no other module knows.

Nothing is downloaded, weights come from safetensors, and code in the folder is not run.
"""

from __future__ import annotations

import os
from typing import Any

import torch

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import reason
from agent_gym.tasks.text.pretrained import model_folder


class LocalModel:
    """A model with its tokenizer; `kind` is a class of transformers, such as AutoModelForCausalLM. Raises UserError."""

    def __init__(self, name: str, kind: str) -> None:
        self.folder = model_folder(name)
        if not any(self.folder.glob("*.safetensors")):
            raise UserError(f"--model {name} has no *.safetensors: weights in another format are not read")
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is imported
        try:
            import transformers
        except ImportError:
            raise UserError("--model needs the library transformers: pip install 'agent-gym[text]'") from None
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.tokenizer = self._load(transformers.AutoTokenizer)
        self.model = self._load(getattr(transformers, kind), use_safetensors=True).eval()
        config = self.model.config
        self.longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)

    def _load(self, factory: Any, **options: Any) -> Any:
        try:
            return factory.from_pretrained(self.folder, local_files_only=True, trust_remote_code=False, **options)
        except Exception as error:  # the library's own, and whatever a foreign file leads to
            raise UserError(f"--model {self.folder} cannot be used ({reason(error)}): try another folder") from error

    def tokens(self, *texts: str) -> dict[str, torch.Tensor]:
        """The tokens of a text, or of a pair. Raises UserError where they are more than the model reads."""
        encoded = self.tokenizer(*texts, return_tensors="pt", return_offsets_mapping=self.tokenizer.is_fast)
        count = encoded["input_ids"].shape[1]
        if self.longest and count > self.longest:
            raise UserError(
                f"the text has {count:,} tokens, and the model of {self.folder} reads {self.longest:,}: shorten it"
            )
        return encoded


@torch.no_grad()
def classify(name: str, texts: list[str]) -> list[tuple[str, float]]:
    """The likeliest class of each text, and its probability."""
    local = LocalModel(name, "AutoModelForSequenceClassification")
    results = []
    for text in texts:
        encoded = local.tokens(text)
        encoded.pop("offset_mapping", None)
        chance, best = local.model(**encoded).logits[0].softmax(-1).max(-1)
        results.append((str(local.model.config.id2label[int(best)]), float(chance)))
    return results


@torch.no_grad()
def answer(name: str, question: str, context: str, longest: int = 30) -> tuple[str, float]:
    """The span of up to `longest` tokens of the context that answers, and its probability."""
    local = LocalModel(name, "AutoModelForQuestionAnswering")
    if not local.tokenizer.is_fast:
        raise UserError(f"--model {local.folder} has no tokenizer.json, which tells where a token stands in the text")
    encoded = local.tokens(question, context)
    places = encoded.pop("offset_mapping")[0]
    outside = torch.tensor([part != 1 for part in encoded.sequence_ids(0)])
    outputs = local.model(**encoded)
    both = (outputs.start_logits[0], outputs.end_logits[0])
    start, end = (logits.masked_fill(outside, float("-inf")).softmax(-1) for logits in both)
    chances = (start[:, None] * end[None]).triu().tril(longest - 1)
    first, last = divmod(int(chances.argmax()), len(end))
    return context[int(places[first, 0]) : int(places[last, 1])], float(chances.max())


@torch.no_grad()
def go_on(name: str, prompt: str, count: int, temperature: float, seed: int) -> str:
    """The prompt and up to `count` tokens after it, drawn at a temperature (0: the likeliest)."""
    local = LocalModel(name, "AutoModelForCausalLM")
    encoded = local.tokens(prompt)
    encoded.pop("offset_mapping", None)
    if local.longest and encoded["input_ids"].shape[1] + count > local.longest:
        raise UserError(f"--length {count} after this prompt is more than the model reads, {local.longest:,} tokens")
    torch.manual_seed(seed)
    drawing = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    tokens = local.model.generate(**encoded, max_new_tokens=count, pad_token_id=0, **drawing)
    return local.tokenizer.decode(tokens[0], skip_special_tokens=True)
