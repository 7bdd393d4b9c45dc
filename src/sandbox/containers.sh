#!/bin/sh
# What containerd and kubelet need of a host and systemd-nspawn does not give. Nothing of it reaches the machine's own kernel.
set -e
# The host's own control groups are mounted read-only, and containers need groups below them.
for list in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
  group=${list%/cgroup.procs}
  if [ -e "$list" ] && mountpoint -q "$group"; then mount -o remount,bind,rw "$group"; fi
done
# kubelet watches the kernel's log; the machine's is not the host's to read.
ln -sf null /dev/kmsg
# kubelet sets these, and the machine's may not be set: the host has copies of its own.
for setting in kernel/panic kernel/panic_on_oops vm/overcommit_memory vm/panic_on_oom; do
  copy=/run/sandbox/$setting
  mkdir -p "${copy%/*}"
  cat "/proc/sys/$setting" >"$copy"
  mount --bind "$copy" "/proc/sys/$setting"
done
