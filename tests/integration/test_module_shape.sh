#!/bin/bash
# The module's shape: libc alone, three symbols, small, no threads, no output, nothing that runs by itself.
set -u
module=${LEASEHOLD_BUILD:?}/leasehold-pkcs11.so
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
[ -f "$module" ] || { echo "no $module"; exit 1; }
nm -D "$module" | grep -q __asan_ && { echo "skipped: a sanitizer build has a runtime of its own"; exit 77; }
nm -D "$module" | grep -q __tsan_ && { echo "skipped: a sanitizer build has a runtime of its own"; exit 77; }

needed=$(readelf -dW "$module" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort | tr '\n' ' ')
[ "$needed" = "libc.so.6 " ] || fail "needs '$needed', not libc alone"

exported=$(nm -D --defined-only "$module" | awk '{print $NF}' | sort | tr '\n' ' ')
[ "$exported" = "C_GetFunctionList C_GetInterface C_GetInterfaceList " ] || fail "exports '$exported'"

stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$module"
size=$(stat -c %s "$stripped")
[ "$size" -lt $((300 * 1024)) ] || fail "has $size bytes stripped"

# What it must not even import.
for symbol in pthread_create thrd_create clone fork atexit __cxa_atexit on_exit pthread_atfork __register_atfork \
    printf __printf_chk vprintf __vprintf_chk fprintf __fprintf_chk vfprintf __vfprintf_chk puts putchar fputs fputc \
    fwrite perror psignal syslog openlog stdout stderr write __write_chk getenv signal sigaction sigprocmask exit \
    abort system popen dlopen; do
    nm -D --undefined-only "$module" | awk '{print $NF}' | sed 's/@.*//' | grep -qx "$symbol" && fail "imports $symbol"
done

# One entry, 8 bytes: the compiler's own frame_dummy and __do_global_dtors_aux.
for section in .init_array .fini_array; do
    bytes=$(readelf -SW "$module" | sed 's/^ *\[ *[0-9]*\] *//' | awk -v s=$section '$1 == s {print $5}')
    [ $((16#${bytes:-0})) -le 8 ] || fail "$section has 0x$bytes bytes: something runs at load or exit"
done
readelf -dW "$module" | grep -q NODELETE || fail "can be unloaded while its code runs"
readelf -lW "$module" | grep -q 'GNU_STACK.*RWE' && fail "has an executable stack"
[ $failed -eq 0 ] && echo "the module needs $needed, exports three symbols, has $size bytes"
exit $failed
