#!/bin/sh
# Installs what the tests and checks need and Python cannot bring: GNU patch, luacheck, StyLua, and of the languages
# whose programs the sandbox runs Go and TypeScript (tests of one that is missing, as Java's or C's, are skipped).
# As root it installs what is missing; otherwise it says what is missing and how to get it.
# Quiet when nothing is missing.
set -eu

stylua_version=2.5.2
typescript_version=5.9.3
node_types_version=26.6.6

# command:Debian package
missing=
for pair in patch:patch luacheck:lua-check go:golang-go; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done

has_stylua() {
	command -v stylua >/dev/null 2>&1
}

# command:npm package, each of a fixed version
missing_modules=
has_stylua || missing_modules="@johnnymorganz/stylua-bin@$stylua_version"
command -v tsc >/dev/null 2>&1 || missing_modules="$missing_modules typescript@$typescript_version @types/node@$node_types_version"

if [ -z "$missing" ] && [ -z "$missing_modules" ]; then
	exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	[ -z "$missing" ] || echo "missing, and only root on Debian installs them here:$missing" >&2
	[ -z "$missing_modules" ] || echo "missing: npm install --global $missing_modules" >&2
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

if [ -n "$missing_modules" ]; then
	if command -v npm >/dev/null 2>&1; then
		# shellcheck disable=SC2086 # a list of words
		npm install --global --silent --no-fund --no-audit $missing_modules
	else
		echo "missing: npm, which brings stylua and typescript; \`make check\` needs the first" >&2
	fi
fi
