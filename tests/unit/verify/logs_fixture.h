/* Logs and quotes made up in memory, for tests, fuzz corpora and measurements: an event log as OVMF, shim,
 * GRUB and Linux write it, IMA entries, a software attestation key that signs whatever it is told, reference
 * values for them. What fails aborts: it is of use without cmocka. */
#ifndef LH_TESTS_LOGS_FIXTURE_H
#define LH_TESTS_LOGS_FIXTURE_H

#include "codec/bin.h"
#include "codec/event_log.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/operation.h"
#include "verify/evidence.h"
#include "verify/reference.h"

#include <stdio.h>

#define FX_EVENTS_MAX 512
#define FX_DATA_MAX 192
#define FX_ALG_SHA1 0x0004u
#define FX_ALG_SHA256 0x000bu

static inline void fx_must(lh_err err)
{
    if (lh_ok(err))
        return;
    fprintf(stderr, "fixture: %s: %s\n", lh_code_name(err.code), lh_err_last()->message);
    abort();
}

static inline void fx_sha256(lh_crypto *c, const void *data, size_t len, uint8_t ret[32])
{
    const lh_bytes span = LH_BYTES(data, len);
    fx_must(lh_sha256(c, &span, 1, ret));
}

/* Of the bank that nobody of ours looks at: other programs do. */
static inline void fx_sha1(lh_crypto *c, lh_bytes data, uint8_t ret[20])
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    const lh_op_request request = {.row = lh_mechanism_by_name("sha1"), .use = LH_USE_DIGEST, .data = data};
    fx_must(lh_op_once(c, &request, &out));
    memcpy(ret, out.data, 20);
}

static inline void fx_extend(lh_crypto *c, uint8_t pcr[32], const uint8_t digest[32])
{
    const lh_bytes parts[] = {LH_BYTES(pcr, 32), LH_BYTES(digest, 32)};
    fx_must(lh_sha256(c, parts, 2, pcr));
}

static inline void fx_le16(lh_buf *b, uint16_t v)
{
    lh_put_u16(b, __builtin_bswap16(v));
}

static inline void fx_le32(lh_buf *b, uint32_t v)
{
    lh_put_u32(b, __builtin_bswap32(v));
}

/* ---- Event log ---- */

typedef struct {
    uint32_t pcr, type;
    uint8_t digest[32];
    uint8_t sha1[20];
    uint8_t data[FX_DATA_MAX];
    size_t len;
} fx_event;

typedef struct {
    lh_crypto *c;
    fx_event events[FX_EVENTS_MAX];
    size_t n;
} fx_boot;

/* An event whose digest is that of `of`, or of its data. */
static inline fx_event *fx_boot_add(fx_boot *b, uint32_t pcr, uint32_t type, lh_bytes data, lh_bytes of)
{
    if (b->n == FX_EVENTS_MAX || data.len > FX_DATA_MAX)
        abort();
    fx_event *e = &b->events[b->n++];
    *e = (fx_event){.pcr = pcr, .type = type, .len = data.len};
    memcpy(e->data, data.data, data.len);
    if (type != LH_EV_NO_ACTION) {
        fx_sha256(b->c, of.data, of.len, e->digest);
        fx_sha1(b->c, of, e->sha1);
    }
    return e;
}

static inline fx_event *fx_boot_text(fx_boot *b, uint32_t pcr, uint32_t type, const char *text)
{
    return fx_boot_add(b, pcr, type, LH_BYTES_STR(text), LH_BYTES_STR(text));
}

/* An event that describes what it measured. */
static inline fx_event *fx_boot_file(
    fx_boot *b, uint32_t pcr, uint32_t type, const char *text, const char *content)
{
    return fx_boot_add(b, pcr, type, LH_BYTES_STR(text), LH_BYTES_STR(content));
}

/* UEFI_VARIABLE_DATA. value_only: the digest is of the value alone. */
static inline fx_event *fx_boot_variable(
    fx_boot *b, uint32_t pcr, uint32_t type, const char *name, const char *value, bool value_only)
{
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(FX_DATA_MAX);
    uint8_t guid[16];
    memset(guid, 0x61, sizeof(guid));
    lh_put_raw(&data, guid, sizeof(guid));
    fx_le32(&data, (uint32_t)strlen(name));
    fx_le32(&data, 0);
    fx_le32(&data, (uint32_t)strlen(value));
    fx_le32(&data, 0);
    for (const char *p = name; *p; p++)
        fx_le16(&data, (uint8_t)*p);
    lh_put_raw(&data, value, strlen(value));
    fx_must(lh_buf_status(&data));
    return fx_boot_add(
        b, pcr, type, lh_buf_bytes(&data), value_only ? LH_BYTES_STR(value) : lh_buf_bytes(&data));
}

