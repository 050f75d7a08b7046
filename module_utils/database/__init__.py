# SPDX-License-Identifier: Apache-2.0
"""Databases of services: accounts, schemas and their state, migrations."""
