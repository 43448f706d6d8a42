"""The settings of the data: a set by its name or a file, its split, its columns."""

import dataclasses
from pathlib import Path

from experiments.run.choices import look_up
from experiments.run.fields import Checked, setting
from remjax.data import NAMES
from remjax.data.files import SUFFIXES
from remjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSettings(Checked):
    """What a run is fitted to."""

    dataset: str = setting(
        "digits",
        f"data set to fit: {', '.join(NAMES)}; or a file that ends in {', '.join(SUFFIXES)}, or a "
        "folder of PNG or JPEG images",
    )
    data_dir: str | None = setting(
        None,
        "folder of the data files; without it, REMJAX_DATA_DIR or a download",
        again="folder of the data files",
    )
    split_seed: int = setting(
        0, "seed of the split into training and test images, for sets published without a split"
    )
    test_fraction: float = setting(0.1, "part of the rows of a file that is kept for the test")
    columns: str | None = setting(
        None, "columns of a file that are fitted, as height,weight; default all"
    )
    standardize: bool = setting(
        False,
        "fit each column of a file less its mean, divided by its standard deviation; what the run "
        "gives back is in the units of the file",
    )
    image_size: str | None = setting(
        None, "height and width to which the images of a folder are resized, as 28x28"
    )

    @property
    def is_file(self) -> bool:
        """Whether the data are a user's own."""
        return self.dataset not in NAMES

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Those that are fitted; None for all."""
        return None if self.columns is None else tuple(self.columns.split(","))

    @property
    def size_of_images(self) -> tuple[int, int] | None:
        """(height, width), or None for as they are."""
        if self.image_size is None:
            return None
        height, _, width = self.image_size.partition("x")
        if not (_is_size(height) and _is_size(width)):
            raise InputError(
                f"--image_size={self.image_size} cannot be: give height and width, as 28x28"
            )
        return int(height), int(width)

    def __post_init__(self) -> None:
        """Refuse a value that cannot be, in one line that names the flag."""
        super().__post_init__()
        path = Path(self.dataset).expanduser()
        if self.is_file and path.suffix.lower() not in SUFFIXES and not path.is_dir():
            look_up(dict.fromkeys(NAMES), "dataset", self.dataset)
        if not 0.0 < self.test_fraction < 1.0:
            raise InputError(
                f"--test_fraction={self.test_fraction} cannot be: give a number between 0 and 1"
            )
        _ = self.size_of_images
        if not self.is_file:
            for field in dataclasses.fields(DataSettings):
                own = field.name in ("test_fraction", "columns", "standardize", "image_size")
                if own and getattr(self, field.name) != field.default:
                    raise InputError(
                        f"--{field.name} does nothing for --dataset={self.dataset}, which is no "
                        "file: leave it out"
                    )


def _is_size(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 10_000
