# SPDX-License-Identifier: Apache-2.0
"""The host itself: commands, locks, atomic writes, HTTP, output for messages, units, listeners, Open vSwitch."""
