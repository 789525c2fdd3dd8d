/* `leasehold log verify --bundle` on bundles made here: a good one, and each way in which one can be bad. */
#include "base/macro.h"
#include "codec/base64.h"
#include "crypto/sign.h"
#include "merkle/checkpoint.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORIGIN "leasehold/00112233445566778899aabbccddeeff"
#define ENTRIES 13
#define CHECKPOINTS 3 /* at 5, 10 and 13 entries */

typedef struct {
    lh_crypto *crypto;
    lh_secret *seed;
    EVP_PKEY *p256;
    uint8_t ed_public[LH_ED25519_PUBLIC_SIZE];
    uint8_t ec_public[LH_P256_POINT_SIZE];
    char vkeys[2][512];
    char entries[ENTRIES][64];
    uint8_t salts[ENTRIES][32];
    char leaves[ENTRIES][65];
    char notes[CHECKPOINTS][LH_CHECKPOINT_MAX];
    char root[65];
    char folder[64];
    char output[65536]; /* of the last run */
} fixture;

static const uint64_t sizes[CHECKPOINTS] = {5, 10, ENTRIES};

static lh_err sign_ed25519(void *arg, lh_bytes input, uint8_t out[64])
{
    fixture *f = arg;
    return lh_ed25519_sign(f->crypto, f->seed, input, out);
}

static lh_err sign_p256(void *arg, lh_bytes input, uint8_t out[64])
{
    fixture *f = arg;
    uint8_t der[128];
    size_t len = sizeof der;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(f->p256, NULL);
    assert_int_equal(EVP_PKEY_sign_init(ctx), 1);
    assert_int_equal(EVP_PKEY_sign(ctx, der, &len, input.data, input.len), 1);
    EVP_PKEY_CTX_free(ctx);
    return lh_p256_signature_from_der(LH_BYTES(der, len), out);
}

static void make_note(fixture *f, const lh_merkle_tree *tree, size_t which)
{
    lh_checkpoint checkpoint = {.origin = LH_BYTES_STR(ORIGIN), .size = sizes[which]};
    assert_true(lh_ok(lh_merkle_tree_root(tree, sizes[which], checkpoint.root)));
    lh_note_signer signers[] = {
        {{ORIGIN, LH_NOTE_ED25519, LH_BYTES(f->ed_public, sizeof f->ed_public)}, sign_ed25519, f},
        {{ORIGIN, LH_NOTE_ECDSA_P256, LH_BYTES(f->ec_public, sizeof f->ec_public)}, sign_p256, f},
    };
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    assert_true(lh_ok(lh_checkpoint_build(f->crypto, &checkpoint, signers, 2, &note)));
    (void)snprintf(f->notes[which], sizeof f->notes[which], "%s", lh_buf_cstr(&note));
    for (size_t i = 0; i < 2; i++) {
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(sizeof f->vkeys[i] - 1);
        assert_true(lh_ok(lh_note_key_text(f->crypto, &signers[i].key, &text)));
        (void)snprintf(f->vkeys[i], sizeof f->vkeys[i], "%s", lh_buf_cstr(&text));
    }
}

static void make_log(fixture *f)
{
    LH_AUTO(lh_merkle_tree_freep) lh_merkle_tree *tree = NULL;
    assert_true(lh_ok(lh_merkle_tree_new(f->crypto, &tree)));
    uint8_t hash[LH_MERKLE_HASH_SIZE];
    for (size_t i = 0; i < ENTRIES; i++) {
        (void)snprintf(f->entries[i], sizeof f->entries[i], "{\"event\":\"test\",\"n\":%zu}", i);
        memset(f->salts[i], (int)i + 1, sizeof f->salts[i]);
        const lh_bytes parts[] = {LH_BYTES(f->salts[i], 32), LH_BYTES_STR(f->entries[i])};
        assert_true(lh_ok(lh_merkle_leaf(f->crypto, parts, 2, hash)));
        lh_hex(hash, sizeof hash, f->leaves[i]);
        assert_true(lh_ok(lh_merkle_tree_append(tree, hash)));
    }
    for (size_t i = 0; i < CHECKPOINTS; i++)
        make_note(f, tree, i);
    assert_true(lh_ok(lh_merkle_tree_root(tree, ENTRIES, hash)));
    lh_hex(hash, sizeof hash, f->root);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_true(lh_ok(lh_crypto_new(&f->crypto)));
    assert_true(lh_ok(lh_secret_random(32, &f->seed)));
    assert_true(lh_ok(lh_ed25519_public(f->crypto, f->seed, f->ed_public)));
    f->p256 = EVP_EC_gen("P-256");
    size_t len = 0;
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(f->p256, "pub", f->ec_public, sizeof f->ec_public, &len), 1);
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/lh-bundle-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    make_log(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"bundle", "saved", "keys"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->folder);
    EVP_PKEY_free(f->p256);
    lh_secret_free(f->seed);
    lh_crypto_free(f->crypto);
    free(f);
    return 0;
}

