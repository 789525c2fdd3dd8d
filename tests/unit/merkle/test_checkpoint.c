/* Checkpoints. The fixed note was made by a Python program of its own (hashlib and the cryptography package),
 * with the Ed25519 seed 00 01 … 1f and the P-256 scalar 01 02 … 20. */
#include "merkle/checkpoint.h"

#include "codec/base64.h"
#include "crypto/key.h"
#include "crypto/operation.h"
#include "crypto/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NAME "leasehold/000102030405060708090a0b0c0d0e0f"
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define TEXT NAME "\n42\n" ROOT "\nnv 7\n"
#define ED_LINE                                                                                              \
    "— " NAME                                                                                                \
    " I3s2SLwz7brqnrEJViJA4/3uv++repl09pQWEH6bdTtpHx+YEj4skW8J7K73b76REyDbQnHbK5K0W4+FJqxp0GUiXwE=\n"
#define EC_LINE                                                                                              \
    "— " NAME                                                                                                \
    " 8dWUSTBFAiAaOR1yoFwviLvnhbHUQhavrs4CYdCzbJfojTtHSYtlDQIhAN4mh5iouN3Cu9fFjnKC5OJQzsywbxOuxJ6s"          \
    "K2JTeBn0\n"
#define FIXED_NOTE TEXT "\n" ED_LINE EC_LINE
static const char ed_hex[] = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
static const char ec_hex[] = "04515c3d6eb9e396b904d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f"
                             "4536be3a50f318fbf9a5475902a221502bef0d57e08c53b2cc0a56f17d9f9354";

static lh_crypto *crypto;
static uint8_t ed_public[32];
static uint8_t ec_public[65];
static lh_note_key ed_key = {NAME, LH_NOTE_ED25519, {ed_public, sizeof(ed_public)}};
static lh_note_key ec_key = {NAME, LH_NOTE_ECDSA_P256, {ec_public, sizeof(ec_public)}};

static int setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) && lh_ok(lh_unhex(ed_hex, ed_public, 32)) &&
                   lh_ok(lh_unhex(ec_hex, ec_public, 65))
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    return 0;
}

#define assert_ok(expr) assert_int_equal((expr).code, LH_OK)
#define assert_refused(expr, want, token)                                                                    \
    do {                                                                                                     \
        assert_int_equal((expr).code, (want));                                                               \
        assert_string_equal(lh_err_last()->reason, (token));                                                 \
    } while (0)

static lh_secret *run_of_bytes(uint8_t first)
{
    lh_secret *secret = NULL;
    assert_ok(lh_secret_new(32, &secret));
    for (size_t i = 0; i < 32; i++)
        lh_secret_data(secret)[i] = (uint8_t)(first + i);
    return secret;
}

static lh_err sign_ed25519(void *arg, lh_bytes input, uint8_t out[64])
{
    (void)arg;
    LH_AUTO(lh_secret_freep) lh_secret *seed = run_of_bytes(0);
    return lh_ed25519_sign(crypto, seed, input, out);
}

static lh_err sign_p256(void *arg, lh_bytes input, uint8_t out[64])
{
    (void)arg;
    assert_int_equal(input.len, 32);
    LH_AUTO(lh_secret_freep) lh_secret *scalar = run_of_bytes(1);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(lh_key_new(crypto, LH_KEY_EC_P256, scalar, &key));
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(64);
    lh_op_request request = {
        .key = key, .row = lh_mechanism_by_name("ecdsa"), .use = LH_USE_SIGN, .data = input};
    LH_TRY(lh_op_once(crypto, &request, &made));
    memcpy(out, made.data, 64);
    return LH_SUCCESS;
}

static lh_err sign_wrongly(void *arg, lh_bytes input, uint8_t out[64])
{
    (void)arg;
    (void)input;
    memset(out, 1, 64);
    return LH_SUCCESS;
}

static lh_err sign_fails(void *arg, lh_bytes input, uint8_t out[64])
{
    (void)arg;
    (void)input;
    (void)out;
    return LH_RAISE(LH_E_TPM, 1);
}

