# The controller's configuration files; sourced by controller.sh. Numbers of processes are those that this project
# gives to a machine with two processors.
# shellcheck shell=bash disable=SC2154  # variables are those of common.sh

platform_files() {
  # MariaDB 11.8 answers error 1020 where OpenStack expects the older isolation.
  cat >/etc/mysql/mariadb.conf.d/99-openstack.cnf <<X
[mysqld]
bind-address = $CONTROLLER
max_connections = 1000
character-set-server = utf8mb3
collation-server = utf8mb3_general_ci
innodb_snapshot_isolation = OFF
X
  sed -i "s/^-l .*/-l $CONTROLLER/" /etc/memcached.conf
}

keystone_file() {
  put /etc/keystone/keystone.conf keystone <<X
[DEFAULT]
log_dir = /var/log/keystone
[database]
connection = $(database keystone keystone)
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = $CONTROLLER:11211
[token]
provider = fernet
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys/
[credential]
key_repository = /etc/keystone/credential-keys/
X
}

glance_file() {
  put /etc/glance/glance-api.conf glance <<X
[DEFAULT]
log_dir = /var/log/glance
enabled_backends = fs:file
workers = 2
[database]
connection = $(database glance glance)
$(tokens glance)
[paste_deploy]
flavor = keystone
[glance_store]
default_backend = fs
[fs]
filesystem_store_datadir = /var/lib/glance/images/
[oslo_concurrency]
lock_path = /var/lock/glance
X
}

placement_file() {
  put /etc/placement/placement.conf placement <<X
[DEFAULT]
log_dir = /var/log/placement
[placement_database]
connection = $(database placement placement)
[api]
auth_strategy = keystone
$(tokens placement)
X
}

nova_files() {
  put /etc/nova/nova.conf nova <<X
[DEFAULT]
my_ip = $CONTROLLER
transport_url = $queue
state_path = /var/lib/nova
log_dir = /var/log/nova
[api_database]
connection = $(database nova nova_api)
[database]
connection = $(database nova nova)
$(tokens nova)
[service_user]
send_service_user_token = true
$(auth nova)
[vnc]
enabled = true
novncproxy_host = $CONTROLLER
novncproxy_port = 6080
[glance]
region_name = $region
[placement]
$(auth placement)
[neutron]
$(auth neutron)
service_metadata_proxy = true
metadata_proxy_shared_secret = $password
[conductor]
workers = 2
[scheduler]
workers = 1
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = $CONTROLLER:11211
[oslo_concurrency]
lock_path = /var/lock/nova
$(queues)
X
  # Without this file the package starts the SPICE proxy instead.
  printf 'NOVA_CONSOLE_PROXY_TYPE=novnc\nNOVA_SERIAL_PROXY_START=false\n' >/etc/default/nova-consoleproxy
}

neutron_files() {
  put /etc/neutron/neutron.conf neutron <<X
[DEFAULT]
core_plugin = ml2
service_plugins =
auth_strategy = keystone
transport_url = $queue
notify_nova_on_port_status_changes = true
notify_nova_on_port_data_changes = true
api_workers = 2
rpc_workers = 1
state_path = /var/lib/neutron
log_dir = /var/log/neutron
[agent]
root_helper = sudo neutron-rootwrap /etc/neutron/rootwrap.conf
[database]
connection = $(database neutron neutron)
$(tokens neutron)
[nova]
$(auth nova)
[oslo_concurrency]
lock_path = /var/lock/neutron
$(queues)
X
  put /etc/neutron/plugins/ml2/ml2_conf.ini neutron <<X
[ml2]
type_drivers = flat
tenant_network_types =
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_flat]
flat_networks = provider
X
  put /etc/neutron/dhcp_agent.ini neutron <<X
[DEFAULT]
interface_driver = openvswitch
dhcp_driver = neutron.agent.linux.dhcp.Dnsmasq
enable_isolated_metadata = true
force_metadata = true
X
  put /etc/neutron/metadata_agent.ini neutron <<X
[DEFAULT]
nova_metadata_host = $CONTROLLER
metadata_proxy_shared_secret = $password
metadata_workers = 1
X
  openvswitch_agent
}

# Debian's files ask for 8 to 16 processes each, and for threads, which break applications that eventlet patches.
uwsgi_files() {
  local name
  for name in keystone/keystone nova/nova-api nova/nova-api-metadata placement/placement-api neutron/neutron-api; do
    sed -i -E 's/^processes = .*/processes = 2/; s/^threads = .*/threads = 1/' "/etc/$name-uwsgi.ini"
    grep -q Connection: "/etc/$name-uwsgi.ini" || echo 'add-header = Connection: close' >>"/etc/$name-uwsgi.ini"
  done
}

client_file() {
  install -m 600 /dev/null /root/openrc
  cat >/root/openrc <<X
export OS_AUTH_URL=http://$CONTROLLER:5000/v3 OS_USERNAME=admin OS_PASSWORD=$password OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_REGION_NAME=$region OS_IDENTITY_API_VERSION=3
X
}