/* A note with its line feeds as JSON writes them. */
static void write_note(FILE *file, const char *note)
{
    (void)fputs("{\"checkpoint\":\"", file);
    for (; *note != '\0'; note++)
        (void)(*note == '\n' ? fputs("\\n", file) : fputc(*note, file));
    (void)fputs("\"}\n", file);
}

static void write_file(const fixture *f, const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* entries: how many of them; root NULL: none claimed. */
static void write_bundle(const fixture *f, size_t entries, const char *root)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/bundle", f->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "{\"leasehold_bundle\":1,\"origin\":\"" ORIGIN "\",\"size\":%zu", entries);
    (void)fprintf(file, root == NULL ? "}\n" : ",\"root\":\"%s\"}\n", root);
    for (size_t i = 0; i < 2; i++)
        (void)fprintf(file, "{\"key\":\"%s\"}\n", f->vkeys[i]);
    for (size_t i = 0; i < entries; i++) {
        char salt[65];
        lh_hex(f->salts[i], 32, salt);
        (void)fprintf(
            file, "{\"index\":%zu,\"salt\":\"%s\",\"leaf\":\"%s\",\"entry\":\"", i, salt, f->leaves[i]);
        for (const char *c = f->entries[i]; *c != '\0'; c++)
            (void)(*c == '"' ? fputs("\\\"", file) : fputc(*c, file));
        (void)fputs("\"}\n", file);
    }
    for (size_t i = 0; i < CHECKPOINTS; i++)
        write_note(file, f->notes[i]);
    assert_int_equal(fclose(file), 0);
}

