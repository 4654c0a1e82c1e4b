"""`python -m autonix.tests.emit.record`: writes the golden outputs again, for a person to read as a diff."""

from pathlib import Path

from autonix.emit.files import CLUSTER, generated
from autonix.tests.emit.analyses import GOLDEN, VARIANTS

DIRECTORY = Path(__file__).parent / "golden"

if __name__ == "__main__":
    for name, analysis in GOLDEN.items():
        for file, text in generated(analysis).files():
            if file == CLUSTER and name in VARIANTS:
                continue
            (DIRECTORY / name).mkdir(parents=True, exist_ok=True)
            (DIRECTORY / name / file).write_text(text)