/* UEFI_IMAGE_LOAD_EVENT: where it was loaded, and a device path. */
static inline fx_event *fx_boot_image(fx_boot *b, uint32_t pcr, uint32_t type, const char *content)
{
    uint8_t data[36] = {0, 0x10};
    data[8] = (uint8_t)strlen(content);
    data[24] = 4;
    memcpy(data + 32, "\x7f\xff\4\0", 4); /* the end of a path */
    return fx_boot_add(b, pcr, type, LH_BYTES(data, sizeof(data)), LH_BYTES_STR(content));
}

static inline void fx_boot_separator(fx_boot *b, uint32_t pcr)
{
    fx_boot_add(b, pcr, LH_EV_SEPARATOR, LH_BYTES("\0\0\0\0", 4), LH_BYTES("\0\0\0\0", 4));
}

/* A whole boot: firmware with Secure Boot, shim, GRUB, Linux. About 60 events, and commands more of GRUB's.
 */
static inline void fx_boot_typical(fx_boot *b, lh_crypto *c, unsigned commands)
{
    *b = (fx_boot){.c = c};
    static const char *const secure[] = {"SecureBoot", "PK", "KEK", "db", "dbx"};
    fx_boot_add(b, 0, LH_EV_S_CRTM_VERSION, LH_BYTES("2\0.\0007\0\0", 8), LH_BYTES("2\0.\0007\0\0", 8));
    for (unsigned i = 0; i < 3; i++)
        fx_boot_file(b, 0, LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2, "volume", i ? i == 1 ? "PEI" : "DXE" : "SEC");
    for (size_t i = 0; i < LH_ARRAY_LEN(secure); i++)
        fx_boot_variable(b, 7, LH_EV_EFI_VARIABLE_DRIVER_CONFIG, secure[i], "value", false);
    fx_boot_separator(b, 7);
    fx_boot_file(b, 1, LH_EV_EFI_HANDOFF_TABLES, "SMBIOS", "tables");
    fx_boot_file(b, 1, LH_EV_PLATFORM_CONFIG_FLAGS, "ACPI DATA", "tables too");
    for (unsigned i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "Boot%04u", i);
        fx_boot_variable(b, 1, i ? LH_EV_EFI_VARIABLE_BOOT : LH_EV_EFI_VARIABLE_BOOT2, name, "option", i > 0);
    }
    for (unsigned i = 0; i < 4; i++)
        fx_boot_image(b, 2, LH_EV_EFI_BOOT_SERVICES_DRIVER, i % 2 ? "GOP" : "iPXE");
    fx_boot_text(b, 4, LH_EV_EFI_ACTION, "Calling EFI Application from Boot Option");
    for (unsigned i = 0; i < 7; i++)
        fx_boot_separator(b, i);
    static const uint8_t table[100] = "EFI PART"; /* a header, and that no partitions follow */
    fx_boot_add(b, 5, LH_EV_EFI_GPT_EVENT, LH_BYTES(table, sizeof(table)), LH_BYTES(table, sizeof(table)));
    fx_boot_variable(b, 7, LH_EV_EFI_VARIABLE_AUTHORITY, "db", "a certificate", false);
    fx_boot_image(b, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, "shim");
    for (unsigned i = 0; i < 4; i++)
        fx_boot_file(b, 14, LH_EV_IPL, "MokList", i % 2 ? "MokListX" : "MokList");
    fx_boot_variable(b, 7, LH_EV_EFI_VARIABLE_AUTHORITY, "SbatLevel", "sbat,1", false);
    fx_boot_image(b, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, "grub");
    for (unsigned i = 0; i < commands; i++) {
        char command[64];
        snprintf(command, sizeof(command), "grub_cmd: insmod part_%u", i);
        lh_bytes text =
            LH_BYTES(command, strlen(command) + 1); /* GRUB hashes it without its prefix and its NUL */
        fx_boot_add(b, 8, LH_EV_IPL, text, LH_BYTES_STR(command + 10));
    }
    fx_boot_file(b, 9, LH_EV_IPL, "(hd0,gpt1)/vmlinuz", "the kernel");
    fx_boot_image(b, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, "the kernel");
    fx_boot_file(b, 9, LH_EV_EVENT_TAG, "Linux initrd", "the initrd");
    fx_boot_text(b, 5, LH_EV_EFI_ACTION, "Exit Boot Services Invocation");
    fx_boot_text(b, 5, LH_EV_EFI_ACTION, "Exit Boot Services Returned with Success");
}

