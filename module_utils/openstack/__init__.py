# SPDX-License-Identifier: Apache-2.0
"""Keystone and the APIs: sessions, identity objects."""
