"""Gradients in TensorFlow processes of their own, for settings of a whole process and where a failure ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs requirements-tensorflow.txt")

WITHOUT_ONEDNN = """
import numpy as np, tensorflow as tf
from regconv import RegNetConfig, TFRegNetModel
network = TFRegNetModel(RegNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1], groups_width=8))
pixels = tf.ones((1, 3, 32, 32))
def slopes(pixels):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(pixels, training=True).last_hidden_state))
    return tape.gradient(loss, [variable.value for variable in network.trainable_variables])
found = [slopes(pixels), tf.function(slopes)(pixels)]
assert all(np.abs(a - b).max() <= 1e-3 * (1 + np.abs(a).max()) for a, b in zip(*found, strict=True))
graph = tf.function(network)(pixels)  # TensorFlow fuses convolution, norm and activation here
assert np.allclose(graph.last_hidden_state, network(pixels).last_hidden_state, rtol=1e-4, atol=1e-5)
"""

GRADIENT_PENALTY = """
import numpy as np, tensorflow as tf
from regconv import RegNetConfig, TFRegNetModel
config = RegNetConfig(embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1], groups_width=8, hidden_act="silu")
networks = [TFRegNetModel(config), TFRegNetModel(config, dtype="float64")]
networks[1].set_weights(networks[0].get_weights())
pixels = np.random.default_rng(0).normal(size=(1, 3, 32, 32))
def slopes(network):
    x = tf.constant(pixels, network.compute_dtype)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(tf.square(network(x).last_hidden_state))
        penalty = tf.reduce_sum(tf.square(inner.gradient(loss, x)))
    return outer.gradient(penalty, x).numpy()
found, expected = map(slopes, networks)
assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
"""


@pytest.mark.parametrize(
    ("text", "onednn"),
    [(WITHOUT_ONEDNN, "0"), (GRADIENT_PENALTY, "1")],
    ids=["without oneDNN", "gradients of gradients"],
)
def test_a_process_of_its_own(text: str, onednn: str) -> None:
    environment = {
        "TF_ENABLE_ONEDNN_OPTS": onednn, "TF_CPP_MIN_LOG_LEVEL": "3", "PATH": "", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.returncode}\n{done.stderr}"
