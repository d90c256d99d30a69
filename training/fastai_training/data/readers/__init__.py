"""Where labels come from: one module for each source, all of them listed here.

A new source is a module with a ``READER``, its entry in ``READERS``, and its name among the choices of the
hyperparameter label_from.
"""

from __future__ import annotations

from fastai_training.data.readers import folders, ground_truth, lst, manifest, names, recordio
from fastai_training.data.readers.reader import Reader

#: By the value of label_from, in the order in which ``auto`` asks them: the first whose files are there is taken.
READERS: dict[str, Reader] = {
    module.READER.name: module.READER for module in (recordio, ground_truth, lst, manifest, folders, names)
}
