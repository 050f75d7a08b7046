# SPDX-License-Identifier: Apache-2.0
"""The stages of a deployment as functions that host_state calls in process."""