/* What a TPM's PCRs are after these events. */
static inline void fx_boot_pcrs(const fx_boot *b, uint8_t locality, uint8_t pcrs[24][32])
{
    memset(pcrs, 0, 24 * 32);
    pcrs[0][31] = locality;
    for (unsigned i = 17; i <= 22; i++)
        memset(pcrs[i], 0xff, 32);
    for (size_t i = 0; i < b->n; i++)
        if (b->events[i].type != LH_EV_NO_ACTION)
            fx_extend(b->c, pcrs[b->events[i].pcr], b->events[i].digest);
}

static inline void fx_boot_head(lh_buf *log, uint16_t sha256_size)
{
    uint8_t sha1[20] = {0};
    fx_le32(log, 0);
    fx_le32(log, LH_EV_NO_ACTION);
    lh_put_raw(log, sha1, sizeof(sha1));
    fx_le32(log, 37);
    lh_put_raw(log, "Spec ID Event03", 16);
    fx_le32(log, 0);
    lh_put_raw(log, "\0\2\0\2", 4);
    fx_le32(log, 2);
    fx_le16(log, FX_ALG_SHA1);
    fx_le16(log, 20);
    fx_le16(log, FX_ALG_SHA256);
    fx_le16(log, sha256_size);
    lh_put_u8(log, 0);
}

static inline void fx_boot_write_event(lh_buf *log, const fx_event *e)
{
    fx_le32(log, e->pcr);
    fx_le32(log, e->type);
    fx_le32(log, 2);
    fx_le16(log, FX_ALG_SHA1);
    lh_put_raw(log, e->sha1, sizeof(e->sha1));
    fx_le16(log, FX_ALG_SHA256);
    lh_put_raw(log, e->digest, 32);
    fx_le32(log, (uint32_t)e->len);
    lh_put_raw(log, e->data, e->len);
}

static inline void fx_boot_write(const fx_boot *b, lh_buf *log)
{
    fx_boot_head(log, 32);
    for (size_t i = 0; i < b->n; i++)
        fx_boot_write_event(log, &b->events[i]);
    fx_must(lh_buf_status(log));
}

static inline void fx_boot_insert(fx_boot *b, size_t at, const fx_event *e)
{
    if (b->n == FX_EVENTS_MAX)
        abort();
    memmove(&b->events[at + 1], &b->events[at], (b->n - at) * sizeof(*e));
    b->events[at] = *e;
    b->n++;
}

static inline void fx_boot_remove(fx_boot *b, size_t at)
{
    memmove(&b->events[at], &b->events[at + 1], (b->n - at - 1) * sizeof(b->events[0]));
    b->n--;
}

/* EV_NO_ACTION at the log's beginning that says which locality PCR 0 started from. */
static inline void fx_boot_locality(fx_boot *b, size_t at, uint8_t locality)
{
    fx_event e = {.type = LH_EV_NO_ACTION, .len = 17};
    memcpy(e.data, "StartupLocality", 16);
    e.data[16] = locality;
    fx_boot_insert(b, at, &e);
}

/* The n-th event (from 0) of that PCR and type; type 0: of any. */
static inline size_t fx_boot_find(const fx_boot *b, uint32_t pcr, uint32_t type, size_t n)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->events[i].pcr == pcr && (type == 0 || b->events[i].type == type) && n-- == 0)
            return i;
    abort();
}

/* ---- IMA log ---- */

typedef struct {
    const char *template_name; /* NULL: "ima-ng" */
    const char *digest_name;   /* NULL: "sha256:"; "verity:sha256:" … */
    const char *path;
    uint8_t digest[LH_SHA512_SIZE];
    size_t digest_len; /* 0: 32 */
    bool violation;
    uint32_t pcr; /* 0: 10 */
} fx_ima;

static inline void fx_field(lh_buf *b, const void *data, size_t len)
{
    fx_le32(b, (uint32_t)len);
    lh_put_raw(b, data, len);
}

