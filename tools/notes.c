#include "notes.h"

#include "base/clock.h"
#include "codec/base64.h"
#include "crypto/credential.h"
#include "crypto/ek.h"
#include "crypto/hash.h"
#include "crypto/x509.h"
#include "output.h"

#include <pwd.h>

static void print_line(FILE *file, const char *label, const char *value)
{
    (void)fprintf(file, "  %-12s", label);
    out_text(file, value);
    (void)fputc('\n', file);
}

static void print_name(FILE *file, const char *label, const char *name)
{
    print_line(file, label, name[0] != '\0' ? name : "(empty)");
    if (strlen(name) + 1 >= LH_X509_NAME_MAX)
        (void)fprintf(file, "  WARNING: that name is longer and was cut here\n");
}

static void print_time(FILE *file, const char *label, int64_t time)
{
    char text[LH_TIME_TEXT_SIZE] = "";
    bool told = time != INT64_MIN && time != INT64_MAX;
    if (told)
        lh_time_format(time, text);
    print_line(file, label, told ? text : "not to be told");
}

/* The content of a DER INTEGER in hex. */
static void print_serial(FILE *file, lh_bytes der)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(2 * LH_X509_PART_MAX + 1);
    size_t header = der.len > 1 && (der.data[1] & 0x80) ? 2u + (der.data[1] & 0x7f) : 2;
    for (size_t i = header; i < der.len; i++)
        lh_buf_printf(&text, "%02x", der.data[i]);
    const char *shown = lh_buf_cstr(&text);
    print_line(file, "serial", shown != NULL ? shown : "(too long to show)");
}

static void print_certificate(FILE *file, const lh_x509 *x, const char *sha256)
{
    print_name(file, "subject", x->subject_text);
    print_name(file, "issuer", x->issuer_text);
    print_serial(file, lh_buf_bytes(&x->serial));
    print_time(file, "not before", x->not_before);
    print_time(file, "not after", x->not_after);
    print_line(file, "sha256", sha256);
}

/* One text of base64, or a list of texts that are put together. */
static lh_err read_der(const json_t *certificate, lh_buf *der)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    if (json_is_string(certificate))
        lh_buf_append_str(&text, json_string_value(certificate));
    for (size_t i = 0; i < json_array_size(certificate); i++) {
        const char *piece = json_string_value(json_array_get(certificate, i));
        if (piece == NULL)
            return LH_REFUSE(LH_E_INVALID, "certificate-format", "this is no text");
        lh_buf_append_str(&text, piece);
    }
    LH_TRY(lh_buf_status(&text));
    return lh_base64_decode(lh_buf_bytes(&text), der);
}

static lh_err note_certificate(FILE *file, lh_crypto *crypto, const json_t *certificate)
{
    LH_AUTO(lh_buf_free) lh_buf der = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
    LH_AUTO(lh_x509_clear) lh_x509 x = {0};
    uint8_t digest[LH_SHA256_SIZE];
    char hex[2 * LH_SHA256_SIZE + 1];
    LH_TRY(read_der(certificate, &der));
    const lh_bytes bytes = lh_buf_bytes(&der);
    LH_TRY(lh_x509_parse(crypto, bytes, &x));
    LH_TRY(lh_sha256(crypto, &bytes, 1, digest));
    lh_hex(digest, sizeof digest, hex);
    print_certificate(file, &x, hex);
    return LH_SUCCESS;
}

static void note_chain(FILE *file, lh_crypto *crypto, const json_t *chain)
{
    size_t count = json_array_size(chain);
    (void)fprintf(file, "\nWhat the chain says, decoded here; no signature in it is verified:\n");
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "certificate %zu of %zu\n", i + 1, count);
        if (!lh_ok(note_certificate(file, crypto, json_array_get(chain, i))))
            (void)fprintf(file, "  WARNING: this cannot be decoded\n");
    }
    if (count == 0)
        (void)fprintf(file, "  WARNING: there is no certificate in it\n");
}

/* SHA-256 of a key's public area, and its Name, which is the same with the hash's number before it. */
static void note_key(FILE *file, lh_crypto *crypto, const json_t *key, bool name)
{
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    uint8_t value[34];
    char hex[2 * sizeof value + 1];
    if (!lh_ok(read_der(key, &public)) || !lh_ok(lh_credential_name(crypto, lh_buf_bytes(&public), value))) {
        print_line(file, name ? "AK Name" : "EK SHA-256", "WARNING: this cannot be decoded");
        return;
    }
    lh_hex(value + (name ? 0 : 2), sizeof value - (name ? 0 : 2), hex);
    print_line(file, name ? "AK Name" : "EK SHA-256", hex);
}

