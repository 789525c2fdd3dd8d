# Sourced after tests/integration/lib.sh: one virtual machine with measured boot, in $T/vm. Firmware, kernel and the programs
# run are measured into a software TPM of its own; the processor is emulated (KVM is not used: machines that are virtual
# themselves often have one that hangs).
#
#   vm_setup IMAGES PRODUCT VAULT     folder of image.sh, disk of product.sh, path of a unix socket
#   vm_start; vm COMMAND; vm_stop
#
# The guest's port `leasehold` is a connection to VAULT, tried again each second for as long as nobody listens there;
# `control` is vm's. Its console is $T/vm/console.log.
# shellcheck shell=bash disable=SC2034

VM_COMMAND_LINE="console=ttyS0 ro ima_policy=tcb ima_hash=sha256 systemd.show_status=false loglevel=4"
VM_BOOT_SECONDS=${LEASEHOLD_VM_BOOT_SECONDS:-240}
VM_PID=
VM_TPM_PID=

vm_setup() {
    VM=$T/vm
    VM_IMAGES=$1
    VM_VAULT=$3
    VM_KERNEL=$VM_IMAGES/vmlinuz
    mkdir -m 755 "$VM"
    mkdir -m 700 "$VM/tpm"
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$VM/vars.fd"
    cp "$2" "$VM/product.ext4"
    mke2fs -q -F -t ext4 -b 4096 "$VM/state.ext4" 16M >"$VM/mke2fs.log" 2>&1
    swtpm_setup --tpm2 --tpmstate "$VM/tpm" --pcr-banks sha1,sha256 --config /dev/null >"$VM/tpm.log" 2>&1 ||
        die "the guest's TPM cannot be made: $(tail -n 5 "$VM/tpm.log")"
    trap 'vm_at_exit' EXIT
}

# Where a test goes wrong, what the guest has to say, and what the test's function vm_tell tells; then lib.sh's.
vm_at_exit() {
    local status=$?
    set +eE
    trap - ERR
    if [ $status != 0 ] && [ -n "$VM_PID" ]; then
        ! declare -F vm_tell >/dev/null || vm_tell
        echo "--- the guest: console, agent"
        tail -n 20 "$VM/console.log"
        VM_SECONDS=10 vm "journalctl -u leasehold-agent --no-pager | tail -n 20"
    fi >&2
    (exit $status)
    lh_at_exit
}

# vm_start [MORE]: MORE is added to the kernel's command line; switches it on; returns when commands can be given
vm_start() {
    rm -f "$VM/control.sock" "$VM/tpm.sock"
    swtpm socket --tpm2 --tpmstate "dir=$VM/tpm" --ctrl "type=unixio,path=$VM/tpm.sock" --terminate \
        </dev/null >>"$VM/tpm.log" 2>&1 &
    VM_TPM_PID=$!
    lh_track "$VM_TPM_PID"
    wait_until 10 "the guest's TPM starts" test -S "$VM/tpm.sock"
    qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 768 \
        -nodefaults -no-user-config -display none -serial "file:$VM/console.log" -no-reboot \
        -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
        -drive "if=pflash,format=raw,file=$VM/vars.fd" \
        -chardev "socket,id=tpm,path=$VM/tpm.sock" -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0 \
        -drive "if=none,id=root,format=raw,readonly=on,file=$VM_IMAGES/root.ext4" -device virtio-blk-pci,drive=root \
        -drive "if=none,id=product,format=raw,file=$VM/product.ext4" -device virtio-blk-pci,drive=product \
        -drive "if=none,id=state,format=raw,file=$VM/state.ext4" -device virtio-blk-pci,drive=state \
        -device virtio-rng-pci -device virtio-serial-pci \
        -chardev "socket,id=leasehold,path=$VM_VAULT,reconnect=1" -device virtserialport,chardev=leasehold,name=leasehold \
        -chardev "socket,id=control,path=$VM/control.sock,server=on,wait=off" -device virtserialport,chardev=control,name=control \
        -kernel "$VM_KERNEL" -initrd "$VM_IMAGES/initrd" -append "$VM_COMMAND_LINE${1:+ $1}" \
        </dev/null >>"$VM/qemu.log" 2>&1 &
    VM_PID=$!
    lh_track "$VM_PID"
    wait_until 20 "the virtual machine starts" test -S "$VM/control.sock"
    wait_until "$VM_BOOT_SECONDS" "the guest takes commands" vm_answers
}

vm_answers() { kill -0 "$VM_PID" && "$LEASEHOLD_SOURCE/tests/vm/control.py" "$VM/control.sock" 5 true; }

# vm COMMAND: for sh, as root in the guest; its output and exit status. Line breaks are spaces.
vm() { "$LEASEHOLD_SOURCE/tests/vm/control.py" "$VM/control.sock" "${VM_SECONDS:-60}" "${1//$'\n'/ }"; }

# vm_stop: shut down in order
vm_stop() {
    [ -n "$VM_PID" ] || return 0
    "$LEASEHOLD_SOURCE/tests/vm/control.py" "$VM/control.sock" 5 "systemctl --no-block poweroff" >/dev/null 2>&1 || true
    for _ in $(seq 600); do
        kill -0 "$VM_PID" 2>/dev/null || break
        sleep 0.1
    done
    vm_kill
}

# vm_kill: switched off
vm_kill() {
    kill -9 "$VM_PID" 2>/dev/null || true
    wait "$VM_PID" 2>/dev/null || true
    VM_PID=
    kill "$VM_TPM_PID" 2>/dev/null || true
    wait "$VM_TPM_PID" 2>/dev/null || true
    VM_TPM_PID=
}
