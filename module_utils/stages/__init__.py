# SPDX-License-Identifier: Apache-2.0
"""The code of each stage module, shared by the module of the same name and by host_state."""
