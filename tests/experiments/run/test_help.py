"""--help in groups: each flag once, and what has a name is explained under it."""

import dataclasses

import pytest
from absl import flags

from experiments import train
from experiments.run import command_line, help
from experiments.run.kinds import MODELS
from experiments.run.methods import METHODS
from experiments.run.settings import Settings
from remjax.errors import InputError


@pytest.fixture(autouse=True)
def _train(defined_flags):
    with defined_flags(train):
        command_line.compiled_programs.define_flags()
        yield


def test_every_flag_stands_in_one_place():
    grouped = [name for names in help.groups().values() for name in names]
    assert len(grouped) == len(set(grouped))
    elsewhere = {name for model in MODELS for name in help.of_kind(model)}
    elsewhere |= {name for method in METHODS for name in help.of_method(method)}
    assert not elsewhere & set(grouped)
    everything = {field.name for field in dataclasses.fields(Settings)}
    everything |= {flag.name for flag in flags.FLAGS.get_key_flags_for_module("experiments.train")}
    assert everything <= elsewhere | set(grouped)


def test_the_common_ones_come_first_and_a_method_has_its_own():
    text = help.explain(train.__doc__, None)
    assert text.index("--run_dir") < text.index("What is fitted") < text.index("Evaluation")
    assert "--alpha" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "--alpha: order of the Renyi bound" in help.explain("", "vr")
    of_machines = " ".join(help.explain("", "rbm").split())
    assert "--l1=0.0" in of_machines
    assert (
        "With --dataset=digits: --learning_rate=0.3, --latent_size=64, --epochs=150" in of_machines
    )
    assert "--alpha" in help.explain("", "alpha")
    with pytest.raises(InputError, match=r"^--help=vrr explains nothing: give the name of"):
        help.explain("", "vrr")
