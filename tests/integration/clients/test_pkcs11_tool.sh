#!/bin/bash
# pkcs11-tool (OpenSC): its own tests in all their modes, and everything that it can do.
. "$(dirname "$0")/../clients.sh"
client_begin "pkcs11-tool" opensc
client_need
client_how "\`pkcs11-tool --module MODULE\`; nothing else. A standalone partition is chosen with \`--token-label LABEL\`, \
and \`--login --pin PIN\` opens it; a leased one has no PIN."

plain() { timeout -k 5 "$CLIENT_SECONDS" pkcs11-tool --module "$TOKEN_MODULE" "$@"; }

# --- its own tests -------------------------------------------------------------------------------------------

# Some of its tests fail without an exit status that says so.
no_error() {
    "$@" >"$W/text" 2>&1 || { cat "$W/text"; return 1; }
    cat "$W/text"
    ! grep -aE 'failed: rv|[1-9][0-9]* errors|ERR:|: FAIL' "$W/text"
}

# Main and threads all call C_Initialize; whoever is not the first has to be told so, which the program counts as an
# error in its last words though it is none.
threads() {
    "$@" >"$W/text" 2>&1 || { cat "$W/text"; return 1; }
    cat "$W/text"
    grep -q "test_threads cleanup finished" "$W/text" || return 1
    ! grep -aE 'failed: rv|CKR_' "$W/text" | grep -avE 'rv:CKR_OK|returned CKR_OK|ended with CKR_OK|ALREADY_INITIALIZED'
}

# press STRING COMMAND...: with that on its standard input
press() {
    local keys=$1
    shift
    printf "$keys" | timeout 20 "$@"
}

own_tests() {
    try_output "--test" "No errors" no_error token_tool --test
    own try_output "--moz-cert" "OK, successful" token_tool --session-rw --moz-cert "$W/$KEY_LABEL.crt.der" --id 6d6f7a \
        --key-type rsa:2048
    own try "--test-ec" no_error token_tool --session-rw --test-ec --key-type EC:prime256v1 --id 0e --label test-ec
    try "--test-fork" no_error token_tool --test-fork
    try "--test-threads IN (C_Initialize without locks)" threads plain --test-threads IN -L
    try "--test-threads ILGISLT0, 4 threads" threads plain --test-threads ILGISLT0 --test-threads ILGISLT0 \
        --test-threads ILGISLT0 --test-threads ILGISLT0 -L
    try_output "--test-hotplug" "C_WaitForSlotEvent" press '\n\nx\nx\n' pkcs11-tool --module "$TOKEN_MODULE" --test-hotplug
}

# --- what a token shows --------------------------------------------------------------------------------------

shows() {
    try_output "--list-slots" "$TOKEN_LABEL" plain --list-slots
    try_output "--list-mechanisms" "ECDSA" token_tool --list-mechanisms
    try_output "--show-info" "Cryptoki version" plain --show-info
    try "--generate-random" random
}
random() {
    token_tool --generate-random 100 -o "$W/random" && token_tool --generate-random 100 -o "$W/random2" &&
        [ "$(stat -c %s "$W/random")" = 100 ] && ! cmp "$W/random" "$W/random2"
}

# --- keys ----------------------------------------------------------------------------------------------------