static lh_checkpoint example(void)
{
    lh_checkpoint checkpoint = {
        .origin = LH_BYTES_STR(NAME), .size = 42, .extension = LH_BYTES_STR("nv 7\n")};
    assert_ok(
        lh_unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", checkpoint.root, 32));
    return checkpoint;
}

static void fixed_note(void **state)
{
    (void)state;
    lh_checkpoint_note note;
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR(FIXED_NOTE), &note));
    lh_checkpoint want = example();
    assert_true(lh_bytes_equal(note.checkpoint.origin, want.origin));
    assert_int_equal(note.checkpoint.size, 42);
    assert_memory_equal(note.checkpoint.root, want.root, 32);
    assert_true(lh_bytes_equal(note.checkpoint.extension, want.extension));
    assert_true(lh_bytes_equal(note.text, LH_BYTES_STR(TEXT)));
    assert_int_equal(note.signature_count, 2);
    assert_ok(lh_checkpoint_verify(crypto, &note, &ed_key));
    assert_ok(lh_checkpoint_verify(crypto, &note, &ec_key));
}

static void built_note(void **state)
{
    (void)state;
    const lh_note_signer signers[] = {{ed_key, sign_ed25519, NULL}, {ec_key, sign_p256, NULL}};
    lh_checkpoint checkpoint = example();
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    assert_ok(lh_checkpoint_build(crypto, &checkpoint, signers, 2, &out));
    /* Ed25519 is deterministic: up to the ECDSA line it is the fixed note byte by byte. */
    assert_memory_equal(out.data, TEXT "\n" ED_LINE, sizeof(TEXT "\n" ED_LINE) - 1);
    lh_checkpoint_note note;
    assert_ok(lh_checkpoint_parse(lh_buf_bytes(&out), &note));
    assert_ok(lh_checkpoint_verify(crypto, &note, &ed_key));
    assert_ok(lh_checkpoint_verify(crypto, &note, &ec_key));
}

static void build_refused(void **state)
{
    (void)state;
    lh_note_signer signer = {ed_key, sign_ed25519, NULL};
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    lh_checkpoint c = example();
    assert_refused(lh_checkpoint_build(crypto, &c, &signer, 0, &out), LH_E_INVALID, "checkpoint");
    static const char *const origins[] = {"", "a\nb", "a\tb", "\xff"};
    for (size_t i = 0; i < LH_ARRAY_LEN(origins); i++) {
        c.origin = LH_BYTES_STR(origins[i]);
        assert_refused(lh_checkpoint_build(crypto, &c, &signer, 1, &out), LH_E_INVALID, "checkpoint");
    }
    c = example();
    static const char *const extensions[] = {"unended", "\n", "a\n\nb\n", "a\r\n"};
    for (size_t i = 0; i < LH_ARRAY_LEN(extensions); i++) {
        c.extension = LH_BYTES_STR(extensions[i]);
        assert_refused(lh_checkpoint_build(crypto, &c, &signer, 1, &out), LH_E_INVALID, "checkpoint");
    }
    c = example();
    static const char *const names[] = {"", "a b", "a+b", "a\nb", "a\xc2\xa0", "a\xe2\x80\xa8"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        signer.key.name = names[i];
        assert_refused(lh_checkpoint_build(crypto, &c, &signer, 1, &out), LH_E_INVALID, "checkpoint");
    }
    signer.key = ed_key;
    signer.key.public_key.len = 31;
    assert_refused(lh_checkpoint_build(crypto, &c, &signer, 1, &out), LH_E_INVALID, "checkpoint");
    signer.key = ed_key;
    signer.sign = sign_wrongly;
    assert_refused(lh_checkpoint_build(crypto, &c, &signer, 1, &out), LH_E_SIGNATURE, "checkpoint-signature");
    signer.sign = sign_fails;
    assert_int_equal(lh_checkpoint_build(crypto, &c, &signer, 1, &out).code, LH_E_TPM);
    assert_int_equal(out.len, 0);
}

/* Ids and texts of keys: ours from Python; Go's from the documentation of golang.org/x/mod/sumdb/note and the
 * Go checksum database's well-known key. */
