#!/bin/bash
# packages.sh download|install controller|compute -- the packages that this project's plan of that host has
# (tests/unit/repository/test_bench.py compares them).
set -euo pipefail
act=$1 host=$2

declare -A packages=(
  [controller]="mariadb-server python3-pymysql rabbitmq-server memcached keystone python3-memcache
    python3-openstackclient placement-api glance-api neutron-dhcp-agent neutron-rpc-server neutron-api
    neutron-metadata-agent neutron-openvswitch-agent openvswitch-switch nova-api nova-conductor nova-scheduler
    nova-consoleproxy python3-novaclient"
  [compute]="nova-compute-kvm python3-guestfs qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients
    nova-compute neutron-openvswitch-agent openvswitch-switch"
)

export DEBIAN_FRONTEND=noninteractive
apt() { apt-get --yes --quiet=1 --no-install-recommends --option=Dpkg::Use-Pty=0 "$@"; }

# Preparation of both sides, before the measurement: fresh lists, and every package in the cache outside of the machine.
download() {
  apt update
  # shellcheck disable=SC2086  # a list of words
  apt install --download-only ${packages[$host]}
  rm -f /var/cache/apt/archives/*.deb
}

# The answers are all "no": databases, endpoints and configuration come later.
answers() {
  debconf-set-selections <<X
nova-common nova/configure_db boolean false
nova-common nova/configure_rabbit boolean false
nova-common nova/configure_ksat boolean false
nova-common nova/configure_neutron boolean false
nova-common nova/configure_placement boolean false
nova-api novaapi/configure_db boolean false
nova-api nova/configure_api-endpoint boolean false
keystone keystone/configure_db boolean false
keystone keystone/create-admin-tenant boolean false
keystone keystone/register-endpoint boolean false
glance-common glance/configure_db boolean false
glance-common glance/configure_ksat boolean false
glance-common glance/configure_rabbit boolean false
glance-api glance/configure_api-endpoint boolean false
placement-common placement/configure_db boolean false
placement-common placement/configure_ksat boolean false
placement-api placement/configure_api-endpoint boolean false
neutron-common neutron/configure_db boolean false
neutron-common neutron/configure_rabbit boolean false
neutron-common neutron/configure_ksat boolean false
neutron-common neutron/configure_nova boolean false
neutron-api neutron/configure_api-endpoint boolean false
neutron-metadata-agent neutron-metadata/configure boolean false
neutron-openvswitch-agent neutron-openvswitch-agent/overlay-int-ip-address string $ADDRESS
X
}

# Services are held back until they are configured; dbus and polkit must then learn of the new users.
install() {
  answers
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  # shellcheck disable=SC2086  # a list of words
  apt install ${packages[$host]}
  rm /usr/sbin/policy-rc.d
  systemctl reload dbus
  systemctl try-restart polkit || true # the controller has none
}

"$act"
