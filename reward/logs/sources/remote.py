"""Files on s3://, gs://, az://, https:// and wherever else fsspec reaches: copied block by block."""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from ...errors import LogError
from .local import LocalCopy

_BLOCK = 4 << 20
_ENDINGS = re.compile(r"(?i)\.(parquet|csv|tsv|jsonl|ndjson|json)(\.gz)?$|\.(xlsx|xlsm|xlsb|xls|ods)$")
_PACKAGES = {"s3fs": ("s3", "s3a"), "gcsfs": ("gs", "gcs"), "adlfs": ("az", "abfs", "abfss")}
_DRIVERS = {protocol: package for package, protocols in _PACKAGES.items() for protocol in protocols}


def download(url: str, folder: Path) -> LocalCopy:
    """The file, the files of a folder, or those that a pattern names, as a copy in ``folder``.

    Raises
    ------
    LogError
        If nothing is found, or the place cannot be reached.
    """
    name = url.partition("?")[0] if url.startswith(("http:", "https:")) else url
    name = re.sub(r"://[^/@]*:[^/@]*@", "://***@", name)
    try:
        system, path = _file_system(url)
        found = _found(system, path, web=url.startswith(("http:", "https:")))
        if not found:
            raise LogError(f"Cannot read {name}: no parquet, CSV or JSON lines file is there.")
        target = folder / "files"
        for source, place in found.items():
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            with system.open(source, "rb") as stream, (target / place).open("wb") as out:
                while block := stream.read(_BLOCK):
                    out.write(block)
    except LogError:
        raise
    except FileNotFoundError:
        raise LogError(f"Cannot read {name}: no such file.") from None
    except ImportError as error:
        package = _DRIVERS.get(url.partition("://")[0], error.name or "of its file system")
        raise LogError(f"{name} needs the package {package}: pip install 'rlopt[remote]'.") from error
    except Exception as error:  # of any file system; the URL may hold a signature
        reason = (str(error).splitlines() or [""])[0].replace(url, name) or type(error).__name__
        raise LogError(f"Cannot read {name}: {reason[:200].rstrip('.')}.") from None
    alone = next(iter(found.values())) if len(found) == 1 else None
    return _opened(LocalCopy(name, target if alone is None else target / alone), folder)


def _opened(copy: LocalCopy, folder: Path) -> LocalCopy:
    """The copy itself, or the table of a workbook."""
    from .local import FILE_NAME, is_workbook
    from .workbooks import write_sheets

    if not is_workbook(copy.path):
        return copy
    notes = write_sheets(copy.path, folder / FILE_NAME)
    return LocalCopy(copy.name, folder / FILE_NAME, tuple(map(copy.named, notes)))


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    if url.partition("://")[0] not in fsspec.available_protocols():
        raise LogError(f"{url} begins with a protocol that is not known. Known are {', '.join(_DRIVERS)}, http, https.")
    system, path = fsspec.core.url_to_fs(url)
    return system, str(path)


def _found(system: Any, path: str, *, web: bool) -> dict[str, str]:
    """Remote file -> where it goes below the folder of the copy."""
    if web:
        return {path: _web_name(system, path)}
    if any(mark in path for mark in "*?["):
        names = sorted(str(name) for name in system.glob(path))
        root = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
    elif system.isdir(path):
        names, root = sorted(str(name) for name in system.find(path)), path
    else:
        system.info(path)
        return {path: PurePosixPath(path).name}
    names = [name for name in names if _ENDINGS.search(name) and not _hidden(name[len(root) :])]
    return {name: name[len(root) :].lstrip("/") for name in names}


def _hidden(place: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(place.lstrip("/")).parts)


def _web_name(system: Any, url: str) -> str:
    """A file name for a web address; where it has no ending that tells, the type that the server names."""
    name = unquote(PurePosixPath(url.partition("?")[0].partition("#")[0]).name)
    if _ENDINGS.search(name):
        return name
    kind = str(system.info(url).get("mimetype") or "")
    endings = {"csv": ".csv", "tab-separated": ".tsv", "json": ".jsonl", "spreadsheet": ".xlsx"}
    return (name or "file") + next((ending for word, ending in endings.items() if word in kind), ".parquet")