static void key_texts(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(1024);
    assert_ok(lh_note_key_text(crypto, &ed_key, &out));
    assert_string_equal(lh_buf_cstr(&out), NAME "+237b3648+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4");
    lh_buf_clear(&out);
    assert_ok(lh_note_key_text(crypto, &ec_key, &out));
    assert_string_equal(lh_buf_cstr(&out),
        NAME "+f1d59449+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFFcPW6545a5BNP+yn9U/c0MwemXvzddylFa0KbDtANf"
             "RTa+OlDzGPv5pUdZAqIhUCvvDVfgjFOyzApW8X2fk1Q=");
    static const char *const go_keys[] = {
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"};
    for (size_t i = 0; i < LH_ARRAY_LEN(go_keys); i++) {
        char name[32] = "";
        memcpy(name, go_keys[i], strcspn(go_keys[i], "+"));
        LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(64);
        /* "name+8 digits+": the rest is base64 of the type and the key. */
        assert_ok(lh_base64_decode(LH_BYTES_STR(go_keys[i] + strlen(name) + 10), &raw));
        lh_note_key key = {name, LH_NOTE_ED25519, LH_BYTES(raw.data + 1, raw.len - 1)};
        lh_buf_clear(&out);
        assert_ok(lh_note_key_text(crypto, &key, &out));
        assert_string_equal(lh_buf_cstr(&out), go_keys[i]);
    }
}

static void every_byte_counts(void **state)
{
    (void)state;
    char copy[] = FIXED_NOTE;
    const size_t len = sizeof(copy) - 1;
    for (size_t i = 0; i < len; i++) {
        copy[i] = (char)(copy[i] ^ 1);
        lh_checkpoint_note note;
        bool both = lh_ok(lh_checkpoint_parse(LH_BYTES(copy, len), &note)) &&
                    lh_ok(lh_checkpoint_verify(crypto, &note, &ed_key)) &&
                    lh_ok(lh_checkpoint_verify(crypto, &note, &ec_key));
        assert_false(both);
        copy[i] = (char)(copy[i] ^ 1);
    }
    for (size_t cut = 0; cut < len; cut++) {
        lh_checkpoint_note note;
        bool both = lh_ok(lh_checkpoint_parse(LH_BYTES(copy, cut), &note)) &&
                    lh_ok(lh_checkpoint_verify(crypto, &note, &ec_key));
        assert_false(both);
    }
}

static void verify_refused(void **state)
{
    (void)state;
    lh_checkpoint_note note;
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR(TEXT "\n" ED_LINE), &note));
    assert_ok(lh_checkpoint_verify(crypto, &note, &ed_key));
    assert_refused(lh_checkpoint_verify(crypto, &note, &ec_key), LH_E_SIGNATURE, "checkpoint-unsigned");
    lh_note_key renamed = ed_key;
    renamed.name = "leasehold/other";
    assert_refused(lh_checkpoint_verify(crypto, &note, &renamed), LH_E_SIGNATURE, "checkpoint-unsigned");
    /* The signature of another text, by the same key. */
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR(NAME "\n43\n" ROOT "\nnv 7\n\n" ED_LINE EC_LINE), &note));
    assert_refused(lh_checkpoint_verify(crypto, &note, &ed_key), LH_E_SIGNATURE, "checkpoint-signature");
    assert_refused(lh_checkpoint_verify(crypto, &note, &ec_key), LH_E_SIGNATURE, "checkpoint-signature");
    lh_note_key off_curve = ec_key;
    uint8_t point[65];
    memcpy(point, ec_public, 65);
    point[64] ^= 1;
    off_curve.public_key = LH_BYTES(point, 65);
    assert_refused(lh_checkpoint_verify(crypto, &note, &off_curve), LH_E_INVALID, "key-public");
}

/* A line of a known key that fails spoils the note, also beside a good one: C2SP signed-note. */
static void bad_line_beside_good_one(void **state)
{
    (void)state;
    char both[] = TEXT "\n" ED_LINE ED_LINE;
    lh_checkpoint_note note;
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR(both), &note));
    assert_ok(lh_checkpoint_verify(crypto, &note, &ed_key));
    both[sizeof(both) - 12] = both[sizeof(both) - 12] == 'A' ? 'B' : 'A';
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR(both), &note));
    assert_refused(lh_checkpoint_verify(crypto, &note, &ed_key), LH_E_SIGNATURE, "checkpoint-signature");
}

