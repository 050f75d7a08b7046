#!/bin/bash
# controller.sh PHASE -- the controller by plain commands, one after another: no checks, no second run.
# shellcheck disable=SC1091  # /root/openrc is on the machine
set -euo pipefail
cd "$(dirname "$0")"
. ./common.sh

database() { echo "mysql+pymysql://$1:$password@$CONTROLLER/$2"; }
services="glance-api placement-api nova-api nova-api-metadata nova-conductor nova-scheduler nova-novncproxy
  neutron-api neutron-rpc-server"
agents="neutron-openvswitch-agent neutron-dhcp-agent neutron-metadata-agent"

configuration() {
  . ./files.sh
  platform_files
  keystone_file
  glance_file
  placement_file
  nova_files
  neutron_files
  uwsgi_files
  client_file
}

foundation() {
  systemctl restart mariadb rabbitmq-server memcached
  local pair
  for pair in keystone:keystone glance:glance placement:placement nova:nova nova:nova_api nova:nova_cell0 \
    neutron:neutron; do
    echo "CREATE DATABASE ${pair#*:}; GRANT ALL ON ${pair#*:}.* TO '${pair%:*}'@'%' IDENTIFIED BY '$password';"
  done | mysql
  rabbitmqctl -q add_user openstack "$password"
  rabbitmqctl -q set_permissions openstack '.*' '.*' '.*'
  provider_bridge
}

as() { su "$1" -s /bin/sh -c "$2"; }

schemas() {
  as keystone 'keystone-manage db_sync'
  keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
  keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
  keystone-manage bootstrap --bootstrap-password "$password" --bootstrap-region-id "$region" \
    --bootstrap-admin-url "http://$CONTROLLER:5000/v3/" --bootstrap-internal-url "http://$CONTROLLER:5000/v3/" \
    --bootstrap-public-url "http://$CONTROLLER:5000/v3/"
  chown -R keystone:keystone /var/log/keystone
  as glance 'glance-manage db_sync'
  as placement 'placement-manage db sync'
  as neutron 'neutron-db-manage --config-file /etc/neutron/neutron.conf \
    --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade head'
  as nova 'nova-manage api_db sync && nova-manage cell_v2 map_cell0 && nova-manage cell_v2 create_cell --name=cell1 &&
    nova-manage db sync'
}

# answers URL: uWSGI listens before the application is loaded, so an open port says nothing
answers() {
  for _ in {1..240}; do
    case $(curl -s -m 60 -o /dev/null -w '%{http_code}' "http://$CONTROLLER$1") in 200 | 300) return ;; esac
    sleep .25
  done
  echo "http://$CONTROLLER$1 never answered" >&2
  return 1
}

# All objects through one process of the client: it takes seconds to start. It ends with 1 at the end of its input
# whatever happened; what it failed to make is missed by the services.
identity() {
  systemctl enable -q keystone
  systemctl restart keystone
  answers :5000/v3
  . /root/openrc
  {
    echo "project create --domain default service"
    while read -r user type roles url; do
      echo "user create --domain default --password $password $user"
      for role in ${roles//,/ }; do echo "role add --project service --user $user $role"; done
      echo "service create --name $user $type"
      for kind in public internal admin; do echo "endpoint create --region $region $type $kind $url"; done
    done <<X
glance image service http://$CONTROLLER:9292
placement placement service http://$CONTROLLER:8778
nova compute admin,service http://$CONTROLLER:8774/v2.1
neutron network admin,service http://$CONTROLLER:9696
X
  } | openstack || true
}

start() {
  systemctl disable -q --now nova-spicehtml5proxy nova-serialproxy
  # shellcheck disable=SC2086  # a list of words
  systemctl enable -q $services
  # shellcheck disable=SC2086
  systemctl restart $services
  for url in :9292/versions :8778/ :8774/ :8775/ :9696/ :6080/vnc_lite.html; do answers "$url"; done
}

agents() {
  # shellcheck disable=SC2086  # a list of words
  systemctl enable -q $agents
  # shellcheck disable=SC2086
  systemctl restart $agents
}

# A compute is up before it has reported its hypervisor, and only that is discovered.
mapped() {
  . /root/openrc
  for _ in {1..60}; do
    if openstack compute service list --service nova-compute -f value -c State | grep -q up; then break; fi
    sleep 1
  done
  for _ in {1..60}; do
    if as nova 'nova-manage cell_v2 discover_hosts --verbose' | grep 'Creating host mapping'; then return; fi
    sleep 1
  done
  echo "no compute was mapped" >&2
  return 1
}

"$1"
