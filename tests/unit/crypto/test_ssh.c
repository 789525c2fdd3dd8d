/* OpenSSH keys. Fixed ones, among them security keys, were made with Python's cryptography package and struct
 * from OpenSSH's PROTOCOL.u2f; the others are made and used by ssh-keygen while the test runs. */
#include "crypto/ssh.h"

#include "codec/sshsig.h"
#include "crypto/hash.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char sk_ed25519_key[] =
    "0000001a736b2d7373682d65643235353139406f70656e7373682e636f6d0000002003a107bff3ce10be1d70dd18e74b"
    "c09967e4d6309ba50d5f1ddc8664125531b80000000d7373683a6c65617365686f6c64";
static const char sk_ed25519_signature[] =
    "0000001a736b2d7373682d65643235353139406f70656e7373682e636f6d0000004043d8862144dc8ff15125ae5ea145"
    "b65584821478cf0eb05b29e727ab66d8b37dcfb74aee5098a0648f8d51f7b765e46d5452589daa4de956270250e24877"
    "720f0500000007";
static const char sk_ed25519_absent[] =
    "0000001a736b2d7373682d65643235353139406f70656e7373682e636f6d0000004007a50996bdd5127e2d1dd41c4534"
    "f598aea54f86fca0de80278558a21c3d0059ba1461db2e3cf842d4b80be3b4abcd9d8b5d804286516444014c9e0eb25a"
    "e5050400000007";
static const char sk_ecdsa_key[] =
    "00000022736b2d65636473612d736861322d6e69737470323536406f70656e7373682e636f6d000000086e6973747032"
    "35360000004104515c3d6eb9e396b904d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f4536be3a50f318fbf9"
    "a5475902a221502bef0d57e08c53b2cc0a56f17d9f9354000000047373683a";
static const char sk_ecdsa_signature[] =
    "00000022736b2d65636473612d736861322d6e69737470323536406f70656e7373682e636f6d00000049000000210098"
    "ab95a9305cf304bc3081ae764951ae6bec9801c8a2eee7116604fafd72970f000000201bdcb7047aa11dd917b36b2ec1"
    "7f35e50c565bb095b9b20f4c85eb27a3d556d101fffffffe";
static const char sk_foreign_application[] =
    "0000001a736b2d7373682d65643235353139406f70656e7373682e636f6d0000002003a107bff3ce10be1d70dd18e74b"
    "c09967e4d6309ba50d5f1ddc8664125531b80000001368747470733a2f2f6578616d706c652e6f7267";
static const char ed25519_key[] =
    "0000000b7373682d656432353531390000002003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc866412"
    "5531b8";
static const char ed25519_signature[] =
    "0000000b7373682d65643235353139000000407d72c3e1399a4524c9cfe052d1ad5b12c4ae780870805f1ac625f7f1b0"
    "105cbc14c19db2b5ae9e03026aa30c80b26c465e8729e09b7f995827d8970a7e075507";
static const char p256_key[] =
    "0000001365636473612d736861322d6e69737470323536000000086e697374703235360000004104515c3d6eb9e396b9"
    "04d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f4536be3a50f318fbf9a5475902a221502bef0d57e08c53b2"
    "cc0a56f17d9f9354";
static const char p256_signature[] =
    "0000001365636473612d736861322d6e69737470323536000000490000002100edaa63216f35dd49839a0ad71192d2da"
    "a292ee85f4d913bc92643acabb8ff90f000000201f1fc8c7ae9bff7d40aab31ffca8b9a1112fc339fb8d83a9a0c32185"
    "cee2aa8d";

#define DATA LH_BYTES_STR("the signed data")

