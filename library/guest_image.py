# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import glob
import hashlib
import json
import os
import pwd
import re
import shutil
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.guest import guest_files
from ansible.module_utils.packages import debian_package

DOCUMENTATION = r"""
module: guest_image
short_description: Build a small test guest from Debian packages
description:
  - Builds a kernel, an initramfs and a disk of a few MB that boot under Nova in a few seconds, also without KVM.
  - The guest prints what it sees (lines that begin with C(GUEST-)) on its console - its lease, its metadata, its disk -
    and answers on TCP ports 22 and 2222. It holds no account, no password and no key; nobody can log in.
  - The packages (a kernel and the static busybox) are downloaded with apt or taken from a folder; they are read, not
    installed.
  - The same packages give the same bytes. An image that is already there is kept; see O(refresh).
options:
  path:
    description: Folder that holds the image, made when it is missing.
    type: path
    required: true
  packages:
    description:
      - Folder with the two C(.deb) files (C(linux-image-VERSION) and C(busybox-static)), for a host without a mirror.
      - Without it they are downloaded from the host's own apt sources.
    type: path
  architecture:
    description: Architecture of the guest, as C(uname -m) says it. The host's own when not given.
    type: str
    choices: [x86_64, aarch64, ppc64le, riscv64, s390x]
  kernel_package:
    description:
      - Package whose dependency is the newest kernel (as C(linux-image-cloud-amd64)), or a kernel package itself.
      - The default is Debian's cloud kernel of the architecture where there is one.
    type: str
  name:
    description: Name that the guest gives itself in its banner.
    type: str
    default: nova-guest
  refresh:
    description: Build again when apt offers a newer kernel or busybox than the image was built from.
    type: bool
    default: false
author: nova-ansible
"""

EXAMPLES = r"""
- name: Build the test guest
  guest_image:
    path: /var/lib/nova-ansible/guest

- name: Build the test guest on a host without a package mirror
  guest_image:
    path: /var/lib/nova-ansible/guest
    packages: /srv/packages/guest
"""

RETURN = r"""
changed: {description: Whether the image was built., type: bool, returned: always}
reason: {description: Why it is built, or that it is current., type: str, returned: always}
path: {description: The folder., type: str, returned: always}
image:
  description:
    - What C(guest.json) in the folder holds - recipe, packages and their versions, kernel release, modules, kernel
      command line, smallest memory in MB (both in C(recipe)), and name, size and SHA-256 of each file.
  type: dict
  returned: when there is one
seconds: {description: How long the build took., type: float, returned: when built}
"""