sign_ec() {
    token_tool --sign --mechanism ECDSA-SHA256 --id "$KEY_ID" -i "$W/data" -o "$W/sig" --signature-format openssl &&
        openssl dgst -sha256 -verify "$W/$KEY_LABEL.pub.pem" -signature "$W/sig" "$W/data"
}
verify() { # MECHANISM OPTIONS...
    local mechanism=$1
    shift
    token_tool --sign --mechanism "$mechanism" "$@" --id "$KEY_ID" -i "$W/data" -o "$W/sig" &&
        token_tool --verify --mechanism "$mechanism" "$@" --id "$KEY_ID" -i "$W/data" --signature-file "$W/sig" |
        grep "Signature is valid" &&
        ! { token_tool --verify --mechanism "$mechanism" "$@" --id "$KEY_ID" -i "$W/data2" --signature-file "$W/sig" |
            grep "Signature is valid"; }
}
verify_rsa() {
    local mechanism
    for mechanism in RSA-PKCS SHA256-RSA-PKCS SHA384-RSA-PKCS SHA512-RSA-PKCS; do
        verify $mechanism || return 1
    done
}
verify_pss() { verify SHA256-RSA-PKCS-PSS && verify SHA384-RSA-PKCS-PSS --salt-len 20; }
verify_eddsa() {
    token_tool --sign --mechanism EDDSA --id "$KEY_ID" -i "$W/data" -o "$W/sig" &&
        openssl pkeyutl -verify -rawin -pubin -inkey "$W/$KEY_LABEL.pub.pem" -in "$W/data" -sigfile "$W/sig"
}
decrypt_rsa() {
    openssl pkeyutl -encrypt -pubin -inkey "$W/$KEY_LABEL.pub.pem" -in "$W/short" -out "$W/secret" &&
        token_tool --decrypt --mechanism RSA-PKCS --id "$KEY_ID" -i "$W/secret" -o "$W/clear" &&
        cmp "$W/short" "$W/clear"
}
decrypt_oaep() { # HASH
    openssl pkeyutl -encrypt -pubin -inkey "$W/$KEY_LABEL.pub.pem" -pkeyopt rsa_padding_mode:oaep \
        -pkeyopt "rsa_oaep_md:${1,,}" -pkeyopt "rsa_mgf1_md:${1,,}" -in "$W/short" -out "$W/secret" &&
        token_tool --decrypt --mechanism RSA-PKCS-OAEP --hash-algorithm "${2}" --mgf "MGF1-${1}" --id "$KEY_ID" \
            -i "$W/secret" -o "$W/clear" &&
        cmp "$W/short" "$W/clear"
}
aes() { # MECHANISM FILE: encrypted here, decrypted by the token; and the other way round
    local iv=000102030405060708090a0b0c0d0e0f
    token_tool --encrypt --mechanism "$1" --iv $iv --id "$AES_ID" -i "$2" -o "$W/secret" && ! cmp -s "$2" "$W/secret" &&
        token_tool --decrypt --mechanism "$1" --iv $iv --id "$AES_ID" -i "$W/secret" -o "$W/clear" && cmp "$2" "$W/clear"
}
mac() {
    token_tool --sign --mechanism SHA256-HMAC --id "$MAC_ID" -i "$W/data" -o "$W/mac" &&
        token_tool --sign --mechanism SHA256-HMAC --id "$MAC_ID" -i "$W/data2" -o "$W/mac2" &&
        [ "$(stat -c %s "$W/mac")" = 32 ] && ! cmp -s "$W/mac" "$W/mac2"
}
digests() {
    local name
    for name in SHA256 SHA384 SHA512; do
        token_tool --hash --mechanism $name -i "$W/data" -o "$W/digest" &&
            [ "$(xxd -p -c 64 "$W/digest" 2>/dev/null || od -An -v -tx1 "$W/digest" | tr -d ' \n')" = \
                "$(openssl dgst -r "-${name,,}" "$W/data" | cut -d' ' -f1)" ] || return 1
    done
}
secret_id() { # LABEL
    token_tool -O --type secrkey 2>/dev/null |
        awk -v label="$1" '/label:/ {found = $2 == label} /ID:/ && found {print $2; exit}'
}

sample_data() {
    printf 'what is to be signed, and encrypted' >"$W/data"
    truncate -s 64 "$W/data"
    printf 'something else' >"$W/data2"
    printf 'a short secret' >"$W/short"
    truncate -s 32 "$W/block"
}

use_ec() {
    client_key ec || client_failed "ECDSA" "no EC key"
    try_output "--list-objects" "$KEY_LABEL" token_tool --list-objects
    try "signs with ECDSA-SHA256; openssl verifies it" sign_ec
    try "signs and verifies: ECDSA-SHA256" verify ECDSA-SHA256
    if client_key ed25519; then
        try "signs with EDDSA; openssl verifies it" verify_eddsa
    else
        client_failed "signs with EDDSA; openssl verifies it" "no Ed25519 key: $(client_reason)"
    fi
}

use_secret() {
    try "encrypts and decrypts: AES-CBC-PAD" aes AES-CBC-PAD "$W/data"
    try "encrypts and decrypts: AES-CBC" aes AES-CBC "$W/block"
    try "signs: SHA256-HMAC" mac
    try "--hash: SHA256, SHA384, SHA512" digests
}

# --- objects of one's own ------------------------------------------------------------------------------------

