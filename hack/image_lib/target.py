"""The Python that the wheels are for: the one inside the base."""

from __future__ import annotations

import json
from dataclasses import dataclass

# Run inside the base; prints what pip would ask its own interpreter.
PROBE = """
import json, os, platform, sys
print(json.dumps({"python": list(sys.version_info[:3]), "machine": platform.machine(),
                  "glibc": os.confstr("CS_GNU_LIBC_VERSION").split()[1]}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One CPython on one machine architecture and glibc."""

    python: tuple[int, int, int]
    machine: str
    glibc: tuple[int, int]

    @classmethod
    def parse(cls, text: str) -> Target:
        """From what PROBE prints."""
        found = json.loads(text)
        major, minor, micro = found["python"]
        glibc_major, glibc_minor = (int(part) for part in found["glibc"].split(".")[:2])
        return cls(python=(major, minor, micro), machine=found["machine"], glibc=(glibc_major, glibc_minor))

    @property
    def environment(self) -> dict[str, str]:
        """Values of the markers in a lock file."""
        return {
            "python_version": "{}.{}".format(*self.python),
            "python_full_version": "{}.{}.{}".format(*self.python),
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "platform_machine": self.machine,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
        }

    @property
    def pip_options(self) -> list[str]:
        """Options that make pip choose wheels for this target instead of the Python it runs on."""
        major, minor = self.glibc
        platforms = [f"manylinux_{major}_{n}_{self.machine}" for n in range(minor, 4, -1)]
        platforms += [f"manylinux2014_{self.machine}", f"linux_{self.machine}"]
        version = "{}.{}".format(*self.python)
        abi = "cp{}{}".format(*self.python)
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
        options += [f"--abi={abi}", "--abi=abi3", "--abi=none"]
        return options + [f"--platform={platform}" for platform in platforms]