/* Append an entry and extend pcr with it (NULL: do not). */
static inline void fx_ima_add(lh_crypto *c, lh_buf *log, uint8_t pcr[32], const fx_ima *e)
{
    const char *name = e->template_name ? e->template_name : "ima-ng";
    const char *digest_name = e->digest_name ? e->digest_name : "sha256:";
    size_t digest_len = e->digest_len ? e->digest_len : 32;
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(65536);
    fx_le32(&data, (uint32_t)(strlen(digest_name) + 1 + digest_len));
    lh_put_raw(&data, digest_name, strlen(digest_name) + 1);
    lh_put_raw(&data, e->digest, digest_len);
    fx_field(&data, e->path, strlen(e->path) + 1);
    unsigned more =
        strcmp(name, "ima-sig") == 0 || strcmp(name, "ima-sigv2") == 0 || strcmp(name, "ima-buf") == 0 ? 1
        : strcmp(name, "ima-modsig") == 0                                                              ? 3
                                                                                                       : 0;
    for (unsigned i = 0; i < more; i++)
        fx_field(&data, "\3\2\4 a signature", i == 0 ? 15 : 0);
    fx_must(lh_buf_status(&data));
    uint8_t hash[32], sha1[20] = {0};
    fx_sha256(c, data.data, data.len, hash);
    if (!e->violation)
        fx_sha1(c, lh_buf_bytes(&data), sha1);
    fx_le32(log, e->pcr ? e->pcr : 10);
    lh_put_raw(log, sha1, sizeof(sha1));
    fx_field(log, name, strlen(name));
    fx_field(log, data.data, data.len);
    fx_must(lh_buf_status(log));
    if (e->violation)
        memset(hash, 0xff, sizeof(hash));
    if (pcr)
        fx_extend(c, pcr, hash);
}

/* The boot aggregate over pcrs 0 to 9. */
static inline void fx_ima_begin(lh_crypto *c, lh_buf *log, const uint8_t pcrs[24][32], uint8_t pcr[32])
{
    fx_ima e = {.path = "boot_aggregate"};
    fx_sha256(c, pcrs, (size_t)10 * 32, e.digest);
    fx_ima_add(c, log, pcr, &e);
}

/* File number i: the same digest whenever asked. */
static inline void fx_file_digest(lh_crypto *c, size_t i, uint8_t ret[32])
{
    char text[32];
    snprintf(text, sizeof(text), "file %zu", i);
    fx_sha256(c, text, strlen(text), ret);
}

static inline void fx_ima_file(lh_crypto *c, lh_buf *log, uint8_t pcr[32], size_t i)
{
    char path[64];
    snprintf(path, sizeof(path), "/usr/lib/x86_64-linux-gnu/library-%zu.so", i);
    fx_ima e = {.path = path};
    fx_file_digest(c, i, e.digest);
    fx_ima_add(c, log, pcr, &e);
}

/* ---- Reference values ---- */

typedef struct {
    lh_fileset *set;
    lh_references *references;
    const lh_reference *reference;
} fx_reference;

static inline int fx_compare(const void *a, const void *b)
{
    return memcmp(a, b, 64);
}

/* Files 0 to n_files - 1 and the given values of the PCRs in mask; excluded: /etc/machine-id,
 * /var/log/journal/. n_files 0: no files, and event_log: true. */
static inline void fx_reference_make(lh_crypto *c, lh_digests *digests, size_t n_files, uint32_t mask,
    const uint8_t (*pcrs)[32], fx_reference *ret)
{
    char(*lines)[64] = calloc(n_files + 1, sizeof(*lines));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_FILESET_MAX);
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(65536);
    char hex[2 * 64 + 1];
    if (!lines)
        abort();
    for (size_t i = 0; i < n_files; i++) {
        uint8_t digest[32];
        fx_file_digest(c, i, digest);
        lh_hex(digest, 32, hex);
        memcpy(lines[i], hex, 64);
    }
    qsort(lines, n_files, sizeof(*lines), fx_compare);
    for (size_t i = 0; i < n_files; i++)
        lh_buf_printf(&text, "%.64s  /file\n", lines[i]);
    free(lines);
    lh_buf_append_str(&doc, "references:\n  host:\n    pcrs:\n");
    for (unsigned i = 0; i < 24; i++)
        if (mask >> i & 1u) {
            lh_hex(pcrs[i], 32, hex);
            lh_buf_printf(&doc, "      %u: [\"sha256:%s\"]\n", i, hex);
        }
    *ret = (fx_reference){0};
    if (n_files > 0) {
        fx_must(lh_fileset_parse(c, digests, lh_buf_bytes(&text), &ret->set));
        lh_hex(lh_fileset_hash(ret->set), 32, hex);
        lh_buf_printf(
            &doc, "    files: [\"sha256:%s\"]\n    exclude: [/etc/machine-id, /var/log/journal/]\n", hex);
    } else {
        lh_buf_append_str(&doc, "    event_log: true\n");
    }
    fx_must(lh_buf_status(&doc));
    lh_problems problems = {0};
    fx_must(lh_references_parse(lh_buf_bytes(&doc), "fixture", &ret->references, &problems));
    if (ret->set)
        lh_references_attach(ret->references, &ret->set, 1);
    ret->reference = lh_references_get(ret->references, "host");
}

