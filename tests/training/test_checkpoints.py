"""Checkpoints come back bit for bit, whole or not at all."""

import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remjax.errors import InputError
from remjax.training import checkpoints

_ROOT = Path(__file__).parents[2]


class State(NamedTuple):
    params: dict[str, Any]
    step: jax.Array
    key: jax.Array
    history: list[Any]
    empty: tuple[()]


def _state(seed: int = 0) -> State:
    key = jax.random.key(seed)
    weights = {"w/0": jax.random.normal(key, (5, 3)), "b.c": jnp.ones(3, jnp.bfloat16)}
    history = [np.arange(4), jnp.zeros((0, 3)), jax.random.split(key, 2), None]
    return State({"theta": weights, "eta": {}}, jnp.int32(7), key, history, ())


def _same(left: Any, right: Any) -> bool:
    def bits(leaf: Any) -> Any:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf)

    if jax.tree.structure(left) != jax.tree.structure(right):
        return False
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(
        isinstance(a, np.ndarray) == isinstance(b, np.ndarray)
        and a.dtype == b.dtype
        and bits(a).tobytes() == bits(b).tobytes()
        for a, b in pairs
    )


def test_tree_comes_back_bit_for_bit(tmp_path):
    state = _state()
    checkpoints.save(tmp_path / "new" / "folder", 3, state)
    restored = checkpoints.restore(tmp_path / "new" / "folder", _state(seed=1))
    assert _same(restored, state)
    assert jax.random.key_impl(restored.key) == jax.random.key_impl(state.key)


def test_template_may_be_abstract(tmp_path):
    state = _state()._replace(history=[])
    checkpoints.save(tmp_path, 0, state)
    template = jax.eval_shape(lambda: state)
    assert _same(checkpoints.restore(tmp_path, template), state)


def test_last_two_stay_and_the_latest_is_restored(tmp_path):
    assert checkpoints.latest_step(tmp_path / "missing") is None
    for step in (1, 2, 10):
        checkpoints.save(tmp_path, step, {"x": jnp.full(2, step)})
    assert sorted(os.listdir(tmp_path)) == ["00000002", "00000010"]
    assert checkpoints.latest_step(tmp_path) == 10
    assert checkpoints.restore(tmp_path, {"x": jnp.zeros(2, int)})["x"][0] == 10
    assert checkpoints.restore(tmp_path, {"x": jnp.zeros(2, int)}, step=2)["x"][0] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"theta": jnp.zeros((2, 4))}, r"theta is float32\[2,3\] in it and float32\[2,4\] here"),
        ({"theta": np.zeros((2, 3), np.int32)}, r"theta is float32\[2,3\] in it and int32\[2,3\]"),
        ({"key": jax.random.key(0, impl="rbg")}, r"key is key<fry>\[\] in it and key<rbg>\[\]"),
        ({"key": jnp.zeros(2, jnp.uint32)}, r"key is key<fry>\[\] in it and uint32\[2\] here"),
        ({"more": {"x": jnp.zeros(1)}}, r"more/x is absent in it and float32\[1\] here"),
        ({"theta": None}, r"theta is float32\[2,3\] in it and absent here"),
    ],
)
def test_other_structure_is_named(tmp_path, change, words):
    tree = {"theta": jnp.zeros((2, 3)), "key": jax.random.key(0)}
    checkpoints.save(tmp_path, 0, tree)
    with pytest.raises(InputError, match=words) as error:
        checkpoints.restore(tmp_path, tree | change)
    assert "\n" not in str(error.value)


def test_what_cannot_be_done_is_one_line(tmp_path):
    tree = {"x": jnp.zeros(2)}
    with pytest.raises(InputError, match="holds no checkpoint: save one"):
        checkpoints.restore(tmp_path, tree)
    checkpoints.save(tmp_path, 4, tree)
    with pytest.raises(InputError, match="no checkpoint of step 3"):
        checkpoints.restore(tmp_path, tree, step=3)
    with pytest.raises(InputError, match="holds a checkpoint of step 4 and cannot take one of"):
        checkpoints.save(tmp_path, 4, tree)
    with pytest.raises(InputError, match="at least 0"):
        checkpoints.save(tmp_path, -1, tree)
    with pytest.raises(TypeError, match="the leaf x is a float"):
        checkpoints.save(tmp_path, 5, {"x": 1.0})


