#include "../ssh_fixture.h"

#include "codec/base64.h"
#include "codec/bin.h"
#include "codec/sshsig.h"

static int setup(void **state)
{
    (void)state;
    return ssh_setup();
}

static int teardown(void **state)
{
    (void)state;
    ssh_teardown();
    return 0;
}

static void real_keys_and_signatures(void **state)
{
    (void)state;
    static const char *const rows[][3] = {{"e", "ed25519", "ssh-ed25519"},
        {"p256", "ecdsa -b 256", "ecdsa-sha2-nistp256"}, {"p384", "ecdsa -b 384", "ecdsa-sha2-nistp384"},
        {"r", "rsa -b 2048", "ssh-rsa"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE), key_raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
        lh_pubkey_line line;
        lh_sshsig sig;
        ssh_make_key(rows[i][0], rows[i][1]);
        lh_buf public = ssh_public(rows[i][0]);
        assert_int_equal(lh_pubkey_line_parse(lh_buf_bytes(&public), &key_raw, &line).code, LH_OK);
        assert_string_equal(line.type, rows[i][2]);
        assert_non_null(strstr(line.comment, "@test"));
        lh_buf armor = ssh_sign(
            rows[i][0], i % 2 ? "-n leasehold -O hashalg=sha256" : "-n leasehold", LH_BYTES_STR("text\n"));
        assert_int_equal(lh_sshsig_parse(lh_buf_bytes(&armor), &raw, &sig).code, LH_OK);
        assert_string_equal(sig.namespace, LH_SSHSIG_NAMESPACE);
        assert_int_equal(sig.hash, i % 2 ? LH_SSHSIG_SHA256 : LH_SSHSIG_SHA512);
        assert_true(lh_bytes_equal(sig.public_key, line.blob));
        lh_buf again = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
        assert_int_equal(lh_pubkey_format(line.blob, &again).code, LH_OK);
        assert_memory_equal(again.data, public.data, again.len);
        lh_buf_free(&again);
        lh_buf_free(&raw);
        lh_buf_free(&key_raw);
        lh_buf_free(&public);
        lh_buf_free(&armor);
    }
}

/* A signature blob with chosen parts, armored. */
typedef struct {
    const char *magic;
    uint32_t version;
    const char *key;
    const char *namespace;
    const char *reserved;
    const char *hash;
    const char *signature;
    const char *rest;
} parts;

static const parts GOOD = {"SSHSIG", 1, "key", "leasehold", "", "sha256", "sig", ""};

static lh_buf armor_of(const parts *p)
{
    lh_buf raw = LH_BUF_INIT(65536), armor = LH_BUF_INIT(65536);
    lh_put_raw(&raw, p->magic, strlen(p->magic));
    lh_put_u32(&raw, p->version);
    lh_put_str(&raw, p->key);
    lh_put_str(&raw, p->namespace);
    lh_put_str(&raw, p->reserved);
    lh_put_str(&raw, p->hash);
    lh_put_str(&raw, p->signature);
    lh_put_raw(&raw, p->rest, strlen(p->rest));
    lh_buf_append_str(&armor, "-----BEGIN SSH SIGNATURE-----\n");
    for (size_t i = 0; i < raw.len; i += 54) { /* 72 characters */
        lh_base64_encode(LH_BYTES(raw.data + i, raw.len - i < 54 ? raw.len - i : 54), &armor);
        lh_buf_append(&armor, "\n", 1);
    }
    lh_buf_append_str(&armor, "-----END SSH SIGNATURE-----\n");
    lh_buf_free(&raw);
    return armor;
}

static void expect_parse(const parts *p, enum lh_code code, const char *reason)
{
    lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    lh_sshsig sig;
    lh_buf armor = armor_of(p);
    assert_int_equal(lh_sshsig_parse(lh_buf_bytes(&armor), &raw, &sig).code, code);
    if (code != LH_OK)
        assert_string_equal(lh_err_last()->reason, reason);
    lh_buf_free(&armor);
    lh_buf_free(&raw);
}

static void parts_are_checked(void **state)
{
    (void)state;
    parts p = GOOD;
    expect_parse(&p, LH_OK, "");
    p.magic = "SSHSIH";
    expect_parse(&p, LH_E_INVALID, "sshsig");
    p = GOOD, p.version = 2;
    expect_parse(&p, LH_E_UNSUPPORTED, "sshsig-version");
    p = GOOD, p.key = "";
    expect_parse(&p, LH_E_INVALID, "sshsig");
    p = GOOD, p.namespace = "";
    expect_parse(&p, LH_E_INVALID, "sshsig");
    p = GOOD, p.reserved = "x";
    expect_parse(&p, LH_E_INVALID, "sshsig");
    p = GOOD, p.hash = "sha1";
    expect_parse(&p, LH_E_UNSUPPORTED, "sshsig-hash");
    p = GOOD, p.signature = "";
    expect_parse(&p, LH_E_INVALID, "sshsig");
    p = GOOD, p.rest = "x";
    expect_parse(&p, LH_E_INVALID, "sshsig");
}

