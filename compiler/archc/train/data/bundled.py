"""The small sets that scikit-learn carries: digits, breast-cancer, diabetes."""

from __future__ import annotations

import numpy as np

from archc.train.data.dataset import Dataset
from archc.train.errors import TrainError


def load(name: str) -> Dataset:
    """digits: images [1, 8, 8] of values from 0 to 1, 10 classes; breast-cancer: 30 features, 2 classes; diabetes: 10 features,
    one value."""
    try:
        from sklearn import datasets
    except ImportError:
        raise TrainError(f"the data '{name}' comes with scikit-learn, which is not installed: pip install 'archc[data]'"
                         ) from None
    if name == "digits":
        raw = datasets.load_digits()
        images = (raw.images / 16).astype(np.float32)[:, None, :, :]
        return Dataset(name, images, raw.target.astype(np.int64), "classes", tuple(map(str, raw.target_names)))
    if name == "breast-cancer":
        raw = datasets.load_breast_cancer()
        return Dataset(name, raw.data.astype(np.float32), raw.target.astype(np.int64), "classes",
                       tuple(map(str, raw.target_names)), tuple(map(str, raw.feature_names)))
    raw = datasets.load_diabetes()
    return Dataset(name, raw.data.astype(np.float32), raw.target.astype(np.float32), "values",
                   features=tuple(map(str, raw.feature_names)))