@pytest.mark.parametrize("damage", ["cut", "flipped", "removed"])
def test_damage_is_told_and_the_one_before_still_loads(tmp_path, damage):
    tree = {"x": jnp.arange(1000.0)}
    checkpoints.save(tmp_path, 1, tree)
    checkpoints.save(tmp_path, 2, tree)
    for file in [path for path in (tmp_path / "00000002").rglob("*") if path.is_file()]:
        content = file.read_bytes()
        if damage == "removed":
            file.unlink()
        elif damage == "cut" and content:
            file.write_bytes(content[: len(content) // 2])
        elif content:
            middle = len(content) // 2
            changed = bytes([content[middle] ^ 1])
            file.write_bytes(content[:middle] + changed + content[middle + 1 :])
        if damage == "removed" or content:
            with pytest.raises(InputError, match="00000002 is damaged: remove that directory"):
                checkpoints.restore(tmp_path, tree)
        file.write_bytes(content)
    assert _same(checkpoints.restore(tmp_path, tree, step=1), tree)


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot save .* of step 0 in .*Not a directory"):
        checkpoints.save(tmp_path / "file" / "checkpoints", 0, {"x": jnp.zeros(2)})


def test_full_disk_is_one_line_and_leaves_the_checkpoints_before(tmp_path):
    # A limit on the size of files stands in for the disk: it fails in the same system call.
    script = """
        import resource, sys
        import jax.numpy as jnp
        from remjax.training import checkpoints
        checkpoints.save(sys.argv[1], 1, {"x": jnp.zeros(3)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            checkpoints.save(sys.argv[1], 2, {"x": jnp.zeros(1_000_000)})
        except checkpoints.InputError as error:
            print(error)
    """
    done = _python(script, str(tmp_path))
    assert "cannot save the checkpoint of step 2" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["00000001"]


def test_checkpoint_of_two_devices_restores_on_one(tmp_path):
    script = """
        import sys
        import jax, jax.numpy as jnp
        from jax.sharding import NamedSharding, PartitionSpec
        from remjax.training import checkpoints
        sharding = NamedSharding(jax.make_mesh((2,), ("batch",)), PartitionSpec("batch"))
        x = jax.device_put(jnp.arange(6.0), sharding)
        checkpoints.save(sys.argv[1], 1, {"x": x, "key": jax.random.key(3)})
        again = checkpoints.restore(sys.argv[1], {"x": x, "key": jax.random.key(0)})
        assert again["x"].sharding == sharding, again["x"].sharding
    """
    done = _python(script, str(tmp_path), XLA_FLAGS="--xla_force_host_platform_device_count=2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tree = {"x": jnp.arange(6.0), "key": jax.random.key(3)}
    restored = checkpoints.restore(tmp_path, jax.tree.map(jnp.zeros_like, tree))
    assert _same(restored, tree)
    assert restored["x"].sharding == tree["x"].sharding


_SAVING = """
    import itertools, sys
    import jax, jax.numpy as jnp
    from remjax.training import checkpoints
    steps = itertools.count((checkpoints.latest_step(sys.argv[1]) or 0) + 1)
    for step in steps:
        tree = {str(i): jnp.full((50, 50), step) for i in range(8)} | {"key": jax.random.key(step)}
        checkpoints.save(sys.argv[1], step, tree)
        print("saved", flush=True)
"""


def test_kill_at_any_moment_leaves_whole_checkpoints(tmp_path):
    moments = random.Random(0)
    seen = 0
    for _ in range(3):
        with _started(_SAVING, str(tmp_path)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "saved\n"
            time.sleep(moments.uniform(0.2, 0.8))
            process.kill()
        step = checkpoints.latest_step(tmp_path)
        assert step is not None
        assert step > seen
        seen = step
        for name in [entry for entry in os.listdir(tmp_path) if entry != "unfinished"]:
            template = {str(i): jnp.zeros((50, 50), int) for i in range(8)}
            tree = checkpoints.restore(
                tmp_path, template | {"key": jax.random.key(0)}, step=int(name)
            )
            assert all((tree[str(i)] == int(name)).all() for i in range(8))
            assert tree["key"] == jax.random.key(int(name))
    checkpoints.save(tmp_path, seen + 1, {"x": jnp.zeros(1)})
    assert len(os.listdir(tmp_path)) == 2
    assert "unfinished" not in os.listdir(tmp_path)


@pytest.mark.parametrize("moment", range(5))
def test_stop_at_each_step_of_a_save_leaves_the_one_before(tmp_path, monkeypatch, moment):
    trees = [{"x": jnp.full(3, step)} for step in range(4)]
    for step in (1, 2):
        checkpoints.save(tmp_path, step, trees[step])
    functions = ("_require_space", "_checksums", "_bring_to_disk", "_fsync", "_steps")
    original = getattr(checkpoints, functions[moment])
    calls = 0

    def stop(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if functions[moment] == "_steps" and calls == 1:  # the question for the latest step
            return original(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, functions[moment], stop)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(tmp_path, 3, trees[3])
    monkeypatch.undo()
    step = checkpoints.latest_step(tmp_path)
    assert step == (3 if functions[moment] == "_steps" else 2)
    assert _same(checkpoints.restore(tmp_path, trees[0]), trees[step])
    checkpoints.save(tmp_path, 4, trees[0])
    assert len(os.listdir(tmp_path)) == 2


def test_five_megabytes_take_well_under_a_second(tmp_path):
    tree = {str(i): jnp.full((250, 250), float(i)) for i in range(20)}
    checkpoints.save(tmp_path, 0, tree)
    checkpoints.restore(tmp_path, tree)
    saving, restoring = [], []
    for step in range(1, 6):  # the best of five, for other work may hold one up
        start = time.perf_counter()
        checkpoints.save(tmp_path, step, tree)
        middle = time.perf_counter()
        checkpoints.restore(tmp_path, tree)
        saving.append(middle - start)
        restoring.append(time.perf_counter() - middle)
    assert min(saving) < 1  # 0.15 s on two cores
    assert min(restoring) < 1  # 0.1 s


def _started(script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            textwrap.dedent(script),
            *arguments,
        ],
        cwd=_ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _python(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    with _started(script, *arguments, **environment) as process:
        stdout, stderr = process.communicate()
    return subprocess.CompletedProcess([], process.returncode, stdout, stderr)
