"""Where PyTorch computes, for all peers that are written in it."""

import torch


def choose_device() -> torch.device:
    """The accelerator where there is one, which multiplies as XLA does there."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda")


def finish(device: torch.device) -> None:
    """Wait until all work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
