#!/bin/bash
# Java 17's SunPKCS11: keytool, jarsigner, and a program of one's own (Token.java).
. "$(dirname "$0")/../clients.sh"
client_begin "Java 17 (SunPKCS11)" openjdk-17-jdk-headless
client_need java javac keytool jarsigner
client_how "A file with the lines \`name = leasehold\`, \`library = MODULE\`, and \`slot = NUMBER\` (that of a standalone partition is \
shown by \`leasehold partition list\`, a leased one's is 0); then \
\`keytool -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg FILE -storepass PIN\`, the same for \`jarsigner\`, \
and in programs \`Security.getProvider(\"SunPKCS11\").configure(FILE)\`. Java shows a key only where its certificate lies \
beside it: a leased one's is attached by officers. A leased token takes any \`-storepass\`. Java reads what \
\`KeyAgreement\` derives, for which the file has to say \
\`attributes(generate, CKO_PRIVATE_KEY, CKK_EC) = { CKA_DERIVE = true }\` and \
\`attributes(generate, CKO_SECRET_KEY, CKK_GENERIC_SECRET) = { CKA_SENSITIVE = false CKA_EXTRACTABLE = true }\`."

JVM=(-XX:-UsePerfData -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -Xmx256m)
CLASSES=$T/classes
javac "${JVM[@]/#/-J}" -d "$CLASSES" "$(dirname "$0")/Token.java"

kt() { # keytool on the token
    timeout "$CLIENT_SECONDS" keytool "${JVM[@]/#/-J}" "$@" \
        -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg "$W/java.cfg" \
        -storepass "${TOKEN_PIN:-none}"
}
program() { timeout "$CLIENT_SECONDS" java "${JVM[@]}" -cp "$CLASSES" Token "$W/java.cfg" "$TOKEN_PIN" "$@"; }
configured() {
    local slot
    slot=$(pkcs11-tool --module "$TOKEN_MODULE" -L 2>/dev/null | awk -v label="$TOKEN_LABEL" '
        /^Slot/ {id = $3; gsub(/[()]/, "", id); sub(/:.*/, "", id)}
        /token label/ {sub(/^[^:]*: */, ""); sub(/ *$/, ""); if ($0 == label) print id}')
    printf 'name = tested\nlibrary = %s\nslot = %d\n' "$TOKEN_MODULE" "$((slot))" >"$W/java.cfg"
    cat >>"$W/java.cfg" <<'CFG'
attributes(generate, CKO_PRIVATE_KEY, CKK_EC) = { CKA_DERIVE = true }
attributes(generate, CKO_SECRET_KEY, CKK_GENERIC_SECRET) = { CKA_SENSITIVE = false CKA_EXTRACTABLE = true }
CFG
}
generated() { # ALIAS OPTIONS...
    kt -genkeypair -alias "$1" -dname "CN=$1" -validity 9 "${@:2}"
}
certified() { # ALIAS: a request, and the certificate that the authority makes of it
    kt -certreq -alias "$1" -file "$W/$1.csr" && openssl req -verify -noout -in "$W/$1.csr" &&
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth,codeSigning
keyUsage=digitalSignature,keyEncipherment\n' >"$W/java.ext" &&
        soft_openssl x509 -req -in "$W/$1.csr" -CA "$W/ca.pem" -CAkey "$W/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 3 \
            -extfile "$W/java.ext" -out "$W/$1.crt" && cat "$W/$1.crt" "$W/ca.pem" >"$W/$1.chain" &&
        kt -importcert -noprompt -alias "$1" -file "$W/$1.chain"
}
jar_signed() { # ALIAS
    rm -f "$W/signed.jar"
    jar "${JVM[@]/#/-J}" --create --file "$W/signed.jar" -C "$CLASSES" . &&
        timeout "$CLIENT_SECONDS" jarsigner "${JVM[@]/#/-J}" \
            -keystore NONE -storetype PKCS11 -addprovider SunPKCS11 -providerArg "$W/java.cfg" \
            -storepass "${TOKEN_PIN:-none}" "$W/signed.jar" "$1" &&
        jarsigner "${JVM[@]/#/-J}" -verify "$W/signed.jar"
}
removed() { kt -delete -alias "$1" && ! kt -list | grep -i "^$1,"; }
wrong_pin() { TOKEN_PIN=00000000 kt -list; }

steps() {
    configured
    client_ca
    try "SecureRandom, MessageDigest" program random
    if [ "$TOKEN" = leased ]; then
        { client_key ec && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
            client_failed "a key" "$(client_reason)"
        EC=$KEY_LABEL
    else
        EC=made-ec
    fi
    own try "keytool -genkeypair: EC" generated made-ec -keyalg EC -groupname secp256r1
    own try "keytool -certreq, -importcert: EC" certified made-ec
    own try "keytool -genkeypair: RSA" generated made-rsa -keyalg RSA -keysize 2048
    own try "keytool -certreq, -importcert: RSA" certified made-rsa
    try_output "keytool -list" "$EC, PrivateKeyEntry" kt -list
    try "Signature: ECDSA with SHA-256, -384, -512" program sign "$EC" SHA256withECDSA SHA384withECDSA SHA512withECDSA
    own try "Signature: RSA with SHA-256, -512" program sign made-rsa SHA256withRSA SHA512withRSA
    try_output "jarsigner, and -verify: EC" "jar verified" jar_signed "$EC"
    own try_output "jarsigner, and -verify: RSA" "jar verified" jar_signed made-rsa
    try_output "TLS 1.2 and 1.3, server and client, with certificates: EC" "TLSv1.3, the client is" program tls "$EC" "$W/ca.pem"
    own try "keys of one session: ECDH" program agree
    own try "keys of one session: AES-GCM, AES-CBC, HMAC, RSA" program session
    try "four threads sign" program threads "$EC"
    own try "keytool -delete" removed made-ec
    own try_output "TLS 1.2 and 1.3, server and client, with certificates: RSA" "TLSv1.3, the client is" program tls made-rsa "$W/ca.pem"
    own try_fail "a wrong PIN is refused" "PIN_INCORRECT|password|load failed" wrong_pin
}

client_matrix steps softhsm leased standalone
client_end
