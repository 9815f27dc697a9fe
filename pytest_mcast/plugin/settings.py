"""The settings: marker > command line > environment > ini file > default, and each knows where it came from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

__all__ = [
    "CAPTURES",
    "DOCTOR",
    "REQUIRABLE",
    "Setting",
    "Settings",
    "Shard",
    "read_lab_interfaces",
    "read_lab_setting",
    "read_settings",
    "read_shard",
]

_Value = TypeVar("_Value")

# doctor.CAPABILITIES, without importing it at start-up (a test compares them).
REQUIRABLE = ("ipv4-asm", "ipv4-ssm", "ipv6-asm", "ipv6-ssm", "namespaces", "packets", "programs", "all")

CAPTURES = ("off", "on", "retain-on-failure")
DOCTOR = ("on", "brief", "off")
_PLACEHOLDERS = ("interface", "index", "ipv4", "ipv6")


@dataclass(frozen=True)
class Setting(Generic[_Value]):
    """A value and where it was given, in words."""

    value: _Value
    origin: str = "default"

    @property
    def given(self) -> bool:
        """Whether somebody set it."""
        return self.origin != "default"


@dataclass(frozen=True)
class Shard:
    """The part ``number``, from 1, of ``count`` parts of a matrix."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number} of {self.count}"


@dataclass(frozen=True)
class Settings:
    """All settings of a run. Times are in seconds."""

    iface: Setting[str | None]
    timeout: Setting[float]
    require: Setting[tuple[str, ...]]
    export: Setting[tuple[tuple[str, str], ...]]
    lab: Setting[str]
    lab_interfaces: Setting[tuple[tuple[str, str | None], ...]]
    report: Setting[str | None]
    shard: Setting[Shard | None]
    capture: Setting[str]
    doctor: Setting[str]
    output: Setting[Path]
    pause: Setting[bool]
    core: Setting[str]
    strict: Setting[bool]

    def header(self) -> str | None:
        """Return one line with what was set; None when nothing was."""
        parts = []
        if self.iface.given:
            parts.append(f"iface {self.iface.value} ({self.iface.origin})")
        if self.lab.given:
            parts.append(f"lab {self.lab.value} ({self.lab.origin})")
        if self.timeout.given:
            parts.append(f"timeout {self.timeout.value:g} s ({self.timeout.origin})")
        if self.require.given:
            parts.append(f"require {','.join(self.require.value)} ({self.require.origin})")
        if self.capture.given:
            parts.append(f"capture {self.capture.value} to {self.output.value} ({self.capture.origin})")
        if self.doctor.given:
            parts.append(f"doctor {self.doctor.value} ({self.doctor.origin})")
        if self.export.given:
            parts.append(f"export {' '.join(name for name, _ in self.export.value)}")
        if self.report.given:
            parts.append(f"report {self.report.value} ({self.report.origin})")
        if self.shard.given:
            parts.append(f"shard {self.shard.value} ({self.shard.origin})")
        if self.core.given:
            parts.append(f"core {self.core.value} ({self.core.origin})")
        return "mcast: " + ", ".join(parts) if parts else None


def read_settings(config: pytest.Config) -> Settings:
    """Read and check them; raises ``pytest.UsageError`` that names the value, its source and the valid choices."""
    iface = _raw(config, "iface")
    timeout = _raw(config, "timeout")
    require = _raw(config, "require")
    export = _raw(config, "export")
    lab = read_lab_setting(config)
    if iface.given and lab.value != "off":
        if lab.value == "on":
            raise pytest.UsageError(
                f"{iface.origin} names an interface of this machine, which {lab.origin} hides; drop one of them"
            )
        lab = Setting("off", iface.origin)
    return Settings(
        iface=Setting(str(iface.value).strip(), iface.origin) if iface.given else Setting(None),
        timeout=_seconds(timeout) if timeout.given else Setting(5.0),
        require=_capabilities(require) if require.given else Setting(()),
        export=_exports(export) if export.given else Setting(()),
        lab=lab,
        lab_interfaces=read_lab_interfaces(config),
        report=_path(config, _raw(config, "report")),
        shard=read_shard(_raw(config, "shard")),
        capture=_choice(_raw(config, "capture"), CAPTURES),
        doctor=_choice(_raw(config, "doctor"), DOCTOR, "on"),
        output=_output(config),
        pause=_flag(config, "pause_on_failure"),
        core=_core(config),
        strict=_flag(config, "strict"),
    )


def read_lab_setting(config: pytest.Config) -> Setting[str]:
    """Read ``--mcast-lab`` and ``mcast_lab`` alone, which are needed before the others."""
    raw = _raw(config, "lab")
    return _choice(raw, ("auto", "on", "off"))