static void fixed(const char *key_hex, const char *signature_hex, const char *type)
{
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    uint8_t blob[512];
    size_t blob_len = strlen(key_hex) / 2;
    assert_ok(lh_unhex(key_hex, blob, blob_len));
    assert_ok(lh_ssh_key_parse(crypto, LH_BYTES(blob, blob_len), &key));
    assert_string_equal(lh_ssh_key_type(key), type);
    uint8_t signature[512];
    size_t len = strlen(signature_hex) / 2;
    assert_ok(lh_unhex(signature_hex, signature, len));
    assert_ok(lh_ssh_verify(crypto, key, LH_BYTES(signature, len), DATA));
    assert_refused(lh_ssh_verify(crypto, key, LH_BYTES(signature, len), LH_BYTES_STR("the signed dat")),
        LH_E_SIGNATURE, "ssh-signature");
    for (size_t i = 0; i < len; i++) {
        signature[i] ^= 1;
        assert_err(lh_ssh_verify(crypto, key, LH_BYTES(signature, len), DATA), LH_E_SIGNATURE);
        signature[i] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut++)
        assert_refused(lh_ssh_verify(crypto, key, LH_BYTES(signature, cut), DATA), LH_E_SIGNATURE,
            "ssh-signature-format");
    signature[len] = 0;
    assert_refused(lh_ssh_verify(crypto, key, LH_BYTES(signature, len + 1), DATA), LH_E_SIGNATURE,
        "ssh-signature-format");
    lh_ssh_key *none = NULL;
    for (size_t cut = 0; cut < blob_len; cut++)
        assert_refused(lh_ssh_key_parse(crypto, LH_BYTES(blob, cut), &none), LH_E_INVALID, "ssh-key");
    blob[blob_len] = 0;
    assert_refused(lh_ssh_key_parse(crypto, LH_BYTES(blob, blob_len + 1), &none), LH_E_INVALID, "ssh-key");
    assert_null(none);
}

static void fixed_keys(void **state)
{
    (void)state;
    fixed(ed25519_key, ed25519_signature, "ssh-ed25519");
    fixed(p256_key, p256_signature, "ecdsa-sha2-nistp256");
    fixed(sk_ed25519_key, sk_ed25519_signature, "sk-ssh-ed25519@openssh.com");
    fixed(sk_ecdsa_key, sk_ecdsa_signature, "sk-ecdsa-sha2-nistp256@openssh.com");
}

static void security_keys(void **state)
{
    (void)state;
    lh_ssh_key *none = NULL;
    assert_refused(
        lh_ssh_key_parse(crypto, from_hex(sk_foreign_application), &none), LH_E_INVALID, "ssh-key");
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    assert_ok(lh_ssh_key_parse(crypto, from_hex(sk_ed25519_key), &key));
    /* Rightly signed, but by a key that nobody touched. */
    assert_refused(
        lh_ssh_verify(crypto, key, from_hex(sk_ed25519_absent), DATA), LH_E_SIGNATURE, "ssh-user-presence");
    /* A plain key's signature, and one of another type. */
    assert_refused(lh_ssh_verify(crypto, key, from_hex(ed25519_signature), DATA), LH_E_SIGNATURE,
        "ssh-signature-format");
    assert_refused(lh_ssh_verify(crypto, key, from_hex(sk_ecdsa_signature), DATA), LH_E_SIGNATURE,
        "ssh-signature-algorithm");
}

static void put_string(lh_buf *buf, lh_bytes s)
{
    const uint8_t be[4] = {
        (uint8_t)(s.len >> 24), (uint8_t)(s.len >> 16), (uint8_t)(s.len >> 8), (uint8_t)s.len};
    lh_buf_append(buf, be, 4);
    lh_buf_append(buf, s.data, s.len);
}

static lh_err parse_rsa(lh_bytes e, lh_bytes n)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(4096);
    put_string(&blob, LH_BYTES_STR("ssh-rsa"));
    put_string(&blob, e);
    put_string(&blob, n);
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    return lh_ssh_key_parse(crypto, lh_buf_bytes(&blob), &key);
}

