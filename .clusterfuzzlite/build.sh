#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the fuzzers as ClusterFuzzLite and OSS-Fuzz ask for it: to $OUT, with seeds and
# dictionaries, and with the libraries that they are linked to, which are not there where they run.
# The sanitizers are those of $CFLAGS, and the engine is $LIB_FUZZING_ENGINE.
set -eu

./autogen.sh
mkdir -p build/oss-fuzz
cd build/oss-fuzz
../../configure --enable-fuzzers CC="$CC" CFLAGS="$CFLAGS" \
	FUZZ_CFLAGS=-fsanitize=fuzzer-no-link FUZZ_ENGINE="${LIB_FUZZING_ENGINE:--fsanitize=fuzzer}"
make -j"$(nproc)" LDFLAGS="-Wl,-rpath,'\$\$ORIGIN/lib'" fuzzers

mkdir -p "$OUT/lib"
for fuzzer in tests/fuzz/fuzz-*; do
	[[ -x $fuzzer && -f $fuzzer ]] || continue
	name=${fuzzer##*/fuzz-}
	cp "$fuzzer" "$OUT/"
	zip -q -j "$OUT/fuzz-${name}_seed_corpus.zip" "../../tests/fuzz/seeds/$name"/*
	[[ ! -e ../../tests/fuzz/$name.dict ]] || cp "../../tests/fuzz/$name.dict" "$OUT/fuzz-$name.dict"
	ldd "$fuzzer" | sed -n 's|.* => \(/[^ ]*\) .*|\1|p' >>libraries
done
sort -u libraries | grep -vE '/(libc|libm|libdl|libpthread|librt|ld-linux[^/]*)\.so' |
	xargs -r cp -L -t "$OUT/lib"