generate() { # TYPE LABEL ID OPTIONS...
    token_tool --keypairgen --key-type "$1" --label "$2" --id "$3" "${@:4}"
}
read_back() { # TYPE ID FILE
    token_tool --read-object --type "$1" --id "$2" -o "$W/read" && cmp "$W/read" "$3"
}
write_cert() {
    token_tool --write-object "$W/$KEY_LABEL.crt.der" --type cert --id "$KEY_ID" --label "$KEY_LABEL" &&
        read_back cert "$KEY_ID" "$W/$KEY_LABEL.crt.der"
}
write_keys() {
    openssl genrsa -out "$W/rsa.pem" 2048 &&
        openssl pkey -in "$W/rsa.pem" -outform DER -out "$W/rsa.der" &&
        openssl pkey -in "$W/rsa.pem" -pubout -outform DER -out "$W/rsa.pub.der" &&
        token_tool --write-object "$W/rsa.der" --type privkey --id 77 --label written --usage-sign --usage-decrypt &&
        token_tool --write-object "$W/rsa.pub.der" --type pubkey --id 77 --label written --usage-sign &&
        token_tool --sign --mechanism SHA256-RSA-PKCS --id 77 -i "$W/data" -o "$W/sig" &&
        openssl dgst -sha256 -verify <(openssl pkey -in "$W/rsa.pem" -pubout) -signature "$W/sig" "$W/data"
}
write_ec() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/ec.pem" &&
        openssl ec -in "$W/ec.pem" -outform DER -out "$W/ec.der" &&
        token_tool --write-object "$W/ec.der" --type privkey --id 78 --label written-ec --usage-sign &&
        token_tool --sign --mechanism ECDSA-SHA256 --id 78 -i "$W/data" -o "$W/sig" --signature-format openssl &&
        openssl dgst -sha256 -verify <(openssl pkey -in "$W/ec.pem" -pubout) -signature "$W/sig" "$W/data"
}
write_secret() {
    printf '%032d' 7 >"$W/aes.raw"
    token_tool --write-object "$W/aes.raw" --type secrkey --key-type AES:32 --id 79 --label written-aes &&
        token_tool --encrypt --mechanism AES-CBC --iv 00000000000000000000000000000000 --id 79 -i "$W/block" \
            -o "$W/secret" &&
        openssl enc -aes-256-cbc -nopad -K "$(od -An -v -tx1 "$W/aes.raw" | tr -d ' \n')" \
            -iv 00000000000000000000000000000000 -in "$W/block" | cmp - "$W/secret"
}
write_data() {
    token_tool --write-object "$W/data" --type data --label blob --application-label app --private &&
        token_tool --read-object --type data --label blob -o "$W/read" && cmp "$W/read" "$W/data"
}
private_hidden() {
    pkcs11-tool --module "$TOKEN_MODULE" --token-label "$TOKEN_LABEL" -O >"$W/public" 2>&1
    cat "$W/public"
    ! grep -E "Private Key Object|blob" "$W/public" && grep "Public Key Object" "$W/public"
}
set_id() {
    token_tool --set-id 7b --type cert --id "$KEY_ID" --session-rw && read_back cert 7b "$W/$KEY_LABEL.crt.der" &&
        token_tool --set-id "$KEY_ID" --type cert --id 7b --session-rw
}
delete() {
    token_tool --delete-object --type data --label blob && token_tool --delete-object --type privkey --id 78 &&
        token_tool -O >"$W/left" 2>/dev/null && ! grep -E "blob|written-ec" "$W/left"
}
derive() { # the same secret on both sides
    generate EC:prime256v1 derives 51 --usage-derive &&
        token_tool --read-object --type pubkey --id 51 -o "$W/token.der" &&
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/peer.pem" &&
        openssl pkey -in "$W/peer.pem" -pubout -outform DER -out "$W/peer.der" &&
        token_tool --derive --mechanism ECDH1-DERIVE --id 51 -i "$W/peer.der" -o "$W/shared" &&
        openssl pkey -pubin -inform DER -in "$W/token.der" -out "$W/token.pem" &&
        openssl pkeyutl -derive -inkey "$W/peer.pem" -peerkey "$W/token.pem" | cmp - "$W/shared"
}
wrap_rsa() { # an AES key under an RSA key, and back
    generate rsa:2048 wraps 61 --usage-wrap &&
        token_tool --keygen --key-type AES:32 --label wrapped --id 62 --extractable &&
        token_tool --wrap --mechanism RSA-PKCS --id 61 --application-id 62 -o "$W/wrapped" &&
        token_tool --unwrap --mechanism RSA-PKCS --id 61 -i "$W/wrapped" --key-type AES: --application-id 63 \
            --application-label unwrapped --extractable &&
        same_key 62 63
}
same_key() { # ID ID
    local id
    for id in "$@"; do
        token_tool --encrypt --mechanism AES-CBC --iv 00000000000000000000000000000000 --id "$id" -i "$W/block" \
            -o "$W/under-$id" || return 1
    done
    cmp "$W/under-$1" "$W/under-$2"
}
wrap_aes() { # MECHANISM OPTIONS...: an AES key under an AES key, and back
    local mechanism=$1
    shift
    token_tool --delete-object --type secrkey --id 65
    token_tool --delete-object --type secrkey --id 66
    token_tool --delete-object --type secrkey --id 67
    token_tool --keygen --key-type AES:32 --label wrapping --id 65 --usage-wrap &&
        token_tool --keygen --key-type AES:16 --label wrapped2 --id 66 --extractable &&
        token_tool --wrap --mechanism "$mechanism" "$@" --id 65 --application-id 66 -o "$W/wrapped" &&
        token_tool --unwrap --mechanism "$mechanism" "$@" --id 65 -i "$W/wrapped" --key-type AES: --application-id 67 \
            --application-label unwrapped2 --extractable &&
        same_key 66 67
}
wrap_sensitive() { # under a key that can also decrypt what it has wrapped, as pkcs11-tool makes them
    token_tool --keygen --key-type AES:32 --label doubtful --id 71 --usage-wrap --usage-decrypt &&
        token_tool --keygen --key-type AES:16 --label precious --id 72 --extractable --sensitive || return 127
    token_tool --wrap --mechanism AES-KEY-WRAP --id 71 --application-id 72 -o "$W/wrapped" ||
        token_tool --wrap --mechanism AES-CBC --iv 00000000000000000000000000000000 --id 71 --application-id 72 \
            -o "$W/wrapped"
}
always_auth() {
    generate rsa:2048 careful 52 --always-auth --usage-sign &&
        token_tool --sign --mechanism SHA256-RSA-PKCS --id 52 -i "$W/data" -o "$W/sig" &&
        token_tool --read-object --type pubkey --id 52 -o "$W/careful.der" &&
        openssl dgst -sha256 -keyform DER -verify "$W/careful.der" -signature "$W/sig" "$W/data"
}

