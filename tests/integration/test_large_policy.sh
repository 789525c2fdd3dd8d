#!/bin/bash
# A policy as long as documents may be goes all the way: proposed, shown, signed in the tool and outside of it, in force.
. "$(dirname "$0")/lib.sh"
lh_founded

make_policy() {
    local count=$1 i
    echo "trust_domain: example.org"
    echo "workloads:"
    for ((i = 0; i < count; i++)); do
        printf '  - { id: "spiffe://example.org/team-%04d/service", attest: { uid: %d } }\n' "$i" $((20000 + i))
    done
    echo 'roles:'
    echo '  - { name: r, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 1m }'
    echo 'grants:'
    echo '  - { workload: "spiffe://example.org/team-0000/service", role: r }'
}
make_policy 800 >"$T/policy.yaml"
size=$(stat -c %s "$T/policy.yaml")
[ "$size" -gt 60000 ] && [ "$size" -le 65536 ] || die "the policy has $size bytes"
expect_ok "a policy of $size bytes is good" leasehold policy check "$T/policy.yaml"
expect_ok "it is proposed" lh_propose policy.apply "$T/policy.yaml"
leasehold show "$PROPOSAL" --text >"$T/text"
[ "$(grep -c 'spiffe://example.org/team-' "$T/text")" -ge 800 ] || die "the text does not show all of it"
ssh-keygen -q -Y sign -n leasehold -f "$T/keys/bob" "$T/text" 2>/dev/null
expect_ok "approved outside the tool, over all of its text" \
    leasehold approve "$PROPOSAL" --signature "$T/text.sig"
leasehold policy show >"$T/shown"
cmp "$T/policy.yaml" "$T/shown" || die "the policy in force is not the one proposed, byte for byte"
step "in force, byte for byte"

make_policy 900 >"$T/larger.yaml"
expect_fail "a longer one is refused, with the limit" '65536' lh_propose policy.apply "$T/larger.yaml"