static void armor_is_strict(void **state)
{
    (void)state;
    lh_buf good = armor_of(&GOOD);
    static const struct {
        const char *from;
        const char *to;
    } edits[] = {{"-----BEGIN SSH", "----BEGIN SSH"}, {"-----END SSH", "----END SSH"},
        {"SIGNATURE-----\nU", "SIGNATURE-----\n\nU"}, {"SIGNATURE-----\nU", "SIGNATURE-----\r\nU"},
        {"SIGNATURE-----\nU", "SIGNATURE-----\n U"}, {"SIGNATURE-----\nU", "SIGNATURE-----\n!"},
        {"-----BEGIN SSH SIGNATURE", "\n-----BEGIN SSH SIGNATURE"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(edits); i++) {
        lh_buf bad = LH_BUF_INIT(65536), raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
        lh_sshsig sig;
        const char *text = lh_buf_cstr(&good);
        const char *at = strstr(text, edits[i].from);
        assert_non_null(at);
        lh_buf_append(&bad, text, (size_t)(at - text));
        lh_buf_append_str(&bad, edits[i].to);
        lh_buf_append_str(&bad, at + strlen(edits[i].from));
        assert_int_equal(lh_sshsig_parse(lh_buf_bytes(&bad), &raw, &sig).code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, "sshsig");
        lh_buf_free(&bad);
        lh_buf_free(&raw);
    }
    /* Cut anywhere; something after the end; the last line feed alone may be missing. */
    for (size_t len = 0; len <= good.len; len++) {
        lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
        lh_sshsig sig;
        enum lh_code code = lh_sshsig_parse(LH_BYTES(good.data, len), &raw, &sig).code;
        assert_int_equal(code, len + 1 >= good.len ? LH_OK : LH_E_INVALID);
        lh_buf_free(&raw);
    }
    lh_buf_append(&good, "\n", 1);
    lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    lh_sshsig sig;
    assert_int_equal(lh_sshsig_parse(lh_buf_bytes(&good), &raw, &sig).code, LH_E_INVALID);
    static uint8_t large[LH_LIMIT_SIGNATURE + 1];
    assert_int_equal(lh_sshsig_parse(LH_BYTES(large, sizeof large), &raw, &sig).code, LH_E_LIMIT);
    lh_buf_free(&raw);
    lh_buf_free(&good);
}

static void key_lines_are_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 AAAA",
        "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAAWE=", " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE=",
        "ssh-ed25519  AAAAC3NzaC1lZDI1NTE5AAAAAWE=", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE",
        "command=\"x\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= a\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= a\x1b[0m",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= a\xe2\x80\xae",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= a\r\n", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= \xff"};
    lh_buf raw = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_pubkey_line line;
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        assert_int_equal(lh_pubkey_line_parse(LH_BYTES_STR(bad[i]), &raw, &line).code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, "pubkey-line");
    }
    assert_int_equal(
        lh_pubkey_line_parse(LH_BYTES_STR("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE= a b\n"), &raw, &line)
            .code,
        LH_OK);
    assert_string_equal(line.comment, "a b");
    static char large[LH_LIMIT_PUBLIC_KEY + 1];
    memset(large, 'a', sizeof large);
    assert_int_equal(lh_pubkey_line_parse(LH_BYTES(large, sizeof large), &raw, &line).code, LH_E_LIMIT);
    lh_buf_free(&raw);
}

static void signed_data(void **state)
{
    (void)state;
    uint8_t hash[64] = {0};
    lh_buf out = LH_BUF_INIT(256);
    assert_int_equal(
        lh_sshsig_signed_data("leasehold", LH_SSHSIG_SHA256, LH_BYTES(hash, 32), &out).code, LH_OK);
    static const char want[] = "SSHSIG\0\0\0\x09leasehold\0\0\0\0\0\0\0\x06sha256\0\0\0\x20";
    assert_int_equal(out.len, sizeof want - 1 + 32);
    assert_memory_equal(out.data, want, sizeof want - 1);
    assert_int_equal(
        lh_sshsig_signed_data("leasehold", LH_SSHSIG_SHA256, LH_BYTES(hash, 64), &out).code, LH_E_INVALID);
    lh_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_keys_and_signatures),
        cmocka_unit_test(parts_are_checked),
        cmocka_unit_test(armor_is_strict),
        cmocka_unit_test(key_lines_are_strict),
        cmocka_unit_test(signed_data),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
