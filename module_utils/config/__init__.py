# SPDX-License-Identifier: Apache-2.0
"""Configuration files: layers of options, formats, masking of secrets, checks of options, values of the host."""