STAMP = "guest.json"
SCRATCH = ".packages."


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as content:
        for part in iter(lambda: content.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def read_image(folder):
    """The finished image in a folder and what is wrong with it."""
    try:
        with open(os.path.join(folder, STAMP), encoding="utf-8") as stamp:
            image = json.load(stamp)
        for file in image["files"].values():
            path = os.path.join(folder, file["name"])
            if os.path.getsize(path) != file["size"] or sha256(path) != file["sha256"]:
                return image, f"{path} is not what was built"
    except FileNotFoundError as error:
        return {}, f"{error.filename} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, f"{os.path.join(folder, STAMP)} is unreadable ({error})"
    return image, ""


def apt(module, argv, hint, **options):
    code, out, err = module.run_command(argv, environ_update={"LC_ALL": "C"}, **options)
    if code:
        lines = [line for line in err.splitlines() if line.startswith("E:")] or err.splitlines()[-3:]
        module.fail_json(msg=f"{' '.join(argv[:2])} failed: {' '.join(lines) or 'no reason given'}. {hint}")
    return out


def offered(module, kernel_package):
    """{package: version} that apt offers: the real kernel package and the shell."""
    hint = "Run apt-get update, correct the apt sources, or give a folder of .deb files as packages."
    names, versions = [kernel_package, guest_files.SHELL], {}
    while names:
        name = names.pop()
        out = apt(module, ["apt-cache", "show", "--no-all-versions", name], f"apt offers no package {name}. {hint}")
        real = re.search(r"^Depends:.*?\b(linux-image-\d[^\s,(]*)", out, re.M)
        if real and name == kernel_package and not re.match(r"linux-image-\d", name):
            names.append(real.group(1))
        else:
            versions[name] = re.search(r"^Version: (\S+)", out, re.M).group(1)
    return versions


def download(module, versions, folder):
    """[path] of the packages, downloaded into a folder that apt's own user may write."""
    try:
        owner = pwd.getpwnam("_apt")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    except KeyError:
        pass
    argv = ["apt-get", "download", *(f"{name}={version}" for name, version in versions.items())]
    apt(module, argv, "Is the package mirror reachable? Otherwise give a folder of .deb files as packages.", cwd=folder)
    return glob.glob(os.path.join(folder, "*.deb"))


def read_packages(paths, debian):
    """The files of the kernel and of the shell among some .deb files, and {package: version}."""
    kernels, shells = [], []
    for path in sorted(paths):
        field = {**debian_package.fields(path), "path": path}
        if field["Architecture"] == debian and re.match(r"linux-image-\d", field["Package"]):
            kernels.append(field)
        elif field["Architecture"] == debian and field["Package"] == guest_files.SHELL:
            shells.append(field)
    for found, what in ((kernels, "linux-image-VERSION"), (shells, guest_files.SHELL)):
        if len(found) != 1:
            names = ", ".join(os.path.basename(field["path"]) for field in found) or "none"
            raise ValueError(f"expected one package {what} for {debian} among {len(paths)} .deb files, found {names}")
    return (
        debian_package.files(kernels[0]["path"], guest_files.kernel_wanted),
        debian_package.files(shells[0]["path"], guest_files.shell_wanted),
        {field["Package"]: field["Version"] for field in (kernels[0], shells[0])},
    )


def write(folder, files, image):
    """Each file whole or not at all; the stamp last, so that a killed build is built again."""
    for name, data in {**files, STAMP: (json.dumps(image, indent=1, sort_keys=True) + "\n").encode()}.items():
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.new-", delete=False) as new:
            try:
                new.write(data)
                new.flush()
                os.fsync(new.fileno())
                os.chmod(new.name, 0o644)
                os.rename(new.name, os.path.join(folder, name))
            except BaseException:
                os.unlink(new.name)
                raise
    for stray in glob.glob(os.path.join(folder, ".*.new-*")):
        os.unlink(stray)


def describe(files, recipe, source, versions, facts):
    return {
        "recipe": recipe,
        "source": source,
        "packages": versions,
        **facts,
        "files": {
            name: {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        },
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "packages": {"type": "path"},
            "architecture": {"type": "str", "choices": list(guest_files.ARCHITECTURES)},
            "kernel_package": {"type": "str"},
            "name": {"type": "str", "default": "nova-guest"},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked, start = module.params, time.monotonic()
    architecture = asked["architecture"] or os.uname().machine
    if architecture not in guest_files.ARCHITECTURES:
        module.fail_json(
            msg=f"This host is {architecture}, for which no guest is known; give architecture as one of "
            f"{', '.join(guest_files.ARCHITECTURES)}."
        )
    debian = guest_files.ARCHITECTURES[architecture]["debian"]
    recipe = guest_files.recipe(
        asked["name"], architecture, asked["kernel_package"] or guest_files.ARCHITECTURES[architecture]["kernel"]
    )
    paths, source, versions = [], "apt", {}
    if asked["packages"]:
        paths = sorted(glob.glob(os.path.join(asked["packages"], "*.deb")))
        if not paths:
            module.fail_json(
                msg=f"{asked['packages']} holds no .deb file; put a linux-image-VERSION and a "
                f"{guest_files.SHELL} package for {debian} there."
            )
        source = hashlib.sha256("".join(sha256(path) for path in paths).encode()).hexdigest()

    before, reason = read_image(asked["path"])
    if not reason and before["recipe"]["digest"] != recipe["digest"]:
        reason = "the recipe is another"
    if not reason and before["source"] != source and asked["packages"]:
        reason = "the packages in the folder are others"
    if not asked["packages"] and (asked["refresh"] or reason and not module.check_mode):
        versions = offered(module, recipe["kernel_package"])
        if not reason and before["packages"] != versions:
            reason = "apt offers other versions"
    summary = {
        "before": {"packages": before.get("packages"), "recipe": before.get("recipe")},
        "after": {"packages": versions or before.get("packages"), "recipe": recipe},
    }
    result = {"path": asked["path"], "reason": reason or "current", "image": before, "diff": summary}
    if not reason or module.check_mode:
        module.exit_json(changed=bool(reason), **result)

    os.makedirs(asked["path"], mode=0o755, exist_ok=True)
    for stray in glob.glob(os.path.join(asked["path"], SCRATCH + "*")):  # of a killed run
        shutil.rmtree(stray)
    scratch = tempfile.mkdtemp(dir=asked["path"], prefix=SCRATCH)
    try:
        kernel, shell, versions = read_packages(paths or download(module, versions, scratch), debian)
        files, facts = guest_files.build(recipe, kernel, shell)
        image = describe(files, recipe, source, versions, facts)
        write(asked["path"], files, image)
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"The guest cannot be built: {error}", **result)
    finally:
        shutil.rmtree(scratch)
        if not os.listdir(asked["path"]):
            os.rmdir(asked["path"])
    result.update(image=image, diff={**summary, "after": {"packages": versions, "recipe": recipe}})
    module.exit_json(changed=True, seconds=round(time.monotonic() - start, 2), **result)


if __name__ == "__main__":
    main()
