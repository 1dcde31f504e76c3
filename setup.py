"""Build steps that pyproject.toml cannot express: package the presets in ``configs/`` as ``rlopt.presets``."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["rlopt*", "reward*", "envs*"]), "rlopt.presets"],
    package_dir={"rlopt.presets": "configs"},
)
