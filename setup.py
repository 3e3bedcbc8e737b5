"""Where the packages lie and how the kernels compile; the rest is pyproject.toml."""

import os
import shutil
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
PACKAGES = [
    "engine",
    "engine.defi",
    "engine.lab",
    "engine.pages",
    "engine.reading",
    "margin",
    "orderbook",
    "cython_ext",
]
# Fused multiply-adds round otherwise than the machines that have none: the same seed
# would give other bytes. The last two cost no digit, and let loops be vectorised.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


def installed_pxd_tree() -> str:
    """Lay the .pxd files out as installed, so that relative cimports resolve."""
    root = ROOT / "build" / "pxd"
    package = root / "flashwick" / "cython_ext"
    package.mkdir(parents=True, exist_ok=True)
    (root / "flashwick" / "__init__.py").touch()
    (package / "__init__.py").touch()
    for pxd in sorted((ROOT / "cython_ext").glob("*.pxd")):
        # copy2 keeps the times: a fresh time would recompile every module.
        shutil.copy2(pxd, package / pxd.name)
    return str(root)


def extensions() -> list[Extension]:
    """One extension for each .pyx of cython_ext/."""
    return [
        Extension(
            f"flashwick.cython_ext.{pyx.stem}",
            [f"cython_ext/{pyx.name}"],
            include_dirs=[np.get_include()],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
            extra_compile_args=FLAGS,
        )
        for pyx in sorted(ROOT.glob("cython_ext/*.pyx"))
    ]


setup(
    packages=["flashwick", *(f"flashwick.{name}" for name in PACKAGES)],
    package_dir={
        "flashwick": "flashwick",
        **{f"flashwick.{name}": name.replace(".", "/") for name in PACKAGES},
    },
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=cythonize(
        extensions(),
        include_path=[installed_pxd_tree()],
        build_dir="build/c",
        compiler_directives={
            "language_level": "3",
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "embedsignature": True,
            "embedsignature.format": "python",
        },
    ),
)
