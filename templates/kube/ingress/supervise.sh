#!/bin/busybox sh
# Runs nginx, and has it take another certificate while it runs: nginx starts new processes with it, and the former ones serve their
# connections to the end. One that nginx cannot use it refuses, says so and goes on with the former one.
set -u
folder=${FOLDER-/etc/nginx}
state=${STATE-/tmp}
do_() { /bin/busybox "$@"; }
shown() { do_ cat "$folder/certificate/tls.crt" "$folder/certificate/tls.key" | do_ sha256sum; }

# Of a container before this one in the same pod.
do_ rm -f "$state/leaving"
certificate=$(shown)
/usr/sbin/nginx -e /dev/stderr -c "$folder/ingress/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx"' TERM INT
while kill -0 "$nginx" 2>/dev/null; do
  do_ sleep "${INTERVAL-5}" &
  wait $!
  found=$(shown)
  if [ "$found" != "$certificate" ]; then
    certificate=$found
    echo 'the certificate is another one: nginx takes it in' >&2
    kill -HUP "$nginx"
  fi
done
wait "$nginx"
