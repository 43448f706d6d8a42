"""Whatever a user gets wrong is one line that names it, exit code 2, and nothing written."""

import functools
import gzip
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from absl import flags

from experiments import rem, train
from experiments.run import command_line, training
from remjax.errors import InputError

_ROOT = Path(__file__).parents[3]
_OF_THE_CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
# An idx file of 60,000 images of 28x28 begins so.
_IDX_HEADER = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders with data files and other files that are wrong in one way each."""
    place = tmp_path_factory.mktemp("place")
    (place / "thesis").mkdir()
    (place / "thesis" / "thesis.tex").write_text("")
    (place / "file").write_text("")
    (place / "empty").mkdir()
    whole = gzip.compress(_IDX_HEADER + bytes(60_000), mtime=0)
    for name, content in (
        ("cut", whole[: len(whole) // 2]),
        ("short", whole),
        ("labels", gzip.compress(bytes.fromhex("00000801 0000ea60") + bytes(60_000))),
        ("text", b"<html>404</html>"),
    ):
        (place / name).mkdir()
        for file in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
            (place / name / file).write_bytes(content)
    return place


POSITIVE = "give a positive number"
CASES = [
    (["--num_replicas=0"], "--num_replicas=0 cannot be: give a positive number"),
    (["--mesh=rows:2"], "--mesh=rows:2 is no mesh: write the devices along each axis, as --mesh="),
    (["--mesh=data:two"], "--mesh=data:two is no mesh"),
    (["--mesh=data:1,data:1"], "--mesh=data:1,data:1 is no mesh"),
    (["--mesh=data:64"], "a mesh of data:64,particles:1 takes 64 devices and there is 1: ask for"),
    (["--mesh=particles:3"], "give data:1 or more, and particles:1, 2, 4 or 8"),
    (["--host_index=1"], "--host_index and --coordinator are for several: give --num_hosts too"),
    (["--num_hosts=2", "--host_index=2"], "--host_index=2 cannot be: give a number from 0 to 1"),
    (["--method=remv1"], "--method=remv1 is not known: use one of rem_v1, rem_v2"),
    (["--method=xyz"], "--method=xyz is not known: use one of disarm, vae, ciwae"),
    (["--dataset=mnsit"], "--dataset=mnsit is not known: use one of mnist"),
    (["--preset=rem"], "--preset=rem is not known: use one of rem_paper, review, rem_release"),
    (["--covariance=shrink"], "--covariance=shrink is not known: use one of shrunk"),
    (["--schedule=burta"], "--schedule=burta is not known: use one of burda, burda_rounded"),
    (["--binarization=none"], "use one of fixed, per_epoch, per_minibatch"),
    (["--num_particles=0"], f"--num_particles=0 cannot be: {POSITIVE}"),
    (["--batch_size=-1"], f"--batch_size=-1 cannot be: {POSITIVE}"),
    (["--split_seed=-1"], "--split_seed=-1 cannot be: give a number from 0 to 2^32 - 1"),
    (["--split_seed=1", "--dataset=mnist"], "--split_seed does nothing for --dataset=mnist, whose"),
    (["--epochs=-3"], f"--epochs=-3 cannot be: {POSITIVE}"),
    (["--latent_size=0"], f"--latent_size=0 cannot be: {POSITIVE}"),
    (["--hidden_size=0"], f"--hidden_size=0 cannot be: {POSITIVE}"),
    (["--latent_size=3,x"], "--latent_size=3,x cannot be: give a positive number, or one for each"),
    (["--latent_size="], "--latent_size= cannot be: give a positive number, or one for each"),
    (["--hidden_size=8,4"], "--hidden_size=8,4 does not go with --latent_size=2: give one width"),
    (["--latent_size=2000000000"], "a layer of up to 16,000,000,000 weights: lower"),
    (["--hidden_layers=-1"], "--hidden_layers=-1 cannot be: give 0 or more"),
    (["--num_categories=3"], "--num_categories does nothing for --model=gaussian: leave it out"),
    (["--model=sigmoid"], "--model=sigmoid is not known: use one of sigmoid_belief"),
    (["--model=sigmoid_belief", "--method=iwae"], "binary latents have no reparameterised draw"),
    (["--latent_size=3,2", "--eval_proposal=two_stage"], "two-stage evaluation needs an r whose"),
    (["--chunk_size=0"], f"--chunk_size=0 cannot be: {POSITIVE}"),
    (["--chunk_size=9"], "--chunk_size=9 is more than --num_particles=4: lower it"),
    (["--seed=4294967295", "--num_replicas=2"], "give a number from 0 to 2^32 - 2"),
    (["--mesh=particles:8"], "--mesh=particles:8 has more devices for particles than --num_part"),
    (["--keep=0"], f"--keep=0 cannot be: {POSITIVE}"),
    (["--train_size=0"], f"--train_size=0 cannot be: {POSITIVE}"),
    (["--eval_num_particles=0"], f"--eval_num_particles=0 cannot be: {POSITIVE}"),
    (["--learning_rate=0"], f"--learning_rate=0.0 cannot be: {POSITIVE}"),
    (["--learning_rate=nan"], f"--learning_rate=nan cannot be: {POSITIVE}"),
    (["--learning_rate=inf"], "--learning_rate=inf is too large: give less than 2^31"),
    (["--num_particles=3000000000"], "--num_particles=3000000000 is too large: give less than"),
    (["--adam_epsilon=-1"], f"--adam_epsilon=-1.0 cannot be: {POSITIVE}"),
    (["--adam_b1=1"], "--adam_b1=1.0 cannot be: give a number from 0 to below 1"),
    (["--adam_initial_nu=-1"], "--adam_initial_nu=-1.0 cannot be: give 0 or more"),
    (["--adam_initial_nu=1"], "needs the epsilon-hat form of Adam: add --epsilon_hat"),
    (["--optimizer=adagrda"], "--optimizer=adagrda is not known: use one of adagrad"),
    (["--optimizer=sgd", "--adam_b1=0.5"], "--adam_b1 does nothing for --optimizer=sgd: leave it"),
    (["--optimizer=sgd", "--epsilon_hat"], "--epsilon_hat does nothing for --optimizer=sgd"),
    (["--order=random"], "--order=random is not known: use one of"),
    (["--eval_every=0"], f"--eval_every=0 cannot be: {POSITIVE}"),
    (["--split=iwae_release"], "--split=iwae_release knows mnist, omniglot and binarized_mnist"),
    (["--init_from={place}/empty"], "{place}/empty holds no run: name a folder that"),
    (["--max_gradient_norm=0"], f"--max_gradient_norm=0.0 cannot be: {POSITIVE}"),
    (["--weight_decay=-1"], "--weight_decay=-1.0 cannot be: give 0 or more"),
    (["--eval_size=1"], "--eval_size=1 cannot be: give 0 (all), 2 or more"),
    (["--seed=-1"], "--seed=-1 cannot be: give a number from 0 to 2^32 - 1"),
    (["--keep=9"], "--keep=9 is more than --num_particles=4: lower it, or leave it out"),
    (["--method=vae", "--keep=2"], "--keep does nothing for --method=vae: leave it out"),
    (
        ["--method=iwae", "--covariance=weighted"],
        "--covariance does nothing for --method=iwae: leave it out",
    ),
    (["--model=uncertain_gaussian", "--latent_size=3,2"], "has one stochastic layer: give one"),
    (["--model=full_gaussian", "--latent_size=3,2"], "full_gaussian has one stochastic layer"),
    (
        ["--model=uncertain_gaussian", "--initialization=fan_in_uniform"],
        "has layers of its own: leave out",
    ),
    (["--model=uncertain_gaussian", "--bfloat16"], "has layers of its own: leave out"),
    (["--method=iwae", "--alpha=0.3"], "--alpha does nothing for --method=iwae: leave it out"),
    (["--method=rws", "--nolagged"], "--lagged does nothing for --method=rws: leave it out"),
    (["--method=vr", "--alpha=nan"], "error: --alpha is nan: give a finite number"),
    (
        ["--method=miwae", "--num_groups=3"],
        "--num_groups is 3: give a number that divides --num_particles=4",
    ),
    (["--method=rws", "--dream_share=2"], "error: --dream_share is 2.0: give that of the dreams"),
    (
        ["--method=rws_defensive", "--defence=0"],
        "error: --defence is 0.0: give the share of the prior",
    ),
    (["--method=nvil", "--baseline_size=-1"], "--baseline_size=-1 cannot be: give 0 or more"),
    (["--warm_up=-1"], "--warm_up=-1 cannot be: give 0 or more"),
    (["--warm_up=2147483648"], "--warm_up=2147483648 is too large: give less than 2^31"),
    (["--method=rws", "--baseline_size=5"], "--baseline_size does nothing for --method=rws"),
    (
        ["--method=nvil", "--baseline_size=0", "--nocentring"],
        "nvil with neither a baseline nor centring is reinforce",
    ),
    (["--method=nvil", "--decay=1"], "error: --decay is 1.0: give a number from 0, and below 1"),
    (
        ["--method=rem_v2", "--hyperproposal=bernoulli"],
        "--hyperproposal=bernoulli is not known: use one of r, s, mixture, pooled",
    ),
    (["--train_size=5000"], "--train_size=5000 is more than the 1500 images: lower it"),
    (["--batch_size=201"], "--batch_size=201 is more than the 200 training images of digits"),
    (["--split=rem_release"], "needs a validation part, which digits has not: use"),
    (["--num_particles=many"], "--num_particles=many: invalid literal"),
    (["--num_partcles=5"], "'num_partcles'. Did you mean: num_particles ?"),
    (["more"], "'more' is no flag: write --flag=value"),
    (["--run_dir={place}/thesis"], "thesis holds thesis.tex but no run: choose another --run_dir"),
    (["--run_dir={place}/file"], "file is a file: choose another --run_dir"),
    (["--run_dir={place}/file/run"], "cannot write {place}/file/run: Not a directory; free some"),
    (["--dataset=mnist", "--data_dir={place}/missing"], "data_dir {place}/missing does not exist"),
    (["--dataset=mnist", "--data_dir={place}/file"], "data_dir {place}/file is not a folder"),
    (["--dataset=mnist", "--data_dir={place}/empty"], "holds train-images-idx3-ubyte.gz (or"),
    (["--dataset=mnist", "--data_dir={place}/cut"], "truncated: the gzip stream ends early"),
    (["--dataset=mnist", "--data_dir={place}/short"], "train-images-idx3-ubyte.gz: truncated"),
    (["--dataset=mnist", "--data_dir={place}/labels"], "magic number 2049 and not 2051"),
    (["--dataset=mnist", "--data_dir={place}/text"], "train-images-idx3-ubyte.gz: "),
]


def _entries(place):
    return sorted(place.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "words"), CASES, ids=[" ".join(arguments) for arguments, _ in CASES]
)
def test_bad_input_of_train(run_binary, tiny, place, arguments, words):
    arguments = [argument.format(place=place) for argument in arguments]
    given = {argument.partition("=")[0] for argument in arguments}
    others = [flag for flag in tiny if flag.partition("=")[0] not in given]
    before = _entries(place)
    # The last --run_dir wins, and new/ is where nothing may appear.
    done = run_binary(train, f"--run_dir={place}/new", *others, *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith("error: ")
    assert words.format(place=place) in done.stderr
    assert _entries(place) == before


def test_run_that_is_there(run_binary, tiny, finished):
    for arguments, words in (
        ([], "holds a run: choose another --run_dir or add --resume"),
        (["--resume", "--num_particles=5"], "give --num_particles=4 again, or choose another"),
        (["--resume", "--keep=2"], "with no --keep, which cannot go on with --keep=2"),
        (["--resume", "--epochs=2"], "with --epochs=3, which cannot go on with --epochs=2"),
        (["--resume", "--epochs=9", "--schedule=linear"], "cannot go on with --epochs=9: give"),
    ):
        done = run_binary(train, *tiny, f"--run_dir={finished}", *arguments)
        assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--run_dir is missing: name a folder, as --run_dir=runs/rem"),
        (["--run_dir={place}/new", "--scale=tiny"], "--scale=tiny is not known: use one of full"),
        (["--run_dir={place}/new", "--preset=iwae"], "use one of rem_paper, rem_release"),
        (["--run_dir={place}/new", "--methods=remm"], "--method=remm is not known: use one of"),
        (["--run_dir={place}/new", "--datasets=digit"], "--dataset=digit is not known: use one of"),
        (["--run_dir={place}/thesis"], "thesis holds thesis.tex but no sweep: choose another"),
        (["--run_dir={place}/file"], "{place}/file is a file: choose another --run_dir"),
        (
            ["--run_dir={place}/new", "--datasets=digits,mnist", "--data_dir={place}/empty"],
            "mnist: neither {place}/empty nor {place}/empty/mnist holds",
        ),
    ],
)
def test_bad_input_of_rem(run_binary, place, arguments, words):
    before = _entries(place)
    arguments = [argument.format(place=place) for argument in arguments]
    done = run_binary(rem, "--scale=smoke", *arguments)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert words.format(place=place) in done.stderr
    assert _entries(place) == before


def test_process_ends_with_code_2_and_one_line(tmp_path):
    command = [sys.executable, "-m", "experiments.train", "--method=remv1", "--run_dir=RUN"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --method=remv1 is not known: use one of rem_v1, rem_v2")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("binary", "names"),
    [
        (train, ("method", "num_hosts", "coordinator")),
        (rem, ("run_dir", "scale", "preset", "seeds", "datasets")),
    ],
)
def test_help_explains_every_flag(defined_flags, binary, names):
    """Also those that another room defines: `--help` has the flags that are the module's own."""
    with defined_flags(binary):
        of_binary = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(binary.__name__)}
    assert set(names) <= of_binary


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("the file x is empty: fill it"), 2, "error: the file x is empty: fill it"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.\nbuffers: ..."),
            2,
            "error: not enough memory (RESOURCE_EXHAUSTED: Out of memory.): lower the sizes",
        ),
        (MemoryError("Unable to allocate"), 2, "error: not enough memory (Unable to allocate)"),
    ],
)
def test_errors_that_a_user_can_mend(run_binary, tiny, tmp_path, monkeypatch, error, code, words):
    def fail(settings):
        raise error

    monkeypatch.setattr(training, "build", fail)
    done = run_binary(train, *tiny, f"--run_dir={tmp_path}/run")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith(words)


