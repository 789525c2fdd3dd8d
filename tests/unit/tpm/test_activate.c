/* Endorsement keys, their certificates and ActivateCredential, on a swtpm that swtpm_setup has given
 * certificates of an authority of its own. */
#include "../tpm_fixture.h"

#include "base/limits.h"
#include "codec/tpms.h"
#include "crypto/credential.h"
#include "crypto/ek.h"

static swtpm tpm_process;
static swtpm bare_process; /* without certificates */
static lh_crypto *crypto;
static char ca_folder[80];

static void write_file(const char *folder, const char *name, const char *content)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fclose(f), 0);
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

/* Manufacture a TPM's state in the folder: EKs with certificates at 0x01c00002 (RSA) and 0x01c00016 (P-384).
 */
static void manufacture(const char *folder)
{
    char text[800];
    char command[400];
    snprintf(ca_folder, sizeof ca_folder, "%s-ca", folder);
    assert_int_equal(mkdir(ca_folder, 0700), 0);
    snprintf(text, sizeof text,
        "statedir = %s\nsigningkey = %s/signkey.pem\nissuercert = %s/issuercert.pem\ncertserial = "
        "%s/certserial\n",
        ca_folder, ca_folder, ca_folder, ca_folder);
    write_file(ca_folder, "localca.conf", text);
    write_file(ca_folder, "options",
        "--platform-manufacturer Leasehold\n--platform-version 1\n--platform-model test\n");
    snprintf(text, sizeof text,
        "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = %s/localca.conf\n"
        "create_certs_tool_options = %s/options\n",
        ca_folder, ca_folder);
    write_file(ca_folder, "setup.conf", text);
    snprintf(command, sizeof command,
        "swtpm_setup --tpm2 --tpmstate %s --create-ek-cert --config %s/setup.conf --lock-nvram >%s/log 2>&1",
        folder, ca_folder, ca_folder);
    assert_int_equal(system(command), 0);
}

static int setup(void **state)
{
    (void)state;
    setenv("TSS2_LOG", "all+none", 0);
    assert_lh_ok(lh_crypto_new(&crypto));
    snprintf(tpm_process.folder, sizeof tpm_process.folder, "/tmp/lh-swtpm-XXXXXX");
    assert_non_null(mkdtemp(tpm_process.folder));
    manufacture(tpm_process.folder);
    swtpm_run(&tpm_process);
    swtpm_start(&bare_process);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    swtpm_stop(&tpm_process);
    swtpm_stop(&bare_process);
    remove_folder(ca_folder);
    lh_crypto_free(crypto);
    return 0;
}

static const uint16_t kinds[] = {LH_TPM_EK_RSA, LH_TPM_EK_P256, LH_TPM_EK_P384};

static lh_buf ek_public(lh_tpm *tpm, uint16_t kind)
{
    lh_buf public = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    assert_lh_ok(lh_tpm_ek_public(tpm, kind, &public));
    return public;
}

static void keys_are_by_the_templates(void **state)
{
    (void)state;
    static const enum lh_ek_kind want[] = {LH_EK_RSA2048, LH_EK_P256, LH_EK_P384};
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        enum lh_ek_kind kind;
        lh_buf first = ek_public(tpm, kinds[i]);
        lh_buf again = ek_public(tpm, kinds[i]); /* from its saved context */
        assert_lh_ok(lh_ek_check(crypto, lh_buf_bytes(&first), &kind));
        assert_int_equal(kind, want[i]);
        assert_true(lh_bytes_equal(lh_buf_bytes(&first), lh_buf_bytes(&again)));
        lh_buf_free(&first);
        lh_buf_free(&again);
    }
    lh_buf none = LH_BUF_INIT(64);
    assert_lh_refused(lh_tpm_ek_public(tpm, 7, &none), LH_E_UNSUPPORTED, "tpm-ek-kind");
    assert_lh_refused(lh_tpm_ek_certificate(tpm, 7, &none), LH_E_UNSUPPORTED, "tpm-ek-kind");
    assert_int_equal(none.len, 0);
}

