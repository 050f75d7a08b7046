#!/bin/bash
# verify.sh -- on the controller of either side: check that the cloud is complete. Not timed; it waits for late reports.
# shellcheck disable=SC1091  # /root/openrc is on the machine
set -euo pipefail
. /root/openrc

# whole NAME WANTED COMMAND...: wait until the sorted output of the command is WANTED
whole() {
  local name=$1 wanted=$2 seen=
  shift 2
  for _ in {1..60}; do
    # An API that is not ready is requested again; its last answer is shown at the end.
    seen=$("$@" 2>&1 | sort | tr '\n' ';') || true
    if [ "$seen" = "$wanted" ]; then
      echo "$name: $seen"
      return
    fi
    sleep 2
  done
  printf '%s: wanted %s\n  seen %s\n' "$name" "$wanted" "$seen" >&2
  return 1
}

whole "compute services" "nova-compute compute1 up;nova-conductor controller1 up;nova-scheduler controller1 up;" \
  openstack compute service list -f value -c Binary -c Host -c State
whole "hypervisors" "compute1 up;" openstack hypervisor list -f value -c "Hypervisor Hostname" -c State
# The client has a fixed order of the columns.
agents="compute1 True neutron-openvswitch-agent;controller1 True neutron-dhcp-agent;"
agents+="controller1 True neutron-metadata-agent;controller1 True neutron-openvswitch-agent;"
whole "network agents" "$agents" openstack network agent list -f value -c Host -c Alive -c Binary
endpoints=
for type in compute identity image network placement; do
  for kind in admin internal public; do endpoints+="$type $kind;"; done
done
whole "endpoints" "$endpoints" openstack endpoint list -f value -c "Service Type" -c Interface
# Each of these needs an API with a valid token, its database and its cache.
whole "images" "" openstack image list -f value -c Name
whole "networks" "" openstack network list -f value -c Name
whole "servers" "" openstack server list --all-projects -f value -c Name
curl -sf -o /dev/null "http://$1:8775/" -o /dev/null "http://$1:8778/" -o /dev/null "http://$1:6080/vnc_lite.html"
