"""Evaluate a run again: more particles, more images, or another proposal.

    python -m experiments.evaluate --run_dir=RUN --eval_num_particles=5000 --eval_size=0

reads the last checkpoint of RUN and adds one entry to the list `evaluations` of RUN/result.json.
With --ais_steps, annealed importance sampling scores the test images as well. With --ais_simulated,
lower and upper bounds on images of the model itself show how tight that score is. With --csl_draws
a machine is scored by its draws too, as denoising models are.
"""

from absl import flags

from experiments.run import command_line, evaluation


def define_flags() -> None:
    """The flags of an evaluation: the run, and what to evaluate of it."""
    evaluation.define_flags()
    flags.adopt_module_key_flags(evaluation)  # otherwise --help would leave them out


main = evaluation.main

if __name__ == "__main__":
    define_flags()
    command_line.run(main)