static void add_authority(lh_ek_authorities *authorities, const char *name)
{
    char path[160];
    static char pem[8192];
    snprintf(path, sizeof path, "%s/%s", ca_folder, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t len = fread(pem, 1, sizeof pem, f);
    fclose(f);
    assert_lh_ok(lh_ek_authorities_add(authorities, LH_BYTES(pem, len)));
}

/* The certificates that a TPM really has, and the keys that our templates give: the same. */
static void certificates_are_read_from_nv(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *root = NULL;
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *intermediate = NULL;
    assert_lh_ok(lh_ek_authorities_new(crypto, &root));
    assert_lh_ok(lh_ek_authorities_new(crypto, &intermediate));
    add_authority(root, "swtpm-localca-rootca-cert.pem");
    add_authority(intermediate, "issuercert.pem");
    const uint16_t with[] = {LH_TPM_EK_RSA, LH_TPM_EK_P384};
    for (size_t i = 0; i < LH_ARRAY_LEN(with); i++) {
        lh_buf public = ek_public(tpm, with[i]);
        lh_buf other = ek_public(tpm, LH_TPM_EK_P256);
        lh_buf der = LH_BUF_INIT(LH_TPM_EK_CERTIFICATE_MAX);
        assert_lh_ok(lh_tpm_ek_certificate(tpm, with[i], &der));
        const lh_bytes chain = lh_buf_bytes(&der);
        const int64_t now = time(NULL);
        assert_lh_ok(lh_ek_certificate_check(intermediate, &chain, 1, lh_buf_bytes(&public), now));
        assert_lh_refused(lh_ek_certificate_check(root, &chain, 1, lh_buf_bytes(&public), now), LH_E_DENIED,
            "ek-certificate-untrusted"); /* the issuer between is missing */
        assert_lh_refused(lh_ek_certificate_check(intermediate, &chain, 1, lh_buf_bytes(&public), 1000000),
            LH_E_DENIED, "ek-certificate-expired");
        lh_err err = lh_ek_certificate_check(intermediate, &chain, 1, lh_buf_bytes(&other), now);
        assert_int_equal(err.code, LH_E_DENIED);
        lh_buf_free(&public);
        lh_buf_free(&other);
        lh_buf_free(&der);
    }
    lh_buf none = LH_BUF_INIT(LH_TPM_EK_CERTIFICATE_MAX);
    assert_lh_refused(
        lh_tpm_ek_certificate(tpm, LH_TPM_EK_P256, &none), LH_E_NOT_FOUND, "tpm-ek-certificate");
    assert_int_equal(none.len, 0);
}

static void the_key_with_a_certificate_is_chosen(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_tpm_closep) lh_tpm *bare = swtpm_open(&bare_process);
    uint16_t kind = 0;
    assert_lh_ok(lh_tpm_ek_choose(tpm, &kind));
    assert_int_equal(kind, LH_TPM_EK_P384);
    assert_lh_ok(lh_tpm_ek_choose(bare, &kind));
    assert_int_equal(kind, LH_TPM_EK_P256);
}

/* What NV may hold at a certificate's index: padding behind it, another certificate behind it, or no
 * certificate. */
static uint8_t nv_content[1600];
static size_t nv_len;

static void write_index(ESYS_CONTEXT *esys)
{
    const TPM2B_NV_PUBLIC public = {
        .nvPublic = {.nvIndex = 0x01c0000a,
            .nameAlg = TPM2_ALG_SHA256,
            .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA,
            .dataSize = (UINT16)nv_len}};
    const TPM2B_AUTH none = {0};
    ESYS_TR nv;
    assert_int_equal(Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                         &none, &public, &nv),
        0);
    for (size_t at = 0; at < nv_len; at += 512) {
        TPM2B_MAX_NV_BUFFER part = {.size = (UINT16)(nv_len - at < 512 ? nv_len - at : 512)};
        memcpy(part.buffer, nv_content + at, part.size);
        assert_int_equal(Esys_NV_Write(esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                             ESYS_TR_NONE, &part, (UINT16)at),
            0);
    }
}