static inline void fx_reference_free(fx_reference *r)
{
    lh_references_free(r->references);
    lh_fileset_unref(r->set);
}

/* ---- A software attestation key ---- */

/* What it quotes. Tests change any of it before fx_quote. */
typedef struct {
    lh_crypto *c;
    lh_key *key;
    lh_buf public_area; /* TPMT_PUBLIC, ECC P-256, ECDSA with SHA-256 */
    uint32_t magic;
    uint16_t type;
    uint64_t clock;
    uint32_t reset_count, restart_count;
    bool safe;
    uint64_t firmware;
    uint32_t mask;
    uint8_t pcrs[24][32];
} fx_tpm;

static inline void fx_tpm_new(lh_crypto *c, uint8_t seed, fx_tpm *ret)
{
    *ret = (fx_tpm){.c = c,
        .public_area = LH_BUF_INIT(LH_EVIDENCE_PART_MAX),
        .magic = LH_TPMS_GENERATED,
        .type = LH_TPMS_ST_ATTEST_QUOTE,
        .clock = 1000000,
        .reset_count = 7,
        .restart_count = 1,
        .safe = true,
        .firmware = 0x20200101,
        .mask = 0x7ff};
    LH_AUTO(lh_secret_freep) lh_secret *scalar = NULL;
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    fx_must(lh_secret_new(32, &scalar));
    memset(lh_secret_data(scalar), seed, 32);
    fx_must(lh_key_new(c, LH_KEY_EC_P256, scalar, &ret->key));
    fx_must(lh_key_public_point(ret->key, &point));
    lh_buf *out = &ret->public_area;
    lh_put_u16(out, LH_TPMS_ALG_ECC);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u32(out, LH_TPMS_ATTR_FIXED_TPM | LH_TPMS_ATTR_FIXED_PARENT | LH_TPMS_ATTR_SENSITIVE_ORIGIN |
                        LH_TPMS_ATTR_RESTRICTED | LH_TPMS_ATTR_SIGN | 0x40u);
    lh_put_u16(out, 0);
    lh_put_u16(out, LH_TPMS_ALG_NULL);
    lh_put_u16(out, LH_TPMS_ALG_ECDSA);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u16(out, LH_TPMS_CURVE_P256);
    lh_put_u16(out, LH_TPMS_ALG_NULL);
    for (unsigned i = 0; i < 2; i++) {
        lh_put_u16(out, 32);
        lh_put_raw(out, point.data + 1 + (size_t)32 * i, 32);
    }
    fx_must(lh_buf_status(out));
}

static inline void fx_tpm_free(fx_tpm *t)
{
    lh_key_free(t->key);
    lh_buf_free(&t->public_area);
}

/* Sign bytes into e->signature; they become e->attest. */
static inline void fx_sign(const fx_tpm *t, lh_bytes attest, lh_evidence *e)
{
    LH_AUTO(lh_buf_free) lh_buf raw = LH_BUF_INIT(128);
    const lh_op_request request = {
        .key = t->key, .row = lh_mechanism_by_name("ecdsa-sha256"), .use = LH_USE_SIGN, .data = attest};
    fx_must(lh_op_once(t->c, &request, &raw));
    LH_AUTO(lh_buf_free) lh_buf copy = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    lh_buf_append(&copy, attest.data, attest.len); /* attest may be e's own */
    lh_buf_clear(&e->attest);
    lh_buf_append(&e->attest, copy.data, copy.len);
    lh_buf_clear(&e->signature);
    lh_put_u16(&e->signature, LH_TPMS_ALG_ECDSA);
    lh_put_u16(&e->signature, LH_TPMS_ALG_SHA256);
    for (unsigned i = 0; i < 2; i++) {
        lh_put_u16(&e->signature, 32);
        lh_put_raw(&e->signature, raw.data + (size_t)32 * i, 32);
    }
    fx_must(lh_buf_status(&e->signature));
}

