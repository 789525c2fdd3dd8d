#!/bin/bash
# Knot DNS: a zone signed with keys in the token: keymgr and kzonesign.
. "$(dirname "$0")/../clients.sh"
client_begin "Knot DNS" knot
client_need keymgr kzonesign kzonecheck
client_how "In \`knot.conf\` a keystore: \`backend: pkcs11\`, \`config: \"pkcs11:token=LABEL;pin-value=PIN MODULE\"\`, named by \
\`keystore:\` in the policy; Knot then makes its keys in the token. A key that is there already, as a leased one is: \
\`keymgr ZONE import-pkcs11 ID algorithm=ecdsap256sha256 ksk=yes\`, and \`manual: on\` in the policy. \
Ed25519 keys have to be made by another program: GnuTLS 3.7, which Knot uses, asks for them by a mechanism that generates none."

configured() { # MANUAL [ALGORITHM]
    cat >"$W/knot.conf" <<CONF
server:
    rundir: "$W"
    user: "$(id -un):$(id -gn)"
log:
  - target: stderr
    any: warning
database:
    storage: "$W/db"
keystore:
  - id: token
    backend: pkcs11
    config: "$TOKEN_URI${TOKEN_PIN:+;pin-value=$TOKEN_PIN} $TOKEN_MODULE"
policy:
  - id: signing
    keystore: token
    manual: $1
    algorithm: ${2:-ecdsap256sha256}
    single-type-signing: $1
zone:
  - domain: example.org
    storage: "$W/zones"
    file: "example.org.zone"
    dnssec-signing: on
    dnssec-policy: signing
CONF
    rm -rf "$W/db"
    mkdir -p "$W/db" "$W/zones"
    cat >"$W/zones/example.org.zone" <<'ZONE'
$ORIGIN example.org.
$TTL 3600
@       SOA     ns admin 1 3600 600 86400 300
        NS      ns
ns      A       192.0.2.1
www     A       192.0.2.2
        TXT     "signed by a token"
ZONE
}
manager() { timeout "$CLIENT_SECONDS" keymgr -c "$W/knot.conf" example.org "$@"; }
generated() { # ALGORITHM
    configured on "$1" && manager generate algorithm="$1" ksk=yes zsk=no && manager generate algorithm="$1" ksk=no zsk=yes &&
        manager list && [ "$(manager list | wc -l)" -ge 2 ]
}
imported() { # ALGORITHM: a key that was there before Knot
    configured on "$1" && manager import-pkcs11 "$KEY_ID" algorithm="$1" ksk=yes zsk=yes && manager list
}
in_token() { # the keys that Knot lists are private keys in the token
    local id
    token_tool -O --type privkey >"$W/private" 2>&1
    for id in $(manager -e list | grep -oE '\b[0-9a-f]{40}\b'); do
        grep -q "ID: *$id" "$W/private" || { cat "$W/private"; echo "no $id"; return 1; }
    done
    [ "$id" ]
}
signed() {
    rm -rf "$W/out-zone" && mkdir "$W/out-zone" &&
        timeout "$CLIENT_SECONDS" kzonesign -c "$W/knot.conf" -o "$W/out-zone" example.org &&
        grep -q "RRSIG" "$W/out-zone/example.org.zone" && kzonecheck -o example.org "$W/out-zone/example.org.zone" &&
        cp "$W/out-zone/example.org.zone" "$W/zones/example.org.zone" && kzonesign -c "$W/knot.conf" -v example.org
}
automatic() { configured off && signed && in_token; }
deleted() {
    local id
    id=$(manager list | awk '{print $1; exit}') && manager delete "$id" && ! manager list | grep "$id"
}

steps() {
    own try "keymgr generate: ECDSA P-256" generated ecdsap256sha256
    own try "the keys are in the token" in_token
    own try "kzonesign with them" signed
    own try "keymgr delete" deleted
    own try "keymgr generate: RSA" generated rsasha256
    own try "kzonesign with them: RSA" signed
    own try "keymgr generate: ECDSA P-384" generated ecdsap384sha384
    own try "kzonesign with them: ECDSA P-384" signed
    own try "kzonesign makes its keys itself" automatic
    client_key ec || client_failed "a key" "$(client_reason)"
    try "keymgr import-pkcs11: a key that was there: ECDSA P-256" imported ecdsap256sha256
    try "kzonesign with it: ECDSA P-256" signed
    client_key ed25519 || client_failed "a key" "$(client_reason)"
    try "keymgr import-pkcs11: a key that was there: Ed25519" imported ed25519
    try "kzonesign with it: Ed25519" signed
}

client_matrix steps softhsm leased standalone
client_end
