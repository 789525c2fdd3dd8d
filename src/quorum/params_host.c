/* Parameters of the operations on hosts. What is checked here is what the parameters say of themselves, the
 * same at every reading; whether certificates lead to an authority, at its time, is the vault's to check. */
#include "codec/approval.h"
#include "codec/tpms.h"
#include "crypto/ek.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "crypto/x509.h"
#include "quorum/params.h"
#include "quorum/params_json.h"

lh_host_enrolment *lh_host_enrolment_ref(lh_host_enrolment *host)
{
    atomic_fetch_add(&host->references, 1);
    return host;
}

void lh_host_enrolment_unref(lh_host_enrolment *host)
{
    if (!host || atomic_fetch_sub(&host->references, 1) > 1)
        return;
    lh_buf_free(&host->ek_public);
    lh_buf_free(&host->ak_public);
    for (size_t i = 0; i < LH_ARRAY_LEN(host->certificates); i++)
        lh_buf_free(&host->certificates[i]);
    free(host);
}

static lh_err check_ek(lh_crypto *c, json_t *object, lh_host_enrolment *host)
{
    enum lh_ek_kind kind;
    uint8_t shown[LH_SHA256_SIZE];
    bool found = false;
    const lh_bytes public = lh_buf_bytes(&host->ek_public);
    LH_TRY(lh_ek_check(c, public, &kind));
    LH_TRY(lh_sha256(c, &public, 1, host->ek_hash));
    LH_TRY(lh_params_hex(object, "ek-sha256", shown, sizeof shown, &found));
    if (!found)
        return lh_params_expected(
            "\"ek-sha256\" is expected: the SHA-256 of \"ek\", which a person can compare");
    if (memcmp(shown, host->ek_hash, sizeof shown) != 0)
        return LH_REFUSE(LH_E_INVALID, "ek-hash", "\"ek-sha256\" is not the SHA-256 of \"ek\"");
    return LH_SUCCESS;
}

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static lh_err check_point(lh_crypto *c, const lh_tpms_public *ak)
{
    LH_AUTO(free_buf) lh_buf spki = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    uint8_t point[LH_P256_POINT_SIZE];
    LH_TRY(lh_p256_point(ak->x, ak->y, point));
    return lh_p256_spki(c, point, &spki);
}

/* What the verifier of quotes takes (src/verify/appraise.c), so that no host is enrolled that it refuses. */
static lh_err check_ak(lh_crypto *c, lh_bytes bytes)
{
    lh_tpms_public ak;
    const uint32_t need = LH_TPMS_ATTR_FIXED_TPM | LH_TPMS_ATTR_FIXED_PARENT | LH_TPMS_ATTR_SENSITIVE_ORIGIN |
                          LH_TPMS_ATTR_RESTRICTED | LH_TPMS_ATTR_SIGN;
    lh_err err = lh_tpms_public_parse(bytes, &ak);
    if (err.code == LH_E_UNSUPPORTED)
        return LH_REFUSE(LH_E_INVALID, "ak-type", "the attestation key is of a kind that is not taken");
    if (!lh_ok(err))
        return LH_REFUSE(LH_E_INVALID, "ak-format", "\"ak\" is no public area of a TPM's key");
    if ((ak.attributes & need) != need || (ak.attributes & LH_TPMS_ATTR_DECRYPT))
        return LH_REFUSE(LH_E_INVALID, "ak-attributes",
            "the attestation key's attributes 0x%08x are not those of a restricted signing key made in its "
            "TPM",
            ak.attributes);
    bool scheme = ak.type == LH_TPMS_ALG_ECC
                      ? ak.scheme == LH_TPMS_ALG_ECDSA
                      : ak.scheme == LH_TPMS_ALG_RSASSA || ak.scheme == LH_TPMS_ALG_RSAPSS;
    if (!scheme || ak.scheme_hash != LH_TPMS_ALG_SHA256 || ak.name_alg != LH_TPMS_ALG_SHA256)
        return LH_REFUSE(LH_E_INVALID, "ak-type",
            "the attestation key signs by scheme 0x%04x with hash 0x%04x (Name hash 0x%04x), which is not "
            "taken",
            ak.scheme, ak.scheme_hash, ak.name_alg);
    return ak.type == LH_TPMS_ALG_ECC ? check_point(c, &ak) : LH_SUCCESS;
}

