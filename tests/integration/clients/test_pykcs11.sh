#!/bin/bash
# PyKCS11, the binding for Python: tests/integration/clients/pykcs11.py does one step at a time.
. "$(dirname "$0")/../clients.sh"
client_begin "PyKCS11 (Python)" python3-pykcs11
client_need /usr/bin/python3
/usr/bin/python3 -c 'import PyKCS11' 2>/dev/null || skip "python3-pykcs11 is not installed"
client_how "\`PyKCS11Lib().load(\"MODULE\")\`, \`getSlotList(tokenPresent=True)\`, the slot whose \`getTokenInfo\` has the label, \
\`openSession\`, \`login\` (not on a leased token). The \`getMechanismList\` of 1.5.12 raises \`KeyError\` where a token has \
mechanisms newer than PKCS #11 2.40, as a standalone partition has."

PROGRAM=$(dirname "$(realpath "$0")")/pykcs11.py
py() { timeout "$CLIENT_SECONDS" /usr/bin/python3 "$PROGRAM" "$TOKEN_MODULE" "$TOKEN_LABEL" "$TOKEN_PIN" "$KEY_LABEL" "$@"; }
signed() { # FUNCTION: what it signed is what openssl verifies
    py "$1" "$W/data" "$W/sig" && openssl dgst -sha256 -verify "$W/$KEY_LABEL.pub.pem" -signature "$W/sig" "$W/data"
}

steps() {
    printf 'what is to be signed' >"$W/data"
    KEY_LABEL=-
    try_output "slots, tokens, mechanisms" "ECDSA" py shows
    client_key ec || client_failed "a key" "$(client_reason)"
    try_output "objects and their attributes" "$KEY_LABEL.*CKK_EC" py lists
    try "signs: ECDSA-SHA256" signed sign_ecdsa
    own try "generates EC and RSA keys; signs and verifies" py generate_pairs
    own try "encrypts and decrypts: RSA-OAEP, AES-CBC-PAD, AES-GCM" py encrypt
    own try "wraps and unwraps a key" py wrap
    own try "creates, changes and destroys objects" py objects
    own try "session objects end with their session" py session_objects
    own try "public and private objects before and after logout" py logout
    own try "PINs: changed, and changed back" py pins "$TOKEN_SO_PIN"
    try "digests; random bytes" py digest
    try "four sessions at once" py sessions "$W/$KEY_LABEL.pub.pem"
}

client_matrix steps softhsm leased standalone
client_end
