# SPDX-License-Identifier: Apache-2.0
"""apt and dpkg: transactions, output, deferred triggers, services held back, contents of packages."""