static void note_kind(FILE *file, lh_crypto *crypto, const json_t *key)
{
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    enum lh_ek_kind kind;
    bool known = lh_ok(read_der(key, &public)) && lh_ok(lh_ek_check(crypto, lh_buf_bytes(&public), &kind));
    print_line(file, "EK", known ? lh_ek_kind_name(kind) : "WARNING: this is no endorsement key");
}

static void note_text(FILE *file, const json_t *params, const char *key, const char *label)
{
    const char *text = json_string_value(json_object_get(params, key));
    if (text != NULL)
        print_line(file, label, text);
}

static void note_labels(FILE *file, json_t *labels)
{
    const char *name;
    json_t *value;
    json_object_foreach(labels, name, value)
    {
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(4 * LH_LIMIT_NAME);
        const char *shown = json_string_value(value);
        lh_buf_printf(&text, "%s = %s", name, shown != NULL ? shown : "(no text)");
        shown = lh_buf_cstr(&text);
        print_line(file, "label", shown != NULL ? shown : "(too long to show)");
    }
}

static void note_host(FILE *file, lh_crypto *crypto, const json_t *params)
{
    const char *proof = json_string_value(json_object_get(params, "ek-proof"));
    bool pinned = proof != NULL && strcmp(proof, "pinned") == 0;
    (void)fprintf(file, "\nWhat the parameters say, decoded here:\n");
    note_text(file, params, "name", "host");
    note_kind(file, crypto, json_object_get(params, "ek"));
    note_key(file, crypto, json_object_get(params, "ek"), false);
    note_key(file, crypto, json_object_get(params, "ak"), true);
    note_text(file, params, "channel-key", "channel key");
    note_text(file, params, "reference", "reference");
    note_labels(file, json_object_get(params, "labels"));
    if (pinned)
        (void)fprintf(file,
            "No manufacturer vouches for this TPM: whoever approves does. Compare the EK's SHA-256 with what "
            "the host's\nowner gives you by another way.\n");
    else
        note_chain(file, crypto, json_object_get(params, "certificate"));
}

static void note_users(FILE *file, const json_t *params)
{
    const json_t *users = json_object_get(params, "users");
    const char *so = json_string_value(json_object_get(params, "so"));
    bool quorum = so != NULL && strcmp(so, "quorum") == 0;
    (void)fputc('\n', file);
    if (json_array_size(users) == 0 && !quorum)
        (void)fprintf(file,
            "WARNING: no user is named, so every local user who reaches the vault's socket may "
            "initialise this\npartition first and set its SO PIN. --user NAME limits it.\n");
    else if (json_array_size(users) == 0)
        (void)fprintf(file,
            "Note: no user is named, so every local user who reaches the vault's socket sees this "
            "partition and may ask\nthe officers to initialise it. --user NAME limits it.\n");
    for (size_t i = 0; i < json_array_size(users); i++) {
        json_int_t uid = json_integer_value(json_array_get(users, i));
        const struct passwd *entry = uid >= 0 && uid < UINT32_MAX ? getpwuid((uid_t)uid) : NULL;
        (void)fprintf(file, "user %lld is ", (long long)uid);
        out_text(file, entry != NULL ? entry->pw_name : "nobody that this machine knows");
        (void)fputc('\n', file);
    }
}

void notes_print(FILE *file, lh_crypto *crypto, const json_t *proposal)
{
    const char *operation = json_string_value(json_object_get(proposal, "operation"));
    const char *text = json_string_value(json_object_get(proposal, "params"));
    if (operation == NULL || text == NULL)
        return;
    bool chain = strcmp(operation, "certificate.attach") == 0;
    bool host = strcmp(operation, "host.enrol") == 0;
    if (!chain && !host && strcmp(operation, "partition.create") != 0)
        return;
    LH_AUTO(lh_json_freep) json_t *params = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(params))
        (void)fprintf(file, "\nWARNING: the parameters cannot be decoded\n");
    else if (chain)
        note_chain(file, crypto, json_object_get(params, "chain"));
    else if (host)
        note_host(file, crypto, params);
    else
        note_users(file, params);
    (void)fflush(file);
}
