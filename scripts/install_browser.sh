#!/bin/sh
# Install Chromium from Debian's packages where there is none, for the tests in a real browser; says so where it cannot.
set -u
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
say() { printf '==> %s\n' "$1" >&2; }
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    say "there is no Chromium, and it cannot be installed here: tests in a browser will be skipped (install the package chromium)"
    exit 0
fi
say "installing Chromium from Debian's packages, for the tests in a browser"
{ apt-get install -y --no-install-recommends chromium || { apt-get update && apt-get install -y --no-install-recommends chromium; }; } >/dev/null ||
    say "Chromium could not be installed: tests in a browser will be skipped"