/* Run it on the bundle; what it says is in f->output. The exit status. */
static int verify(fixture *f, const char *arguments)
{
    char command[512];
    (void)snprintf(command, sizeof command, "%s/leasehold log verify --bundle %s/bundle %s 2>&1", BUILD_DIR,
        f->folder, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(f->output, 1, sizeof f->output - 1, pipe);
    f->output[n] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void expect_bad(fixture *f, const char *arguments, const char *said)
{
    int status = verify(f, arguments);
    if (status != 1 || strstr(f->output, said) == NULL)
        print_error("status %d, expected \"%s\" in:\n%s\n", status, said, f->output);
    assert_int_equal(status, 1);
    assert_non_null(strstr(f->output, said));
}

static void saved_argument(const fixture *f, const char *option, const char *name, char out[160])
{
    (void)snprintf(out, 160, "--%s %s/%s", option, f->folder, name);
}

static void test_good(void **state)
{
    fixture *f = *state;
    char argument[160];
    write_bundle(f, ENTRIES, f->root);
    int status = verify(f, "");
    if (status != 0)
        print_error("%s\n", f->output);
    assert_int_equal(status, 0);
    assert_non_null(strstr(f->output, "13 of them under a verified checkpoint"));
    assert_non_null(strstr(f->output, "pin them"));
    write_file(f, "saved", f->notes[1]);
    saved_argument(f, "checkpoint", "saved", argument);
    assert_int_equal(verify(f, argument), 0);
    char keys[1100];
    (void)snprintf(keys, sizeof keys, "# keys\n%s\n\n%s\n", f->vkeys[0], f->vkeys[1]);
    write_file(f, "keys", keys);
    saved_argument(f, "keys", "keys", argument);
    assert_int_equal(verify(f, argument), 0);
    assert_null(strstr(f->output, "pin them"));
    assert_int_equal(verify(f, "--json"), 0);
    assert_non_null(strstr(f->output, "\"good\": true"));
}

static void test_changed_entry_is_named(void **state)
{
    fixture *f = *state;
    f->entries[7][2] ^= 1;
    write_bundle(f, ENTRIES, f->root);
    expect_bad(f, "", "BAD  log entry 7:");
    assert_null(strstr(f->output, "log entry 6"));
    assert_null(strstr(f->output, "log entry 8"));
    /* The checkpoint before it still fits; those after it do not. */
    assert_non_null(strstr(f->output, "5 of them under a verified checkpoint"));
    assert_non_null(strstr(f->output, "from 5 on"));
}

/* Whoever changes entry and leaf hash alike is found by the checkpoint. */
static void test_changed_entry_and_leaf(void **state)
{
    fixture *f = *state;
    f->salts[11][0] ^= 1;
    const lh_bytes parts[] = {LH_BYTES(f->salts[11], 32), LH_BYTES_STR(f->entries[11])};
    uint8_t hash[32];
    assert_true(lh_ok(lh_merkle_leaf(f->crypto, parts, 2, hash)));
    lh_hex(hash, 32, f->leaves[11]);
    write_bundle(f, ENTRIES, NULL);
    expect_bad(f, "", "from 10 on, is not what it was when the checkpoint was made");
    write_bundle(f, ENTRIES, f->root);
    expect_bad(f, "", "do not give the root");
}

static void test_cut(void **state)
{
    fixture *f = *state;
    write_bundle(f, 12, NULL);
    expect_bad(f, "", "its end was cut off");
    f->notes[2][0] = '\0';
    write_bundle(f, 12, NULL);
    expect_bad(f, "", "it is no checkpoint");
}

static void test_saved_checkpoint_of_a_longer_log(void **state)
{
    fixture *f = *state;
    char argument[160];
    write_file(f, "saved", f->notes[2]);
    saved_argument(f, "checkpoint", "saved", argument);
    (void)strcpy(f->notes[2], f->notes[1]);
    write_bundle(f, 10, NULL);
    assert_int_equal(verify(f, ""), 0);
    expect_bad(f, argument, "saved checkpoint");
    assert_non_null(strstr(f->output, "its end was cut off"));
}

static void test_missing_entry(void **state)
{
    fixture *f = *state;
    for (size_t i = 4; i + 1 < ENTRIES; i++) {
        memcpy(f->entries[i], f->entries[i + 1], sizeof f->entries[i]);
        memcpy(f->salts[i], f->salts[i + 1], sizeof f->salts[i]);
        memcpy(f->leaves[i], f->leaves[i + 1], sizeof f->leaves[i]);
    }
    write_bundle(f, 12, NULL);
    expect_bad(f, "", "from 0 on, is not what it was");
}

static void test_signatures(void **state)
{
    fixture *f = *state;
    /* Another Ed25519 key. */
    lh_secret_data(f->seed)[0] ^= 1;
    char keep[512];
    (void)snprintf(keep, sizeof keep, "%s", f->vkeys[0]);
    assert_true(lh_ok(lh_ed25519_public(f->crypto, f->seed, f->ed_public)));
    make_log(f);
    char keys[1100];
    (void)snprintf(keys, sizeof keys, "%s\n%s\n", keep, f->vkeys[1]);
    write_file(f, "keys", keys);
    write_bundle(f, ENTRIES, f->root);
    assert_int_equal(verify(f, ""), 0);
    char argument[160];
    saved_argument(f, "keys", "keys", argument);
    expect_bad(f, argument, "its Ed25519 signature is missing or does not verify");
    /* A signature that was altered: a character of the last line's base64. */
    char *line = strrchr(f->notes[2], ' ');
    line[20] = line[20] == 'A' ? 'B' : 'A';
    write_bundle(f, ENTRIES, f->root);
    expect_bad(f, "", "its ECDSA P-256 signature is missing or does not verify");
}

static void test_bad_keys(void **state)
{
    fixture *f = *state;
    char argument[160];
    write_bundle(f, ENTRIES, f->root);
    saved_argument(f, "keys", "keys", argument);
    char key[512];
    (void)snprintf(key, sizeof key, "%s", f->vkeys[0]);
    char *id = strchr(key, '+') + 1;
    id[0] = id[0] == '0' ? '1' : '0';
    write_file(f, "keys", key);
    expect_bad(f, argument, "is no verifier key");
    write_file(f, "keys", "# none\n");
    expect_bad(f, argument, "there is no key");
}

static void test_other_log(void **state)
{
    fixture *f = *state;
    char argument[160];
    write_bundle(f, ENTRIES, f->root);
    char *origin = f->notes[1];
    origin[strlen("leasehold/")] = '1';
    write_file(f, "saved", f->notes[1]);
    saved_argument(f, "checkpoint", "saved", argument);
    expect_bad(f, argument, "another log");
}

static void test_no_checkpoint(void **state)
{
    fixture *f = *state;
    write_file(f, "bundle",
        "{\"leasehold_bundle\":1,\"origin\":\"o\",\"size\":1}\n"
        "{\"index\":0,\"salt\":\"0000000000000000000000000000000000000000000000000000000000000000\","
        "\"entry\":\"{}\"}\n");
    expect_bad(f, "", "no checkpoint to verify it against");
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_good),
        TEST(test_changed_entry_is_named),
        TEST(test_changed_entry_and_leaf),
        TEST(test_cut),
        TEST(test_saved_checkpoint_of_a_longer_log),
        TEST(test_missing_entry),
        TEST(test_signatures),
        TEST(test_bad_keys),
        TEST(test_other_log),
        TEST(test_no_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