static void remove_index(ESYS_CONTEXT *esys)
{
    ESYS_TR nv;
    assert_int_equal(
        Esys_TR_FromTPMPublic(esys, 0x01c0000a, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nv), 0);
    assert_int_equal(
        Esys_NV_UndefineSpace(esys, ESYS_TR_RH_OWNER, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), 0);
}

static lh_err read_with_index(lh_buf *der)
{
    swtpm_raw(&bare_process, write_index);
    lh_tpm *tpm = swtpm_open(&bare_process);
    lh_err err = lh_tpm_ek_certificate(tpm, LH_TPM_EK_P256, der);
    const lh_err_detail detail = *lh_err_last();
    lh_tpm_close(tpm);
    swtpm_raw(&bare_process, remove_index);
    if (!lh_ok(err))
        return lh_err_raise(err.code, 0, __FILE__, __LINE__, detail.reason, "%s", detail.message);
    return err;
}

static void padding_behind_a_certificate_is_cut(void **state)
{
    (void)state;
    lh_buf der = LH_BUF_INIT(LH_TPM_EK_CERTIFICATE_MAX);
    memset(nv_content, 0xff, sizeof nv_content);
    memcpy(nv_content, (uint8_t[]){0x30, 0x82, 0x02, 0x10}, 4); /* 532 bytes in all */
    nv_len = sizeof nv_content;
    assert_lh_ok(read_with_index(&der));
    assert_int_equal(der.len, 532);
    lh_buf_clear(&der);
    memcpy(nv_content + 532, nv_content, 532); /* a second one */
    assert_lh_ok(read_with_index(&der));
    assert_int_equal(der.len, 532);
    lh_buf_clear(&der);
    nv_len = 531; /* cut off */
    assert_lh_refused(read_with_index(&der), LH_E_CORRUPT, "tpm-ek-certificate");
    static const uint8_t heads[][4] = {{0x31, 0x82, 0x02, 0x10}, {0x30, 0x80, 0x02, 0x10}, {0x30, 0x83, 0, 1},
        {0x30, 0xff, 0x02, 0x10}, {0, 0, 0, 0}};
    nv_len = 600;
    for (size_t i = 0; i < LH_ARRAY_LEN(heads); i++) {
        memcpy(nv_content, heads[i], 4);
        assert_lh_refused(read_with_index(&der), LH_E_CORRUPT, "tpm-ek-certificate");
    }
    nv_len = 1;
    nv_content[0] = 0x30;
    assert_lh_refused(read_with_index(&der), LH_E_CORRUPT, "tpm-ek-certificate");
    assert_int_equal(der.len, 0);
    lh_buf_free(&der);
}

typedef struct {
    lh_buf id_object;
    lh_buf encrypted;
    lh_secret *secret;
} credential;

static credential make(lh_tpm *tpm, uint16_t kind, size_t secret_len, bool other_ak)
{
    credential made = {LH_BUF_INIT(512), LH_BUF_INIT(1024), NULL};
    uint8_t name[34];
    lh_buf ek = ek_public(tpm, kind);
    lh_buf ak = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    /* The checkpoint key is another key of the same TPM. */
    assert_lh_ok(other_ak ? lh_tpm_checkpoint_public(tpm, &ak) : lh_tpm_ak_public(tpm, &ak));
    assert_lh_ok(lh_credential_name(crypto, lh_buf_bytes(&ak), name));
    assert_lh_ok(lh_secret_random(secret_len, &made.secret));
    assert_lh_ok(lh_credential_make(crypto, lh_buf_bytes(&ek), LH_BYTES(name, sizeof name), made.secret,
        &made.id_object, &made.encrypted));
    lh_buf_free(&ek);
    lh_buf_free(&ak);
    return made;
}

static lh_err activate(lh_tpm *tpm, uint16_t kind, const credential *c, lh_secret **ret)
{
    return lh_tpm_activate(tpm, kind, lh_buf_bytes(&c->id_object), lh_buf_bytes(&c->encrypted), ret);
}

