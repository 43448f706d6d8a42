"""The command that evaluates a finished run again, with other particles or other images."""

import dataclasses

from absl import flags

from experiments.output.tables import two_columns
from experiments.run.annealed import annealed_figures
from experiments.run.choices import EVALUATION_PROPOSALS
from experiments.run.fitting import Stopped
from experiments.run.initial_state import each_replica, initial_state
from experiments.run.problem import build
from experiments.run.run_directory import reopen
from experiments.run.scoring import make_evaluate, over_replicas, remarks, score
from experiments.run.settings import Settings
from experiments.run.stopping import stop_on_signal
from remjax.errors import InputError
from remjax.evaluation.annealing import Annealing
from remjax.training import checkpoints

FLAGS = flags.FLAGS

COLUMNS = [
    "step", "eval_num_particles", "eval_proposal", "train_log_likelihood", "test_log_likelihood",
    "test_log_likelihood_stderr", "test_images", "test_ess", "test_pareto_k", "kl_to_prior",
    "active_units", "active_units_per_layer",
]  # fmt: skip
AIS_COLUMNS = [
    "ais_log_likelihood", "ais_log_likelihood_stderr", "ais_acceptance_rate", "ais_ess",
    "ais_simulated_lower", "ais_simulated_upper",
]  # fmt: skip


def define_flags() -> None:
    """The run, and what to evaluate of it."""
    flags.DEFINE_string("run_dir", None, "folder of the run, as experiments.train wrote it")
    flags.DEFINE_string("data_dir", None, "folder of the data files; default that of the run")
    flags.DEFINE_integer("eval_num_particles", None, "K of the evaluation; default that of the run")
    flags.DEFINE_integer(
        "eval_size",
        None,
        "test and training images, evenly spaced; 0 for all; default that of the run",
    )
    flags.DEFINE_string(
        "eval_proposal",
        None,
        f"source of the particles: {', '.join(EVALUATION_PROPOSALS)}; default that of the run",
    )
    flags.DEFINE_string("mesh", None, "devices that share the images, as data:8; default one")
    flags.DEFINE_integer(
        "ais_steps", None, "temperatures of annealed importance sampling (AIS); default no AIS"
    )
    flags.DEFINE_integer("ais_chains", 16, "chains of AIS per image")
    flags.DEFINE_integer(
        "ais_simulated", 0, "images drawn from the model for lower and upper bounds; 0 for none"
    )


def main() -> None:
    """Read the run back, score it, and add the figures to its result."""
    if not FLAGS.run_dir:
        raise InputError("--run_dir is missing: name the folder of a run")
    annealing = _annealing()
    with reopen(FLAGS.run_dir) as run, stop_on_signal() as stop:
        # Only a finished run has a result.
        if "test_log_likelihood" not in run.result():
            raise InputError(f"{run.path} is not finished: go on with experiments.train --resume")
        changes = {
            name: FLAGS[name].value
            for name in ("data_dir", "eval_num_particles", "eval_size", "eval_proposal")
            if FLAGS[name].value is not None
        }
        changes["mesh"] = FLAGS.mesh  # the devices of this machine, not those that trained
        settings = dataclasses.replace(Settings.from_mapping(run.config()), **changes)
        problem = build(settings)
        run.require_data(problem.dataset.source, problem.data_checksum)
        state = checkpoints.restore(run.checkpoints, initial_state(problem, settings))

        def check() -> None:
            if stop:
                raise Stopped

        try:
            each, evaluate = [], make_evaluate(problem, settings)
            for one in each_replica(state, settings):
                annealed = {}
                if annealing is not None:
                    annealed = annealed_figures(
                        problem, settings, one.params, check, annealing, FLAGS.ais_simulated
                    )
                each.append(annealed | score(problem, settings, evaluate, one.params, check))
        except Stopped:
            print(f"stopped by {stop.signal_name}; nothing was added to the result")
            return
        figures = {"step": int(state.step)} | (over_replicas(each) if len(each) > 1 else each[0])
        run.update_result({"evaluations": [*run.result().get("evaluations", []), figures]})
        print(two_columns(figures, COLUMNS + (AIS_COLUMNS if annealing else [])))
        print(remarks(figures))


def _annealing() -> Annealing | None:
    """The annealing that the flags ask for, or None."""
    for flag, least in (("ais_steps", 1), ("ais_chains", 1), ("ais_simulated", 0)):
        if FLAGS[flag].value is not None and FLAGS[flag].value < least:
            raise InputError(f"--{flag}={FLAGS[flag].value} cannot be: give {least} or more")
    if FLAGS.ais_steps is None:
        for flag in ("ais_chains", "ais_simulated"):
            if FLAGS[flag].present:
                raise InputError(f"--{flag} does nothing without --ais_steps: give it too")
        return None
    return Annealing(num_steps=FLAGS.ais_steps, num_chains=FLAGS.ais_chains)
