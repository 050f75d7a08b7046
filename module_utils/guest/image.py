# SPDX-License-Identifier: Apache-2.0
"""The test image in a directory: read it, decide whether it is current, build it and write it."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypedDict

from ansible.module_utils.guest import guest_files, image_packages
from ansible.module_utils.guest.initramfs import BuildError
from ansible.module_utils.host import atomic_file
from ansible.module_utils.message import Message

STAMP = "guest.json"
SCRATCH = ".packages."


class ImageFile(TypedDict):
    """A file of an image; the size in bytes."""

    name: str
    size: int
    sha256: str


class Image(TypedDict):
    """The contents of guest.json: what an image consists of, and what it was built from."""

    recipe: guest_files.Recipe
    source: str
    packages: dict[str, str]
    kernel_release: str
    modules: list[str]
    files: dict[str, ImageFile]


class Request(NamedTuple):
    """A requested image.

    debian: Debian's name of the architecture.
    packages: the .deb files of the operator's directory; empty when apt downloads them.
    source: "apt", or a digest of the .deb files.
    refresh: whether newer packages of apt are a reason to build.
    """

    directory: str
    recipe: guest_files.Recipe
    debian: str
    packages: list[str]
    source: str
    refresh: bool


def request_of(params: Mapping[str, Any]) -> Request:
    """Return the request that the options of the module make; raise BuildError when no image can be built."""
    architecture = params["architecture"] or os.uname().machine
    if architecture not in guest_files.ARCHITECTURES:
        known = ", ".join(guest_files.ARCHITECTURES)
        raise BuildError(Message(f"no guest exists for this host's architecture {architecture}; choose one of {known}"))
    row = guest_files.ARCHITECTURES[architecture]
    recipe = guest_files.recipe(params["name"], architecture, params["kernel_package"] or row.kernel)
    packages: list[str] = []
    source = "apt"
    if params["packages"]:
        packages = sorted(glob.glob(os.path.join(params["packages"], "*.deb")))
        if not packages:
            raise BuildError(
                Message(
                    f"{params['packages']} has no .deb file; put a linux-image-VERSION and a {guest_files.SHELL} "
                    f"package for {row.debian} there"
                )
            )
        source = hashlib.sha256("".join(sha256(path) for path in packages).encode()).hexdigest()
    return Request(params["path"], recipe, row.debian, packages, source, params["refresh"])


def sha256(path: str) -> str:
    """Return the SHA-256 of a file, which is read in parts."""
    digest = hashlib.sha256()
    with open(path, "rb") as content:
        for part in iter(lambda: content.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def read_stamp(directory: str) -> Image:
    """Return the image that a directory says to hold; raise OSError or ValueError when it says nothing."""
    with open(os.path.join(directory, STAMP), encoding="utf-8") as stamp:
        found: Image = json.load(stamp)
    return found


def read(directory: str) -> tuple[Image | None, str]:
    """Return the image in a directory, and a reason to build it again; None when its contents are unknown."""
    try:
        image = read_stamp(directory)
        for file in image["files"].values():
            path = os.path.join(directory, file["name"])
            if os.path.getsize(path) != file["size"] or sha256(path) != file["sha256"]:
                return image, f"{path} differs from the file that was built"
    except FileNotFoundError as error:
        return None, f"{error.filename} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{os.path.join(directory, STAMP)} is unreadable ({error})"
    return image, ""


def ensure(request: Request, check_mode: bool) -> dict[str, Any]:
    """Build an image unless it is current; return the result of the module."""
    start = time.monotonic()
    before, reason = read(request.directory)
    if before and not reason:
        reason = difference(before, request)
    versions: dict[str, str] = {}
    if not request.packages and (request.refresh or (reason and not check_mode)):
        versions = image_packages.offered(request.recipe["kernel_package"])
        if before and not reason and before["packages"] != versions:
            reason = "apt offers other versions"
    present: dict[str, Any] = {**(before or {})}
    after: dict[str, Any] = {"packages": versions or present.get("packages"), "recipe": request.recipe}
    result: dict[str, Any] = {
        "changed": bool(reason),
        "path": request.directory,
        "reason": reason or "current",
        "image": present,
        "diff": {"before": {key: present.get(key) for key in after}, "after": after},
    }
    if reason and not check_mode:
        image = result["image"] = build(request, versions)
        result["seconds"] = round(time.monotonic() - start, 2)
        after["packages"] = image["packages"]
    return result


def difference(image: Image, request: Request) -> str:
    """Return in what an image differs from the request, or an empty text."""
    if image["recipe"]["digest"] != request.recipe["digest"]:
        return "the recipe changed"
    if request.packages and image["source"] != request.source:
        return "the packages in the directory changed"
    return ""


def build(request: Request, versions: Mapping[str, str]) -> Image:
    """Build and write an image, from packages of these versions where apt downloads them.

    Raise BuildError or OSError when that fails.
    """
    with scratch_directory(request.directory) as scratch:
        paths = request.packages or image_packages.download(versions, scratch)
        packages = image_packages.read(paths, request.debian)
        files, facts = guest_files.build(request.recipe, packages.kernel, packages.shell)
        image: Image = {
            "recipe": request.recipe,
            "source": request.source,
            "packages": packages.versions,
            **facts,
            "files": {
                name: {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in files.items()
            },
        }
        write(request.directory, files, image)
    return image


@contextlib.contextmanager
def scratch_directory(directory: str) -> Iterator[str]:
    """Give a temporary directory inside a directory, which is removed afterwards if it is empty.

    What a killed build left is removed first.
    """
    os.makedirs(directory, mode=0o755, exist_ok=True)
    for left in glob.glob(os.path.join(directory, f"{SCRATCH}*")):
        shutil.rmtree(left)
    scratch = tempfile.mkdtemp(dir=directory, prefix=SCRATCH)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)
        if not os.listdir(directory):
            os.rmdir(directory)


def write(directory: str, files: Mapping[str, bytes], image: Image) -> None:
    """Write the files of an image; the stamp is the last one, so that an interrupted build is built again."""
    stamp = (json.dumps(image, indent=1, sort_keys=True) + "\n").encode()
    contents = {**files, STAMP: stamp}
    atomic_file.replace_all(atomic_file.NewFile(os.path.join(directory, name), data) for name, data in contents.items())
    for name in contents:
        for left in glob.glob(os.path.join(directory, f".{name}.*")):  # temporary files of a killed build
            os.unlink(left)