/* A modulus is any odd number to the parser: what counts is form and size. */
static void rsa_forms(void **state)
{
    (void)state;
    static uint8_t n[1100];
    memset(n, 0x5a, sizeof(n));
    n[0] = 0;
    n[1] = 0x81;
    lh_bytes e = from_hex("010001");
    static const size_t lens[] = {256, 512, 1024};
    for (size_t i = 0; i < LH_ARRAY_LEN(lens); i++) {
        n[lens[i]] = 0x5b;
        assert_ok(parse_rsa(e, LH_BYTES(n, lens[i] + 1)));
        n[lens[i]] = 0x5a;
        assert_refused(parse_rsa(e, LH_BYTES(n, lens[i] + 1)), LH_E_INVALID, "ssh-key"); /* even */
    }
    n[256] = n[255] = n[1024] = n[1025] = 0x5b;
    assert_refused(parse_rsa(e, LH_BYTES(n, 256)), LH_E_INVALID, "ssh-key-weak");     /* 2040 bits */
    assert_refused(parse_rsa(e, LH_BYTES(n, 1026)), LH_E_INVALID, "ssh-key-weak");    /* 8200 bits */
    assert_refused(parse_rsa(e, LH_BYTES(n + 2, 256)), LH_E_INVALID, "ssh-key-weak"); /* 2047 bits */
    assert_refused(parse_rsa(e, LH_BYTES(n + 1, 256)), LH_E_INVALID, "ssh-key");      /* negative */
    assert_refused(parse_rsa(e, LH_BYTES_NONE), LH_E_INVALID, "ssh-key");             /* zero */
    n[1] = 0x01;
    assert_refused(parse_rsa(e, LH_BYTES(n, 257)), LH_E_INVALID, "ssh-key"); /* a needless zero */
    n[1] = 0x81;
    static const char *const exponents[] = {"03", "23", "00ffff", "010000", "0100000001"};
    for (size_t i = 0; i < LH_ARRAY_LEN(exponents); i++)
        assert_refused(parse_rsa(from_hex(exponents[i]), LH_BYTES(n, 257)), LH_E_INVALID, "ssh-key-weak");
}

static void types_refused(void **state)
{
    (void)state;
    static const char *const types[] = {"", "ssh-dss", "ssh-ed448", "ecdsa-sha2-nistp521",
        "ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-256"};
    lh_ssh_key *key = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(4096);
        put_string(&blob, LH_BYTES_STR(types[i]));
        put_string(&blob, LH_BYTES_STR("x"));
        assert_refused(lh_ssh_key_parse(crypto, lh_buf_bytes(&blob), &key), LH_E_UNSUPPORTED, "ssh-key-type");
    }
    /* A type whose curve is another's, a point off the curve, a compressed point. */
    uint8_t blob[256];
    size_t len = strlen(p256_key) / 2;
    static const size_t places[] = {4 + 19 + 4 + 7, 4 + 19 + 4 + 8 + 4, 4 + 19 + 4 + 8 + 4 + 64};
    for (size_t i = 0; i < LH_ARRAY_LEN(places); i++) {
        assert_ok(lh_unhex(p256_key, blob, len));
        blob[places[i]] ^= 2;
        assert_refused(lh_ssh_key_parse(crypto, LH_BYTES(blob, len), &key), LH_E_INVALID, "ssh-key");
    }
    assert_null(key);
}

static char directory[] = "/tmp/leasehold-test-ssh-XXXXXX";

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    int status = system(command); /* fixed words and our own directory only */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static lh_bytes slurp(const char *name, lh_buf *into)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *to = lh_buf_extend(into, 16384);
    assert_non_null(to);
    into->len = fread(to, 1, 16384, file);
    fclose(file);
    return lh_buf_bytes(into);
}

