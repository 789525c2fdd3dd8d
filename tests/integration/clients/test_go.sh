#!/bin/bash
# Go with crypto11 (as cosign and others use it) on github.com/miekg/pkcs11: token.go does one step at a time.
. "$(dirname "$0")/../clients.sh"
client_begin "crypto11 (Go)" golang-github-thalesignite-crypto11-dev
client_need go gcc
client_how "\`crypto11.Configure(&crypto11.Config{Path: \"MODULE\", TokenLabel: \"LABEL\", Pin: \"PIN\"})\`, without \`Pin\` for a \
leased token; \`FindKeyPair(nil, []byte(\"KEY\"))\` then is a \`crypto.Signer\`, as \`crypto/tls\` takes it. \
Keys for HMAC are made as \`crypto11.CipherGeneric\`: the others ask for a vendor's mechanism first, and stop there."

# Debian's packages as they are, without modules and without the network. The compiler's cache stays with the results.
PROGRAM=$T/token
cp "$(dirname "$0")/token.go" "$T/token.go"
(cd "$T" && GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS='' GOPROXY=off CGO_ENABLED=1 GOCACHE=$(dirname "$RESULTS")/go \
    go build -o "$PROGRAM" token.go)

go_token() { timeout 60 "$PROGRAM" "$TOKEN_MODULE" "$TOKEN_LABEL" "$TOKEN_PIN" "${KEY_LABEL:--}" "$@"; }
wrong_pin() { TOKEN_PIN=00000000 go_token random; }

steps() {
    try "random numbers" go_token random
    { client_key ec && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    try "finds a key pair and signs: EC" go_token sign
    try "TLS 1.2 and 1.3, server and client, key and certificate in the token: EC" go_token handshake "$W/ca.pem"
    try "16 goroutines sign" go_token many
    own try "makes key pairs, EC and RSA: signs, destroys" go_token generate
    own try "decrypts: RSA-OAEP with SHA-256" go_token decrypt
    own try "makes secret keys: AES-GCM, HMAC" go_token secrets
    own try "makes a certificate; imports, finds, deletes it" go_token certificates
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    own try "finds a key pair and signs: RSA" go_token sign
    own try "TLS 1.2 and 1.3, server and client, key and certificate in the token: RSA" go_token handshake "$W/ca.pem"
    own try_fail "a wrong PIN is refused" "CKR_PIN_INCORRECT" wrong_pin
}

client_matrix steps softhsm leased standalone
client_end
