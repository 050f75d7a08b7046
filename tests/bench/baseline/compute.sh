#!/bin/bash
# compute.sh PHASE -- a compute by plain commands.
set -euo pipefail
cd "$(dirname "$0")"
. ./common.sh
# shellcheck disable=SC2154  # variables are those of common.sh

configuration() {
  put /etc/nova/nova.conf nova <<X
[DEFAULT]
my_ip = $ADDRESS
transport_url = $queue
state_path = /var/lib/nova
log_dir = /var/log/nova
compute_driver = libvirt.LibvirtDriver
[libvirt]
virt_type = qemu
[service_user]
send_service_user_token = true
$(auth nova)
[vnc]
enabled = true
server_listen = $ADDRESS
server_proxyclient_address = $ADDRESS
novncproxy_base_url = http://$CONTROLLER:6080/vnc_lite.html
[glance]
region_name = $region
[placement]
$(auth placement)
[neutron]
$(auth neutron)
[oslo_concurrency]
lock_path = /var/lock/nova
$(queues)
X
  # The package's own file is read after nova.conf and asks for KVM.
  put /etc/nova/nova-compute.conf nova </dev/null
  # Without DMI data libvirt makes up a new host UUID at every start.
  echo 'host_uuid_source = "machine-id"' >/etc/libvirt/libvirtd.conf
  put /etc/neutron/neutron.conf neutron <<X
[DEFAULT]
core_plugin = ml2
auth_strategy = keystone
transport_url = $queue
state_path = /var/lib/neutron
log_dir = /var/log/neutron
[agent]
root_helper = sudo neutron-rootwrap /etc/neutron/rootwrap.conf
[oslo_concurrency]
lock_path = /var/lock/neutron
$(queues)
X
  openvswitch_agent
}

foundation() {
  systemctl enable -q libvirtd
  systemctl restart libvirtd
  provider_bridge
}

agents() {
  systemctl enable -q nova-compute neutron-openvswitch-agent
  systemctl restart nova-compute neutron-openvswitch-agent
}

"$1"