static lh_err read_certificates(lh_crypto *c, json_t *list, lh_host_enrolment *host)
{
    size_t index;
    json_t *certificate;
    if (json_array_size(list) == 0 || json_array_size(list) > LH_LIMIT_EK_CERTIFICATES)
        return lh_params_expected("\"certificate\" is a list of 1 to 8 certificates");
    json_array_foreach(list, index, certificate)
    {
        lh_buf *der = &host->certificates[index];
        lh_x509 parts;
        *der = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
        LH_TRY(lh_params_base64(certificate, "a certificate", "certificate-length", der));
        LH_TRY(lh_x509_parse(c, lh_buf_bytes(der), &parts));
        lh_x509_clear(&parts);
        host->certificate_count = index + 1;
    }
    return LH_SUCCESS;
}

static lh_err read_proof(lh_crypto *c, json_t *object, lh_host_enrolment *host)
{
    char proof[16] = "";
    bool found = false;
    json_t *list = json_object_get(object, "certificate");
    LH_TRY(lh_params_text(object, "ek-proof", proof, sizeof proof, &found));
    host->pinned = strcmp(proof, "pinned") == 0;
    if (!host->pinned && strcmp(proof, "certificate") != 0)
        return lh_params_expected("\"ek-proof\" is \"certificate\" or \"pinned\"");
    if (host->pinned)
        return list ? lh_params_expected("a pinned endorsement key comes without \"certificate\"")
                    : LH_SUCCESS;
    return read_certificates(c, list, host);
}

static int compare_labels(const void *left, const void *right)
{
    const lh_state_label *a = left;
    const lh_state_label *b = right;
    return strcmp(a->name, b->name);
}

static lh_err read_labels(json_t *labels, lh_host_enrolment *host)
{
    const char *name;
    json_t *value;
    if (!labels)
        return LH_SUCCESS;
    if (!json_is_object(labels))
        return lh_params_expected("\"labels\" is {NAME: VALUE, …}");
    if (json_object_size(labels) > LH_LIMIT_HOST_LABELS)
        return LH_REFUSE(LH_E_LIMIT, "host-labels", "more than %d labels of one host", LH_LIMIT_HOST_LABELS);
    json_object_foreach(labels, name, value)
    {
        lh_state_label *label = &host->labels[host->n_labels++];
        bool found = false;
        LH_TRY(lh_roster_check_name(name));
        strcpy(label->name, name); /* its length was checked */
        LH_TRY(lh_params_text(labels, name, label->value, sizeof label->value, &found));
    }
    qsort(host->labels, host->n_labels, sizeof *host->labels, compare_labels);
    return LH_SUCCESS;
}

static lh_err read_host(lh_crypto *c, json_t *object, lh_host_enrolment *host)
{
    bool channel = false;
    bool reference = false;
    host->ek_public = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    host->ak_public = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC);
    LH_TRY(lh_params_base64(json_object_get(object, "ek"), "\"ek\"", "ek-length", &host->ek_public));
    LH_TRY(lh_params_base64(json_object_get(object, "ak"), "\"ak\"", "ak-length", &host->ak_public));
    LH_TRY(check_ek(c, object, host));
    LH_TRY(check_ak(c, lh_buf_bytes(&host->ak_public)));
    LH_TRY(lh_params_hex(object, "channel-key", host->channel_key, sizeof host->channel_key, &channel));
    if (!channel)
        return lh_params_expected("\"channel-key\" is expected: the SHA-256 of the agent's public key");
    LH_TRY(read_proof(c, object, host));
    LH_TRY(read_labels(json_object_get(object, "labels"), host));
    LH_TRY(lh_params_text(object, "reference", host->reference, sizeof host->reference, &reference));
    return reference ? lh_roster_check_name(host->reference) : LH_SUCCESS;
}

static lh_err read_name(json_t *object, lh_params *params)
{
    bool found = false;
    LH_TRY(lh_params_text(object, "name", params->host, sizeof params->host, &found));
    return found ? lh_roster_check_name(params->host) : lh_params_expected("\"name\" is expected");
}

lh_err lh_params_read_host(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"name", "ek", "ek-sha256", "ak", "channel-key",
                                         "ek-proof", "certificate", "labels", "reference", NULL}));
    LH_TRY(read_name(object, params));
    if (strcmp(params->host, "self") == 0)
        return LH_REFUSE(
            LH_E_INVALID, "host-name", "\"self\" is what holds and policy call the vault's own host");
    LH_AUTO(lh_host_enrolment_unrefp) lh_host_enrolment *host = calloc(1, sizeof *host);
    if (!host)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&host->references, 1);
    LH_TRY(read_host(c, object, host));
    params->enrolment = LH_TAKE(host);
    return LH_SUCCESS;
}

lh_err lh_params_read_host_name(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"name", NULL}));
    return read_name(object, params);
}
