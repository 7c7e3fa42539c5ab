"""Write sample data with bare Python: nothing to install, not even eventmint itself.

    python generate_sample_data.py --num-files 24 --events-per-file 2500 --output-dir generated-data

The generator is src/eventmint/sources/sample.py. It is loaded by its path, so that the package around it,
which needs more than the standard library, is never imported.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

GENERATOR = Path(__file__).resolve().parent / "src" / "eventmint" / "sources" / "sample.py"


def load_generator() -> ModuleType:
    spec = spec_from_file_location("sample_generator", GENERATOR)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {GENERATOR}")
    module = module_from_spec(spec)
    sys.modules["sample_generator"] = module  # worker processes find its functions under this name
    spec.loader.exec_module(module)
    return module


generator = load_generator()  # not under the guard below: worker processes import this file to get it

if __name__ == "__main__":
    sys.exit(generator.main(sys.argv[1:]))
