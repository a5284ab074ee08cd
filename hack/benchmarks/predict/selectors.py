"""Random CEL over the attributes and capacities of fleet.py, in the ways that users write it."""

from __future__ import annotations

from random import Random

SAFE = (
    '"model" in {a} && {a}.model == "{letter}"',
    'has({a}.model) && {a}.model in ["{letter}", "b"]',
    '{a}.?model.orValue("a") == "{letter}"',
    '{a}.?model.hasValue() && {a}.model != "{letter}"',
    '"model" in {a} && {a}.model.matches("^[{letter}b]$")',
    '"model" in {a} ? {a}.model >= "{letter}" : device.allowMultipleAllocations',
    '"model" in {a} && {a}.model.startsWith("{letter}")',
    '"island" in {a} && {a}.island != {digit}',
    'cel.bind(x, {a}, "island" in x && x.island <= {digit})',
    "{a}.?island.orValue(0) in [{digit}, 1]",
    '"ready" in {a} && {a}.ready',
    '"ready" in {a} && !{a}.ready || "island" in {a}',
    '"version" in {a} && {a}.version.compareTo(semver("1.{digit}.0")) >= 0',
    '"version" in {a} && {a}.version.isLessThan(semver("1.{digit}.0-rc.2"))',
    '"version" in {a} && {a}.version.compareTo(semver("1.2.0")) < 0',
    '!("version" in {a}) || {a}.version.isGreaterThan(semver("2.0.0-alpha.9"))',
    '"version" in {a} && {a}.version.minor() != {digit}',
    '"memory" in {c} && {c}.memory.compareTo(quantity("{size}")) >= 0',
    '"memory" in {c} && {c}.memory.isLessThan(quantity("{size}"))',
    '"memory" in {c} && {c}.memory.compareTo(quantity("{size}")) != 0',
    '"memory" in {c} && {c}.memory.isInteger() && {c}.memory.asInteger() > 4294967296',
    '"memory" in {c} && sign({c}.memory.sub(quantity("{size}"))) >= 0',
    '"cores" in {c} && {c}.cores.asApproximateFloat() > {digit}.5',
    "device.allowMultipleAllocations || true",
    "!device.allowMultipleAllocations",
    'device.driver.endsWith("example.com")',
    '{r}.?pcieRoot.orValue("") != "pci0000:0{digit}"',
    'has({r}.pcieRoot) || "model" in {a}',
    '{a}.exists(key, key == "island")',
    "size({a}) > {digit}",
    '"{driver}" in device.attributes && size({a}) > {digit}',
    '"resource.kubernetes.io" in device.attributes && {r}.pcieRoot != "pci0000:0{digit}"',
    '!("{driver}" in device.capacity) || "memory" in {c}',
    "size(device.attributes) > 1 && size({r}) == 1",
    'device.attributes.exists(domain, domain != "{driver}") && {r}.pcieRoot.endsWith("{digit}")',
    '["{letter}", "b"].exists(x, x == "a") || {a}.?ready.orValue(false)',
    "true",
)
"""Never an error, whatever a device lacks."""

ERRORS = (
    '{a}.model == "{letter}"',
    "{a}.island > {digit}",
    '{a}.version.isGreaterThan(semver("1.{digit}.0"))',
    '{c}.memory.isGreaterThan(quantity("{size}"))',
    "{a}.ready",
)
"""An error on a device without the attribute, unless || or && decides without it."""

ABSORBED = (
    '{error} || "model" in {a}',
    '"model" in {a} || {error}',
    '{error} && "model" in {a}',
    '{error} || device.driver == "{driver}"',
    "{error} && device.allowMultipleAllocations",
)

SIZES = ("4Gi", "8Gi", "8192Mi", "10G", "1500M", "12Gi")


def selector(random: Random, driver: str, *, may_fail: float = 0.008) -> str:
    """An expression; with the probability `may_fail` it is an error on some devices."""
    roll = random.random()
    if roll < may_fail:
        text = random.choice(ERRORS)
    elif roll < may_fail + 0.06:
        text = random.choice(ABSORBED).replace("{error}", random.choice(ERRORS))
    else:
        text = random.choice(SAFE)
    if "{a}.model" in text and random.random() < 0.1:
        text = f'device.driver == "{driver}" && ({text})'
    return text.format(
        a=f'device.attributes["{driver}"]',
        c=f'device.capacity["{driver}"]',
        r='device.attributes["resource.kubernetes.io"]',
        driver=driver,
        letter=random.choice("abc"),
        digit=random.randrange(4),
        size=random.choice(SIZES),
    )