static void free_credential(credential *c)
{
    lh_buf_free(&c->id_object);
    lh_buf_free(&c->encrypted);
    lh_secret_free(c->secret);
}

/* Our MakeCredential is the TPM's: several of each, so that coordinates with zeros in front are among them.
 */
static void a_credential_is_opened(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++)
        for (size_t len = 1; len <= LH_CREDENTIAL_SECRET_MAX; len += i == 0 ? 31 : 1) {
            LH_AUTO(free_credential) credential made = make(tpm, kinds[i], len, false);
            LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
            assert_lh_ok(activate(tpm, kinds[i], &made, &opened));
            assert_int_equal(lh_secret_len(opened), len);
            assert_true(lh_secret_equal(opened, made.secret));
        }
}

static void write_bytes(const char *path, lh_bytes head, lh_bytes bytes)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (head.len > 0)
        assert_int_equal(fwrite(head.data, 1, head.len, f), head.len);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
}

/* And tpm2-tools' is ours: what tpm2_makecredential makes without a TPM is opened. */
static void a_credential_of_tpm2_tools_is_opened(void **state)
{
    (void)state;
    char command[800], path[200], hex[2 * 34 + 1];
    uint8_t name[34], out[1024];
    const uint8_t secret[32] = "of tpm2-tools";
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    lh_buf ak = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    assert_lh_ok(lh_tpm_ak_public(tpm, &ak));
    assert_lh_ok(lh_credential_name(crypto, lh_buf_bytes(&ak), name));
    lh_hex(name, sizeof name, hex);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
        lh_buf ek = ek_public(tpm, kinds[i]);
        const uint8_t size[2] = {(uint8_t)(ek.len >> 8), (uint8_t)ek.len};
        snprintf(path, sizeof path, "%s/ek", ca_folder);
        write_bytes(path, LH_BYTES(size, 2), lh_buf_bytes(&ek));
        snprintf(path, sizeof path, "%s/secret", ca_folder);
        write_bytes(path, LH_BYTES_NONE, LH_BYTES(secret, sizeof secret));
        snprintf(command, sizeof command,
            "cd %s && tpm2_makecredential -T none -u ek -s secret -n %s -o blob >log 2>&1", ca_folder, hex);
        if (system(command) != 0)
            fail_msg("%s", command);
        snprintf(path, sizeof path, "%s/blob", ca_folder);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        size_t len = fread(out, 1, sizeof out, f);
        fclose(f);
        assert_true(len > 12); /* magic, version, TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET */
        size_t id_len = 2 + ((size_t)out[8] << 8 | out[9]);
        assert_true(8 + id_len < len);
        assert_lh_ok(lh_tpm_activate(
            tpm, kinds[i], LH_BYTES(out + 8, id_len), LH_BYTES(out + 8 + id_len, len - 8 - id_len), &opened));
        assert_true(lh_bytes_equal(lh_secret_bytes(opened), LH_BYTES(secret, sizeof secret)));
        lh_buf_free(&ek);
    }
    lh_buf_free(&ak);
}

static void n10_a_credential_for_another_ak_name_is_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(free_credential) credential made = make(tpm, kinds[i], 32, true);
        LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
        assert_lh_refused(activate(tpm, kinds[i], &made, &opened), LH_E_ATTESTATION, "activate-refused");
        assert_null(opened);
    }
}

static void n10_a_credential_for_another_tpm_is_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_tpm_closep) lh_tpm *bare = swtpm_open(&bare_process);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(free_credential) credential made = make(tpm, kinds[i], 32, false);
        LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
        assert_lh_refused(activate(bare, kinds[i], &made, &opened), LH_E_ATTESTATION, "activate-refused");
        assert_lh_refused(activate(tpm, kinds[(i + 1) % 3], &made, &opened), LH_E_ATTESTATION,
            "activate-refused"); /* another kind of key */
        assert_null(opened);
    }
}