def read_lab_interfaces(config: pytest.Config) -> Setting[tuple[tuple[str, str | None], ...]]:
    """Read ``mcast_lab_interfaces``."""
    raw = _raw(config, "lab_interfaces")
    if not raw.given:
        return Setting((("eth0", None),))
    items = raw.value.split() if isinstance(raw.value, str) else raw.value
    pairs = []
    for item in items:
        name, equals, mac = item.partition("=")
        good_name = 0 < len(name.encode()) < 16 and not set(name) & set("/: \t") and name not in (".", "..", "lo")
        if not good_name or (equals and not re.fullmatch(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}", mac)):
            raise pytest.UsageError(
                f"{raw.origin}: {item!r} is not NAME or NAME=MAC: a name of 1 to 15 bytes other than lo, "
                "and a unicast Ethernet address such as 02:00:00:00:00:01"
            )
        pairs.append((name, mac.lower() or None))
    if len(dict(pairs)) != len(pairs):
        raise pytest.UsageError(f"{raw.origin}: {' '.join(items)!r} has a name twice")
    return Setting(tuple(pairs), raw.origin)


def _choice(raw: Setting[Any], choices: tuple[str, ...], default: str = "off") -> Setting[str]:
    if raw.given and raw.value not in choices:
        raise pytest.UsageError(f"{raw.origin}: {raw.value!r} is not one of {', '.join(choices)}")
    return Setting(raw.value, raw.origin) if raw.given else Setting(default)


def _output(config: pytest.Config) -> Setting[Path]:
    raw = _raw(config, "output")
    if not raw.given:
        return Setting(config.rootpath / "mcast-output")
    base = config.invocation_params.dir
    if raw.origin.startswith("mcast_output in") and config.inipath is not None:
        base = config.inipath.parent
    path = base / raw.value
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "we may not write to" if there.is_dir() else "there is a file"
        raise pytest.UsageError(f"{raw.origin}: {str(raw.value)!r} cannot be a directory of ours: {what} {there}")
    return Setting(path, raw.origin)


def _flag(config: pytest.Config, name: str) -> Setting[bool]:
    if not getattr(config.known_args_namespace, f"mcast_{name}", None):
        return Setting(False)
    return Setting(True, f"--mcast-{name.replace('_', '-')}")


def _core(config: pytest.Config) -> Setting[str]:
    raw = _raw(config, "core")
    if not raw.given:
        return Setting("builtin")
    what = str(raw.value).strip()
    if what.endswith((".yaml", ".yml")):
        return Setting(str(_path(config, raw).value), raw.origin)
    return Setting(what, raw.origin)


def _raw(config: pytest.Config, name: str) -> Setting[Any]:
    # known_args_namespace is there before the conftests are; it is the same as the options later.
    value = getattr(config.known_args_namespace, f"mcast_{name}", None)
    if value is not None:
        return Setting(value, f"--mcast-{name}")
    variable = f"PYTEST_MCAST_{name.upper()}"
    if os.environ.get(variable):
        return Setting(os.environ[variable], variable)
    key = f"mcast_{name}"
    given = getattr(config.known_args_namespace, "override_ini", None) or []
    overridden = any(item.partition("=")[0].strip() == key for item in given)
    where = "-o" if overridden or config.inipath is None else config.inipath.name
    try:
        value = config.getini(key)
    except (ValueError, TypeError, pytest.UsageError) as error:  # which one depends on the version of pytest
        raise pytest.UsageError(f"{key} in {where}: {error}") from None
    return Setting(None) if value in (None, "", [], ()) else Setting(value, f"{key} in {where}")


def _path(config: pytest.Config, raw: Setting[Any]) -> Setting[str | None]:
    if not raw.given:
        return Setting(None)
    if not raw.value.strip():
        raise pytest.UsageError(f"{raw.origin}: {raw.value!r} is not the path of a file")
    of_file = config.inipath is not None and raw.origin.endswith(f" in {config.inipath.name}")
    base = config.inipath.parent if of_file and config.inipath else config.invocation_params.dir
    return Setting(os.path.normpath(base / os.path.expanduser(raw.value)), raw.origin)


def _seconds(raw: Setting[Any]) -> Setting[float]:
    try:
        seconds = float(raw.value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"{raw.origin}: {raw.value!r} is not a number of seconds above 0, such as 5 or 0.5")
    return Setting(seconds, raw.origin)


def read_shard(raw: Setting[Any]) -> Setting[Shard | None]:
    """Read ``--mcast-shard``."""
    if not raw.given:
        return Setting(None)
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", str(raw.value), re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise pytest.UsageError(
            f"{raw.origin}: {raw.value!r} is not K/N, the part K of N parts, such as 1/3, 2/3 and 3/3"
        )
    return Setting(Shard(int(match[1]), int(match[2])), raw.origin)


def _capabilities(raw: Setting[Any]) -> Setting[tuple[str, ...]]:
    text = raw.value if isinstance(raw.value, str) else ",".join(raw.value)
    names = tuple(name for name in text.replace(",", " ").split() if name)
    unknown = [name for name in names if name not in REQUIRABLE]
    if unknown or not names:
        what = ", ".join(map(repr, unknown)) or "an empty list"
        raise pytest.UsageError(f"{raw.origin}: no such capability: {what}; choose from {', '.join(REQUIRABLE)}")
    return Setting(names, raw.origin)


def _exports(raw: Setting[Any]) -> Setting[tuple[tuple[str, str], ...]]:
    lines = raw.value.split(",") if isinstance(raw.value, str) else raw.value
    pairs = []
    for line in (line.strip() for line in lines):
        name, equals, template = line.partition("=")
        name, template = name.strip(), template.strip()
        try:
            template.format_map(dict.fromkeys(_PLACEHOLDERS, ""))
            good = bool(equals and name.isidentifier())
        except (KeyError, ValueError, IndexError):
            good = False
        if not good:
            choices = ", ".join(f"{{{key}}}" for key in _PLACEHOLDERS)
            raise pytest.UsageError(f"{raw.origin}: {line!r} is not VARIABLE=TEXT, where TEXT may hold {choices}")
        pairs.append((name, template))
    return Setting(tuple(pairs), raw.origin)
