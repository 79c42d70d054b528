#!/bin/sh
# The first process of the far end, a Linux kernel in user mode. Its root is this machine's, for reading only. It loads
# what ESP needs and then runs the lines that come on the console; each ends with a line "=== EXIT STATUS".
# The kernel's command line has uml_modules=FOLDER.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
stty -echo
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
for word in $(cat /proc/cmdline); do
  case $word in uml_modules=*) MODULES=${word#uml_modules=} ;; esac
done

# A module after those that it needs; modules.dep has them the last first.
load() {
  line=$(grep "/$1.ko:" "$MODULES/modules.dep") || return
  needs=
  for file in ${line#*:}; do needs="$file $needs"; done
  for file in $needs ${line%%:*}; do busybox insmod "$MODULES/$file" 2>/dev/null; done
}
# drbg, sha512 and jitterentropy: the generators of IVs (seqiv, echainiv) do not start without
for module in hmac sha512_generic jitterentropy_rng drbg ipv6 xfrm_user esp4 esp6 xfrm4_tunnel xfrm6_tunnel gcm \
  ghash-generic ctr seqiv authenc authencesn echainiv cbc sha256_generic aes_generic; do
  load $module
done
ip link set lo up
echo "=== 0"
while IFS= read -r line; do
  eval "$line"
  echo "=== $?"
done
echo o >/proc/sysrq-trigger
sleep 5
