#!/bin/bash
# systemd-cryptenroll: a LUKS2 volume that a key in the token opens. What opens it is cryptsetup with systemd's plugin,
# which needs no device mapper as long as nothing is mapped.
. "$(dirname "$0")/../clients.sh"
client_begin "systemd-cryptenroll" systemd
client_need systemd-cryptenroll cryptsetup p11-kit
client_how "The module registered with p11-kit (\`/etc/pkcs11/modules/leasehold.module\`: \`module: MODULE\`); an RSA key \
with its certificate in the token; \`systemd-cryptenroll --pkcs11-token-uri='pkcs11:token=LABEL;object=KEY' DEVICE\`, and \
\`pkcs11-uri=auto\` in \`/etc/crypttab\`. systemd 252 takes RSA keys alone."

certified() {
    token_tool --keypairgen --key-type rsa:2048 --label luks --id 4c554b53 --usage-decrypt &&
        token_tool --read-object --type pubkey --id 4c554b53 -o "$W/luks.der" &&
        openssl pkey -pubin -in "$W/luks.der" -out "$W/luks.pub.pem" && client_cert luks "volume" &&
        token_tool --write-object "$W/luks.crt.der" --type cert --id 4c554b53 --label luks
}
format() {
    user truncate -s 20M "$W/volume" && printf 'first password' >"$W/password" &&
        user cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
            --key-file "$W/password" "$W/volume"
}
enroll() {
    PIN=$TOKEN_PIN user systemd-cryptenroll --unlock-key-file="$W/password" \
        --pkcs11-token-uri="$TOKEN_URI;object=luks" "$W/volume" </dev/null
}
listed() { user systemd-cryptenroll "$W/volume" && cryptsetup luksDump "$W/volume" | tee "$W/dump"; }
open_with() { # PIN
    printf '%s' "$1" | user timeout 30 cryptsetup open --test-passphrase --token-only --token-type systemd-pkcs11 -v "$W/volume"
}

steps() {
    client_p11kit
    try_output "p11-kit lists the token" "token: $TOKEN_LABEL" user p11-kit list-modules
    own try "an RSA key and its certificate in the token" certified
    own try "cryptsetup luksFormat" format
    own try_output "systemd-cryptenroll --pkcs11-token-uri" "enrolled" enroll
    own try_output "the volume's header names the token" "systemd-pkcs11" listed
    own try_output "cryptsetup opens the volume by the token" "unlocked|successful" open_with "$TOKEN_PIN"
    own try_fail "not with a wrong PIN" "incorrect" open_with 00000000
}

! is_root || CLIENT_USER=games # p11-kit ignores root's own configuration
client_matrix steps softhsm leased standalone
client_end
