# SPDX-License-Identifier: Apache-2.0
# Sourced by ./up, ./check and demo/demo: messages and Debian packages. Expects $root, the project's folder.

program=${0##*/}

say ()
{
  printf '%s\n' "$*"
}

fail ()
{
  printf '%s: %s\n' "$program" "$*" >&2
  exit 1
}

usage_error ()
{
  printf '%s: %s; try ./%s --help\n' "$program" "$*" "$program" >&2
  exit 2
}

# missing_packages USE...: packages of the list for one of these uses that are not installed.
missing_packages ()
{
  local package uses use
  while read -r package uses; do
    case $package in '' | '#'*) continue ;; esac
    for use; do
      case " $uses " in
        *" $use "*)
          [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
          break
          ;;
      esac
    done
  done <"$root/scripts/packages"
}

# Nothing that we install is meant to run by itself: no daemon is started, now or at boot, and no cluster is made in
# the system. Both files are put away again; what the administrator has there is left alone.
quiet_install_begin ()
{
  quiet_files=()
  services_before=$(ls /etc/init.d 2>/dev/null)
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    quiet_files+=(/usr/sbin/policy-rc.d)
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
  fi
  if [ ! -e /etc/postgresql-common/createcluster.d/oneway.conf ]; then
    mkdir -p /etc/postgresql-common/createcluster.d
    quiet_files+=(/etc/postgresql-common/createcluster.d/oneway.conf)
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/oneway.conf
  fi
}

quiet_install_end ()
{
  local service
  rm -f "${quiet_files[@]}"
  for service in fprobe nfacctd openvswitch-switch pmacctd sfacctd softflowd uacctd; do
    grep -qx "$service" <<<"$services_before" || update-rc.d "$service" disable >/dev/null 2>&1
  done
}

# install_packages USE...: silent where nothing is missing.
install_packages ()
{
  local missing
  command -v dpkg-query >/dev/null || fail "this is no Debian; install what scripts/packages lists, and build with cmake --preset release"
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || fail "packages are missing; as root: apt-get install $missing"
  say "installing: $missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=600 update || fail "apt-get update failed (see above): is there a network and a package source?"
  quiet_install_begin
  trap quiet_install_end EXIT
  # shellcheck disable=SC2086 # a list of words
  apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 install $missing \
    || fail "apt-get could not install: $missing"
  quiet_install_end
  trap - EXIT
}

# build PRESET: configures and builds; configured: what cmake said.
build ()
{
  configured=$(cmake --preset "$1" 2>&1) || { say "$configured" >&2; fail "cmake --preset $1 failed (see above)"; }
  cmake --build --preset "$1" || fail "the build of preset $1 failed (see above)"
}
