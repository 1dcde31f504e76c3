"""What pyproject.toml cannot say: the presets in ``configs/`` are packaged as ``rlopt.presets``."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["rlopt*", "reward*", "envs*"]), "rlopt.presets"],
    package_dir={"rlopt.presets": "configs"},
)
