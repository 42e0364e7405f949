import importlib.util
import shutil
from pathlib import Path

import fgvp_kernels


def version_of(folder: Path) -> str:
    path = folder / "source_digest.py"
    spec = importlib.util.spec_from_file_location("copied_source_digest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    version: str = module.algorithm_version()
    return version


def test_version_changes_with_any_source_file(tmp_path: Path) -> None:
    source = Path(fgvp_kernels.__file__).parent
    folder = tmp_path / "copy"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert version_of(folder) == fgvp_kernels.algorithm_version()
    versions = {version_of(folder)}
    files = sorted(folder.rglob("*.py"))
    for path in files:
        content = path.read_text()
        path.write_text(content + "# changed\n")
        versions.add(version_of(folder))
        path.write_text(content)
    assert len(versions) == 1 + len(files)
