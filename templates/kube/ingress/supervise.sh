#!/bin/busybox sh
# Runs nginx, and has it take in what becomes another while it runs: the certificate, and where the names of Services lead. nginx starts new
# processes with it, and the former ones serve their connections to the end. What nginx cannot use it refuses, says so and goes on as before.
set -u
folder=${FOLDER-/etc/nginx}
state=${STATE-/tmp}
resolver=${RESOLVER-/etc/resolv.conf}
do_() { /bin/busybox "$@"; }
shown() { do_ cat "$folder/certificate/tls.crt" "$folder/certificate/tls.key" | do_ sha256sum; }
# The Services' addresses; nothing unless each has one. busybox completes no name that has dots: the cluster's domain is added here.
led() {
  server=$(do_ sed -n 's/^nameserver //p' "$resolver" | do_ head -n 1)
  domain=$(do_ sed -n 's/^search .* svc\.\([^ ]*\).*/\1/p' "$resolver")
  for name in $(do_ sed -n 's/^ *server \([a-z0-9.-]*\.svc\):.*/\1/p' "$folder/ingress/nginx.conf" | do_ sort -u); do
    addresses=$(do_ nslookup "$name.$domain" "$server" 2>/dev/null | do_ sed -n 's/^Address: //p' | do_ sort)
    [ -n "$addresses" ] || return
    all="${all-} $name $addresses"
  done
  echo "${all-}"
}

# Of a container before this one in the same pod.
do_ rm -f "$state/leaving"
certificate=$(shown)
places=
/usr/sbin/nginx -e /dev/stderr -c "$folder/ingress/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx"' TERM INT
while kill -0 "$nginx" 2>/dev/null; do
  # Where nobody answers for names that takes its time, and a signal does not wait for it.
  { do_ sleep "${INTERVAL-5}"; led >"$state/led"; } &
  wait $!
  found=$(shown)
  now=$(do_ cat "$state/led")
  if [ "$found" != "$certificate" ]; then
    echo 'the certificate is another one: nginx takes it in' >&2
    kill -HUP "$nginx"
  elif [ -n "$places" ] && [ -n "$now" ] && [ "$now" != "$places" ]; then
    echo 'a Service has another address: nginx looks the names up again' >&2
    kill -HUP "$nginx"
  fi
  certificate=$found
  places=${now:-$places}
done
wait "$nginx"
