#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes configure and the Makefile.in files out of configure.ac and Makefile.am.
set -eu
cd "$(dirname "$0")"
exec autoreconf --force --install --warnings=all
