# SPDX-License-Identifier: Apache-2.0
"""No secret is readable by a user who must not know it."""

from __future__ import annotations

testinfra_hosts = ["ansible://all"]
# Package lists contain thousands of checksums that are as long as a secret.
SKIP = "--exclude=*.md5sums --exclude-dir=apt --exclude-dir=dpkg"


def test_no_secret_is_in_a_file_that_every_user_can_read(host, words, secrets_in):
    assert secrets_in(words(host, "/etc", "root")) != [], "the search finds what root can read"
    assert secrets_in(words(host, "/etc /var /root /run /opt /srv /home /tmp", "nobody", SKIP)) == []


def test_no_secret_is_in_a_log(host, words, secrets_in):
    assert host.check_output("find /var/log -type f -size +0 -print -quit"), "there are logs to look at"
    assert secrets_in(words(host, "/var/log")) == []


def test_no_secret_is_in_the_journal(host, secrets_in):
    text = host.check_output("journalctl --no-pager --output=cat --lines=all")
    assert "systemd" in text or len(text) > 1000
    assert secrets_in(text) == []


def test_no_secret_is_on_the_command_line_of_a_process(host, secrets_in):
    lines = host.check_output("ps -ww -e -o args=")
    assert "/sbin/init" in lines or "systemd" in lines
    assert secrets_in(lines) == []
