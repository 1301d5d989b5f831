"""MLflow: runs, points, files and the exported model, at MLFLOW_TRACKING_URI or in ./mlflow.db."""

from __future__ import annotations

import os
import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from urllib.request import url2pathname

from filelock import FileLock

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the follower has patience of its own
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

import mlflow
from mlflow.entities import Metric, Param, RunTag

from agent_gym.storage.trackers.tracker import About, Ending, Point

STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
PARAMS_AT_ONCE = 100  # MLflow's limit
FOREIGN = re.compile(r"[^\w\-. :/]")  # what MLflow takes in no name


def alone() -> FileLock:
    """Held while something is made that runs beside this one want too. Its file stays, one for each store on this
    machine, beside it, and one for all servers: taken away, it could be held twice."""
    kind, colon, rest = mlflow.get_tracking_uri().partition(":")
    place = url2pathname(rest.removeprefix("//").removeprefix("/" if kind == "sqlite" else "")) if colon else kind
    if place and (kind in ("sqlite", "file") or not colon):
        store = Path(place).absolute()
        return FileLock(store.with_name(f".{store.name}.lock"), timeout=60)
    user = getattr(os, "getuid", int)()  # where there is no such number, the folder is the user's own
    return FileLock(Path(tempfile.gettempdir()) / f"agent-gym-{user}.lock", timeout=60)


class MLflow:
    """A run at MLflow, through its client."""

    def __init__(self) -> None:
        self.client = mlflow.MlflowClient()
        self.record: dict = {}
        self.id = ""

    def open(self, about: About, record: dict) -> None:
        existing = self._find(record)
        if existing is None:
            experiment = self._experiment(about.experiment)
            tags = dict(about.tags)
            if about.parent:
                tags["mlflow.parentRunId"] = self._parent(experiment, about.parent)
            run = self.client.create_run(experiment, run_name=about.name, tags=tags)
            self.record, self.id = {"run": run.info.run_id}, run.info.run_id
            self._log_params(about.params, {})
            return
        self.record, self.id = record, existing.info.run_id
        self._log_params(about.params, existing.data.params)
        self.client.log_batch(self.id, tags=[RunTag(*item) for item in about.tags.items()])
        if not record.get("joined"):
            self.client.update_run(self.id, status="RUNNING")

    def _find(self, record: dict):
        """The run of an earlier `record`; None if it is not there."""
        if not isinstance(record.get("run"), str):
            return None
        try:
            return self.client.get_run(record["run"])
        except mlflow.MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _experiment(self, name: str) -> str:
        """The id of experiment `name`, which is made if need be; "": of MLflow's own variables."""
        if not name and (found := os.environ.get("MLFLOW_EXPERIMENT_ID")):
            return found
        name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "agent-gym"
        with alone():
            found = self.client.get_experiment_by_name(name)
            return self.client.create_experiment(name) if found is None else found.experiment_id

    def _parent(self, experiment: str, name: str) -> str:
        """The id of the run that holds those nested under `name`; the first of them makes it."""
        wanted = name.replace("'", "")
        with alone():
            found = self.client.search_runs([experiment], f"tags.`agent_gym.parent` = '{wanted}'", max_results=1)
            if found:
                return found[0].info.run_id
            run = self.client.create_run(experiment, run_name=name, tags={"agent_gym.parent": wanted})
            self.client.set_terminated(run.info.run_id)
            return run.info.run_id

    def _log_params(self, params: dict[str, str], there: dict[str, str]) -> None:
        """Params never change at MLflow: what a resumed run has set anew becomes a tag."""
        new = [Param(FOREIGN.sub("_", name), value) for name, value in params.items() if name not in there]
        for start in range(0, len(new), PARAMS_AT_ONCE):
            self.client.log_batch(self.id, params=new[start : start + PARAMS_AT_ONCE])
        for name, value in params.items():
            if there.get(name, value) != value:
                self.client.set_tag(self.id, f"resumed.{name}", value)

    def last_steps(self) -> dict[str, int]:
        tags = self.client.get_run(self.id).data.metrics
        return {tag: max(point.step for point in self.client.get_metric_history(self.id, tag)) for tag in tags}

    def log(self, points: list[Point]) -> None:
        metrics = [Metric(FOREIGN.sub("_", p.tag), p.value, int(p.seconds * 1000), p.step) for p in points]
        self.client.log_batch(self.id, metrics=metrics)

    def add(self, file: Path, folder: str) -> None:
        self.client.log_artifact(self.id, str(file), folder or None)

    def add_model(self, file: Path) -> None:
        import mlflow.onnx
        import numpy as np
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        def spec(value: onnx.ValueInfoProto) -> TensorSpec:
            kind = value.type.tensor_type
            shape = [dim.dim_value or -1 for dim in kind.shape.dim]
            return TensorSpec(np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape, value.name)

        model = onnx.load(str(file))
        inputs = [spec(value) for value in model.graph.input]
        example = {i.name: np.zeros((1, *i.shape[1:]), i.type) for i in inputs}
        if len(inputs) == 1:  # then it takes an array as it is
            (example,) = example.values()
            inputs = [TensorSpec(inputs[0].type, inputs[0].shape)]
        signature = ModelSignature(Schema(inputs), Schema([spec(value) for value in model.graph.output]))
        packages = [f"{package}=={version(package)}" for package in ("onnx", "onnxruntime")]
        with mlflow.start_run(run_id=self.id):
            options = {"signature": signature, "input_example": example, "pip_requirements": packages}
            options["onnx_execution_providers"] = ["CPUExecutionProvider"]
            mlflow.onnx.log_model(model, name=file.stem, save_as_external_data=False, **options)
        if self.record.get("joined"):
            self.client.update_run(self.id, status="RUNNING")  # its owner ends it

    def close(self, ending: Ending) -> None:
        if not self.record.get("joined"):
            self.client.set_terminated(self.id, STATUS[ending])