static void parse_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "\n", "\n\n", TEXT, TEXT "\n",                                /* no signatures */
        TEXT ED_LINE,                                                     /* no blank line */
        TEXT "\n" ED_LINE "\n",                                           /* a blank line more */
        TEXT "\n\n" ED_LINE,                                              /* and elsewhere */
        "\n42\n" ROOT "\n\n" ED_LINE,                                     /* no origin */
        "o\n042\n" ROOT "\n\n" ED_LINE,                                   /* leading zero */
        "o\n-1\n" ROOT "\n\n" ED_LINE,                                    /* sign */
        "o\n+1\n" ROOT "\n\n" ED_LINE,                                    /* sign */
        "o\n 1\n" ROOT "\n\n" ED_LINE,                                    /* space */
        "o\n1 \n" ROOT "\n\n" ED_LINE,                                    /* space */
        "o\n18446744073709551616\n" ROOT "\n\n" ED_LINE,                  /* 2^64 */
        "o\n1\n" ROOT "=\n\n" ED_LINE,                                    /* padding */
        "o\n1\nAAAA\n\n" ED_LINE,                                         /* a short root */
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n\n" ED_LINE, /* bits behind the last byte */
        "o\n1\n" ROOT "\r\n\n" ED_LINE,                                   /* a control character */
        "o\xff\n1\n" ROOT "\n\n" ED_LINE,                                 /* not UTF-8 */
        "o\n1\n\n" ED_LINE,                                               /* no root */
        "o\n\n" ED_LINE,                                                  /* neither size */
        TEXT "\n- " NAME " AAAAAAA=\n",                                   /* a hyphen */
        TEXT "\n— " NAME "\n",                                            /* no signature */
        TEXT "\n— " NAME " \n",                                           /* an empty one */
        TEXT "\n— " NAME " AAAAAA==\n",                                   /* a key id alone */
        TEXT "\n—  AAAAAAA=\n",                                           /* no name */
        TEXT "\n— a+b AAAAAAA=\n",                                        /* a plus */
        TEXT "\n— a b AAAAAAA=\n",                                        /* a space */
        TEXT "\n— a AAAAAAA=",                                            /* no newline */
        TEXT "\n— a AAAAAAA= \n",                                         /* a space behind */
        TEXT "\n— a AAAAAAA\n",                                           /* no padding */
    };
    lh_checkpoint_note note = {.signature_count = 77};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++)
        assert_refused(lh_checkpoint_parse(LH_BYTES_STR(bad[i]), &note), LH_E_CORRUPT, "checkpoint");
    assert_int_equal(note.signature_count, 77); /* untouched */
    assert_ok(
        lh_checkpoint_parse(LH_BYTES_STR("o\n18446744073709551615\n" ROOT "\n\n— a AAAAAAA=\n"), &note));
    assert_true(note.checkpoint.size == UINT64_MAX);
    assert_ok(lh_checkpoint_parse(LH_BYTES_STR("o\n0\n" ROOT "\n\n— a AAAAAAA=\n"), &note));
    assert_int_equal(note.checkpoint.extension.len, 0);
}

static void parse_limits(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf many = LH_BUF_INIT(1u << 20);
    lh_buf_append_str(&many, TEXT "\n");
    for (size_t i = 0; i < LH_CHECKPOINT_SIGNATURES_MAX; i++)
        lh_buf_append_str(&many, ED_LINE);
    lh_checkpoint_note note;
    assert_ok(lh_checkpoint_parse(lh_buf_bytes(&many), &note));
    assert_int_equal(note.signature_count, LH_CHECKPOINT_SIGNATURES_MAX);
    lh_buf_append_str(&many, ED_LINE);
    assert_refused(lh_checkpoint_parse(lh_buf_bytes(&many), &note), LH_E_CORRUPT, "checkpoint");
    lh_buf_clear(&many);
    lh_buf_append_str(&many, TEXT);
    while (many.len <= LH_CHECKPOINT_MAX)
        lh_buf_append_str(&many, "a long extension line\n");
    lh_buf_append_str(&many, "\n" ED_LINE);
    assert_refused(lh_checkpoint_parse(lh_buf_bytes(&many), &note), LH_E_CORRUPT, "checkpoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_note),
        cmocka_unit_test(built_note),
        cmocka_unit_test(build_refused),
        cmocka_unit_test(key_texts),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(verify_refused),
        cmocka_unit_test(bad_line_beside_good_one),
        cmocka_unit_test(parse_refused),
        cmocka_unit_test(parse_limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