def test_errors_of_the_program_keep_their_traceback(run_binary, tiny, tmp_path, monkeypatch):
    def fail(settings):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(training, "build", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        run_binary(train, *tiny, f"--run_dir={tmp_path}/run")


@pytest.mark.parametrize(("flag", "code"), [("--help", 0), ("--help=vr", 0), ("--help=x", 2)])
def test_help_is_a_command(run_binary, monkeypatch, flag, code):
    monkeypatch.setattr(
        command_line, "run", functools.partial(command_line.run, explain=train.explain)
    )
    done = run_binary(train, flag)
    assert (done.code, done.stderr != "") == (code, code == 2)


def test_programs_are_kept_where_the_flag_says(run_binary, tiny, tmp_path):
    before = {name: getattr(jax.config, name) for name in _OF_THE_CACHE}
    try:
        done = run_binary(
            train, *tiny, f"--run_dir={tmp_path}/run", f"--compilation_cache={tmp_path}/kept"
        )
        assert done.code == 0
        assert jax.config.jax_compilation_cache_dir == f"{tmp_path}/kept"
        (tmp_path / "file").write_text("")
        done = run_binary(
            train, *tiny, f"--run_dir={tmp_path}/two", f"--compilation_cache={tmp_path}/file/x"
        )
        assert (done.code, done.stderr.count("\n")) == (2, 1)
        assert "cannot be made: Not a directory; name another folder, or none" in done.stderr
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_a_reader_who_has_seen_enough_gets_no_traceback():
    """As `| head` does: the pipe has no reader left when the table is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "experiments.methods"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
