"""The version, as the package's metadata has it; reading that takes longer than most commands."""

VERSION = "0.1.0"
