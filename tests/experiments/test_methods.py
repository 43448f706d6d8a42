"""Names of the command line find their functions, and only options that mean something pass."""

import numpy as np
import pytest

from experiments import methods
from remjax.data import Dataset
from remjax.data.binarization import per_epoch, unchanged
from remjax.errors import InputError


def _dataset(*, binary=False, real_valued=False):
    images = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    return Dataset("x", images, images, images, (2, 2), binary, real_valued, "")


def test_nearest_names_are_told():
    assert methods.look_up({"vae": 1}, "method", "vae") == 1
    with pytest.raises(InputError, match=r"--method=rm_v1 is not known: use one of rem_v1, rem_v2"):
        methods.look_up(methods.METHODS, "method", "rm_v1")
    with pytest.raises(InputError, match=r"use one of burda, constant$"):
        methods.look_up(methods.SCHEDULES, "schedule", "zzz")


def test_options_that_a_method_has():
    for method in methods.METHODS:
        assert methods.accepts(method, "num_particles")
        assert methods.applies("latent_size", method)
        of_bits = method.endswith("bernoulli")
        moment_matched = method.startswith("rem")
        assert methods.applies("covariance", method) == (moment_matched and not of_bits)
        twice = moment_matched or method == "rws_defensive"
        assert methods.decoder_passes(method) == 1 + twice


def test_option_that_a_method_lacks_is_named():
    with pytest.raises(InputError, match="--keep does nothing for --method=vae: leave it out"):
        methods.build_estimator("vae", None, None, {"num_particles": 3, "keep": 2})


def test_binarization_is_for_grey_pixels_only():
    assert methods.choose_binarization(_dataset(), "per_epoch") is per_epoch
    assert methods.choose_binarization(_dataset(binary=True), "per_epoch") is unchanged
    assert methods.choose_binarization(_dataset(real_valued=True), "per_epoch") is unchanged
