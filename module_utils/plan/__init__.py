# SPDX-License-Identifier: Apache-2.0
"""The plan of a host: its components, its stages on the host, what the control node sends, the report of preflight."""
