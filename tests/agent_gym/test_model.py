"""Keras-like models: sizes and numbers as Keras documents them, scikit-learn's own checks for the estimators."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.utils.estimator_checks import check_estimator

from agent_gym import SGD, History, Model, TabularClassifier, TabularRegressor, UserError, fit
from agent_gym.layers import GRU, LSTM, Conv2D, Dense, Dropout, Embedding, Flatten, MaxPooling2D, SimpleRNN

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0], np.float32)


def test_xor_as_the_course_writes_it(tmp_path):
    model = Model()
    model.add(Dense(16, activation="relu", input_shape=(2,)))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"], learning_rate=0.05)
    history = model.fit(*XOR, epochs=150, batch_size=4, verbose=0, run_dir=tmp_path / "xor")
    loss, accuracy = model.evaluate(*XOR)
    assert accuracy == 1.0 and loss < 0.1 and len(history.history["loss"]) == 150 == len(history.epoch)
    assert ((model.predict(*XOR[:1]) > 0.5).ravel() == (XOR[1] > 0.5)).all()
    assert history.plot(tmp_path / "curves.png") and (tmp_path / "curves.png").stat().st_size > 1000


def test_one_step_of_sgd_by_hand(tmp_path):
    model = Model([Dense(1, input_shape=(2,))])
    model.build((2,))
    (linear,) = model.module
    linear.weight.data, linear.bias.data = torch.tensor([[1.0, -1.0]]), torch.zeros(1)
    model.compile(SGD(learning_rate=0.1), "mse")
    model.fit(np.array([[1.0, 2.0]]), np.array([3.0]), epochs=1, verbose=0, run_dir=tmp_path / "x")
    # prediction -1, error -4, gradient 2 (-4) x = (-8, -16), of the bias -8
    torch.testing.assert_close(linear.weight.data, torch.tensor([[1.8, 0.6]]))
    torch.testing.assert_close(linear.bias.data, torch.tensor([0.8]))


SIZES = {  # layers, shape of a row, shape that comes out, parameters as Keras counts them
    "dense": ([Dense(3)], (4,), (3,), 15),
    "convolution": ([Conv2D(8, 3)], (28, 28, 1), (26, 26, 8), 80),
    "same": ([Conv2D(4, (5, 3), strides=2, padding="same")], (9, 8, 2), (5, 4, 4), 124),
    "pool": ([MaxPooling2D(2)], (7, 8, 3), (3, 4, 3), 0),
    "flatten": ([Flatten()], (3, 4, 2), (24,), 0),
    "dropout": ([Dropout(0.5)], (5,), (5,), 0),
    "embedding": ([Embedding(10, 6)], (7,), (7, 6), 60),
    "lstm": ([LSTM(5)], (7, 3), (5,), 4 * (5 * 3 + 5 * 5 + 2 * 5)),  # torch has two biases where Keras has one
    "gru": ([GRU(5, return_sequences=True)], (7, 3), (7, 5), 3 * (5 * 3 + 5 * 5 + 2 * 5)),
    "rnn": ([SimpleRNN(5)], (7, 3), (5,), 5 * 3 + 5 * 5 + 2 * 5),
    "course": ([Conv2D(8, 3), Conv2D(16, 3), Flatten(), Dense(10)], (28, 28, 1), (10,), 93_418),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes(case):
    layers, shape, out, parameters = SIZES[case]
    model = Model(layers)
    model.build(shape)
    assert model.module(torch.zeros(2, *shape)).shape == (2, *out)
    assert sum(p.numel() for p in model.module.parameters()) == parameters


def test_same_padding_puts_the_odd_row_at_the_end():
    model = Model([Conv2D(1, 2, padding="same")])
    model.build((3, 3, 1))
    conv = model.module[0].conv
    conv.weight.data.fill_(1.0)
    out = model.module(torch.arange(9.0).view(1, 3, 3, 1)).squeeze()
    assert out.tolist() == [[8.0, 12.0, 7.0], [20.0, 24.0, 13.0], [13.0, 15.0, 8.0]]


def test_digits_with_a_validation_part(tmp_path):
    x, y = load_digits(return_X_y=True)
    model = Model([Dense(32, activation="relu", input_shape=(64,)), Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], learning_rate=3e-3)
    history = model.fit(x / 16, y, epochs=6, validation_split=0.2, verbose=0, run_dir=tmp_path / "x").history
    assert history["val_accuracy"][-1] > 0.85 and history["val_loss"][-1] < history["val_loss"][0]
    probabilities = model.predict(x[:5] / 16)
    assert probabilities.shape == (5, 10) and np.allclose(probabilities.sum(1), 1.0, atol=1e-5)
    assert (tmp_path / "x" / "result.json").exists()


def test_a_history_names_what_its_curve_shows():
    assert History({"val_loss": [2.0, 1.5, 1.0]}).pattern == "too few epochs"
    assert History({"val_loss": [1.0, 2.0] * 10}).pattern == "jagged"
    assert History({"val_loss": [2.0, 1.0, *np.linspace(1.0, 3.0, 20)]}).pattern == "overfitting"
    assert History({"loss": [1.0]}).pattern == History({"val_loss": [1.0] * 9}).pattern == "none"


def test_a_module_of_ones_own_puts_out_logits(tmp_path):
    x, y = load_iris(return_X_y=True)
    module = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    model = Model(module)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], learning_rate=0.02)
    model.fit((x - x.mean(0)) / x.std(0), y, epochs=20, verbose=0, run_dir=tmp_path / "x")
    assert model.evaluate((x - x.mean(0)) / x.std(0), y)[1] > 0.93


def test_tasks_from_python(tmp_path):
    fitted = fit("iris", epochs=40, quiet=True, run_dir=tmp_path / "iris", seed=1)
    assert fitted.metrics["accuracy"] > 0.85 and (fitted.run_dir / "result.json").exists()


def model() -> Model:
    made = Model([Dense(2, input_shape=(3,))])
    made.compile("adam", "mse")
    return made


BAD = {
    "loss": (lambda: Model([Dense(1)]).compile("adam", "mee"), "loss 'mee'"),
    "optimizer": (lambda: Model([Dense(1)]).compile("adm", "mse"), "optimizer 'adm'"),
    "metric": (lambda: Model([Dense(1)]).compile("adam", "mse", ["auc"]), "metric 'auc'"),
    "not compiled": (lambda: Model([Dense(1)]).fit([[1.0]], [1.0]), "call compile"),
    "rows": (lambda: model().fit(np.zeros((4, 3)), np.zeros((5, 2))), "4 rows and y 5"),
    "shape": (lambda: model().fit(np.zeros((4, 2)), np.zeros((4, 2))), r"rows of shape \(2,\)"),
    "target": (lambda: model().fit(np.zeros((4, 3)), np.zeros((4, 3)), verbose=0, run_dir="x"), "puts out"),
    "NaN": (lambda: model().fit(np.full((4, 3), np.nan), np.zeros((4, 2))), "NaN"),
    "text": (lambda: model().fit([["a"] * 3], [[1, 2]]), "no number"),
    "units": (lambda: Dense(0), "units 0"),
    "activation": (lambda: Dense(1, activation="rulu"), "activation 'rulu'"),
    "epochs": (lambda: model().fit(np.zeros((4, 3)), np.zeros((4, 2)), epochs=0), "epochs 0"),
    "a small image": (lambda: Model([Conv2D(2, 5)]).build((3, 3, 1)), "smaller than the kernel"),
    "no weights": (lambda: Model([Dense(1)]).predict([[1.0]]), "no weights yet"),
    "a task": (lambda: fit("iri"), "did you mean iris"),
    "a setting": (lambda: fit("iris", epoch=3), "did you mean epochs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    action, words = BAD[case]
    with pytest.raises(UserError, match=words):
        action()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [TabularClassifier(epochs=40), TabularRegressor(epochs=80)], ids=repr)
def test_scikit_learn_accepts_the_estimators(estimator):
    check_estimator(estimator)
