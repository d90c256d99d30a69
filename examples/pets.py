"""Fine-tune a classifier of pets on SageMaker and serve it: one file for both, on fastai 2.

Hyperparameters arrive as arguments and folders as SM_* variables, so it also runs by hand:
    python pets.py --data-dir images --model-dir model --epochs 1
"""

import argparse
import io
import json
import os
from pathlib import Path

from fastai.vision.all import (
    ImageDataLoaders,
    Learner,
    PILImage,
    Resize,
    aug_transforms,
    error_rate,
    get_image_files,
    load_learner,
    set_seed,
)


def train(args: argparse.Namespace) -> None:
    from fastai_sagemaker import build_learner, check_learner, export_model, loader_workers

    set_seed(42)
    folder = args.data_dir / "images" if (args.data_dir / "images").is_dir() else args.data_dir
    files = get_image_files(folder).sorted()
    # great_pyrenees_12.jpg is a great_pyrenees
    names = [file.name.rpartition("_")[0] for file in files]
    data = ImageDataLoaders.from_lists(
        folder,
        files,
        names,
        valid_pct=0.2,
        seed=42,
        item_tfms=Resize(args.image_size),
        batch_tfms=aug_transforms(),
        bs=args.batch_size,
        # Docker gives a container 64 MB of /dev/shm, and a worker that finds it full ends the job.
        num_workers=loader_workers(args.batch_size, args.image_size) if args.workers == "auto" else args.workers,
    )
    # Like vision_learner, with weights from the channel weights, the image, a package or a download.
    learner = build_learner(data, args.model_arch, weights=args.weights, metrics=error_rate)
    check_learner(learner)  # says now, not after the training, what could not be served
    with learner.no_bar():
        learner.fit_one_cycle(args.epochs, args.lr, moms=(args.momentum, args.momentum - 0.1, args.momentum))
        if args.unfrozen_epochs:
            learner.unfreeze()
            learner.fit_one_cycle(args.unfrozen_epochs, slice(1e-6, 1e-4))
        loss, error = learner.validate()
    print(f"valid_loss={loss:.4f} error_rate={error:.4f}", flush=True)
    # What the serving image loads, and export.pkl for model_fn below.
    export_model(learner, args.model_dir, metrics={"error_rate": error})


def model_fn(model_dir: str) -> Learner:
    return load_learner(Path(model_dir) / "export.pkl")


def input_fn(body: bytes, content_type: str) -> PILImage:
    if content_type.partition(";")[0].strip().lower() not in ("image/jpeg", "image/png"):
        raise ValueError(f"{content_type} is not supported: send a picture as image/jpeg")
    return PILImage.create(io.BytesIO(body))


def predict_fn(image: PILImage, learner: Learner) -> dict:
    with learner.no_bar(), learner.no_logging():
        name, index, probabilities = learner.predict(image)
    return {"class": name, "confidence": float(probabilities[index])}


def output_fn(prediction: dict, accept: str) -> str:
    return json.dumps(prediction)


def auto_or_int(text: str) -> int | str:
    return text if text == "auto" else int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of training the head alone")
    parser.add_argument("--unfrozen-epochs", type=int, default=2, help="epochs of training everything after that")
    parser.add_argument("--batch-size", "--batch_size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--momentum", type=float, default=0.95)
    parser.add_argument("--workers", type=auto_or_int, default="auto", help="auto goes by cores and /dev/shm")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--model-arch", default="resnet34", help="efficientnet_lite0 needs no download")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("SM_CHANNEL_TRAINING", "."))
    parser.add_argument("--weights", type=Path, default=os.environ.get("SM_CHANNEL_WEIGHTS"))
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR", "model"))
    train(parser.parse_args())
