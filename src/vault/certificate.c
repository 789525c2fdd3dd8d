/* Certificates of leased keys: whether they are about the key they are to stand beside. */
#include "crypto/x509.h"
#include "vault/made_key.h"
#include "vault/partition_internal.h"

/* A made key that is not there yet is made when it is proposed to attach something to it. When that takes
 * effect, which is within a transaction, it is there, unless its parent has changed. */
static lh_err role_key(
    lh_vault *v, const lh_rules *rules, const lh_derivation *derivation, bool executing, lh_key **ret)
{
    const lh_state_parent *parent = lh_rules_parent(rules, derivation->parent);
    if (!executing || !parent || !lh_key_row_by_kind(derivation->kind)->made)
        return lh_vault_role_key(v, rules, derivation, ret);
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_parent_load(v->core->records, v->crypto, parent, &secret));
    return lh_made_key_find(v, derivation, secret, ret);
}

/* The role's key of that workload, as a SubjectPublicKeyInfo. */
static lh_err public_key(
    lh_vault *v, const lh_rules *rules, const lh_selector *s, bool executing, lh_buf *spki)
{
    const lh_policy_role *role = rules->policy ? lh_policy_role_by_name(rules->policy, s->role) : NULL;
    if (!role || !lh_policy_workload_by_id(rules->policy, s->workload))
        return LH_REFUSE(LH_E_NOT_FOUND, "role-unknown", "the policy has no role %s or no workload %s",
            s->role, s->workload);
    if (role->per != LH_POLICY_PER_WORKLOAD || !lh_key_row_by_kind(role->key)->pair)
        return LH_REFUSE(LH_E_UNSUPPORTED, "no-public-key",
            "role %s has no public key that lasts: only pairs that are per: workload have", s->role);
    lh_derivation derivation;
    lh_vault_derivation(v, rules, role, s->workload, &derivation);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(role_key(v, rules, &derivation, executing, &key));
    return lh_key_public_spki(key, spki);
}

lh_err lh_certificate_judge(lh_vault *v, const lh_params *params, bool executing)
{
    if (params->operation->kind != LH_OPERATION_CERTIFICATE_ATTACH)
        return LH_SUCCESS;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = NULL;
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(LH_X509_PART_MAX);
    LH_AUTO(lh_x509_clear) lh_x509 leaf = {0};
    LH_TRY(lh_rules_new(v->core->chain, &rules));
    LH_TRY(public_key(v, rules, &params->selector, executing, &spki));
    LH_TRY(lh_x509_parse(v->crypto, lh_buf_bytes(&params->chain->der[0]), &leaf));
    if (!lh_bytes_equal(lh_buf_bytes(&leaf.spki), lh_buf_bytes(&spki)))
        return LH_REFUSE(LH_E_INVALID, "certificate-key",
            "the first certificate (%s) is about another key than that of role %s and workload %s",
            leaf.subject_text, params->selector.role, params->selector.workload);
    return LH_SUCCESS;
}
