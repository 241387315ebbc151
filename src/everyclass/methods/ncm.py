"""NCM: the nearest class mean (Kang et al. 2020).

Features of the frozen network of plain cross entropy, centred on the mean of the training set and
scaled to length one; a class is the mean of its images, not scaled again; Euclidean distance. The
authors' other choices (raw features, cosine) are left out.
"""

import torch
import torch.nn.functional as F

from everyclass.artifacts import Features
from everyclass.methods.ce import RECIPE as CE
from everyclass.nn import NearestMeanHead
from everyclass.training import HeadRecipe


def fit(train: Features) -> NearestMeanHead:
    """The means of the first view of each class's images.

    Args:
        train: training features; a class without images has its mean at the centre.
    """
    features = torch.from_numpy(train.views[0]).float()
    labels = torch.from_numpy(train.labels)
    counts = torch.bincount(labels, minlength=train.num_classes).clamp(min=1)
    centre = features.mean(dim=0)
    sums = features.new_zeros(train.num_classes, features.shape[1])
    sums.index_add_(0, labels, F.normalize(features - centre))
    head = NearestMeanHead(features.shape[1], train.num_classes)
    head.set_means(centre, sums / counts[:, None])
    return head


RECIPE = HeadRecipe(
    name="ncm",
    summary="nearest class mean",
    source="Kang et al. 2020",
    start=CE,
    head="nearest-mean",
    fit=fit,
)
