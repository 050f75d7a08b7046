# SPDX-License-Identifier: Apache-2.0
"""The smoke test of a cloud with an instance: steps, network, metadata, console."""
