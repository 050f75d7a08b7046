# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ: AMQP and accounts."""