/* Make a key, sign a file with it, read both back; the parts stay in the buffers. */
static void sign_with_keygen(
    const char *options, const char *hash, lh_ssh_key **ret_key, lh_buf *signature, lh_buf *signed_data)
{
    run("cd %s && rm -f k k.pub m.sig && ssh-keygen -q %s -N '' -f k && printf 'a message' > m && "
        "ssh-keygen -q -Y sign -n leasehold -O hashalg=%s -f k m 2>/dev/null",
        directory, options, hash);
    LH_AUTO(lh_buf_free) lh_buf file = LH_BUF_INIT(16384);
    LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(16384);
    lh_pubkey_line line;
    assert_ok(lh_pubkey_line_parse(slurp("k.pub", &file), &raw, &line));
    assert_ok(lh_ssh_key_parse(crypto, line.blob, ret_key));
    assert_string_equal(lh_ssh_key_type(*ret_key), line.type);
    LH_AUTO(lh_buf_free) lh_buf armor = LH_BUF_INIT(16384);
    LH_AUTO(lh_buf_free) lh_buf sig_raw = LH_BUF_INIT(16384);
    lh_sshsig sig;
    assert_ok(lh_sshsig_parse(slurp("m.sig", &armor), &sig_raw, &sig));
    lh_buf_append(signature, sig.signature.data, sig.signature.len);
    uint8_t digest[64];
    lh_bytes message = LH_BYTES_STR("a message");
    bool longer = sig.hash == LH_SSHSIG_SHA512;
    assert_ok(longer ? lh_sha512(crypto, &message, 1, digest) : lh_sha256(crypto, &message, 1, digest));
    assert_ok(lh_sshsig_signed_data("leasehold", sig.hash, LH_BYTES(digest, longer ? 64 : 32), signed_data));
}

static void real_keys(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 384", "-t rsa -b 2048", "-t rsa -b 3072"};
    static const char *const hashes[] = {"sha512", "sha256"};
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
        LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(4096);
        LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(4096);
        sign_with_keygen(kinds[i], hashes[i % 2], &key, &signature, &data);
        assert_ok(lh_ssh_verify(crypto, key, lh_buf_bytes(&signature), lh_buf_bytes(&data)));
        data.data[data.len - 1] ^= 1;
        assert_refused(lh_ssh_verify(crypto, key, lh_buf_bytes(&signature), lh_buf_bytes(&data)),
            LH_E_SIGNATURE, "ssh-signature");
        data.data[data.len - 1] ^= 1;
        LH_AUTO(lh_ssh_key_freep) lh_ssh_key *other = NULL;
        assert_ok(lh_ssh_key_parse(crypto, from_hex(ed25519_key), &other));
        assert_err(
            lh_ssh_verify(crypto, other, lh_buf_bytes(&signature), lh_buf_bytes(&data)), LH_E_SIGNATURE);
    }
}

/* SHA-1 under its old name, and a true signature under another hash's name. */
static void rsa_algorithms(void **state)
{
    (void)state;
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(4096);
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(4096);
    sign_with_keygen("-t rsa -b 2048", "sha512", &key, &signature, &data);
    static const struct {
        const char *name;
        const char *reason;
    } cases[] = {{"ssh-rsa", "ssh-signature-algorithm"}, {"rsa-sha2-256", "ssh-signature"},
        {"rsa-sha2-384", "ssh-signature-algorithm"}, {"", "ssh-signature-algorithm"}};
    lh_bytes raw = LH_BYTES(signature.data + signature.len - 256, 256);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        LH_AUTO(lh_buf_free) lh_buf renamed = LH_BUF_INIT(4096);
        put_string(&renamed, LH_BYTES_STR(cases[i].name));
        put_string(&renamed, raw);
        assert_refused(lh_ssh_verify(crypto, key, lh_buf_bytes(&renamed), lh_buf_bytes(&data)),
            LH_E_SIGNATURE, cases[i].reason);
    }
    LH_AUTO(lh_buf_free) lh_buf padded = LH_BUF_INIT(4096);
    uint8_t longer[257] = {0};
    memcpy(longer + 1, raw.data, 256);
    put_string(&padded, LH_BYTES_STR("rsa-sha2-512"));
    put_string(&padded, LH_BYTES(longer, 257));
    assert_refused(lh_ssh_verify(crypto, key, lh_buf_bytes(&padded), lh_buf_bytes(&data)), LH_E_SIGNATURE,
        "ssh-signature-format");
}

static int setup(void **state)
{
    return mkdtemp(directory) ? crypto_setup(state) : -1;
}

static int teardown(void **state)
{
    run("rm -rf %s", directory);
    return crypto_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_keys),
        cmocka_unit_test(security_keys),
        cmocka_unit_test(rsa_forms),
        cmocka_unit_test(types_refused),
        cmocka_unit_test(real_keys),
        cmocka_unit_test(rsa_algorithms),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