/* TPML_PCR_SELECTION of one SHA-256 bank. */
static inline void fx_selection(uint32_t mask, lh_buf *out)
{
    lh_put_u32(out, 1);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u8(out, 3);
    for (unsigned i = 0; i < 3; i++)
        lh_put_u8(out, (uint8_t)(mask >> (8 * i)));
}

/* TPMS_ATTEST over extra and that selection and PCR digest. */
static inline void fx_attest(
    const fx_tpm *t, lh_bytes extra, lh_bytes selection, const uint8_t digest[32], lh_buf *out)
{
    static const uint8_t endorsement[4] = {0x40, 0, 0, 0x0b}, alg[2] = {0, 0x0b};
    uint8_t name[32], qualified[32];
    fx_sha256(t->c, t->public_area.data, t->public_area.len, name);
    const lh_bytes parts[] = {LH_BYTES(endorsement, 4), LH_BYTES(alg, 2), LH_BYTES(name, 32)};
    fx_must(lh_sha256(t->c, parts, 3, qualified));
    lh_put_u32(out, t->magic);
    lh_put_u16(out, t->type);
    lh_put_u16(out, 34);
    lh_put_raw(out, alg, 2);
    lh_put_raw(out, qualified, 32);
    lh_put_u16(out, (uint16_t)extra.len);
    lh_put_raw(out, extra.data, extra.len);
    lh_put_u64(out, t->clock);
    lh_put_u32(out, t->reset_count);
    lh_put_u32(out, t->restart_count);
    lh_put_u8(out, t->safe);
    lh_put_u64(out, t->firmware);
    lh_put_raw(out, selection.data, selection.len);
    lh_put_u16(out, 32);
    lh_put_raw(out, digest, 32);
    fx_must(lh_buf_status(out));
}

/* SHA-256 over the values of the PCRs in mask. */
static inline void fx_pcr_digest(const fx_tpm *t, uint32_t mask, uint8_t ret[32])
{
    lh_bytes parts[24];
    size_t n = 0;
    for (unsigned i = 0; i < 24; i++)
        if (mask >> i & 1u)
            parts[n++] = LH_BYTES(t->pcrs[i], 32);
    fx_must(lh_sha256(t->c, parts, n, ret));
}

/* Evidence of one leaf, whose nonce is that number. e: initialised. */
static inline void fx_quote(const fx_tpm *t, uint64_t nonce, lh_evidence *e)
{
    memset(&e->leaf, 3, sizeof(e->leaf));
    memcpy(e->leaf.nonce, &nonce, sizeof(nonce));
    e->leaf_count = 1;
    e->leaf_index = 0;
    e->proof.count = 0;
    e->pcr_mask = t->mask;
    memset(e->pcrs, 0, sizeof(e->pcrs));
    for (unsigned i = 0; i < 24; i++)
        if (t->mask >> i & 1u)
            memcpy(e->pcrs[i], t->pcrs[i], 32);
    lh_buf_clear(&e->ak_public);
    lh_buf_append(&e->ak_public, t->public_area.data, t->public_area.len);
    LH_AUTO(lh_buf_free) lh_buf selection = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    uint8_t qualifying[32], digest[32];
    fx_must(lh_evidence_qualifying_one(t->c, &e->leaf, qualifying));
    fx_selection(t->mask, &selection);
    fx_pcr_digest(t, t->mask, digest);
    fx_attest(t, LH_BYTES(qualifying, 32), lh_buf_bytes(&selection), digest, &attest);
    fx_sign(t, lh_buf_bytes(&attest), e);
}

/* What would accept that evidence. */
static inline lh_evidence_expectation fx_expect(const fx_tpm *t, const lh_evidence *e)
{
    return (lh_evidence_expectation){
        .ak_public = lh_buf_bytes(&t->public_area), .leaf = e->leaf, .pcr_mask = t->mask};
}

#endif
