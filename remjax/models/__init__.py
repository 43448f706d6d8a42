"""Models p(x, z) and recognition networks r(z | x), as pure functions made of Flax NNX modules."""