make_keys() {
    local what
    own try "--keypairgen rsa:2048" client_key rsa
    own try "--keypairgen rsa:3072" generate rsa:3072 big 33
    own try "--keypairgen EC:secp384r1, EC:secp521r1" make_curves
    own try "--keygen AES:32, AES:16" make_aes
    own try "--keygen GENERIC:32" token_tool --keygen --key-type GENERIC:32 --label generic --id 36
    own try_output "--keypairgen with --allowed-mechanisms" "RSA-PKCS-PSS" generate rsa:2048 limited 37 \
        --allowed-mechanisms RSA-PKCS,SHA256-RSA-PKCS-PSS
    own try_fail "what --allowed-mechanisms does not allow is refused" "CKR_MECHANISM_INVALID" \
        token_tool --sign --mechanism SHA512-RSA-PKCS --id 37 -i "$W/data" -o "$W/sig"
}
make_curves() {
    generate EC:secp384r1 p384 34 --usage-sign && generate EC:secp521r1 p521 35 --usage-sign &&
        KEY_ID=34 && verify ECDSA-SHA384 && KEY_ID=35 && verify ECDSA-SHA512
}
make_aes() {
    token_tool --keygen --key-type AES:32 --label aes --id 31 --sensitive && token_tool --keygen --key-type AES:16 --label aes16 --id 32
}

use_rsa() {
    [ "$TOKEN" = leased ] || client_key rsa
    own try "signs and verifies: RSA PKCS #1 v1.5 with SHA-256, -384, -512, and raw" verify_rsa
    own try "signs and verifies: RSA-PSS" verify_pss
    own try "decrypts what openssl encrypted: RSA PKCS #1 v1.5" decrypt_rsa
    own try "decrypts what openssl encrypted: RSA-OAEP with SHA-1" decrypt_oaep SHA1 SHA-1
    own try "decrypts what openssl encrypted: RSA-OAEP with SHA-256" decrypt_oaep SHA256 SHA256
}

