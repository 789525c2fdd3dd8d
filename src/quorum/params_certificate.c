/* Parameters of the operations on certificates of leased keys. */
#include "crypto/x509.h"
#include "quorum/params.h"
#include "quorum/params_json.h"

lh_certificate_chain *lh_certificate_chain_ref(lh_certificate_chain *chain)
{
    atomic_fetch_add(&chain->references, 1);
    return chain;
}

void lh_certificate_chain_unref(lh_certificate_chain *chain)
{
    if (!chain || atomic_fetch_sub(&chain->references, 1) > 1)
        return;
    for (size_t i = 0; i < LH_ARRAY_LEN(chain->der); i++)
        lh_buf_free(&chain->der[i]);
    free(chain);
}

/* The role and workload whose key is meant, and nothing else of a selector. */
static lh_err read_subject(json_t *object, lh_params *params)
{
    lh_selector *s = &params->selector;
    bool role = false;
    bool workload = false;
    LH_TRY(lh_params_text(object, "role", s->role, sizeof s->role, &role));
    LH_TRY(lh_params_text(object, "workload", s->workload, sizeof s->workload, &workload));
    return role && workload ? LH_SUCCESS : lh_params_expected("\"role\" and \"workload\" are expected");
}

lh_err lh_params_read_certified(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    (void)c;
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"role", "workload", NULL}));
    return read_subject(object, params);
}

/* Whether each is issued by the name of the next. Their signatures are for those who rely on them. */
static lh_err check_order(const lh_x509 *parts, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (!lh_bytes_equal(lh_buf_bytes(&parts[i - 1].issuer), lh_buf_bytes(&parts[i].subject)))
            return LH_REFUSE(LH_E_INVALID, "certificate-order",
                "certificate %zu of the chain is not by the issuer that number %zu names", i + 1, i);
    return LH_SUCCESS;
}

static lh_err check_chain(lh_crypto *c, const lh_certificate_chain *chain)
{
    lh_x509 parts[LH_LIMIT_CERTIFICATES] = {0};
    lh_err err = LH_SUCCESS;
    for (size_t i = 0; i < chain->count && lh_ok(err); i++)
        err = lh_x509_parse(c, lh_buf_bytes(&chain->der[i]), &parts[i]);
    if (lh_ok(err))
        err = check_order(parts, chain->count);
    for (size_t i = 0; i < chain->count; i++)
        lh_x509_clear(&parts[i]);
    return err;
}

static lh_err read_chain(lh_crypto *c, json_t *list, lh_certificate_chain **ret)
{
    size_t index;
    json_t *certificate;
    size_t count = json_array_size(list);
    if (count == 0 || count > LH_LIMIT_CERTIFICATES)
        return lh_params_expected("\"chain\" is a list of 1 to 8 certificates");
    LH_AUTO(lh_certificate_chain_unrefp) lh_certificate_chain *chain = calloc(1, sizeof *chain);
    if (!chain)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&chain->references, 1);
    json_array_foreach(list, index, certificate)
    {
        chain->der[index] = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
        LH_TRY(lh_params_base64(certificate, "a certificate", "certificate-length", &chain->der[index]));
    }
    chain->count = count;
    LH_TRY(check_chain(c, chain));
    *ret = LH_TAKE(chain);
    return LH_SUCCESS;
}

lh_err lh_params_read_certificates(lh_crypto *c, lh_bytes bytes, lh_params *params)
{
    LH_AUTO(lh_params_free_json) json_t *object = NULL;
    LH_TRY(lh_params_object(bytes, &object));
    LH_TRY(lh_params_members(object, (const char *const[]){"role", "workload", "chain", NULL}));
    LH_TRY(read_subject(object, params));
    return read_chain(c, json_object_get(object, "chain"), &params->chain);
}
