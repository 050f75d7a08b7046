# SPDX-License-Identifier: Apache-2.0
"""KVM on a host: facts, evaluation, diagnosis, the test guest."""
