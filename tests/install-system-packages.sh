#!/bin/sh
# Installs what the tests and checks need and Python cannot bring: GNU patch, luacheck, StyLua.
# As root it installs what is missing; otherwise it says what is missing and how to get it.
# Quiet when nothing is missing.
set -eu

stylua_version=2.5.2

# command:Debian package
missing=
for pair in patch:patch luacheck:lua-check; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done

has_stylua() {
	command -v stylua >/dev/null 2>&1
}

if [ -z "$missing" ] && has_stylua; then
	exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$missing" ] || echo "missing, and only root on Debian installs them here:$missing" >&2
	has_stylua || echo "missing: stylua (npm install --global @johnnymorganz/stylua-bin@$stylua_version)" >&2
	exit 0
fi

if [ -n "$missing" ]; then
	export DEBIAN_FRONTEND=noninteractive
	# The package lists may be absent or old: fetch them only when the first try fails.
	# shellcheck disable=SC2086 # a list of words
	apt-get install --yes --quiet --no-install-recommends $missing >/dev/null 2>&1 || {
		apt-get update --quiet >/dev/null
		apt-get install --yes --quiet --no-install-recommends $missing >/dev/null
	}
fi

if ! has_stylua; then
	if command -v npm >/dev/null 2>&1; then
		npm install --global --silent --no-fund --no-audit "@johnnymorganz/stylua-bin@$stylua_version"
	else
		echo "missing: npm, which brings stylua; \`make check\` needs it" >&2
	fi
fi
