# SPDX-License-Identifier: Apache-2.0
"""The image of the test instance, and the report that it prints."""