static void n10_an_altered_credential_is_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(free_credential) credential made = make(tpm, kinds[i], 32, false);
        LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
        /* The HMAC, the encrypted secret, the seed or point. */
        uint8_t *places[] = {made.id_object.data + 6, made.id_object.data + made.id_object.len - 1,
            made.encrypted.data + made.encrypted.len - 1};
        for (size_t at = 0; at < LH_ARRAY_LEN(places); at++) {
            *places[at] ^= 1;
            assert_lh_refused(activate(tpm, kinds[i], &made, &opened), LH_E_ATTESTATION, "activate-refused");
            *places[at] ^= 1;
        }
        made.id_object.len--;
        assert_lh_refused(activate(tpm, kinds[i], &made, &opened), LH_E_INVALID, "activate-format");
        made.id_object.len = 0;
        assert_lh_refused(activate(tpm, kinds[i], &made, &opened), LH_E_INVALID, "activate-format");
        assert_null(opened);
    }
}

/* Keys that are kept loaded make room: all of it together, several times. */
static void keys_share_the_room(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&bare_process);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t digest[32] = {(uint8_t)i}, r[32], s[32];
        lh_buf attest = LH_BUF_INIT(1024), signature = LH_BUF_INIT(1024);
        LH_AUTO(free_credential) credential made = make(tpm, LH_TPM_EK_P384, 32, false);
        LH_AUTO(lh_secret_freep) lh_secret *opened = NULL;
        assert_lh_ok(lh_tpm_checkpoint_sign(tpm, digest, r, s));
        assert_lh_ok(activate(tpm, LH_TPM_EK_P384, &made, &opened));
        assert_lh_ok(lh_tpm_quote(tpm, 0x80, digest, &attest, &signature));
        lh_buf_free(&attest);
        lh_buf_free(&signature);
    }
}

static void the_clocks_are_read(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    const uint8_t qualifying[32] = {7};
    lh_tpm_times first, second;
    lh_tpm_facts facts;
    lh_tpms_attest attest;
    lh_tpms_signature signature;
    lh_buf attest_bytes = LH_BUF_INIT(1024), signature_bytes = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_time(tpm, &first));
    swtpm_sleep_ms(5);
    assert_lh_ok(lh_tpm_time(tpm, &second));
    assert_lh_ok(lh_tpm_info(tpm, &facts));
    assert_true(second.time_ms > first.time_ms);
    assert_true(second.clock_ms > first.clock_ms);
    assert_int_equal(second.reset_count, facts.reset_count);
    assert_int_equal(second.restart_count, facts.restart_count);
    assert_lh_ok(lh_tpm_get_time(tpm, qualifying, &attest_bytes, &signature_bytes));
    assert_lh_ok(lh_tpms_attest_parse(lh_buf_bytes(&attest_bytes), &attest));
    assert_lh_ok(lh_tpms_signature_parse(lh_buf_bytes(&signature_bytes), &signature));
    assert_int_equal(attest.type, 0x8019); /* TPM_ST_ATTEST_TIME */
    assert_true(lh_bytes_equal(attest.extra_data, LH_BYTES(qualifying, 32)));
    assert_int_equal(attest.reset_count, facts.reset_count);
    lh_buf_free(&attest_bytes);
    lh_buf_free(&signature_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_by_the_templates),
        cmocka_unit_test(certificates_are_read_from_nv),
        cmocka_unit_test(the_key_with_a_certificate_is_chosen),
        cmocka_unit_test(padding_behind_a_certificate_is_cut),
        cmocka_unit_test(a_credential_is_opened),
        cmocka_unit_test(a_credential_of_tpm2_tools_is_opened),
        cmocka_unit_test(n10_a_credential_for_another_ak_name_is_refused),
        cmocka_unit_test(n10_a_credential_for_another_tpm_is_refused),
        cmocka_unit_test(n10_an_altered_credential_is_refused),
        cmocka_unit_test(keys_share_the_room),
        cmocka_unit_test(the_clocks_are_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
