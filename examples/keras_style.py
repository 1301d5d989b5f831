"""Handwritten digits in Keras's manner, with curves in the run directory and as a picture."""

from sklearn.datasets import load_digits

from agent_gym import Model
from agent_gym.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

x, y = load_digits(return_X_y=True)
x = x.reshape(-1, 8, 8, 1) / 16

model = Model()
model.add(Conv2D(16, kernel_size=3, padding="same", activation="relu", input_shape=(8, 8, 1)))
model.add(MaxPooling2D(2))
model.add(Flatten())
model.add(Dropout(0.2))
model.add(Dense(10, activation="softmax"))
model.compile(loss="sparse_categorical_crossentropy", optimizer="adam", learning_rate=0.003, metrics=["accuracy"])
history = model.fit(x, y, epochs=20, batch_size=32, validation_split=0.2)
model.summary()
print("validation accuracy", history.history["val_accuracy"][-1])
history.plot("digits.png")
