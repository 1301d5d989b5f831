"""A network inside scikit-learn's tools."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score

from agent_gym import TabularClassifier

x, y = load_breast_cancer(return_X_y=True)
scores = cross_val_score(TabularClassifier(epochs=20), x, y, cv=3)
print("accuracy", scores.mean())
