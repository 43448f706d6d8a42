"""What is learned, and the kinds of array that pass between rooms."""

from typing import NamedTuple

from jaxtyping import Array, Float, PyTree, Shaped

Latent = PyTree[Array]
Scalar = Float[Array, ""]
Metrics = dict[str, Array]
# One x: a vector [X] for the networks of the library; an image, bits or whole numbers for others.
Datapoint = Shaped[Array, "*X"]


class Params(NamedTuple):
    """Everything that is learned. Pytrees of arrays; each loss moves its own part.

    Attributes:
        theta: the parameters of the generative model p_theta(x, z).
        eta: the parameters of the recognition network r_eta(z | x).
        baseline: the parameters of a learned baseline, for the methods that have one.
    """

    theta: PyTree
    eta: PyTree
    baseline: PyTree = ()