use_objects() {
    [ "$TOKEN" = leased ] || { client_key ec && client_cert "$KEY_LABEL" "pkcs11-tool"; }
    own try "--write-object, --read-object: a certificate" write_cert
    own try "--write-object: an RSA key pair, which then signs" write_keys
    own try "--write-object: an EC private key, which then signs" write_ec
    own try "--write-object: an AES key, which then encrypts" write_secret
    own try "--write-object, --read-object: private data" write_data
    own try "without login: public objects and nothing else" private_hidden
    own try "--set-id" set_id
    own try "--delete-object" delete
    try_fail "a sensitive key cannot be read" "CKR_ATTRIBUTE_SENSITIVE|error" token_tool --read-object --type secrkey \
        --id "$AES_ID" -o "$W/read"
    own try "--derive: ECDH, the same secret as openssl's" derive
    own try "--wrap, --unwrap: RSA-PKCS" wrap_rsa
    own try "--wrap, --unwrap: AES-CBC-PAD" wrap_aes AES-CBC-PAD --iv 00000000000000000000000000000000
    own try "--wrap, --unwrap: AES-KEY-WRAP" wrap_aes AES-KEY-WRAP
    own try_fail "a sensitive key is not wrapped under one that can decrypt, too" "CKR_KEY_NOT_WRAPPABLE" wrap_sensitive
    own try "a key with --always-auth asks for the PIN each time" always_auth
}

# --- PINs ----------------------------------------------------------------------------------------------------

login_with() { plain --token-label "$TOKEN_LABEL" --login --pin "$1" -O; }

pins() {
    own try_fail "a wrong PIN is refused" "CKR_PIN_INCORRECT" login_with 1111
    own try "--change-pin" plain --token-label "$TOKEN_LABEL" --login --pin "$TOKEN_PIN" --change-pin --new-pin 24682468
    own try_fail "the old PIN is refused then" "CKR_PIN_INCORRECT" login_with "$TOKEN_PIN"
    own try "the new one opens the token" login_with 24682468
    own try "--unlock-pin (C_SetPIN without a login)" plain --token-label "$TOKEN_LABEL" --unlock-pin --puk 24682468 \
        --new-pin 12121212
    own try "--init-pin by the SO gives a new user PIN" plain --token-label "$TOKEN_LABEL" --login --login-type so \
        --so-pin "$TOKEN_SO_PIN" --init-pin --new-pin "$TOKEN_PIN"
    own try "it opens the token" login_with "$TOKEN_PIN"
    own try "--change-pin of the SO" plain --token-label "$TOKEN_LABEL" --login --login-type so --so-pin "$TOKEN_SO_PIN" \
        --change-pin --new-pin 97531975
    own try_fail "the SO's old PIN is refused then" "CKR_PIN_INCORRECT" plain --token-label "$TOKEN_LABEL" --login \
        --login-type so --so-pin "$TOKEN_SO_PIN" --session-rw -O
}

# The slot of an uninitialised token.
blank_slot() {
    plain --list-slots 2>/dev/null |
        awk '/^Slot/ {id = $3; gsub(/[()]/, "", id); sub(/:.*/, "", id)} /uninitialized/ {print id; exit}'
}
init_token() {
    local slot
    slot=$(blank_slot)
    [ -n "$slot" ] || { echo "no uninitialised token"; return 1; }
    plain --slot "$slot" --init-token --label second --so-pin 11112222 &&
        plain --token-label second --login --login-type so --so-pin 11112222 --init-pin --new-pin 33334444 &&
        plain --token-label second --login --pin 33334444 --keypairgen --key-type EC:prime256v1 --label in-second \
            --id 01 --usage-sign && plain --list-slots | grep "second"
}
another_token() {
    plain --token-label second --login --pin 33334444 -O >"$W/second" && cat "$W/second" && grep "in-second" "$W/second" &&
        ! grep "$KEY_LABEL" "$W/second"
}
init_again() {
    plain --token-label second --init-token --label third --so-pin 11112222 && plain --list-slots | grep "third" &&
        plain --token-label third -O >"$W/third" && ! grep "in-second" "$W/third"
}
tokens() {
    own try "--init-token of an uninitialised token; --init-pin; a key in it" init_token
    own try "another token's objects are not seen in it" another_token
    own try_fail "--init-token again with a wrong SO PIN is refused" "CKR_PIN_INCORRECT" plain --token-label second \
        --init-token --label third --so-pin 99998888
    own try "--init-token again with the right one empties it" init_again
}

steps() {
    sample_data
    shows
    make_keys
    use_ec
    use_rsa
    if [ "$TOKEN" = leased ]; then
        AES_ID=$(secret_id dev-aes) MAC_ID=$(secret_id dev-hmac)
    else
        AES_ID=31 MAC_ID=36
    fi
    use_secret
    use_objects
    own_tests
    tokens
    pins
}

CLIENT_DEV=(--blank)
client_matrix steps softhsm leased standalone
client_end
