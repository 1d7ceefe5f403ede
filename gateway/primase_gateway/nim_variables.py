"""The environment of a NIM, as far as it is more than another name of one of our settings."""

from collections.abc import Mapping

VARIANT = "NIM_VARIANT"
# Access to a registry, and switches of an engine that is not ours.
WITHOUT_MEANING = (
    "NGC_API_KEY",
    "NIM_MODEL_PROFILE",
    "NIM_EVO2_FORCE_PROMPT_THRESHOLD",
    "NIM_EVO2_FP8",
    "NIM_EVO2_CACHED_GENERATION",
)
ENGINE_PREFIX = "EVO2_"


def model(environment: Mapping[str, str]) -> str:
    """The size asked for, such as `evo2-7b`, or nothing."""
    variant = environment.get(VARIANT, "").strip().lower()
    return f"evo2-{variant}" if variant else ""


def ignored(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that are set and change nothing here, in order."""
    return sorted(
        name for name in environment if name in WITHOUT_MEANING or name.startswith(ENGINE_PREFIX)
    )
