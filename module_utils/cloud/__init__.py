# SPDX-License-Identifier: Apache-2.0
"""Check an inventory, and make the model of its cloud: groups, addresses, endpoints, accounts, URLs."""
