# What both hosts' scripts share. CONTROLLER and ADDRESS (of this host) come in the environment.
# shellcheck shell=bash disable=SC2034  # variables are read by the scripts that source this file
password=secret region=RegionOne
queue="rabbit://openstack:$password@$CONTROLLER:5672/"

# put FILE GROUP <TEXT: a configuration file that holds passwords
put() {
  cat >"$1"
  chown "root:$2" "$1"
  chmod 640 "$1"
}

# auth USER: options with which one service asks another
auth() {
  cat <<X
auth_url = http://$CONTROLLER:5000
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
region_name = $region
username = $1
password = $password
X
}

# tokens USER: the section with which an API checks tokens
tokens() {
  cat <<X
[keystone_authtoken]
www_authenticate_uri = http://$CONTROLLER:5000
memcached_servers = $CONTROLLER:11211
service_token_roles = service
service_token_roles_required = true
$(auth "$1")
X
}

# The same kinds of queues that this project asks for.
queues() {
  cat <<X
[oslo_messaging_rabbit]
rabbit_quorum_queue = true
rabbit_transient_quorum_queue = true
X
}

openvswitch_agent() {
  put /etc/neutron/plugins/ml2/openvswitch_agent.ini neutron <<X
[ovs]
bridge_mappings = provider:br-provider
datapath_type = $(datapath)
[securitygroup]
enable_security_group = true
firewall_driver = openvswitch
X
}

# The kernel's datapath where its module exists.
datapath() { if modprobe -q openvswitch; then echo system; else echo netdev; fi; }

# The userspace datapath takes unfinished checksums of guests for invalid packets unless userspace-tso-enable is set.
provider_bridge() {
  systemctl enable -q openvswitch-switch
  systemctl restart openvswitch-switch
  if [ "$(datapath)" = netdev ]; then
    ovs-vsctl set Open_vSwitch . other_config:userspace-tso-enable=true
    systemctl restart ovs-vswitchd
  fi
  ovs-vsctl add-br br-provider -- set bridge br-provider "datapath_type=$(datapath)" -- add-port br-provider eth1
  ip link set eth1 up
}
