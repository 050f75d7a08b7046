# SPDX-License-Identifier: Apache-2.0
"""The scripts that run in the test guest: /init and its helpers, for Debian's static busybox.

Each line of their report begins with GUEST-; guest_report.py reads them. wget is not used because Debian's static
busybox crashes in it (in its resolver), and `nc -ll -e` serves because that busybox has no tcpsvd.
"""

from __future__ import annotations

DISK_MARK = "nova-ansible-guest-disk"

FUNCTIONS = r"""# shared by /init and /etc/dhcp
. /etc/guest
consoles=$(cat /sys/class/tty/console/active)
case " $consoles " in *" $CONSOLE "*) ;; *) consoles="$consoles $CONSOLE" ;; esac
say() {
    for tty in $consoles; do
        echo "$*" 2>/dev/null >"/dev/$tty"
    done
}
up() {
    read -r uptime rest </proc/uptime
    echo "$uptime"
}
"""

INIT = r"""#!/bin/busybox sh
# PID 1 of the guest: if it ended, the kernel would panic.
export PATH=/bin
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox --install -s /bin
. /etc/functions

remember() {  # written now and again every half hour, so that the end of the console log always has it
    echo "$*" >>/run/report
    say "$*"
}

echo 3 >/proc/sys/kernel/printk 2>/dev/null
while read -r module; do
    insmod "/lib/modules/$module.ko" || say "GUEST-ERROR module $module does not load"
done </etc/modules
memory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
remember "GUEST-BANNER $GUEST_NAME up $(up) kernel $(uname -r) memory $memory"

# On the ACPI power button, switch off within a second; Nova would wait 60 s otherwise.
for name in /sys/class/input/event*/device/name; do
    [ "$(cat "$name" 2>/dev/null)" = "Power Button" ] || continue
    event=${name#/sys/class/input/}
    ( head -c 24 "/dev/input/${event%%/*}" >/dev/null && { say "GUEST-OFF power button up $(up)"; poweroff -f; } ) &
done

for disk in vda sda; do
    [ -e "/sys/block/$disk/size" ] || continue
    mark=$(head -c 64 "/dev/$disk" | tr -d '\0' | head -n 1)
    remember "GUEST-DISK $disk bytes=$(($(cat "/sys/block/$disk/size") * 512)) mark=${mark:-none}"
done

ip link set lo up
tries=0
until [ -e /sys/class/net/eth0 ] || [ "$tries" -ge 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    udhcpc -f -i eth0 -s /etc/dhcp -t 4 -T 2 -A 3 -O staticroutes -O mtu >/dev/null 2>&1 &
    until [ -s /run/address ]; do sleep 0.1; done
    remember "GUEST-DHCP $(cat /run/address) up $(up)"
else
    remember "GUEST-DHCP none: no network card eth0 up $(up)"
fi

fetch() {  # sets value from the metadata service, or else trouble to the first line of the answer
    printf 'GET %s HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n' "$1" |
        nc -w 10 169.254.169.254 80 2>&1 | tr -d '\r' >/run/answer
    read -r protocol code rest </run/answer
    [ "$code" = 200 ] || { trouble="$1: ${protocol:-no answer} $code $rest"; return 1; }
    value=$(sed '1,/^$/d' /run/answer)
}
metadata() {
    fetch /latest/meta-data/instance-id && instance=$value &&
        fetch /latest/meta-data/hostname && host=$value &&
        fetch /latest/meta-data/local-ipv4 && address=$value &&
        fetch /openstack/latest/meta_data.json &&
        uuid=$(echo "$value" | sed -n 's/.*"uuid": *"\([^"]*\)".*/\1/p' | head -n 1)
}
if [ -s /run/address ]; then
    host=no-metadata-yet
    echo "$host" >/run/hostname
    nc -ll -p 22 -e /etc/answer &
    nc -ll -p 2222 -e /etc/answer &
    tries=0
    until metadata; do
        tries=$((tries + 1))
        say "GUEST-META none try $tries: $trouble up $(up)"
        sleep 2
    done
    hostname "${host%%.*}"
    echo "$host" >/run/hostname
    remember "GUEST-META instance-id=$instance hostname=$host local-ipv4=$address uuid=$uuid up $(up)"
fi

beat=0
while :; do
    say "GUEST-ALIVE $(cat /run/hostname 2>/dev/null) up $(up)"
    sleep 60
    beat=$((beat + 1))
    [ $((beat % 30)) -ne 0 ] || while read -r line; do say "$line"; done </run/report
done
"""

DHCP = r"""#!/bin/busybox sh
# Called by udhcpc. Classless routes replace the router (RFC 3442).
. /etc/functions
case $1 in
bound | renew)
    ip address replace "$ip/$mask" ${broadcast:+broadcast "$broadcast"} dev "$interface"
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    routes=$staticroutes
    [ -n "$routes" ] || routes=${router:+0.0.0.0/0 ${router%% *}}
    said=""
    set -- $routes
    while [ $# -ge 2 ]; do
        if [ "$2" = 0.0.0.0 ]; then
            ip route replace "$1" dev "$interface"
        else
            ip route replace "$1" via "$2" dev "$interface" onlink
        fi
        said="$said${said:+, }$1 via $2"
        shift 2
    done
    echo "$ip mask=$mask routes=[$said]${mtu:+ mtu=$mtu}" >/run/address
    ;;
leasefail)
    [ -s /run/address ] || say "GUEST-DHCP none: no answer yet, still asking, up $(up)"
    ;;
esac
"""

ANSWER = """#!/bin/busybox sh
echo "GUEST-TCP $(cat /run/hostname)"
"""

SCRIPTS = {"init": INIT, "etc/functions": FUNCTIONS, "etc/dhcp": DHCP, "etc/answer": ANSWER}
